//! Mapper answers as they are seen in the field, as a table.

use chrono::TimeZone;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn answered(item: Value) -> Vec<u8> {
    json!({"signature":"x","header":{"message_id":"8d2c","message_ts":"2026-07-01T08:30:00.000Z","action":"resolve","status":"succ","total_count":1,"completed_count":1},
        "message":{"transaction_id":"5c1e","correlation_id":"c","resolve_response":[item]}})
    .to_string()
    .into_bytes()
}

fn address() -> FinancialAddress {
    FinancialAddress::parse("account:5494373447@indigo.dfsp2.bank_acc").expect("an address")
}

#[test]
fn only_an_active_address_with_succ_counts_as_found() {
    let fa = "account:5494373447@indigo.dfsp2.bank_acc";
    let rejected = |code: &str| Outcome::Rejected { code: ReasonCode::PayeeFaInvalid, mapper_code: code.to_owned() };
    let table = [
        (json!({"status":"succ","status_reason_code":"succ.id.active","fa":fa}), Outcome::Resolved(address())),
        (json!({"status":"succ","status_reason_code":"succ.fa.active","fa":fa}), Outcome::Resolved(address())),
        (json!({"status":"succ","status_reason_code":null,"fa":fa}), Outcome::Resolved(address())),
        (json!({"status":"succ","fa":fa}), Outcome::Resolved(address())),
        (json!({"status":"succ","status_reason_code":"succ.id.not_found","fa":null}), rejected("succ.id.not_found")),
        (
            json!({"status":"succ","status_reason_code":"succ.fa.not_linked_to_id"}),
            rejected("succ.fa.not_linked_to_id"),
        ),
        (json!({"status":"succ","status_reason_code":"succ.fa.inactive","fa":fa}), rejected("succ.fa.inactive")),
        (json!({"status":"succ","status_reason_code":"succ.id.active","fa":""}), rejected("succ.id.active")),
        (json!({"status":"succ","status_reason_code":"succ.id.active","fa":"no address"}), rejected("succ.id.active")),
        (json!({"status":"rjct","status_reason_code":"rjct.id.invalid"}), rejected("rjct.id.invalid")),
        (json!({"status":"rjct","status_reason_code":"<b>rjct.id.invalid</b>"}), rejected("brjct.id.invalidb")),
        (json!({"status":"rcvd"}), Outcome::Again),
        (json!({"status":"pdng","fa":fa}), Outcome::Again),
        (json!({"status":"maybe","fa":fa}), Outcome::Again),
    ];
    for (mut item, expected) in table {
        item["reference_id"] = json!("r-1");
        let shown = item.to_string();
        assert_eq!(answer(&answered(item)).expect("readable"), [("r-1".to_owned(), expected)], "{shown}");
    }
}

#[test]
fn an_answer_of_another_kind_says_nothing_about_any_reference() {
    let object = answered(json!({"reference_id":"r","status":"succ","fa":{"strategy_id":1,"fa_type":"BANK"}}));
    assert!(matches!(answer(&object), Err(ResolveError::Version)));
    assert!(matches!(answer(br#"{"response_header":{},"response_body":{}}"#), Err(ResolveError::Version)));
    assert!(matches!(answer(b"<html>"), Err(ResolveError::Unreadable)));
    assert!(matches!(answer(br#"{"header":{"status":"succ"}}"#), Err(ResolveError::Unreadable)));
    let refused = answer(br#"{"header":{"status":"rjct","status_reason_code":"rjct.jwt.invalid"}}"#);
    assert!(matches!(refused, Err(ResolveError::Refused { code }) if code == "rjct.jwt.invalid"));
}

#[test]
fn answers_are_matched_by_reference_and_a_contradiction_is_asked_again() {
    let other = FinancialAddress::parse("phone:+254700000001").expect("an address");
    let answered = vec![
        ("b".to_owned(), Outcome::Resolved(other.clone())),
        ("a".to_owned(), Outcome::Resolved(address())),
        ("a".to_owned(), Outcome::Resolved(address())),
        ("c".to_owned(), Outcome::Resolved(address())),
        ("c".to_owned(), Outcome::Resolved(other.clone())),
        ("stranger".to_owned(), Outcome::Resolved(address())),
    ];
    let expected = [Outcome::Resolved(address()), Outcome::Resolved(other), Outcome::Again, Outcome::Missing];
    assert_eq!(by_reference(&["a", "b", "c", "d"], answered), expected);
}

#[test]
fn a_request_asks_for_details_of_every_id() {
    let at = chrono::Utc.with_ymd_and_hms(2026, 7, 1, 8, 30, 0).single().expect("a time");
    let call = ResolveCall {
        message_id: "8d2c",
        transaction_id: "5c1e",
        sender_id: "gctb.example.org",
        receiver_id: "spar.example.org",
        at,
    };
    let id = FinancialAddress::parse("token:ABC123@nationalId").expect("an id");
    let body: Value = serde_json::from_slice(&request(&call, &[("r-1", &id)])).expect("valid JSON");
    let expected = json!({"signature":"","header":{"version":"1.0.0","message_id":"8d2c","message_ts":"2026-07-01T08:30:00.000Z","action":"resolve","sender_id":"gctb.example.org","receiver_id":"spar.example.org","total_count":1,"is_msg_encrypted":false},
        "message":{"transaction_id":"5c1e","resolve_request":[{"reference_id":"r-1","timestamp":"2026-07-01T08:30:00.000Z","id":"token:ABC123@nationalId","scope":"details","locale":"eng"}]}});
    assert_eq!(body, expected);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = answer(&bytes);
    }
}
