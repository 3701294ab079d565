//! The two dialects of G2P Connect that senders speak.

use serde::{Deserialize, Serialize};

/// How a sender wants to be answered; a setting per sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// As the original bridge answers OpenG2P's program client: `txn_status` is an array, unknown references are left
    /// out, refusals carry a 4xx since that client reads nothing but the HTTP status.
    #[default]
    OpenG2p,
    /// As the G2P Connect disburse API 1.0.0 has it: `txn_status` is an object, extension codes are left out, unknown
    /// references are named.
    Spec,
}
