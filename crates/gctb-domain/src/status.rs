//! What became of an instruction, as the projection stores it and as the sender is told.

use crate::ledger::LedgerState;

/// The status of a payment instruction in the projection.
///
/// `SCHEDULED` is not stored: it is `NEW` with a due time ahead, and derived where it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum PaymentStatus {
    /// Accepted; nobody decided about it yet.
    New = 1,
    /// Claimed for a rail that is told at once.
    Submitted = 2,
    /// Claimed for a payment file.
    Filed = 3,
    /// Sent, and the rail's answer is not known.
    Unknown = 4,
    /// The rail paid it.
    Paid = 5,
    /// Rejected by us or by the rail.
    Failed = 6,
    /// Cancelled before it was paid.
    Cancelled = 7,
    /// Paid, and the money came back.
    Returned = 8,
}

/// A status in the words of G2P Connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum G2pStatus {
    /// Received.
    Rcvd,
    /// Under way.
    Pdng,
    /// Paid.
    Succ,
    /// Rejected.
    Rjct,
}

impl G2pStatus {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rcvd => "rcvd",
            Self::Pdng => "pdng",
            Self::Succ => "succ",
            Self::Rjct => "rjct",
        }
    }
}

impl PaymentStatus {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::New,
        Self::Submitted,
        Self::Filed,
        Self::Unknown,
        Self::Paid,
        Self::Failed,
        Self::Cancelled,
        Self::Returned,
    ];

    /// The number that the database stores.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Reads a stored number.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    /// The name that people read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Submitted => "SUBMITTED",
            Self::Filed => "FILED",
            Self::Unknown => "UNKNOWN",
            Self::Paid => "PAID",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Returned => "RETURNED",
        }
    }

    /// Whether the instruction still counts as in flight (invariant I4).
    pub const fn is_in_flight(self) -> bool {
        match self {
            Self::New | Self::Submitted | Self::Filed | Self::Unknown => true,
            Self::Paid | Self::Failed | Self::Cancelled | Self::Returned => false,
        }
    }

    /// What the sender is told.
    pub const fn to_g2p(self) -> G2pStatus {
        match self {
            Self::New => G2pStatus::Rcvd,
            Self::Submitted | Self::Filed | Self::Unknown => G2pStatus::Pdng,
            Self::Paid => G2pStatus::Succ,
            Self::Failed | Self::Cancelled | Self::Returned => G2pStatus::Rjct,
        }
    }

    /// What the projection shows for a ledger row in `state`; `in_file` where the row is assigned to a payment file.
    pub const fn of_ledger(state: LedgerState, in_file: bool) -> Self {
        match state {
            LedgerState::Rejected | LedgerState::Failed => Self::Failed,
            LedgerState::Cancelled => Self::Cancelled,
            LedgerState::Claimed | LedgerState::Accepted | LedgerState::NotPaid => {
                if in_file {
                    Self::Filed
                } else {
                    Self::Submitted
                }
            }
            LedgerState::Unknown => Self::Unknown,
            LedgerState::Paid => Self::Paid,
            LedgerState::Returned => Self::Returned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_numbers_read_back_and_never_change() {
        let stored: Vec<(i16, &str)> = PaymentStatus::ALL.iter().map(|s| (s.code(), s.as_str())).collect();
        let expected = [
            (1, "NEW"),
            (2, "SUBMITTED"),
            (3, "FILED"),
            (4, "UNKNOWN"),
            (5, "PAID"),
            (6, "FAILED"),
            (7, "CANCELLED"),
            (8, "RETURNED"),
        ];
        assert_eq!(stored, expected);
        for status in PaymentStatus::ALL {
            assert_eq!(PaymentStatus::from_code(status.code()), Some(status));
        }
    }
}
