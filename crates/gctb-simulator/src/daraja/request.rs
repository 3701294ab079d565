//! Reads what callers send to Daraja, field by field, and refuses by the field's name. Unknown fields are ignored, as Daraja
//! does (`Occasion` and `Occassion` both occur). It must not know what is done with a request.

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// Which of the two B2C requests is meant: v1 has no `OriginatorConversationID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V3,
}

/// A B2C request whose every field has its form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct B2c {
    /// `None` in v1.
    pub(super) key: Option<String>,
    pub(super) initiator: String,
    pub(super) credential: String,
    pub(super) amount_minor: u64,
    pub(super) party_a: String,
    pub(super) msisdn: String,
    pub(super) timeout_url: String,
    pub(super) result_url: String,
}

/// A query whose every field has its form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) initiator: String,
    pub(super) credential: String,
    pub(super) party_a: String,
    pub(super) result_url: String,
    pub(super) about: About,
}

/// What a query asks about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum About {
    Receipt(String),
    Key(String),
    Balance,
}

/// What identifies a request before it is checked, for whoever decides about faults.
pub(super) fn peek(body: &Value, name: &str) -> String {
    body.get(name).and_then(text).unwrap_or_default()
}

impl B2c {
    pub(super) fn read(body: &Value, version: Version) -> Result<Self, Refusal> {
        let fields = object(body)?;
        let key = match version {
            Version::V1 => None,
            Version::V3 => Some(field(fields, "OriginatorConversationID", is_key)?),
        };
        let initiator = field(fields, "InitiatorName", is_given)?;
        let credential = field(fields, "SecurityCredential", is_given)?;
        field(fields, "CommandID", |command| {
            matches!(command, "BusinessPayment" | "SalaryPayment" | "PromotionPayment")
        })?;
        let amount = field(fields, "Amount", is_given)?;
        let amount_minor = minor_of(&amount).ok_or_else(|| Refusal::field("Amount"))?;
        let party_a = field(fields, "PartyA", is_short_code)?;
        let msisdn = field(fields, "PartyB", is_msisdn).map_err(|_| Refusal::field("PhoneNumber"))?;
        field(fields, "Remarks", |remarks| (2..=100).contains(&remarks.chars().count()))?;
        let timeout_url = field(fields, "QueueTimeOutURL", is_url)?;
        let result_url = field(fields, "ResultURL", is_url)?;
        for name in ["Occasion", "Occassion"] {
            optional(fields, name, |text| text.chars().count() <= 100)?;
        }
        Ok(Self { key, initiator, credential, amount_minor, party_a, msisdn, timeout_url, result_url })
    }
}

impl Query {
    pub(super) fn status(body: &Value) -> Result<Self, Refusal> {
        let fields = object(body)?;
        let receipt = optional(fields, "TransactionID", is_given)?;
        let key = optional(fields, "OriginalConversationID", is_given)?;
        let about = match (receipt, key) {
            (Some(receipt), _) => About::Receipt(receipt),
            (None, Some(key)) => About::Key(key),
            (None, None) => return Err(Refusal::field("TransactionID")),
        };
        Self::read(fields, "TransactionStatusQuery", about)
    }

    pub(super) fn balance(body: &Value) -> Result<Self, Refusal> {
        Self::read(object(body)?, "AccountBalance", About::Balance)
    }

    fn read(fields: &Map<String, Value>, command: &str, about: About) -> Result<Self, Refusal> {
        let initiator = field(fields, "Initiator", is_given)?;
        let credential = field(fields, "SecurityCredential", is_given)?;
        field(fields, "CommandID", |given| given == command)?;
        let party_a = field(fields, "PartyA", is_short_code)?;
        field(fields, "IdentifierType", |kind| matches!(kind, "1" | "2" | "4" | "11"))?;
        field(fields, "Remarks", |remarks| (2..=100).contains(&remarks.chars().count()))?;
        field(fields, "QueueTimeOutURL", is_url)?;
        let result_url = field(fields, "ResultURL", is_url)?;
        Ok(Self { initiator, credential, party_a, result_url, about })
    }
}

/// An amount of whole shillings, in minor units.
pub(super) fn minor_of(amount: &str) -> Option<u64> {
    let digits = amount.bytes().all(|byte| byte.is_ascii_digit()) && !amount.starts_with('0');
    if digits {
        amount.parse::<u64>().ok()?.checked_mul(100).filter(|minor| i64::try_from(*minor).is_ok())
    } else {
        None
    }
}

fn object(body: &Value) -> Result<&Map<String, Value>, Refusal> {
    body.as_object().ok_or_else(Refusal::payload)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn field(fields: &Map<String, Value>, name: &str, good: impl Fn(&str) -> bool) -> Result<String, Refusal> {
    fields.get(name).and_then(text).filter(|text| good(text)).ok_or_else(|| Refusal::field(name))
}

fn optional(fields: &Map<String, Value>, name: &str, good: impl Fn(&str) -> bool) -> Result<Option<String>, Refusal> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(empty)) if empty.is_empty() => Ok(None),
        Some(_) => field(fields, name, good).map(Some),
    }
}

fn is_given(text: &str) -> bool {
    !text.is_empty()
}

/// Daraja's document contradicts itself about the length; 36 is the longest of which no sample breaks.
fn is_key(text: &str) -> bool {
    (1..=36).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn is_short_code(text: &str) -> bool {
    (5..=7).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_msisdn(text: &str) -> bool {
    text.len() == 12
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.starts_with("2547") || text.starts_with("2541"))
}

/// Http too, since nobody here has a certificate for a test's listener.
fn is_url(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({"OriginatorConversationID": "gctb_1", "InitiatorName": "testapi", "SecurityCredential": "c", "CommandID": "BusinessPayment",
            "Amount": "10", "PartyA": "600992", "PartyB": "254705912645", "Remarks": "OK",
            "QueueTimeOutURL": "http://127.0.0.1:1/t", "ResultURL": "http://127.0.0.1:1/r", "Occassion": "July"})
    }

    #[test]
    fn a_request_is_read_and_each_bad_field_is_named() {
        let read = B2c::read(&good(), Version::V3).expect("good");
        assert_eq!((read.key.as_deref(), read.amount_minor), (Some("gctb_1"), 1000));
        for (name, bad, said) in [
            ("OriginatorConversationID", json!("with blank"), "OriginatorConversationID"),
            ("OriginatorConversationID", json!("x".repeat(37)), "OriginatorConversationID"),
            ("InitiatorName", json!(""), "InitiatorName"),
            ("SecurityCredential", json!(null), "SecurityCredential"),
            ("CommandID", json!("Pay"), "CommandID"),
            ("Amount", json!("10.50"), "Amount"),
            ("Amount", json!("010"), "Amount"),
            ("Amount", json!("0"), "Amount"),
            ("Amount", json!(-5), "Amount"),
            ("Amount", json!("1e3"), "Amount"),
            ("PartyA", json!("6009"), "PartyA"),
            ("PartyB", json!("0705912645"), "PhoneNumber"),
            ("PartyB", json!("+254705912645"), "PhoneNumber"),
            ("PartyB", json!("254605912645"), "PhoneNumber"),
            ("Remarks", json!("x"), "Remarks"),
            ("QueueTimeOutURL", json!("ftp://a/b"), "QueueTimeOutURL"),
            ("ResultURL", json!("nowhere"), "ResultURL"),
            ("Occassion", json!("x".repeat(101)), "Occassion"),
        ] {
            let mut body = good();
            body[name] = bad;
            assert_eq!(B2c::read(&body, Version::V3), Err(Refusal::field(said)), "{name}");
        }
        assert_eq!(B2c::read(&json!([]), Version::V3), Err(Refusal::payload()));
        let mut body = good();
        body["Amount"] = json!(12);
        assert_eq!(B2c::read(&body, Version::V1).expect("good").key, None);
    }

    #[test]
    fn a_query_needs_one_of_its_two_names() {
        let mut body = json!({"Initiator": "testapi", "SecurityCredential": "c", "CommandID": "TransactionStatusQuery", "PartyA": "600992",
            "IdentifierType": "4", "Remarks": "OK", "QueueTimeOutURL": "http://127.0.0.1:1/t", "ResultURL": "http://127.0.0.1:1/r"});
        assert_eq!(Query::status(&body), Err(Refusal::field("TransactionID")));
        body["OriginalConversationID"] = json!("gctb_1");
        assert_eq!(Query::status(&body).expect("good").about, About::Key("gctb_1".to_owned()));
        body["TransactionID"] = json!("SG632NMUAB");
        assert_eq!(Query::status(&body).expect("good").about, About::Receipt("SG632NMUAB".to_owned()));
        assert_eq!(Query::balance(&body), Err(Refusal::field("CommandID")));
    }
}
