//! The bodies of requests to Daraja, field by field as docs/protocols.md lists them.

use serde::Serialize;

/// `POST /mpesa/b2c/v3/paymentrequest`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Payment<'a> {
    #[serde(rename = "OriginatorConversationID")]
    pub(super) originator_conversation_id: &'a str,
    pub(super) initiator_name: &'a str,
    pub(super) security_credential: &'a str,
    #[serde(rename = "CommandID")]
    pub(super) command_id: &'a str,
    pub(super) amount: &'a str,
    pub(super) party_a: &'a str,
    pub(super) party_b: &'a str,
    pub(super) remarks: &'a str,
    #[serde(rename = "QueueTimeOutURL")]
    pub(super) queue_time_out_url: &'a str,
    #[serde(rename = "ResultURL")]
    pub(super) result_url: &'a str,
}

/// `POST /mpesa/transactionstatus/v1/query` and `POST /mpesa/accountbalance/v1/query`, which share all but the id.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Query<'a> {
    pub(super) initiator: &'a str,
    pub(super) security_credential: &'a str,
    #[serde(rename = "CommandID")]
    pub(super) command_id: &'a str,
    #[serde(rename = "OriginalConversationID", skip_serializing_if = "Option::is_none")]
    pub(super) original_conversation_id: Option<&'a str>,
    pub(super) party_a: &'a str,
    pub(super) identifier_type: &'a str,
    #[serde(rename = "ResultURL")]
    pub(super) result_url: &'a str,
    #[serde(rename = "QueueTimeOutURL")]
    pub(super) queue_time_out_url: &'a str,
    pub(super) remarks: &'a str,
}
