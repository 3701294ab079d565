//! Reads what is sent to the SDK as its OpenAPI document wants it: closed objects, numbers coerced to texts, patterns.
//!
//! It must not know what is done with a transfer.

use iso_currency::Currency;
use serde_json::{Map, Value};

use crate::bank::money;

/// Which way the amount is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AmountType {
    Send,
    Receive,
}

/// A transfer as it was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TransferRequest {
    pub(super) home: String,
    /// `idType:idValue` of the payee, as the book has it.
    pub(super) account: String,
    pub(super) payee: String,
    pub(super) amount_type: AmountType,
    /// In minor units; `None` if the currency has fewer decimals than the amount, or it is beyond all money.
    pub(super) amount_minor: Option<u64>,
    pub(super) currency: String,
    pub(super) skip_party_lookup: bool,
    /// The request with its texts coerced, which every answer repeats.
    pub(super) echo: Map<String, Value>,
}

/// What a PUT wants: exactly one of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Party(bool),
    Quote(bool),
    Conversion(bool),
    QuoteOrConversion(bool),
}

/// What the OpenAPI document forbids: where, and why.
type Invalid = String;

const TRANSFER: [&str; 16] = [
    "homeTransactionId",
    "from",
    "to",
    "amountType",
    "currency",
    "amount",
    "transactionType",
    "subScenario",
    "note",
    "quoteRequestExtensions",
    "transferRequestExtensions",
    "skipPartyLookup",
    "prepareExpirySeconds",
    "quoteExpirySeconds",
    "fxPrepareExpirySeconds",
    "fxQuoteExpirySeconds",
];
const PARTY: [&str; 14] = [
    "idType",
    "idValue",
    "type",
    "idSubValue",
    "displayName",
    "firstName",
    "middleName",
    "lastName",
    "dateOfBirth",
    "merchantClassificationCode",
    "fspId",
    "supportedCurrencies",
    "kycInformation",
    "extensionList",
];
const ID_TYPES: [&str; 8] = ["MSISDN", "EMAIL", "PERSONAL_ID", "BUSINESS", "DEVICE", "ACCOUNT_ID", "IBAN", "ALIAS"];

impl TransferRequest {
    pub(super) fn read(body: &[u8]) -> Result<Self, Invalid> {
        let mut echo = object(body)?;
        closed("/requestBody", &echo, &TRANSFER)?;
        let mut text = |name: &str, required: bool, rule: &str, good: &dyn Fn(&str) -> bool| {
            field("/requestBody", &mut echo, name, required, rule, good)
        };
        let home = text("homeTransactionId", true, "must be string", &|_| true)?;
        let amount_type = text("amountType", true, "must be equal to one of the allowed values", &|kind| {
            matches!(kind, "SEND" | "RECEIVE")
        })?;
        let currency = text("currency", true, "must be equal to one of the allowed values", &|code| {
            Currency::from_code(code).is_some()
        })?;
        let amount =
            text("amount", true, "must match pattern \"^([0]|([1-9][0-9]{0,17}))([.][0-9]{0,3}[1-9])?$\"", &is_amount)?;
        text("transactionType", true, "must be equal to one of the allowed values", &|kind| kind == "TRANSFER")?;
        text("subScenario", false, "must match pattern \"^[A-Z_]{1,32}$\"", &|name| {
            (1..=32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        })?;
        text("note", false, "must NOT have fewer than 1 or more than 128 characters", &|note| {
            (1..=128).contains(&note.chars().count())
        })?;
        let skip_party_lookup = flag("/requestBody", &echo, "skipPartyLookup")?.unwrap_or(false);
        party(&mut echo, "from")?;
        let to = party(&mut echo, "to")?;
        for name in ["quoteRequestExtensions", "transferRequestExtensions"] {
            extensions(&echo, name)?;
        }
        if skip_party_lookup && to.get("fspId").is_none() {
            return Err("/requestBody/to must have required property 'fspId'".to_owned());
        }
        let part = |name: &str| to.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let amount_type = if amount_type == "SEND" { AmountType::Send } else { AmountType::Receive };
        Ok(Self {
            account: format!("{}:{}", part("idType"), part("idValue")),
            payee: part("idValue"),
            amount_minor: minor_of(&amount, &currency),
            home,
            amount_type,
            currency,
            skip_party_lookup,
            echo,
        })
    }
}

impl Choice {
    pub(super) fn read(body: &[u8]) -> Result<Self, Invalid> {
        const NAMES: [&str; 4] = ["acceptParty", "acceptQuote", "acceptConversion", "acceptQuoteOrConversion"];
        let fields = object(body)?;
        closed("/requestBody", &fields, &NAMES)?;
        let given: Vec<_> = NAMES.into_iter().filter(|name| fields.contains_key(*name)).collect();
        let [name] = given[..] else { return Err("/requestBody must match exactly one schema in oneOf".to_owned()) };
        let accepts = flag("/requestBody", &fields, name)?.unwrap_or(false);
        Ok(match name {
            "acceptParty" => Self::Party(accepts),
            "acceptQuote" => Self::Quote(accepts),
            "acceptConversion" => Self::Conversion(accepts),
            _ => Self::QuoteOrConversion(accepts),
        })
    }
}

/// Minor units as the scheme writes an amount: without zeros at the end.
pub(super) fn amount_of(minor: u64, currency: &str) -> String {
    let decimals = money::decimals_of(currency).unwrap_or(0);
    let text = money::format(i128::from(minor), decimals);
    if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

fn minor_of(amount: &str, currency: &str) -> Option<u64> {
    let decimals = money::decimals_of(currency)?;
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    if fraction.len() > decimals {
        return None;
    }
    format!("{whole}{fraction:0<decimals$}").parse().ok().filter(|minor| i64::try_from(*minor).is_ok())
}

fn is_amount(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let whole_good = whole == "0" || ((1..=18).contains(&whole.len()) && digits(whole) && !whole.starts_with('0'));
    let fraction_good =
        |fraction: &str| (1..=4).contains(&fraction.len()) && digits(fraction) && !fraction.ends_with('0');
    whole_good && fraction.is_none_or(fraction_good)
}

/// What may stand in a name: letters, digits and `_`, blanks, and ``.,'-``. The pattern has no Unicode flag, so `\w` is ASCII.
fn is_name(text: &str) -> bool {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "_ .,'-".contains(letter);
    (1..=128).contains(&text.chars().count()) && text.chars().all(good) && !text.trim().is_empty()
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Invalid> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) | Err(_) => Err("/requestBody must be object".to_owned()),
    }
}

fn closed(path: &str, fields: &Map<String, Value>, known: &[&str]) -> Result<(), Invalid> {
    if fields.keys().all(|name| known.contains(&name.as_str())) {
        Ok(())
    } else {
        Err(format!("{path} must NOT have additional properties"))
    }
}

/// Coerces a field to a text, in place, and checks it. A field that may be missing and is gives an empty text.
fn field(
    path: &str,
    fields: &mut Map<String, Value>,
    name: &str,
    required: bool,
    rule: &str,
    good: &dyn Fn(&str) -> bool,
) -> Result<String, Invalid> {
    let Some(value) = fields.get_mut(name) else {
        let missing = || format!("{path} must have required property '{name}'");
        return if required { Err(missing()) } else { Ok(String::new()) };
    };
    if let Some(coerced) = match &*value {
        // As JavaScript writes a number: 100.0 is 100 there.
        Value::Number(number) => Some(number.to_string().trim_end_matches(".0").to_owned()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null => Some(String::new()),
        Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    } {
        *value = Value::String(coerced);
    }
    match value.as_str() {
        Some(text) if good(text) => Ok(text.to_owned()),
        Some(_) => Err(format!("{path}/{name} {rule}")),
        None => Err(format!("{path}/{name} must be string")),
    }
}

fn flag(path: &str, fields: &Map<String, Value>, name: &str) -> Result<Option<bool>, Invalid> {
    match fields.get(name) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(Value::String(text)) if text == "true" => Ok(Some(true)),
        Some(Value::String(text)) if text == "false" => Ok(Some(false)),
        Some(_) => Err(format!("{path}/{name} must be boolean")),
    }
}

fn party(body: &mut Map<String, Value>, name: &str) -> Result<Map<String, Value>, Invalid> {
    let path = format!("/requestBody/{name}");
    let Some(value) = body.get_mut(name) else {
        return Err(format!("/requestBody must have required property '{name}'"));
    };
    let Value::Object(fields) = value else { return Err(format!("{path} must be object")) };
    closed(&path, fields, &PARTY)?;
    let mut text = |name: &str, required: bool, rule: &str, good: &dyn Fn(&str) -> bool| {
        field(&path, fields, name, required, rule, good)
    };
    let listed = "must be equal to one of the allowed values";
    let long = "must NOT have fewer than 1 or more than 128 characters";
    let is_id = |text: &str| (1..=128).contains(&text.chars().count());
    text("idType", true, listed, &|kind| ID_TYPES.contains(&kind))?;
    text("idValue", true, long, &is_id)?;
    text("idSubValue", false, long, &is_id)?;
    text("type", false, listed, &|kind| matches!(kind, "CONSUMER" | "AGENT" | "BUSINESS" | "DEVICE"))?;
    for name in ["displayName", "firstName", "middleName", "lastName"] {
        text(name, false, "must match pattern \"^(?!\\s*$)[\\w .,'-]{1,128}$\"", &is_name)?;
    }
    text("dateOfBirth", false, "must match format \"date\"", &is_date)?;
    text("merchantClassificationCode", false, "must match pattern \"^[\\d]{1,4}$\"", &|code| {
        (1..=4).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit())
    })?;
    text("fspId", false, "must NOT have fewer than 1 or more than 32 characters", &|id| {
        (1..=32).contains(&id.chars().count())
    })?;
    Ok(fields.clone())
}

fn extensions(body: &Map<String, Value>, name: &str) -> Result<(), Invalid> {
    let path = format!("/requestBody/{name}");
    let Some(value) = body.get(name) else { return Ok(()) };
    let items = value.as_array().ok_or_else(|| format!("{path} must be array"))?;
    if items.len() > 16 {
        return Err(format!("{path} must NOT have more than 16 items"));
    }
    let good = |item: &Value| {
        let text = |name: &str| item.get(name).and_then(Value::as_str).map_or(0, |text| text.chars().count());
        item.as_object().is_some_and(|fields| fields.len() == 2)
            && text("key") > 0
            && (1..=128).contains(&text("value"))
    };
    if items.iter().all(good) { Ok(()) } else { Err(format!("{path} must hold keys and values")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({"homeTransactionId": "7k2m", "from": {"type": "BUSINESS", "idType": "ACCOUNT_ID", "idValue": "1212121212", "displayName": "Government Treasury Bank"},
            "to": {"idType": "MSISDN", "idValue": "254705912645"}, "amountType": "SEND", "currency": "KES", "amount": "1000.5",
            "transactionType": "TRANSFER", "note": "Farmer relief"})
    }

    fn read(body: &Value) -> Result<TransferRequest, Invalid> {
        TransferRequest::read(body.to_string().as_bytes())
    }

    #[test]
    fn a_transfer_is_read_and_each_bad_field_is_named() {
        let request = read(&good()).expect("good");
        assert_eq!((request.account.as_str(), request.amount_minor), ("MSISDN:254705912645", Some(100_050)));
        for (pointer, bad, said) in [
            ("/extra", json!(1), "/requestBody must NOT have additional properties"),
            ("/to/extra", json!(1), "/requestBody/to must NOT have additional properties"),
            ("/amount", json!("100.00"), "/requestBody/amount must match pattern"),
            ("/amount", json!("100.50"), "/requestBody/amount must match pattern"),
            ("/amount", json!("0100"), "/requestBody/amount must match pattern"),
            ("/amount", json!("-1"), "/requestBody/amount must match pattern"),
            ("/amount", json!("1.23456"), "/requestBody/amount must match pattern"),
            ("/amount", json!("1234567890123456789"), "/requestBody/amount must match pattern"),
            ("/currency", json!("XXQ"), "/requestBody/currency must be equal"),
            ("/amountType", json!("GIVE"), "/requestBody/amountType must be equal"),
            ("/transactionType", json!("PAY"), "/requestBody/transactionType must be equal"),
            ("/note", json!(""), "/requestBody/note must NOT"),
            ("/note", json!("x".repeat(129)), "/requestBody/note must NOT"),
            ("/homeTransactionId", json!([]), "/requestBody/homeTransactionId must be string"),
            ("/to/idType", json!("PHONE"), "/requestBody/to/idType must be equal"),
            ("/to/idValue", json!(""), "/requestBody/to/idValue must NOT"),
            ("/from/displayName", json!("   "), "/requestBody/from/displayName must match"),
            ("/from/displayName", json!("José"), "/requestBody/from/displayName must match"),
            ("/skipPartyLookup", json!(7), "/requestBody/skipPartyLookup must be boolean"),
            ("/skipPartyLookup", json!(true), "/requestBody/to must have required property 'fspId'"),
        ] {
            let mut body = good();
            let (parent, name) = pointer.rsplit_once('/').expect("a path");
            body.pointer_mut(parent).expect("there")[name] = bad;
            let refusal = read(&body).expect_err(pointer);
            assert!(refusal.starts_with(said), "{refusal}");
        }
        for name in ["homeTransactionId", "from", "to", "amountType", "currency", "amount", "transactionType"] {
            let mut body = good();
            body.as_object_mut().expect("an object").remove(name);
            assert_eq!(read(&body).expect_err(name), format!("/requestBody must have required property '{name}'"));
        }
    }

    #[test]
    fn numbers_are_coerced_and_the_currency_decides_about_decimals() {
        let mut body = good();
        for (amount, minor) in [(json!(100), Some(10_000)), (json!(100.5), Some(10_050)), (json!("1.234"), None)] {
            body["amount"] = amount;
            assert_eq!(read(&body).expect("good").amount_minor, minor);
        }
        assert_eq!(
            [amount_of(100_050, "KES"), amount_of(10_000, "KES"), amount_of(500, "UGX")],
            ["1000.5", "100", "500"]
        );
    }

    #[test]
    fn a_choice_is_exactly_one_of_four() {
        assert_eq!(Choice::read(br#"{"acceptQuote":true}"#), Ok(Choice::Quote(true)));
        assert_eq!(Choice::read(br#"{"acceptParty":"false"}"#), Ok(Choice::Party(false)));
        for bad in
            [r#"{}"#, r#"{"acceptQuote":true,"acceptParty":true}"#, r#"{"acceptQuote":1}"#, r#"{"accept":true}"#, "[]"]
        {
            assert!(Choice::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
