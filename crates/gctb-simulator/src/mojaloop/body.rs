//! What the SDK answers: the state of a transfer, or an error with the state inside. It must not know how it came to that.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::fspiop::Code;
use super::judge::{At, Switch};
use super::request::amount_of;
use super::{Prepared, State};
use crate::rail_faults::Answer;
use crate::rail_ids::base64_url;

/// How long a quote is good.
const QUOTE_LIFE: TimeDelta = TimeDelta::seconds(60);

/// The answer to POST and PUT.
pub(super) fn state(prepared: &Prepared, state: State) -> Answer {
    let mut model = beginning(prepared);
    let current = match state {
        State::WaitingForParty => "WAITING_FOR_PARTY_ACCEPTANCE",
        State::PartyRejected => {
            model.insert("abortedReason".to_owned(), "Payee rejected by backend".into());
            "ABORTED"
        }
        State::WaitingForQuote => {
            add_quote(&mut model, prepared);
            "WAITING_FOR_QUOTE_ACCEPTANCE"
        }
        State::QuoteRejected => {
            add_quote(&mut model, prepared);
            model.insert("abortedReason".to_owned(), "Quote rejected by backend".into());
            "ABORTED"
        }
        State::Ended { error: None, switch, time, .. } => {
            add_quote(&mut model, prepared);
            model.insert("fulfil".to_owned(), fulfil(&prepared.transfer_id, said_at_once(switch), time));
            "COMPLETED"
        }
        State::Ended { at, error: Some(code), .. } => return failure(prepared, model, at, code),
    };
    model.insert("currentState".to_owned(), current.into());
    Answer::json(200, &Value::Object(model))
}

/// The answer to GET where the switch knows the transfer.
pub(super) fn inquiry(transfer_id: &str, switch: Switch, time: DateTime<Utc>) -> Answer {
    let said = if switch.paid() { "COMMITTED" } else { "ABORTED" };
    Answer::json(
        200,
        &json!({"transferId": transfer_id, "currentState": "COMPLETED", "fulfil": fulfil(transfer_id, said, time)}),
    )
}

/// The answer to GET where the switch does not.
pub(super) fn not_known(transfer_id: &str) -> Answer {
    let code = Code::NO_TRANSFER;
    Answer::json(
        500,
        &json!({"message": format!("Got an error response retrieving transfer: {}", code.words()), "statusCode": code.0.to_string(),
            "transferState": {"transferId": transfer_id, "currentState": "ERROR_OCCURRED", "lastError": code.last_error()}}),
    )
}

/// The answer to PUT for a transfer that the SDK never made.
pub(super) fn not_cached(transfer_id: &str) -> Answer {
    Answer::json(
        500,
        &json!({"message": format!("No cached data found for transferId {transfer_id}"), "statusCode": "500", "transferState": {}}),
    )
}

/// The answer to what the OpenAPI document forbids: the one place with a number for the code.
pub(super) fn invalid(message: &str) -> Answer {
    Answer::json(400, &json!({"message": message, "statusCode": 400}))
}

pub(super) fn internal() -> Answer {
    Answer::json(500, &json!({"message": "Internal server error", "statusCode": "500", "transferState": {}}))
}

/// The answer to GET /parties.
pub(super) fn party(id_type: &str, id_value: &str, error: Option<Code>) -> Answer {
    match error {
        None => Answer::json(
            200,
            &json!({"party": {"body": {"partyIdInfo": {"partyIdType": id_type, "partyIdentifier": id_value, "fspId": "simulatedfsp"},
                "name": "Simulated Person"}, "headers": {}}, "currentState": "COMPLETED"}),
        ),
        Some(code) => {
            let (status, code_text) =
                if code == Code::TIME_OUT { (504, "504".to_owned()) } else { (500, code.0.to_string()) };
            Answer::json(
                status,
                &json!({"message": format!("Got an error response resolving party: {}", code.words()), "statusCode": code_text,
                    "requestPartiesInformationState": {"currentState": "ERROR_OCCURRED", "lastError": code.last_error()}}),
            )
        }
    }
}

fn failure(prepared: &Prepared, mut model: Map<String, Value>, at: At, code: Code) -> Answer {
    model.insert("currentState".to_owned(), "ERROR_OCCURRED".into());
    model.insert("lastError".to_owned(), code.last_error());
    let id = &prepared.transfer_id;
    let (status, status_code, message) = if code == Code::TIME_OUT {
        let message = match at {
            At::Party => format!("Timeout resolving payee for transfer {id}"),
            At::Quote => format!("Timeout requesting quote for transfer {id}"),
            At::Transfer => format!("Timeout waiting for fulfil for transfer {id}"),
        };
        (504, "504".to_owned(), message)
    } else {
        let doing = match at {
            At::Party => "resolving party",
            At::Quote => "requesting quote",
            At::Transfer => "preparing transfer",
        };
        (500, code.0.to_string(), format!("Got an error response {doing}: {}", code.words()))
    };
    Answer::json(status, &json!({"message": message, "statusCode": status_code, "transferState": model}))
}

/// The request's fields and what every state has.
fn beginning(prepared: &Prepared) -> Map<String, Value> {
    let mut model = prepared.request.clone();
    let to = prepared.request.get("to").cloned().unwrap_or_default();
    let party = json!({"partyIdInfo": {"partyIdType": to["idType"], "partyIdentifier": to["idValue"], "fspId": "simulatedfsp"}});
    model.insert("transferId".to_owned(), prepared.transfer_id.as_str().into());
    model.insert("direction".to_owned(), "OUTBOUND".into());
    model.insert("initiatedTimestamp".to_owned(), stamp(prepared.time).into());
    model.insert("getPartiesResponse".to_owned(), json!({"body": {"party": party}, "headers": {}}));
    model
}

fn add_quote(model: &mut Map<String, Value>, prepared: &Prepared) {
    let money = |minor: u64| json!({"amount": amount_of(minor, &prepared.currency), "currency": prepared.currency});
    let condition = base64_url(&Sha256::digest(fulfilment(&prepared.transfer_id)));
    model.insert("quoteId".to_owned(), prepared.quote_id.as_str().into());
    model.insert("quoteResponseSource".to_owned(), "simulatedfsp".into());
    model.insert(
        "quoteResponse".to_owned(),
        json!({"body": {"transferAmount": money(prepared.transfer_minor), "payeeReceiveAmount": money(prepared.receive_minor),
            "payeeFspFee": money(prepared.fee_minor), "payeeFspCommission": money(0), "expiration": stamp(prepared.time + QUOTE_LIFE),
            "ilpPacket": base64_url(prepared.quote_id.as_bytes()), "condition": condition}, "headers": {}}),
    );
}

fn fulfil(transfer_id: &str, transfer_state: &str, time: DateTime<Utc>) -> Value {
    let mut body = json!({"completedTimestamp": stamp(time), "transferState": transfer_state});
    if transfer_state != "ABORTED" {
        body["fulfilment"] = base64_url(&fulfilment(transfer_id)).into();
    }
    json!({"body": body, "headers": {}})
}

/// The preimage of the condition.
fn fulfilment(transfer_id: &str) -> [u8; 32] {
    Sha256::digest(transfer_id.as_bytes()).into()
}

fn said_at_once(switch: Switch) -> &'static str {
    match switch {
        Switch::Committed => "COMMITTED",
        Switch::ReservedThenCommitted | Switch::ReservedThenAborted => "RESERVED",
        Switch::Unknown | Switch::Aborted => "ABORTED",
    }
}

fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
