//! What Daraja posts to its callers: results of payments and queries, and the time-out. It must not know when it is posted.

use chrono::{DateTime, FixedOffset, Utc};
use serde_json::{Value, json};

use super::judge::words;
use super::query::Finding;
use super::{Accepted, Outcome};
use crate::bank::money;

/// The names under which a result is posted.
pub(super) struct Names<'a> {
    pub(super) originator: &'a str,
    pub(super) conversation: &'a str,
    pub(super) transaction: &'a str,
}

/// The result of a payment.
pub(super) fn payment(accepted: &Accepted, outcome: &Outcome) -> String {
    let names = names(accepted, outcome);
    if outcome.code != "0" {
        return envelope(outcome.code, &names, "");
    }
    let text = |key: &str, value: &str| format!(r#"{{"Key":"{key}","Value":{}}}"#, Value::from(value));
    let number = |key: &str, value: &str| format!(r#"{{"Key":"{key}","Value":{value}}}"#);
    // Written by hand, because a JSON number of Daraja has its two decimals and no float may come near an amount.
    let parameters = [
        number("TransactionAmount", &(accepted.amount_minor / 100).to_string()),
        text("TransactionReceipt", &outcome.receipt),
        text("ReceiverPartyPublicName", &format!("{} - SIMULATED CUSTOMER", accepted.account)),
        text("TransactionCompletedDateTime", &east_africa(outcome.time).format("%d.%m.%Y %H:%M:%S").to_string()),
        number("B2CUtilityAccountAvailableFunds", &kes(outcome.funds)),
        number("B2CWorkingAccountAvailableFunds", "0.00"),
        text("B2CRecipientIsRegisteredCustomer", "Y"),
        number("B2CChargesPaidAccountAvailableFunds", "0.00"),
    ];
    envelope("0", &names, &parameters.join(","))
}

/// The time-out of a payment: the same envelope without parameters, since Daraja documents none.
pub(super) fn time_out(accepted: &Accepted, outcome: &Outcome) -> String {
    let names = names(accepted, outcome);
    let result = json!({"Result": {"ResultType": 1, "ResultCode": 1037, "ResultDesc": words("time-out"),
        "OriginatorConversationID": names.originator, "ConversationID": names.conversation, "TransactionID": names.transaction}});
    result.to_string()
}

/// The result of a query that went through: what it found, by name.
pub(super) fn query(names: &Names<'_>, finding: &Finding) -> String {
    let parameters: Vec<_> = finding
        .iter()
        .map(|(key, value)| match value {
            Some(value) => format!(r#"{{"Key":"{key}","Value":{value}}}"#),
            None => format!(r#"{{"Key":"{key}"}}"#),
        })
        .collect();
    envelope("0", names, &parameters.join(","))
}

/// The result of a query that did not go through.
pub(super) fn refused(names: &Names<'_>, code: &str) -> String {
    envelope(code, names, "")
}

/// Minor units as Daraja writes an amount; funds may be negative after an operator set them.
pub(super) fn kes(minor: i128) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{}", money::format(i128::try_from(minor.unsigned_abs()).unwrap_or(i128::MAX), 2))
}

/// East Africa Time, in which Daraja writes without saying so.
pub(super) fn east_africa(time: DateTime<Utc>) -> DateTime<FixedOffset> {
    const HOURS_3: i32 = 3 * 3600;
    time.with_timezone(&FixedOffset::east_opt(HOURS_3).expect("three hours are an offset"))
}

fn names<'a>(accepted: &'a Accepted, outcome: &'a Outcome) -> Names<'a> {
    Names { originator: &accepted.key, conversation: &accepted.conversation, transaction: &outcome.receipt }
}

fn envelope(code: &str, names: &Names<'_>, parameters: &str) -> String {
    // Codes are numbers where they can be: `SFC_IC0003` cannot.
    let number = if code.bytes().all(|byte| byte.is_ascii_digit()) { code.to_owned() } else { format!("\"{code}\"") };
    let parameters = if parameters.is_empty() {
        String::new()
    } else {
        format!(r#""ResultParameters":{{"ResultParameter":[{parameters}]}},"#)
    };
    format!(
        r#"{{"Result":{{"ResultType":0,"ResultCode":{number},"ResultDesc":{},"OriginatorConversationID":{},"ConversationID":{},"TransactionID":{},{parameters}"ReferenceData":{{"ReferenceItem":{{"Key":"QueueTimeoutURL","Value":"https://daraja.invalid/mpesa/b2cresults/v1/submit"}}}}}}}}"#,
        Value::from(words(code)),
        Value::from(names.originator),
        Value::from(names.conversation),
        Value::from(names.transaction),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_json_with_its_decimals_and_text_codes_stay_text() {
        let names = Names { originator: "o\"1", conversation: "c", transaction: "t" };
        let result: Value = serde_json::from_str(&envelope("SFC_IC0003", &names, "")).expect("JSON");
        assert_eq!(result["Result"]["ResultCode"], "SFC_IC0003");
        assert_eq!(result["Result"]["OriginatorConversationID"], "o\"1");
        assert_eq!(
            serde_json::from_str::<Value>(&envelope("2040", &names, "")).expect("JSON")["Result"]["ResultCode"],
            2040
        );
        assert_eq!([kes(895_926_960), kes(-198_000), kes(5)], ["8959269.60", "-1980.00", "0.05"]);
    }
}
