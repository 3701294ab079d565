//! What the bridge answers, in both of its modes: a plain array of items (OpenG2P) or an object (specification).

use serde::Deserialize;

use crate::error::CliError;

/// Any sync answer of the disburse API, as far as this command reads it.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope {
    header: Header,
    message: Option<Message>,
}

#[derive(Debug, Deserialize)]
struct Header {
    status: String,
    status_reason_code: Option<String>,
    status_reason_message: Option<String>,
    total_count: Option<u64>,
    completed_count: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Message {
    transaction_id: Option<String>,
    disbursements_status: Option<Vec<Item>>,
    txnstatus_response: Option<TxnStatusResponse>,
}

#[derive(Debug, Deserialize)]
struct TxnStatusResponse {
    txn_status: Items,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Items {
    Array(Vec<Item>),
    Object { disbursements_status: Vec<Item> },
}

/// One instruction of an answer, as far as it is counted.
#[derive(Debug, Deserialize)]
pub(crate) struct Item {
    /// rcvd, pdng, succ or rjct.
    pub(crate) status: String,
    /// Why it was rejected.
    pub(crate) status_reason_code: Option<String>,
    /// The amount, as sent where it does not parse.
    pub(crate) amount: Option<String>,
    /// The currency, as sent where it is unknown.
    pub(crate) currency_code: Option<String>,
}

/// The answer to a batch.
#[derive(Debug)]
pub(crate) struct Submitted {
    /// The batch's transaction_id, which the bridge derives where the sender gave none.
    pub(crate) transaction: String,
    /// What it says about each item.
    pub(crate) items: Vec<Item>,
}

/// One page of a batch.
#[derive(Debug)]
pub(crate) struct StatusPage {
    /// Instructions of the whole batch.
    pub(crate) total: u64,
    /// Those of them that have ended.
    pub(crate) completed: u64,
    /// Those on this page.
    pub(crate) items: Vec<Item>,
}

impl Envelope {
    /// Reads the answer to a disburse message that was sent to `url`.
    pub(super) fn submitted(self, url: &str) -> Result<Submitted, CliError> {
        let message = self.accepted_message(url)?.1;
        let transaction = message.transaction_id.ok_or_else(|| lacks(url, "message.transaction_id"))?;
        let items = message.disbursements_status.ok_or_else(|| lacks(url, "message.disbursements_status"))?;
        Ok(Submitted { transaction, items })
    }

    /// Reads the answer to a status request that was sent to `url`.
    pub(super) fn status_page(self, url: &str) -> Result<StatusPage, CliError> {
        let (header, message) = self.accepted_message(url)?;
        let response = message.txnstatus_response.ok_or_else(|| lacks(url, "message.txnstatus_response"))?;
        let items = match response.txn_status {
            Items::Array(items) | Items::Object { disbursements_status: items } => items,
        };
        Ok(StatusPage {
            total: header.total_count.ok_or_else(|| lacks(url, "header.total_count"))?,
            completed: header.completed_count.ok_or_else(|| lacks(url, "header.completed_count"))?,
            items,
        })
    }

    fn accepted_message(self, url: &str) -> Result<(Header, Message), CliError> {
        match self.message {
            // A message may be refused with status 200 (specification mode): the header tells.
            _ if self.header.status == "rjct" => Err(CliError::Rejected { words: self.header.words() }),
            Some(message) => Ok((self.header, message)),
            None => Err(lacks(url, "message")),
        }
    }
}

impl Header {
    fn words(self) -> String {
        let words: Vec<_> = [self.status_reason_code, self.status_reason_message].into_iter().flatten().collect();
        if words.is_empty() { "it gives no reason".into() } else { words.join(": ") }
    }
}

fn lacks(url: &str, what: &'static str) -> CliError {
    CliError::IncompleteAnswer { url: url.into(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://bridge.example";

    fn envelope(json: &str) -> Envelope {
        serde_json::from_str(json).expect(json)
    }

    #[test]
    fn the_answer_to_a_batch_names_its_transaction_and_each_item() {
        let answer = envelope(
            r#"{"signature":"","header":{"message_id":"m-1","action":"disburse","status":"rcvd","total_count":1},
                "message":{"transaction_id":"t-1","disbursements_status":[{"reference_id":"r-1","status":"rjct",
                "status_reason_code":"rjct.amount.invalid","amount":"-1","currency_code":"KES"}]}}"#,
        );
        let submitted = answer.submitted(URL).expect("accepted");
        assert_eq!(submitted.transaction, "t-1");
        assert_eq!(submitted.items[0].status_reason_code.as_deref(), Some("rjct.amount.invalid"));
    }

    #[test]
    fn both_modes_of_a_status_answer_read_alike() {
        let items = r#"[{"reference_id":"r-1","status":"succ","amount":"10.00","currency_code":"KES"}]"#;
        for txn_status in [items.to_owned(), format!(r#"{{"transaction_id":"t","disbursements_status":{items}}}"#)] {
            let page = envelope(&format!(
                r#"{{"header":{{"status":"succ","total_count":3,"completed_count":2}},"message":{{"transaction_id":"q",
                    "correlation_id":"c","txnstatus_response":{{"txn_type":"disburse","txn_status":{txn_status}}}}}}}"#
            ))
            .status_page(URL)
            .expect("a page");
            assert_eq!((page.total, page.completed, page.items.len()), (3, 2, 1));
        }
    }

    #[test]
    fn a_refusal_by_header_is_told_with_its_code_even_under_status_200() {
        let answer = envelope(r#"{"header":{"status":"rjct","status_reason_code":"rjct.version.invalid"}}"#);
        let error = answer.submitted(URL).expect_err("refused");
        assert_eq!(error.to_string(), "the bridge refused the message: rjct.version.invalid");
    }

    #[test]
    fn an_answer_without_its_message_is_named_as_such() {
        let error = envelope(r#"{"header":{"status":"succ"}}"#).status_page(URL).expect_err("no message");
        assert_eq!(error.to_string(), "the answer of http://bridge.example lacks message");
    }
}
