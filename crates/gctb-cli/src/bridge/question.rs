//! The status request that this command sends, as a sender would.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use uuid::Uuid;

use super::BatchName;
use crate::error::CliError;

/// Asks for page `number` (from 1) of `size` instructions of a batch.
pub(super) fn status_question(
    batch: &BatchName,
    size: u64,
    number: u64,
    message_id: Uuid,
    now: DateTime<Utc>,
) -> Result<Vec<u8>, CliError> {
    let question = json!({
        "signature": "",
        "header": {
            "version": "1.0.0",
            "message_id": message_id,
            "message_ts": now.to_rfc3339_opts(SecondsFormat::Millis, true),
            "action": "status",
            "sender_id": batch.sender,
            "total_count": 1,
            "is_msg_encrypted": false,
        },
        "message": {
            "transaction_id": message_id,
            "txnstatus_request": {
                "reference_id": message_id,
                "txn_type": "disburse",
                "attribute_type": "transaction_id",
                "attribute_value": batch.transaction,
                "pagination": { "page_size": size, "page_number": number },
                "locale": "eng",
            },
        },
    });
    serde_json::to_vec(&question).map_err(CliError::Encode)
}
