//! The template of a simulated batch: a disburse message of which only the fields that are replaced are known here.
//!
//! Everything else is sent as it stands in the file. Nothing is judged: most of what is wrong in it is wrong on
//! purpose.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::CliError;

/// A disburse message with its rest untouched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(super) header: Header,
    pub(super) message: Body,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// The header's replaced fields, and the sender under whose name the batch is asked for later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(super) message_id: String,
    pub(super) message_ts: String,
    pub(super) sender_id: String,
    pub(super) total_count: u64,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// The batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Body {
    pub(super) transaction_id: String,
    pub(super) disbursements: Vec<Disbursement>,
}

/// One disbursement: the fields that are replaced, and those that are summed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Disbursement {
    pub(super) reference_id: String,
    pub(super) payee_fa: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scheduled_timestamp: Option<String>,
    pub(super) amount: String,
    pub(super) currency_code: String,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// A message that has at least one disbursement.
#[derive(Clone, Debug)]
pub(crate) struct Template(Message);

impl Template {
    /// Reads the bytes of `path`.
    pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Self, CliError> {
        let message: Message =
            serde_json::from_slice(bytes).map_err(|source| CliError::NotAMessage { path: path.into(), source })?;
        if message.message.disbursements.is_empty() {
            return Err(CliError::EmptyTemplate { path: path.into() });
        }
        Ok(Self(message))
    }

    /// How many disbursements the file has.
    pub(crate) fn disbursements(&self) -> u64 {
        self.0.message.disbursements.len() as u64
    }

    /// The header's sender_id.
    pub(crate) fn sender(&self) -> &str {
        &self.0.header.sender_id
    }

    /// The message as the file has it.
    pub(super) fn message(&self) -> &Message {
        &self.0
    }
}
