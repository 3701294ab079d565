//! Answers in both dialects, compared with what clients of the original bridge read.

use chrono::TimeZone;
use gctb_domain::Currency;
use serde_json::{Value, json};

use super::*;

fn at() -> DateTime<Utc> {
    Utc.timestamp_millis_opt(1_701_166_272_500).single().expect("a time")
}

fn to(mode: Mode) -> To<'static> {
    To {
        mode,
        message_id: "6f1c",
        sender_id: "payments.openg2p.org",
        bridge_id: "g2p.cash.transfer.bridge.openg2p",
        at: at(),
    }
}

fn received() -> ItemStatus<'static> {
    let money = Money::parse("1000.0", Currency::parse("KES").expect("known")).expect("an amount");
    ItemStatus {
        reference_id: "a1b2c3d4",
        at: at(),
        status: G2pStatus::Rcvd,
        reason: None,
        message: None,
        amount: Some(Amount::Exact(money)),
        payer_fa: None,
        payer_name: None,
        payee_fa: Some("token:ABC123@nationalId"),
        payee_name: None,
        currency_code: Some("KES"),
        locale: Some("eng"),
    }
}

fn rejected(reason: ReasonCode) -> ItemStatus<'static> {
    ItemStatus {
        reason: Some(reason),
        message: Some("mapper: succ.id.not_found"),
        ..ItemStatus {
            status: G2pStatus::Rjct,
            amount: None,
            payee_fa: None,
            currency_code: None,
            locale: None,
            ..received()
        }
    }
}

fn disbursed(to: &To<'_>, counts: Counts, transaction_id: &str, items: &[ItemStatus<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut answer = Disbursed::begin(&mut body, to, counts, transaction_id, "b-1");
    for item in items {
        answer.item(&mut body, item);
    }
    answer.end(&mut body);
    body
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("valid JSON")
}

#[test]
fn a_disburse_answer_is_what_openg2ps_client_reads() {
    let counts = Counts { total: 1, completed: 0 };
    let body = disbursed(&to(Mode::OpenG2p), counts, "5c1e7f0a", &[received()]);
    let expected = json!({"signature":"","header":{"version":"1.0.0","message_id":"6f1c","message_ts":"2023-11-28T10:11:12.500Z","action":"disburse","status":"rcvd","total_count":1,"completed_count":0,"sender_id":"g2p.cash.transfer.bridge.openg2p","receiver_id":"payments.openg2p.org","is_msg_encrypted":false,"meta":{}},
        "message":{"transaction_id":"5c1e7f0a","correlation_id":"b-1","disbursements_status":[{"reference_id":"a1b2c3d4","timestamp":"2023-11-28T10:11:12.500Z","status":"rcvd","amount":"1000.00","payee_fa":"token:ABC123@nationalId","currency_code":"KES","locale":"eng"}]}});
    assert_eq!(json(&body), expected);
}

#[test]
fn a_status_answer_is_an_array_for_openg2p_and_an_object_for_the_specification() {
    let counts = Counts { total: 1, completed: 1 };
    let of = StatusOf { transaction_id: "7d4e", items_of: "5c1e7f0a", correlation_id: "b-1", page: None };
    let item = || [rejected(ReasonCode::PayeeFaInvalid)].into_iter();
    let wire = json!([{"reference_id":"a1b2c3d4","timestamp":"2023-11-28T10:11:12.500Z","status":"rjct","status_reason_code":"rjct.payee_fa.invalid","status_reason_message":"mapper: succ.id.not_found"}]);

    let openg2p = json(&status(&to(Mode::OpenG2p), counts, &of, item()));
    assert_eq!(openg2p["header"]["action"], "status");
    let expected = json!({"transaction_id":"7d4e","correlation_id":"b-1","txnstatus_response":{"txn_type":"disburse","txn_status":wire}});
    assert_eq!(openg2p["message"], expected);

    let page = StatusOf { page: Some(Page { size: 500, number: 1 }), ..of };
    let spec = json(&status(&to(Mode::Spec), counts, &page, item()));
    let expected = json!({"transaction_id":"7d4e","correlation_id":"b-1","txnstatus_response":{"txn_type":"on-disburse",
        "txn_status":{"transaction_id":"5c1e7f0a","disbursements_status":wire},"pagination":{"page_size":500,"page_number":1,"total_count":1}}});
    assert_eq!(spec["message"], expected);
    assert_eq!(spec["header"]["status"], "succ");
}

#[test]
fn codes_of_our_own_are_left_out_for_a_client_of_the_specification() {
    let counts = Counts { total: 1, completed: 1 };
    let code = |mode| {
        let body = disbursed(&to(mode), counts, "t", &[rejected(ReasonCode::PaymentFailed)]);
        json(&body)["message"]["disbursements_status"][0].clone()
    };
    assert_eq!(code(Mode::OpenG2p)["status_reason_code"], "rjct.payment.failed");
    assert!(code(Mode::Spec).get("status_reason_code").is_none());
    assert_eq!(code(Mode::Spec)["status_reason_message"], "mapper: succ.id.not_found");
}

#[test]
fn an_answer_has_as_many_items_as_were_written_each_with_its_own_time() {
    let later = ItemStatus { at: at() + chrono::TimeDelta::seconds(1), ..received() };
    for items in [&[][..], &[received()], &[received(), later, received()]] {
        let body = json(&disbursed(&to(Mode::OpenG2p), Counts { total: 3, completed: 0 }, "t", items));
        let times: Vec<String> = items.iter().map(|item| time::format(item.at)).collect();
        let written = body["message"]["disbursements_status"].as_array().expect("a list").clone();
        assert_eq!(written.iter().map(|item| item["timestamp"].as_str().expect("a text")).collect::<Vec<_>>(), times);
    }
}

#[test]
fn an_amount_that_was_not_understood_is_echoed_as_it_was_stored() {
    let item = ItemStatus { amount: Some(Amount::AsSent("1e3")), ..rejected(ReasonCode::AmountInvalid) };
    let body = disbursed(&to(Mode::OpenG2p), Counts { total: 1, completed: 1 }, "t", &[item]);
    assert_eq!(json(&body)["message"]["disbursements_status"][0]["amount"], "1e3");
}

#[test]
fn a_refused_message_carries_its_code_in_the_header() {
    let refusal = HeaderRefusal::new(HeaderCode::VersionInvalid, "é".repeat(2_000));
    let body = json(&disburse_refused(&to(Mode::Spec), Some("t"), &refusal));
    assert_eq!(body["header"]["status"], "rjct");
    assert_eq!(body["header"]["status_reason_code"], "rjct.version.invalid");
    assert_eq!(body["header"]["status_reason_message"].as_str().map(|text| text.chars().count()), Some(999));
    assert_eq!(body["message"], json!({"transaction_id": "t", "disbursements_status": []}));
    let body = json(&status_refused(&to(Mode::OpenG2p), None, &refusal));
    assert!(body.get("message").is_none() && body["header"]["action"] == "status");
}

#[test]
fn a_changed_transaction_is_refused_in_words_where_the_specification_has_no_code() {
    let refusal = HeaderRefusal::new(HeaderCode::TransactionIdDuplicate, "changed");
    let header = |mode| json(&disburse_refused(&to(mode), Some("t"), &refusal))["header"].clone();
    assert_eq!(header(Mode::OpenG2p)["status_reason_code"], "rjct.transaction_id.duplicate");
    assert!(header(Mode::Spec).get("status_reason_code").is_none());
    assert_eq!(header(Mode::Spec)["status_reason_message"], "changed");
}

#[test]
fn an_http_error_has_a_code_and_a_message() {
    assert_eq!(json(&error("c", "m")), json!({"errors": [{"code": "c", "message": "m"}]}));
}
