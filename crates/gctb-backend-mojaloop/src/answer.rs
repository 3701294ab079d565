//! The adapter's JSON, as far as it is read: states, ids, codes and the quote, with and without a `body` around them.
//!
//! It says what stands there, not what follows. An answer holds personal data, so it has no `Debug`.

use serde_json::Value;

/// Characters of a transferId: a UUID has 36, a ULID 26.
const TRANSFER_ID_CHARS_MAX: usize = 64;

/// Where the adapter says that a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CurrentState {
    WaitingForParty,
    WaitingForQuote,
    WaitingForConversion,
    Completed,
    Aborted,
    ErrorOccurred,
}

/// Where the scheme says that a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransferState {
    Received,
    Reserved,
    Committed,
    Aborted,
}

/// An amount as it was sent.
#[derive(Clone, Copy)]
pub(crate) struct QuotedAmount<'a> {
    pub(crate) amount: &'a str,
    pub(crate) currency: &'a str,
}

/// A JSON object.
pub(crate) struct Answer(Value);

impl Answer {
    /// None where it is not a JSON object: a web page of something in between, for example.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(Value::is_object).map(Self)
    }

    /// In an error the transfer stands below `transferState`, otherwise at the top.
    fn transfer(&self) -> &Value {
        let below = &self.0["transferState"];
        if below.is_object() { below } else { &self.0 }
    }

    fn part(&self, name: &str) -> &Value {
        let part = &self.transfer()[name];
        if part["body"].is_object() { &part["body"] } else { part }
    }

    /// None where it is missing or of a kind that nobody told us of.
    pub(crate) fn current_state(&self) -> Option<CurrentState> {
        match self.transfer()["currentState"].as_str()? {
            "WAITING_FOR_PARTY_ACCEPTANCE" => Some(CurrentState::WaitingForParty),
            "WAITING_FOR_QUOTE_ACCEPTANCE" => Some(CurrentState::WaitingForQuote),
            "WAITING_FOR_CONVERSION_ACCEPTANCE" => Some(CurrentState::WaitingForConversion),
            "COMPLETED" => Some(CurrentState::Completed),
            "ABORTED" => Some(CurrentState::Aborted),
            "ERROR_OCCURRED" => Some(CurrentState::ErrorOccurred),
            _ => None,
        }
    }

    /// The state in the scheme's answer to the transfer.
    pub(crate) fn transfer_state(&self) -> Option<TransferState> {
        match self.part("fulfil")["transferState"].as_str()? {
            "RECEIVED" => Some(TransferState::Received),
            "RESERVED" => Some(TransferState::Reserved),
            "COMMITTED" => Some(TransferState::Committed),
            "ABORTED" => Some(TransferState::Aborted),
            _ => None,
        }
    }

    /// The adapter's id of the transfer, if it can stand in a path.
    pub(crate) fn transfer_id(&self) -> Option<&str> {
        self.transfer()["transferId"].as_str().filter(|id| is_transfer_id(id))
    }

    /// Our own id, echoed.
    pub(crate) fn home_transaction_id(&self) -> Option<&str> {
        self.transfer()["homeTransactionId"].as_str()
    }

    /// What the payer pays.
    pub(crate) fn transfer_amount(&self) -> Option<QuotedAmount<'_>> {
        quoted(&self.part("quoteResponse")["transferAmount"])
    }

    /// An amount of the quote that need not be there: None where it is absent, an error where it cannot be read.
    pub(crate) fn quoted_amount(&self, name: &str) -> Result<Option<QuotedAmount<'_>>, Unreadable> {
        let value = &self.part("quoteResponse")[name];
        if value.is_null() {
            return Ok(None);
        }
        quoted(value).map(Some).ok_or(Unreadable)
    }

    /// The FSPIOP code of an error, four digits, as text or as number.
    pub(crate) fn code(&self) -> Option<String> {
        let inner = &self.transfer()["lastError"]["mojaloopError"]["errorInformation"]["errorCode"];
        // `statusCode` repeats the code, or is the HTTP status, or what an adapter's operator made of it: it comes
        // second.
        four_digits(inner).or_else(|| four_digits(&self.0["statusCode"]))
    }

    /// Whether the transfer itself was begun: a quote alone has none of these.
    pub(crate) fn shows_a_transfer(&self) -> bool {
        let transfer = self.transfer();
        let begun = ["prepare", "fulfil"].iter().any(|name| !transfer[*name].is_null());
        begun
            || self.says("Timeout waiting for fulfil")
            || self.says("Got an error response preparing transfer")
            || self.says("Transfer fulfil missed")
            || self.says("Invalid fulfilment")
    }

    /// Whether the adapter says that it stopped before the transfer.
    pub(crate) fn stopped_before_the_transfer(&self) -> bool {
        !self.shows_a_transfer()
            && (self.says("Timeout resolving payee")
                || self.says("Timeout requesting quote")
                || self.says("Got an error response resolving party")
                || self.says("Got an error response requesting quote"))
    }

    /// Whether the adapter has no transfer of this id.
    pub(crate) fn has_no_state(&self) -> bool {
        self.says("No cached data found")
    }

    fn says(&self, words: &str) -> bool {
        self.0["message"].as_str().is_some_and(|message| message.starts_with(words))
    }
}

/// Something is there, and nobody can read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// Whether a text can be a transferId: it becomes part of a path.
pub(crate) fn is_transfer_id(text: &str) -> bool {
    (1..=TRANSFER_ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn quoted(value: &Value) -> Option<QuotedAmount<'_>> {
    Some(QuotedAmount { amount: value["amount"].as_str()?, currency: value["currency"].as_str()? })
}

fn four_digits(value: &Value) -> Option<String> {
    let text = value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|number| number.to_string()))?;
    (text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(value: Value) -> Answer {
        Answer::parse(value.to_string().as_bytes()).expect("an object")
    }

    #[test]
    fn contents_are_found_with_and_without_a_body_around_them() {
        let fulfil = json!({"transferState": "COMMITTED"});
        for fulfil in [json!({"body": fulfil, "headers": {}}), fulfil] {
            assert_eq!(answer(json!({ "fulfil": fulfil })).transfer_state(), Some(TransferState::Committed));
        }
        let quote = json!({"transferAmount": {"amount": "7", "currency": "KES"}});
        for quote in [json!({"body": quote, "headers": {}}), quote] {
            assert_eq!(
                answer(json!({ "quoteResponse": quote })).transfer_amount().map(|quoted| quoted.amount),
                Some("7")
            );
        }
    }

    #[test]
    fn an_error_names_its_transfer_and_its_code_as_text_or_number() {
        let error = |code: Value| {
            let transfer = json!({"transferId": "01J9", "currentState": "ERROR_OCCURRED"});
            answer(json!({"message": "…", "statusCode": code, "transferState": transfer}))
        };
        for code in [json!("3204"), json!(3204)] {
            let error = error(code);
            assert_eq!((error.code().as_deref(), error.transfer_id()), (Some("3204"), Some("01J9")));
            assert_eq!(error.current_state(), Some(CurrentState::ErrorOccurred));
        }
        for status in [json!("500"), json!(504), json!("12345"), json!("32O4"), json!(null)] {
            assert_eq!(error(status).code(), None, "an HTTP status is no code of the scheme");
        }
    }

    #[test]
    fn the_schemes_own_code_comes_before_what_the_adapter_was_told_to_show() {
        let inner = json!({"mojaloopError": {"errorInformation": {"errorCode": "4001"}}});
        let error = answer(json!({"statusCode": "9999", "transferState": {"lastError": inner}}));
        assert_eq!(error.code().as_deref(), Some("4001"));
    }

    #[test]
    fn a_transfer_id_that_could_change_the_path_is_none() {
        for id in ["", "../transfers", "a/b", "a?b", "a b", &"9".repeat(65)] {
            assert_eq!(answer(json!({"transferId": id})).transfer_id(), None, "{id}");
        }
        assert!(is_transfer_id("01J9ZQ6Y2M8K5T7V3N4R0W1XAB") && is_transfer_id("b51ec534-ee48-4575-b6a9-ead2955b8069"));
    }

    #[test]
    fn what_is_no_object_is_no_answer() {
        for body in ["", "<html>502 Bad Gateway</html>", "[]", "\"COMPLETED\"", "{\"currentState\":"] {
            assert!(Answer::parse(body.as_bytes()).is_none(), "{body}");
        }
    }
}
