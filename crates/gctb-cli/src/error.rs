//! Why a verb could not do its work, as one sentence: what was being done, to what, and what to do next.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use gctb_runtime::PositionsError;

/// What stops a verb.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error("could not read {}", path.display())]
    ReadFile { path: PathBuf, source: io::Error },
    #[error("{} is not a G2P Connect disburse message", path.display())]
    NotAMessage { path: PathBuf, source: serde_json::Error },
    #[error("{} has no disbursements to make a batch from", path.display())]
    EmptyTemplate { path: PathBuf },
    #[error("the simulator cannot play the faults of {}{words}", path.display())]
    BadFaults { path: PathBuf, words: String },
    #[error("could not write the message to be sent")]
    Encode(#[source] serde_json::Error),
    #[error("could not prepare the HTTP client")]
    Client(#[source] reqwest::Error),
    #[error("could not get an answer from {url}")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("{url} answered {status}{words}")]
    Refused { url: String, status: u16, words: String },
    #[error("the bridge refused the message: {words}")]
    Rejected { words: String },
    #[error("{url} answered with more than {limit_mib} MiB")]
    AnswerTooLarge { url: String, limit_mib: usize },
    #[error("could not understand the answer of {url}")]
    UnreadableAnswer { url: String, source: serde_json::Error },
    #[error("the answer of {url} lacks {what}")]
    IncompleteAnswer { url: String, what: &'static str },
    #[error("the status word {word:?} in the answer of {url} is not one of rcvd, pdng, succ, rjct")]
    UnknownStatus { url: String, word: String },
    #[error("the bridge has no batch {transaction} of the sender {sender}")]
    UnknownBatch { transaction: String, sender: String },
    #[error("the pages of the batch {transaction} hold {seen} instructions where the header says {total}")]
    PagesDisagree { transaction: String, seen: u64, total: u64 },
    #[error(transparent)]
    Database(#[from] gctb_db::DbError),
    #[error(transparent)]
    KafkaSettings(Box<gctb_runtime::SettingsError>),
    #[error(transparent)]
    TopicsDeclared(Box<gctb_events::TopicsError>),
    #[error(transparent)]
    Topics(#[from] gctb_runtime::TopicAdminError),
    #[error(transparent)]
    Positions(#[from] gctb_runtime::PositionsError),
    #[error(transparent)]
    Produce(#[from] gctb_runtime::ProduceError),
    #[error("{sent} of {of} dead letters were sent again before an error")]
    RedriveBrokeOff { sent: usize, of: usize, source: gctb_runtime::ProduceError },
    #[error("{name:?} is not a topic of the bridge")]
    UnknownTopic { name: String },
    #[error("{what} was done, but could not be recorded in operator_actions")]
    NotRecorded { what: &'static str, source: gctb_db::DbError },
    #[error("there is no payment file named {name:?}")]
    UnknownFile { name: String },
    #[error("could not start")]
    Runtime(#[source] io::Error),
    #[error("could not write the result")]
    Output(#[from] io::Error),
}

impl CliError {
    /// The whole sentence: the error, its causes, and the next step.
    pub(crate) fn sentence(&self) -> String {
        let mut sentence = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            sentence.push_str(": ");
            // Some libraries break their messages into lines.
            sentence.push_str(&error.to_string().split_whitespace().collect::<Vec<_>>().join(" "));
            cause = error.source();
        }
        format!("{sentence}; {}.", self.next_step())
    }

    fn next_step(&self) -> &'static str {
        match self {
            Self::ReadFile { .. } => "name a file that exists and may be read, or - for standard input",
            Self::NotAMessage { .. } | Self::EmptyTemplate { .. } => {
                "compare it with docs/examples/disburse-small.json"
            }
            Self::BadFaults { .. } => "correct the knob that it names; docs/simulator.md lists all",
            Self::Encode(_) => "this is a defect of gctb, please report it",
            Self::Client(_) => "check the system's TLS certificates",
            Self::Unreachable { .. } => "check that the service runs and that the URL is right (gctb VERB --help)",
            Self::Refused { .. } => "correct what it names and try again",
            Self::Rejected { .. } => "correct what it names and send it under a new transaction_id and message_id",
            Self::AnswerTooLarge { .. } => "check that the URL is the service's own",
            Self::UnreadableAnswer { .. } | Self::IncompleteAnswer { .. } | Self::UnknownStatus { .. } => {
                "check that the URL is the service's own and that both have the same version"
            }
            Self::UnknownBatch { .. } => "check the transaction_id, and name the sender with --sender",
            Self::PagesDisagree { .. } => "try again, and report it if it happens twice",
            Self::Database(gctb_db::DbError::Kept { .. }) => {
                "one of the backend's processes may be frozen: end the one that does not answer at /healthz, and try again"
            }
            Self::Database(_) => "check that Postgres runs, that the URL is right and that `gctb migrate` was run",
            Self::KafkaSettings(_) => "see the comments in crates/gctb-runtime/config/kafka.toml",
            Self::TopicsDeclared(_) => "correct the file and build again",
            Self::Positions(PositionsError::GroupActive { .. }) => {
                "stop the services of that group, replay, and start them again"
            }
            Self::Positions(PositionsError::NoTopic { .. }) => "name a topic that exists",
            Self::Topics(_) | Self::Positions(_) | Self::Produce(_) => {
                "check that Kafka runs and that the brokers are right (gctb VERB --help)"
            }
            Self::RedriveBrokeOff { .. } => "run it again: what was sent already does no harm",
            Self::UnknownTopic { .. } => "name one such as gctb.batches, gctb.payments.file or gctb.status",
            Self::NotRecorded { .. } => "note it down by hand: who, when and why",
            Self::UnknownFile { .. } => "see `gctb files overdue` for names",
            Self::Runtime(_) => "check the system's limits on processes and open files",
            Self::Output(_) => "check where standard output goes",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_sentence_with_its_cause_and_what_to_do_next() {
        let source = io::Error::new(io::ErrorKind::NotFound, "no such file");
        let error = CliError::ReadFile { path: "batch.json".into(), source };
        assert_eq!(
            error.sentence(),
            "could not read batch.json: no such file; name a file that exists and may be read, or - for standard \
             input."
        );
    }
}
