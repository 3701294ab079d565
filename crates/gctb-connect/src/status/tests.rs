//! Status requests as tables.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// What OpenG2P's program client sends every minute (docs/protocols.md, "What OpenG2P's client sends").
const OPENG2P: &str = r#"{"signature":"string","header":{"message_id":"6f1c","message_ts":"2023-11-28 10:11:12.123456","action":"disburse","sender_id":"payments.openg2p.org","receiver_id":"pymts.example.org","total_count":1},"message":{"transaction_id":"7d4e","txnstatus_request":{"reference_id":"9c2b","txn_type":"disburse","attribute_type":"reference_id_list","attribute_value":["a1b2c3d4"],"locale":"eng"}}}"#;

const LIMITS: Limits = Limits { max_references: 3, max_page_size: 2_000, default_page_size: 500 };

fn asked(asked: Value) -> Vec<u8> {
    let mut message: Value = serde_json::from_str(OPENG2P).expect("valid");
    let request = message.pointer_mut("/message/txnstatus_request").and_then(Value::as_object_mut).expect("an object");
    request.extend(asked.as_object().expect("an object").clone());
    message.to_string().into_bytes()
}

fn fault(body: &[u8]) -> (&'static str, String) {
    match read(body, &LIMITS) {
        Err(Rejected::Shape(error)) => (error.code, error.message),
        Err(Rejected::Refused(refused)) => (refused.refusal.code.as_str(), refused.refusal.message),
        Ok(_) => panic!("taken"),
    }
}

#[test]
fn the_request_of_openg2ps_client_asks_for_its_whole_list() {
    let request = read(OPENG2P.as_bytes(), &LIMITS).expect("taken");
    assert_eq!(request.query, Query::References(vec!["a1b2c3d4".into()]));
    assert_eq!((request.page, &*request.transaction_id), (None, "7d4e"));
    let none = asked(json!({"attribute_value": []}));
    assert_eq!(read(&none, &LIMITS).expect("taken").query, Query::References(vec![]));
}

#[test]
fn every_way_of_asking_is_read() {
    let table = [
        (
            json!({"attribute_type": "transaction_id", "attribute_value": "t"}),
            Query::Transaction("t".into()),
            Some((500, 1)),
        ),
        (
            json!({"attribute_type": "correlation_id", "attribute_value": "c"}),
            Query::Correlation("c".into()),
            Some((500, 1)),
        ),
        (
            json!({"attribute_value": ["a", "b", "a"], "pagination": {"page_size": 2, "page_number": 3}}),
            Query::References(vec!["a".into(), "b".into()]),
            Some((2, 3)),
        ),
    ];
    for (fields, query, page) in table {
        let body = asked(fields);
        let request = read(&body, &LIMITS).expect("taken");
        assert_eq!(request.query, query);
        assert_eq!(request.page, page.map(|(size, number)| Page { size, number }));
    }
    assert_eq!(Page { size: 2_000, number: 5 }.offset(), 8_000);
}

#[test]
fn a_wrong_request_is_refused_by_name() {
    let bad = "err.request.bad";
    let at = "message.txnstatus_request";
    let table = [
        (json!({"attribute_value": "r"}), "GCTB-PMS-350", "attribute_value is supposed to be a list.".to_owned()),
        (json!({"attribute_value": {"a": 1}}), "GCTB-PMS-350", "attribute_value is supposed to be a list.".to_owned()),
        (
            json!({"attribute_type": "transaction_id", "attribute_value": ["t"]}),
            "GCTB-PMS-350",
            "attribute_value is supposed to be a string.".to_owned(),
        ),
        (
            json!({"attribute_value": ["a", 5]}),
            bad,
            format!("{at}.attribute_value[1]: expected a string, found a number"),
        ),
        (
            json!({"attribute_value": ["a", "b", "c", "d"]}),
            bad,
            format!("{at}.attribute_value: expected at most 3 references, found 4"),
        ),
        (
            json!({"attribute_value": ["a\u{0}"]}),
            bad,
            format!("{at}.attribute_value[0]: expected no control characters"),
        ),
        (
            json!({"attribute_type": "payee_fa"}),
            bad,
            format!("{at}.attribute_type: expected transaction_id, reference_id_list or correlation_id"),
        ),
        (json!({"txn_type": "link"}), bad, format!("{at}.txn_type: expected disburse")),
        (
            json!({"txn_type": "search"}),
            "rjct.action.not_supported",
            "only transactions of the type disburse are kept: search is not supported".to_owned(),
        ),
        (
            json!({"pagination": {"page_size": 2_001, "page_number": 1}}),
            bad,
            format!("{at}.pagination.page_size: expected a number from 1 to 2000"),
        ),
        (
            json!({"pagination": {"page_size": 0, "page_number": 1}}),
            bad,
            format!("{at}.pagination.page_size: expected a number from 1 to 2000"),
        ),
        (
            json!({"pagination": {"page_size": 1, "page_number": 0}}),
            bad,
            format!("{at}.pagination.page_number: expected a number from 1"),
        ),
        (
            json!({"pagination": {"page_size": -1, "page_number": 1}}),
            bad,
            format!("{at}.pagination.page_size: expected a whole number, found a number out of range"),
        ),
        (json!({"pagination": {"page_size": 1}}), bad, format!("{at}.pagination.page_number: required, and missing")),
    ];
    for (fields, code, message) in table {
        assert_eq!(fault(&asked(fields)), (code, message));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes, &LIMITS);
    }

    #[test]
    fn no_damage_to_a_request_makes_the_parser_panic(at in 0..OPENG2P.len(), byte in any::<u8>()) {
        let mut bytes = OPENG2P.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = read(&bytes, &LIMITS);
    }
}
