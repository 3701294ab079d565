//! What operators type about rails that are called: payments of which nobody knows the end, and backends that may not pay.

use clap::{ArgGroup, Args, Subcommand};
use gctb_domain::{BackendName, RailKey};

use super::operator::{DatabaseArgs, ListArgs, evidence};

/// Look at payments over called rails: of which nobody knows the end, what is held back, what was tried; and say what a person
/// found out
#[derive(Debug, Subcommand)]
pub(crate) enum PaymentsVerb {
    Unknown(PaymentsUnknownArgs),
    Held(PaymentsHeldArgs),
    Attempts(PaymentsAttemptsArgs),
    Resolve(PaymentsResolveArgs),
}

/// List the payments that wait for a person, those that wait longest first
///
/// KEY is what the rail's own books know a payment by. A payment that is not quiet may still be under way.
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb payments unknown --limit 20")]
pub(crate) struct PaymentsUnknownArgs {
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

/// List what is held back and until when: backends and batches that may not pay, payments that are tried again later
///
/// Of a backend that may not pay, those are counted that it has claimed and would send again; what it has not claimed waits in
/// its topic (gctb_consumer_lag). Of a batch that is held, those are counted that nobody has claimed.
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb payments held --json")]
pub(crate) struct PaymentsHeldArgs {
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

/// Show all attempts to pay one instruction: how it stands, what was tried and heard, what comes next and when
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("name").required(true),
    after_help = "Example: gctb payments attempts 00000040001P\n         gctb payments attempts --transaction 5c1e7f0a-6e0f-4c58-9d3f-0f6f5a1f7a10 --reference r-17"
)]
pub(crate) struct PaymentsAttemptsArgs {
    /// The key of any attempt, as the rail's books and the other verbs have it
    #[arg(value_name = "KEY", value_parser = key, group = "name")]
    pub(crate) key: Option<RailKey>,
    /// The batch's transaction_id
    #[arg(long, value_name = "TXN", group = "name", requires = "reference")]
    pub(crate) transaction: Option<String>,
    /// The disbursement's reference_id
    #[arg(long, value_name = "REF", requires = "transaction")]
    pub(crate) reference: Option<String>,
    /// The sender_id that the batch was sent under
    #[arg(long, value_name = "ID", default_value = "payments.openg2p.org", conflicts_with = "key")]
    pub(crate) sender: String,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Print one JSON object instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

/// Record what the rail's books say about a payment of which nobody knows the end
///
/// --paid: the rail paid it. --not-paid: the rail did not and never will, and its backend may try again. A wrong --not-paid
/// pays somebody twice: have the rail's word in writing. Refused while a request may still be under way, and where it goes
/// against what was heard, unless you overrule that.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("word").required(true),
    after_help = "Example: gctb payments resolve 00000040001P --paid --rail-reference SG632NMUAB --evidence 'statement of 3 July, ticket 4711'"
)]
pub(crate) struct PaymentsResolveArgs {
    /// The payment's key, as `gctb payments unknown` lists it
    #[arg(value_name = "KEY", value_parser = key)]
    pub(crate) key: RailKey,
    /// The rail paid it
    #[arg(long, group = "word")]
    pub(crate) paid: bool,
    /// The rail did not pay it and never will
    #[arg(long, group = "word")]
    pub(crate) not_paid: bool,
    /// The rail's own reference of the payment
    #[arg(long, value_name = "TEXT", requires = "paid")]
    pub(crate) rail_reference: Option<String>,
    /// Who said so, when and where it is kept; recorded with your user name
    #[arg(long, value_name = "TEXT", value_parser = evidence)]
    pub(crate) evidence: String,
    /// Take it although something was heard against it; recorded as such, with what was heard
    #[arg(long)]
    pub(crate) overrule: bool,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Only say whether the word would be taken
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Stop and start what a backend pays over a called rail; look at what its rail said and nobody believed
#[derive(Debug, Subcommand)]
pub(crate) enum RailVerb {
    List(RailListArgs),
    Pause(RailPauseArgs),
    Resume(RailResumeArgs),
    Probe(RailProbeArgs),
    Exceptions(RailExceptionsArgs),
}

/// List the backends with what stands about each
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb rail list")]
pub(crate) struct RailListArgs {
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Print one JSON object per backend instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Have a backend pay nobody until it is resumed
///
/// Calls that are under way end, and what became of earlier ones is still asked and recorded. When it returns, no claim that
/// began before is still being made.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: gctb rail pause mpesa --evidence 'the operator of the rail asked for it, ticket 4711'"
)]
pub(crate) struct RailPauseArgs {
    #[command(flatten)]
    pub(crate) change: RailChangeArgs,
}

/// Have a backend pay again that was paused, or that its rail refused
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb rail resume mpesa --evidence 'funds arrived, ticket 4712'")]
pub(crate) struct RailResumeArgs {
    #[command(flatten)]
    pub(crate) change: RailChangeArgs,
}

/// Have a backend that its rail refused try at once whether it is taken again
///
/// One payment at a time is the probe: the backend is open again when one is paid, and held again when the rail refuses it. A
/// backend that a person paused is not probed; resume it.
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb rail probe mpesa --evidence 'the rail says that it is up again, ticket 4713'")]
pub(crate) struct RailProbeArgs {
    #[command(flatten)]
    pub(crate) change: RailChangeArgs,
}

/// List what rails said and nobody believed, newest first
///
/// Callbacks that were refused, and words that cannot be true by the ledger. They have moved no state: the rail is asked about
/// the payment instead. docs/operating-rails.md tells what the kinds mean.
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb rail exceptions mpesa --limit 20")]
pub(crate) struct RailExceptionsArgs {
    /// Only what this backend heard
    #[arg(value_name = "BACKEND", value_parser = backend)]
    pub(crate) backend: Option<BackendName>,
    /// Print what came as well, cut at 4096 characters; it may hold personal data
    #[arg(long)]
    pub(crate) bodies: bool,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

/// What pause, resume and probe take.
#[derive(Debug, Args)]
pub(crate) struct RailChangeArgs {
    /// The backend's name, as its settings give it
    #[arg(value_name = "BACKEND", value_parser = backend)]
    pub(crate) backend: BackendName,
    /// Why; recorded with your user name
    #[arg(long, value_name = "TEXT", value_parser = evidence)]
    pub(crate) evidence: String,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Only say what would change
    #[arg(long)]
    pub(crate) dry_run: bool,
}

fn key(text: &str) -> Result<RailKey, String> {
    RailKey::parse(text).map_err(|error| error.to_string())
}

fn backend(text: &str) -> Result<BackendName, String> {
    BackendName::parse(text).map_err(|error| error.to_string())
}
