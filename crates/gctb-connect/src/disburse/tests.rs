//! Disburse requests as tables: what is taken, what is refused and by which code.

use chrono::{TimeDelta, TimeZone};
use gctb_domain::{Currency, FinancialAddress};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::time;

/// What OpenG2P's program client sends (docs/protocols.md, "What OpenG2P's client sends").
const OPENG2P: &str = r#"{"signature":"string","header":{"message_id":"6f1c","message_ts":"2023-11-28 10:11:12.123456","action":"disburse","sender_id":"payments.openg2p.org","receiver_id":"pymts.example.org","total_count":2},
 "message":{"transaction_id":"5c1e7f0a","disbursements":[{"reference_id":"a1b2c3d4","payer_fa":"","payee_fa":"token:ABC123@nationalId","amount":"1000.0","scheduled_timestamp":"2023-11-28 10:11:12.123456","payee_name":"Jane Doe","note":"Payment for Cycle 1 under Farmer Relief","purpose":"Farmer Relief","currency_code":"KES","locale":"eng"}]}}"#;

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 7, 1, 8, 30, 0).single().expect("a time")
}

fn rules() -> Rules {
    Rules {
        max_disbursements: 1_000,
        default_payer: FinancialAddress::parse("account:1@treasury.bank.bank_acc").ok(),
        default_currency: None,
        max_schedule_ahead: TimeDelta::days(400),
    }
}

fn item() -> Value {
    json!({"reference_id": "r-1", "payer_fa": "account:9@b.c.bank_acc", "payee_fa": "token:ABC@nationalId",
        "amount": "10.50", "currency_code": "KES", "payee_name": "Jane", "note": "n", "purpose": "p", "locale": "en"})
}

fn message(items: Vec<Value>) -> Value {
    json!({"signature": "", "header": {"version": "1.0.0", "message_id": "m-1", "message_ts": "2026-07-01T08:30:00Z",
        "action": "disburse", "sender_id": "spp.example.org", "total_count": 1},
        "message": {"transaction_id": "t-1", "disbursements": items}})
}

fn with(mut value: Value, pointer: &str, field: &str, to: Value) -> Value {
    value.pointer_mut(pointer).expect("there").as_object_mut().expect("an object").insert(field.into(), to);
    value
}

fn without(mut value: Value, pointer: &str, field: &str) -> Value {
    value.pointer_mut(pointer).expect("there").as_object_mut().expect("an object").remove(field);
    value
}

fn read(body: &[u8], rules: &Rules, received_at: DateTime<Utc>) -> Result<Batch, Rejected> {
    super::read(body.to_vec(), rules, received_at)
}

fn items(batch: &Batch) -> Vec<Disbursement<'_>> {
    batch.items().collect()
}

fn shape_fault(body: &[u8]) -> String {
    match read(body, &rules(), now()) {
        Err(Rejected::Shape(error)) => error.message,
        Err(Rejected::Refused(refused)) => panic!("refused by {}", refused.refusal.code),
        Ok(_) => panic!("taken"),
    }
}

fn refusal(body: &Value) -> HeaderRefusal {
    match read(body.to_string().as_bytes(), &rules(), now()) {
        Err(Rejected::Refused(refused)) => refused.refusal,
        Err(Rejected::Shape(error)) => panic!("{error}"),
        Ok(_) => panic!("taken"),
    }
}

/// The code of each item, None for those that can be paid.
fn codes(body: &Value, rules: &Rules) -> Vec<Option<&'static str>> {
    let body = body.to_string();
    let batch = read(body.as_bytes(), rules, now()).expect("taken");
    let codes: Vec<_> = batch.items().map(|item| item.refusal.map(|refusal| refusal.code.as_str())).collect();
    assert_eq!(batch.refused(), codes.iter().flatten().count());
    assert!(batch.items().all(|item| item.payable().is_none() == item.refusal.is_some()));
    codes
}

fn digest(body: &Value) -> Digest {
    read(body.to_string().as_bytes(), &rules(), now()).expect("taken").digest
}

#[test]
fn the_message_of_openg2ps_client_is_taken_as_it_is() {
    let batch = read(OPENG2P.as_bytes(), &rules(), now()).expect("taken");
    assert_eq!((&*batch.transaction_id, &*batch.header.sender_id), ("5c1e7f0a", "payments.openg2p.org"));
    let item = &items(&batch)[0];
    let payable = item.payable().expect("payable");
    assert_eq!((payable.money.minor(), payable.money.currency().code()), (100_000, "KES"));
    assert_eq!(payable.from_fa.as_str(), "account:1@treasury.bank.bank_acc");
    assert_eq!(item.scheduled_at.map(time::format).as_deref(), Some("2023-11-28T10:11:12.123Z"));
    assert_eq!((item.to_fa, item.payer_name, item.locale), ("token:ABC123@nationalId", None, Some("eng")));
}

#[test]
fn a_broken_shape_is_named_by_its_path_and_never_quoted() {
    let body = |value: Value| value.to_string().into_bytes();
    let item_with = |field: &str, to: Value| body(with(message(vec![item()]), "/message/disbursements/0", field, to));
    let header_with = |field: &str, to: Value| body(with(message(vec![item()]), "/header", field, to));
    let ids = "expected 1 to 99 characters without control characters";
    let table = [
        (b"".to_vec(), "the message: the JSON ends too early, at line 1 column 0".to_owned()),
        (b"{".to_vec(), "the message: the JSON ends too early, at line 1 column 1".to_owned()),
        (b"[]".to_vec(), "the message: expected an object, found an array".to_owned()),
        (b"{}".to_vec(), "header: required, and missing".to_owned()),
        (
            item_with("amount", json!(4711.5)),
            "message.disbursements[0].amount: expected a string, found a number".into(),
        ),
        (item_with("note", json!({})), "message.disbursements[0].note: expected a string, found an object".into()),
        (body(message(vec![json!(["r", "x"])])), "message.disbursements[0]: expected an object, found an array".into()),
        (body(message(vec![])), "message.disbursements: expected at least one disbursement".into()),
        (
            body(without(message(vec![]), "/message", "disbursements")),
            "message.disbursements: required, and missing; expected an array".into(),
        ),
        (
            body(with(message(vec![]), "/message", "disbursements", json!("secret, expected x"))),
            "message.disbursements: expected an array, found a string".into(),
        ),
        (body(without(message(vec![item()]), "", "message")), "message: required, and missing".into()),
        (
            body(without(message(vec![item()]), "/header", "message_id")),
            "header.message_id: required, and missing".into(),
        ),
        (header_with("message_id", json!("")), format!("header.message_id: {ids}")),
        (header_with("sender_id", json!("x".repeat(100))), format!("header.sender_id: {ids}")),
        (header_with("sender_id", json!("x\u{0}")), format!("header.sender_id: {ids}")),
        (header_with("total_count", json!("2")), "header.total_count: expected a whole number, found a string".into()),
        (header_with("message_ts", json!(17)), "header.message_ts: expected a string, found a number".into()),
        (
            header_with("is_msg_encrypted", json!("no")),
            "header.is_msg_encrypted: expected true or false, found a string".into(),
        ),
        (
            body(with(message(vec![item()]), "/message", "transaction_id", json!("a\nb"))),
            format!("message.transaction_id: {ids}"),
        ),
        (
            body(with(message(vec![item()]), "", "signature", json!(1))),
            "signature: expected a string, found a number".into(),
        ),
    ];
    for (body, expected) in table {
        assert_eq!(shape_fault(&body), expected);
    }
    let twice = OPENG2P.replacen("\"amount\":", "\"amount\":\"1\",\"amount\":", 1);
    assert_eq!(shape_fault(twice.as_bytes()), "message.disbursements[0].amount: given more than once");
    assert!(shape_fault(format!("{OPENG2P}x").as_bytes()).starts_with("message: not valid JSON: trailing characters"));
}

#[test]
fn text_that_is_not_utf8_is_no_json() {
    let mut body = OPENG2P.as_bytes().to_vec();
    body[14] = 0xff;
    assert_eq!(shape_fault(&body), "the message: not valid JSON: not UTF-8 at byte 14");
}

#[test]
fn texts_are_told_as_they_were_meant_however_they_were_written() {
    let name = r#"J\u00e4ne \"D\" 😀"#;
    let body = OPENG2P.replace("Jane Doe", name).replace("\"Farmer Relief\"", r#""\u0046armer""#);
    let batch = read(body.as_bytes(), &rules(), now()).expect("taken");
    let item = &items(&batch)[0];
    assert_eq!((item.payee_name, item.purpose), (Some("Jäne \"D\" 😀"), Some("Farmer")));
    assert_eq!((item.from_fa, item.currency_text), ("account:1@treasury.bank.bank_acc", "KES"));
    let from_second: Vec<_> = batch.items_from(1).map(|item| item.seq.0).collect();
    assert!(from_second.is_empty() && batch.items_from(9).len() == 0);
}

#[test]
fn a_header_is_refused_by_its_code() {
    let header = |field: &str, to: Value| with(message(vec![item()]), "/header", field, to);
    let table = [
        (header("version", json!("2.0.0")), HeaderCode::VersionInvalid),
        (header("version", json!("1.0")), HeaderCode::VersionInvalid),
        (header("message_ts", json!("yesterday")), HeaderCode::MessageTsInvalid),
        (header("action", json!("")), HeaderCode::ActionInvalid),
        (header("action", json!("link")), HeaderCode::ActionNotSupported),
        (header("is_msg_encrypted", json!(true)), HeaderCode::ActionNotSupported),
        (header("total_count", json!(-1)), HeaderCode::TotalCountInvalid),
        (message(vec![json!({}); 1_001]), HeaderCode::TotalCountLimitExceeded),
    ];
    for (body, expected) in table {
        assert_eq!(refusal(&body).code, expected, "{expected}");
    }
    let encrypted = json!({"header": {"message_id": "m", "message_ts": "2026-07-01T08:30:00Z", "action": "disburse",
        "sender_id": "s", "is_msg_encrypted": true}, "message": {"ciphertext": "x"}});
    assert!(refusal(&encrypted).message.contains("not supported yet"));
    assert!(refusal(&message(vec![json!({}); 1_001])).message.contains("the limit is 1000"));
}

#[test]
fn a_bad_item_stops_only_itself_and_is_named_by_its_code() {
    let changed = |field: &str, to: Value| with(item(), "", field, to);
    let table = [
        (item(), None),
        (changed("meta", json!({"k": [1]})), None),
        (without(item(), "", "payer_fa"), None),
        (changed("amount", json!("1000.0")), None),
        (changed("scheduled_timestamp", json!("2027-07-01T08:30:00Z")), None),
        (changed("locale", json!("eng")), None),
        (changed("reference_id", json!("x".repeat(100))), Some("rjct.reference_id.invalid")),
        (changed("reference_id", json!("a\u{0}")), Some("rjct.reference_id.invalid")),
        (changed("payer_fa", json!("nobody")), Some("rjct.payer_fa.invalid")),
        (without(item(), "", "payee_fa"), Some("rjct.payee_fa.invalid")),
        (changed("payee_fa", json!("token:ABC@")), Some("rjct.payee_fa.invalid")),
        (changed("amount", json!("-5.00")), Some("rjct.amount.invalid")),
        (changed("amount", json!("0")), Some("rjct.amount.invalid")),
        (changed("amount", json!("10.505")), Some("rjct.amount.invalid")),
        (changed("amount", json!("1e3")), Some("rjct.amount.invalid")),
        (changed("amount", json!("99999999999999")), Some("rjct.amount.invalid")),
        (without(item(), "", "amount"), Some("rjct.amount.invalid")),
        (changed("currency_code", json!("ZZZ")), Some("rjct.currency_code.invalid")),
        (changed("currency_code", json!("XXX")), Some("rjct.currency_code.invalid")),
        (without(item(), "", "currency_code"), Some("rjct.currency_code.invalid")),
        (changed("scheduled_timestamp", json!("soon")), Some("rjct.schedule_ts.invalid")),
        (changed("scheduled_timestamp", json!("")), Some("rjct.schedule_ts.invalid")),
        (changed("scheduled_timestamp", json!("2099-01-01T00:00:00Z")), Some("rjct.schedule_ts.invalid")),
        (changed("payee_name", json!("é".repeat(141))), Some("rjct.disbursement.invalid")),
        (changed("note", json!("n".repeat(100))), Some("rjct.disbursement.invalid")),
        (changed("purpose", json!("a\nb")), Some("rjct.disbursement.invalid")),
        (changed("instruction", json!("i".repeat(1_000))), Some("rjct.disbursement.invalid")),
        (changed("locale", json!("english")), Some("rjct.disbursement.invalid")),
    ];
    for (item, expected) in table {
        let shown = item.to_string();
        let good = with(self::item(), "", "reference_id", json!("good"));
        assert_eq!(codes(&message(vec![item, good]), &rules()), [expected, None], "{shown}");
    }
}

#[test]
fn settings_stand_in_for_what_is_missing() {
    let no_currency = message(vec![without(item(), "", "currency_code")]);
    let with_default = Rules { default_currency: Currency::parse("KES").ok(), ..rules() };
    assert_eq!(codes(&no_currency, &with_default), [None]);
    let no_payer = message(vec![with(item(), "", "payer_fa", json!(""))]);
    let no_default = Rules { default_payer: None, ..rules() };
    assert_eq!(codes(&no_payer, &no_default), [Some("rjct.payer_fa.invalid")]);
}

#[test]
fn all_bearers_of_a_duplicated_reference_are_refused() {
    let other = with(item(), "", "reference_id", json!("r-2"));
    let duplicate = Some("rjct.reference_id.duplicate");
    assert_eq!(codes(&message(vec![item(), other, item()]), &rules()), [duplicate, None, duplicate]);
}

#[test]
fn a_missing_transaction_or_reference_is_derived_the_same_each_time() {
    let bare = || {
        without(
            without(message(vec![item(), item()]), "/message", "transaction_id"),
            "/message/disbursements/0",
            "reference_id",
        )
    };
    let ids = |body: &Value| {
        let body = body.to_string();
        let batch = read(body.as_bytes(), &rules(), now()).expect("taken");
        let item = &items(&batch)[0];
        assert!(item.reference_derived && !items(&batch)[1].reference_derived);
        (batch.transaction_id.to_string(), item.reference_id.to_string())
    };
    let first = ids(&bare());
    assert_eq!(first, ids(&bare()));
    assert_eq!(first, ids(&with(bare(), "/message/disbursements/0", "reference_id", json!(""))));
    let other = ids(&with(bare(), "/header", "message_id", json!("m-2")));
    assert!(first.0 != other.0 && first.1 != other.1);
}

#[test]
fn the_texts_of_a_refused_item_are_kept_in_a_form_that_postgres_stores() {
    let body = message(vec![with(item(), "", "note", json!(format!("a\u{0}{}", "x".repeat(2_000))))]).to_string();
    let batch = read(body.as_bytes(), &rules(), now()).expect("taken");
    let note = items(&batch)[0].note.expect("kept");
    assert!(note.starts_with("a\u{FFFD}x") && note.chars().count() == 999);
}

#[test]
fn the_amount_of_a_refused_item_still_counts_where_it_can_be_read() {
    let bad_payee = with(with(item(), "", "reference_id", json!("r-2")), "", "payee_fa", json!("x"));
    let late = with(with(item(), "", "reference_id", json!("r-3")), "", "scheduled_timestamp", json!("soon"));
    let body = message(vec![item(), item(), bad_payee, late]).to_string();
    let batch = read(body.as_bytes(), &rules(), now()).expect("taken");
    let items = items(&batch);
    assert!(items.iter().all(|item| item.refusal.is_some() && item.money.map(|money| money.minor()) == Some(1050)));
    assert_eq!((items[3].scheduled_text, items[3].scheduled_at), (Some("soon"), None));
}

#[test]
fn more_than_anybody_may_send_is_counted_and_not_kept() {
    let body = message(vec![json!({}); HARD_DISBURSEMENTS_MAX + 5]);
    let any = Rules { max_disbursements: usize::MAX, ..rules() };
    let error = read(body.to_string().as_bytes(), &any, now()).expect_err("refused");
    let Rejected::Refused(refused) = error else { panic!("a refusal") };
    assert!(refused.refusal.message.contains("100005 items, the limit is 100000"));
}

#[test]
fn what_is_shown_of_an_item_holds_no_personal_data() {
    let batch = read(OPENG2P.as_bytes(), &rules(), now()).expect("taken");
    let shown = format!("{batch:?} {:?}", items(&batch));
    assert!(!shown.contains("Jane") && !shown.contains("ABC123") && !shown.contains("1000"), "{shown}");
}

#[test]
fn the_digest_ignores_what_surrounds_the_items() {
    let first = digest(&message(vec![item()]));
    let resent =
        with(with(message(vec![item()]), "/header", "message_id", json!("m-9")), "", "signature", json!("new"));
    assert_eq!(first, digest(&resent));
    let spelt_otherwise = with(item(), "", "amount", json!("10.500"));
    assert_eq!(first, digest(&message(vec![spelt_otherwise])));
    let body = message(vec![item()]).to_string();
    let other_settings = Rules { default_payer: None, default_currency: Currency::parse("USD").ok(), ..rules() };
    assert_eq!(first, read(body.as_bytes(), &other_settings, now()).expect("taken").digest);
    let zoned = |at: &str| digest(&message(vec![with(item(), "", "scheduled_timestamp", json!(at))]));
    assert_eq!(zoned("2026-08-01T11:30:00+03:00"), zoned("2026-08-01 08:30:00"));
}

#[test]
fn the_digest_never_changes_its_rules_without_a_new_version() {
    let Digest(bytes) = digest(&message(vec![item()]));
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((DIGEST_VERSION, hex.as_str()), (1, "dbb6479e3d81889a176d02cd8c281d2e4d03333304f104a8ea43fe465797dd22"));
}

#[test]
fn the_digest_changes_with_every_field_the_order_and_the_number() {
    let first = digest(&message(vec![item()]));
    let fields = [
        "reference_id",
        "payer_fa",
        "payee_fa",
        "amount",
        "currency_code",
        "scheduled_timestamp",
        "payer_name",
        "payee_name",
        "note",
        "purpose",
        "instruction",
        "locale",
    ];
    for field in fields {
        let changed = digest(&message(vec![with(item(), "", field, json!("other"))]));
        assert_ne!(first, changed, "{field}");
    }
    let second = || with(item(), "", "reference_id", json!("r-2"));
    assert_ne!(digest(&message(vec![item(), second()])), digest(&message(vec![second(), item()])));
    assert_ne!(first, digest(&message(vec![item(), item()])));
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes, &rules(), now());
    }

    #[test]
    fn no_damage_to_a_message_makes_the_parser_panic(at in 0..OPENG2P.len(), byte in any::<u8>(), cut in 0..OPENG2P.len()) {
        let mut bytes = OPENG2P.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = read(&bytes, &rules(), now());
        bytes.truncate(cut);
        let _ = read(&bytes, &rules(), now());
    }

    #[test]
    fn no_text_in_a_field_makes_the_parser_panic(text in ".{0,200}", field in 0_usize..12) {
        let names = ["reference_id", "payer_fa", "payee_fa", "amount", "currency_code", "scheduled_timestamp",
            "payer_name", "payee_name", "note", "purpose", "instruction", "locale"];
        let body = message(vec![with(item(), "", names[field], json!(text))]).to_string();
        let batch = read(body.as_bytes(), &rules(), now());
        prop_assert!(batch.is_ok());
    }
}
