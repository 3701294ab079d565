//! What an operator can type: verbs on the database, the topics, dead letters and payment files.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use gctb_domain::BackendName;
use secrecy::SecretString;

use super::duration;
use super::start::Start;

/// Where Postgres is.
#[derive(Clone, Debug, Args)]
pub(crate) struct DatabaseArgs {
    /// postgres://user:password@host:port/database; never printed
    #[arg(
        id = "database_url",
        long = "database",
        env = "GCTB_CLI__DATABASE__URL",
        value_name = "URL",
        hide_env_values = true,
        value_parser = secret
    )]
    pub(crate) url: SecretString,
}

/// Where Kafka is.
#[derive(Clone, Debug, Args)]
pub(crate) struct KafkaArgs {
    /// host:port of one or more brokers, separated by commas; TLS and SASL properties of librdkafka are read from
    /// GCTB_CLI__KAFKA__EXTRA__…
    #[arg(id = "kafka_brokers", long = "kafka", env = "GCTB_CLI__KAFKA__BROKERS", value_name = "BROKERS")]
    pub(crate) brokers: String,
}

/// Which payment backends the deployment has.
#[derive(Clone, Debug, Args)]
pub(crate) struct BackendArgs {
    /// Names of the deployed payment backends, separated by commas: each has a topic
    #[arg(
        long,
        env = "GCTB_CLI__BACKENDS",
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "file",
        value_parser = BackendName::parse
    )]
    pub(crate) backends: Vec<BackendName>,
}

/// Bring the database schema up to this version, and make the partitions of the next months
///
/// Migrations that are applied already are left alone; two runs at once wait for each other.
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb migrate --database postgres://gctb@127.0.0.1/gctb")]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Only say whether anything is missing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Make and check the Kafka topics that deploy/topics.toml declares
#[derive(Debug, Subcommand)]
pub(crate) enum TopicsVerb {
    Apply(TopicsApplyArgs),
    Check(TopicsCheckArgs),
}

/// Create missing topics, raise partition counts and set retention; nothing is ever deleted
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb topics apply --kafka 127.0.0.1:9092 --backends file")]
pub(crate) struct TopicsApplyArgs {
    #[command(flatten)]
    pub(crate) kafka: KafkaArgs,
    #[command(flatten)]
    pub(crate) backends: BackendArgs,
    /// Only say what is missing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Say whether every topic is as declared; exit code 1 if not
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb topics check --kafka 127.0.0.1:9092 --backends file")]
pub(crate) struct TopicsCheckArgs {
    #[command(flatten)]
    pub(crate) kafka: KafkaArgs,
    #[command(flatten)]
    pub(crate) backends: BackendArgs,
}

/// Let a consumer group read a topic again from an earlier point
///
/// Safe at any time: what was decided stands in Postgres, so a message that comes again changes nothing but counters.
/// The group must have no members: stop its service first. What was done is recorded in operator_actions.
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb replay gctb.status --group gctb-status --from 2026-11-23T08:00:00Z --dry-run")]
pub(crate) struct ReplayArgs {
    /// The topic
    #[arg(value_name = "TOPIC")]
    pub(crate) topic: String,
    /// The consumer group, which is the name of the service that reads the topic
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: String,
    /// earliest, an RFC 3339 time, an offset for all partitions, or PARTITION:OFFSET,…
    #[arg(long, value_name = "START")]
    pub(crate) from: Start,
    #[command(flatten)]
    pub(crate) kafka: KafkaArgs,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Only say where each partition would go on
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Look at entries that no consumer could handle, and send them again
#[derive(Debug, Subcommand)]
pub(crate) enum DeadVerb {
    List(DeadListArgs),
    Show(DeadShowArgs),
    Redrive(DeadRedriveArgs),
}

/// Count the dead letters by topic, consumer and reason
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb dead list --kafka 127.0.0.1:9092")]
pub(crate) struct DeadListArgs {
    #[command(flatten)]
    pub(crate) kafka: KafkaArgs,
    #[command(flatten)]
    pub(crate) backends: BackendArgs,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show dead letters one by one: where each comes from, why it is here, how large it is
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb dead show gctb.batches --from 0:17 --limit 1")]
pub(crate) struct DeadShowArgs {
    /// The topic whose dead letters are meant (with or without .dead)
    #[arg(value_name = "TOPIC")]
    pub(crate) topic: String,
    #[command(flatten)]
    pub(crate) range: DeadRange,
    #[command(flatten)]
    pub(crate) kafka: KafkaArgs,
    /// Print the bytes as well (hexadecimal); they may hold personal data
    #[arg(long)]
    pub(crate) payload: bool,
    /// Print one JSON object per entry instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Send dead letters again to the topic that each came from
///
/// Safe to repeat: what was handled meanwhile changes nothing. The dead letters themselves stay until their retention
/// ends. What was done is recorded in operator_actions.
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb dead redrive gctb.batches --from 0:17 --limit 1 --dry-run")]
pub(crate) struct DeadRedriveArgs {
    /// The topic whose dead letters are meant (with or without .dead)
    #[arg(value_name = "TOPIC")]
    pub(crate) topic: String,
    #[command(flatten)]
    pub(crate) range: DeadRange,
    #[command(flatten)]
    pub(crate) kafka: KafkaArgs,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Only say what would be sent where
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Which dead letters.
#[derive(Clone, Debug, Args)]
pub(crate) struct DeadRange {
    /// Begin at: earliest, an RFC 3339 time, an offset, or PARTITION:OFFSET,…
    #[arg(long, value_name = "START", default_value = "earliest")]
    pub(crate) from: Start,
    /// Take at most so many
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
}

/// Look at payment files that a person must look at
#[derive(Debug, Subcommand)]
pub(crate) enum FilesVerb {
    Overdue(FilesOverdueArgs),
    Resolve(FilesResolveArgs),
}

/// List files that the bank has not wholly answered in time, and those whose delivery is unclear
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb files overdue --hours 48")]
pub(crate) struct FilesOverdueArgs {
    /// How long a bank may take, in hours
    #[arg(long, value_name = "HOURS", default_value_t = 48, value_parser = clap::value_parser!(u32).range(0..=8_760))]
    pub(crate) hours: u32,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Print one JSON object per file instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Record what the bank says about a file whose delivery is unclear
///
/// --delivered: the bank has it, and its answer is awaited. --absent: the bank never had it, and it is delivered again
/// under the same name. A wrong --absent pays everybody in the file twice: have the bank's word in writing.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("word").required(true),
    after_help = "Example: gctb files resolve gctb_file_20261123_000007.csv --delivered --evidence 'bank ticket 4711'"
)]
pub(crate) struct FilesResolveArgs {
    /// The file's name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The bank has the file
    #[arg(long, group = "word")]
    pub(crate) delivered: bool,
    /// The bank never had the file
    #[arg(long, group = "word")]
    pub(crate) absent: bool,
    /// Who said so, when and where it is kept; recorded with your user name
    #[arg(long, value_name = "TEXT", value_parser = evidence)]
    pub(crate) evidence: String,
    /// How long after its delivery began a file is left alone, since the delivery may still be under way (s, m or h)
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration)]
    pub(crate) quarantine: Duration,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Only say whether the file can be resolved
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Look at lines of response files that could not be believed
#[derive(Debug, Subcommand)]
pub(crate) enum ExceptionsVerb {
    List(ExceptionsListArgs),
}

/// List the lines, newest first
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb exceptions list --limit 20")]
pub(crate) struct ExceptionsListArgs {
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

/// Look at contradictions between final answers of a rail: real money
#[derive(Debug, Subcommand)]
pub(crate) enum ConflictsVerb {
    List(ConflictsListArgs),
}

/// List the contradictions, newest first
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb conflicts list --json")]
pub(crate) struct ConflictsListArgs {
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

/// What every list from the database takes.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Show at most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Print one JSON object per line instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

pub(super) fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

/// Evidence that says nothing is none.
pub(super) fn evidence(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.is_empty() { Err("say who confirmed it, when, and where that is kept") } else { Ok(text.to_owned()) }
}
