//! What can go wrong with Postgres, and what the caller shall do about it.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// What becomes of the work that met an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Postgres is away or busy: the same work again, later.
    Retry,
    /// Postgres refuses this very content: it will never take it.
    Refused,
    /// The row that the work is about does not exist here.
    Unknown,
}

/// An error of a verb on [`crate::Db`].
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// No connection could be had.
    #[error("could not connect to Postgres while trying to {doing}")]
    Connect {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A statement failed.
    #[error("could not {doing}")]
    Statement {
        /// What was being done.
        doing: &'static str,
        /// Why not. Postgres' message may quote a value, so it is kept out of this text.
        #[source]
        source: Redacted,
        /// What to do about it.
        fate: Fate,
    },
    /// The batch is not in this database: nobody may pay what it does not know.
    #[error("could not {doing}: this database does not know the batch")]
    UnknownBatch {
        /// What was being done.
        doing: &'static str,
    },
    /// Another process changed the same rows first: what was read of them holds no more.
    #[error("could not {doing}: another process changed the same rows first")]
    Overtaken {
        /// What was being done.
        doing: &'static str,
    },
    /// Claims that began before did not end, so that nobody can say yet that none comes after.
    #[error("could not {doing}: claims that began before have not ended")]
    Kept {
        /// What was being done.
        doing: &'static str,
    },
    /// A row says what no row may say; a CHECK or another service's version is wrong.
    #[error("could not {doing}: {what} has a value that this version does not know")]
    Unreadable {
        /// What was being done.
        doing: &'static str,
        /// Which column.
        what: &'static str,
    },
}

impl DbError {
    /// What becomes of the work that met this error.
    pub const fn fate(&self) -> Fate {
        match self {
            Self::Connect { .. } | Self::Overtaken { .. } | Self::Kept { .. } => Fate::Retry,
            Self::Statement { fate, .. } => *fate,
            Self::UnknownBatch { .. } => Fate::Unknown,
            Self::Unreadable { .. } => Fate::Refused,
        }
    }

    pub(crate) fn statement(doing: &'static str, source: DieselError) -> Self {
        let fate = fate_of(&source);
        Self::Statement { doing, source: Redacted::of(&source), fate }
    }
}

/// Postgres' error without the values that its message may quote (invariant I9).
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Redacted(String);

impl Redacted {
    #[expect(clippy::wildcard_enum_match_arm, reason = "diesel's errors are non-exhaustive")]
    fn of(error: &DieselError) -> Self {
        match error {
            DieselError::DatabaseError(kind, information) => {
                // The first line names the rule; a quoted value stands behind a colon or in DETAIL.
                let message = information.message();
                let rule = message.split(['\n', ':']).next().unwrap_or_default();
                let constraint = information.constraint_name().map_or_else(String::new, |name| format!(" ({name})"));
                Self(format!("Postgres says {kind:?}: {rule}{constraint}"))
            }
            DieselError::NotFound => Self("no such row".to_owned()),
            // Its own text would quote both messages whole.
            DieselError::RollbackErrorOnCommit { rollback_error, commit_error } => {
                let (commit, rollback) = (Self::of(commit_error), Self::of(rollback_error));
                Self(format!("the commit failed ({commit}), and so did the rollback ({rollback})"))
            }
            other @ (DieselError::InvalidCString(_)
            | DieselError::QueryBuilderError(_)
            | DieselError::DeserializationError(_)
            | DieselError::SerializationError(_)
            | DieselError::RollbackTransaction
            | DieselError::AlreadyInTransaction
            | DieselError::NotInTransaction
            | DieselError::BrokenTransactionManager) => Self(other.to_string()),
            _ => Self("an error of a kind that this version does not know".to_owned()),
        }
    }
}

/// Beginnings of Postgres' messages about content that it will never take.
const REFUSED_CONTENT: [&str; 8] = [
    "invalid byte sequence",
    "character with byte sequence",
    "value too long",
    "integer out of range",
    "smallint out of range",
    "bigint out of range",
    "timestamp out of range",
    "numeric field overflow",
];

#[expect(clippy::wildcard_enum_match_arm, reason = "diesel's errors are non-exhaustive; what is not known passes")]
fn fate_of(error: &DieselError) -> Fate {
    match error {
        DieselError::DatabaseError(kind, information) => match kind {
            // Postgres reports a missing partition as a violated check; it is made soon.
            DatabaseErrorKind::CheckViolation if information.message().starts_with("no partition of relation") => {
                Fate::Retry
            }
            DatabaseErrorKind::UniqueViolation
            | DatabaseErrorKind::ForeignKeyViolation
            | DatabaseErrorKind::NotNullViolation
            | DatabaseErrorKind::CheckViolation
            | DatabaseErrorKind::ExclusionViolation
            | DatabaseErrorKind::RestrictViolation => Fate::Refused,
            DatabaseErrorKind::UnableToSendCommand
            | DatabaseErrorKind::SerializationFailure
            | DatabaseErrorKind::ReadOnlyTransaction
            | DatabaseErrorKind::ClosedConnection => Fate::Retry,
            _ if REFUSED_CONTENT.iter().any(|start| information.message().starts_with(start)) => Fate::Refused,
            _ => Fate::Retry,
        },
        DieselError::SerializationError(_) | DieselError::DeserializationError(_) | DieselError::InvalidCString(_) => {
            Fate::Refused
        }
        _ => Fate::Retry,
    }
}
