//! Callbacks as M-Pesa's documentation shows them, with every oddity that the field has seen.

use std::sync::OnceLock;

use gctb_backend::Hold;
use serde_json::{Value, json};

use super::*;
use crate::testing::{Certificate, NOW, kes, key, settings_at};

/// One for all: a rail keeps nothing of what it reads.
fn rail() -> &'static Daraja {
    static RAIL: OnceLock<Daraja> = OnceLock::new();
    RAIL.get_or_init(|| {
        let certificate = Certificate::rsa(2048, NOW + 3600);
        let mut settings = settings_at("http://127.0.0.1:9", &certificate);
        settings.daraja.query_not_found_codes = vec!["2032".into()];
        Daraja::new(&settings, NOW).expect("good settings")
    })
}

fn question() -> Question {
    Question { key: key(), sends: 2, quiet: true }
}

fn ours() -> String {
    format!("gctb-{}", key())
}

/// The documentation's own example, under our key.
fn documented() -> Value {
    json!({"Result": {"ResultType": 0, "ResultCode": 0, "ResultDesc": "The service request is processed successfully.",
        "OriginatorConversationID": ours(), "ConversationID": "AG_20240706_2010364430d9bbdaf872",
        "TransactionID": "SG632NMUAB", "ResultParameters": {"ResultParameter": [
            {"Key": "TransactionAmount", "Value": 10}, {"Key": "TransactionReceipt", "Value": "SG632NMUAB"},
            {"Key": "ReceiverPartyPublicName", "Value": "254705912645 - NICHOLAS JOHN SONGOK"},
            {"Key": "TransactionCompletedDateTime", "Value": "06.07.2024 22:48:52"},
            {"Key": "B2CUtilityAccountAvailableFunds", "Value": 8_959_269},
            {"Key": "B2CRecipientIsRegisteredCustomer", "Value": "Y"},
            {"Key": "B2CChargesPaidAccountAvailableFunds"}]},
        "ReferenceData": {"ReferenceItem": {"Key": "QueueTimeoutURL", "Value": "https://internal.example.org"}}}})
}

fn failed(code: &Value) -> Value {
    json!({"Result": {"ResultType": "0", "ResultCode": code, "ResultDesc": "254705912645 has failed",
        "OriginatorConversationID": ours(), "ConversationID": "AG_1", "TransactionID": "SG632NMUAC"}})
}

fn news_of(route: Route, body: &Value) -> Result<PaymentNews, CallbackError> {
    news_of_text(route, &body.to_string())
}

fn news_of_text(route: Route, body: &str) -> Result<PaymentNews, CallbackError> {
    match rail().callback(route, body.as_bytes())? {
        Callback::Payment(news) => Ok(*news),
        Callback::Balance(_) => panic!("a payment was expected"),
    }
}

fn paid(body: &Value) -> PaymentNews {
    news_of(Route::PaymentResult, body).expect("it can be believed")
}

#[test]
fn the_documented_success_names_attempt_amount_payee_and_receipt() {
    let news = paid(&documented());
    assert_eq!((news.key, news.reply.learnt), (key(), Learnt::Paid));
    assert_eq!(news.amount, Some(kes("10")));
    assert_eq!(news.msisdn.as_ref().expect("a number").as_str(), "254705912645");
    assert_eq!(news.reply.rail_reference.as_deref(), Some("SG632NMUAB"));
    assert_eq!(news.reply.handle.as_deref(), Some("AG_20240706_2010364430d9bbdaf872"));
    assert_eq!((news.reply.message.as_str(), news.reply.reason), ("mpesa:0 paid", None));
}

#[test]
fn every_loose_form_of_the_same_result_reads_the_same() {
    let expected = paid(&documented());
    let mut texts = documented();
    texts["Result"]["ResultCode"] = json!("0");
    texts["Result"]["ResultType"] = json!("0");
    texts["Result"]["ResultParameters"]["ResultParameter"][0]["Value"] = json!("10.00");
    texts["Result"]["Unheard"] = json!({"of": [1, 2]});
    let mut no_list = documented();
    no_list["Result"]["ReferenceData"]["ReferenceItem"] = json!([{"Key": "Occasion"}]);
    for body in [texts, no_list] {
        let news = paid(&body);
        assert_eq!((news.key, &news.reply, news.amount), (expected.key, &expected.reply, expected.amount));
        assert_eq!(news.msisdn, expected.msisdn);
    }
    let mut single = documented();
    single["Result"]["ResultParameters"]["ResultParameter"] = json!({"Key": "TransactionAmount", "Value": 10});
    assert_eq!(paid(&single).amount, Some(kes("10")));
    let mut none = documented();
    none["Result"]["ResultParameters"] = Value::Null;
    assert_eq!(news_of(Route::PaymentResult, &none).err(), Some(CallbackError::Amount), "a success names its amount");
}

#[test]
fn i6_an_amount_is_read_to_the_cent_or_the_callback_is_not_believed() {
    let with = |amount: &str| {
        let text = documented().to_string().replace(r#""Value":10}"#, &format!(r#""Value":{amount}}}"#));
        news_of_text(Route::PaymentResult, &text).map(|news| news.amount)
    };
    assert_eq!(with("10.10"), Ok(Some(kes("10.10"))));
    assert_eq!(with("249999.99"), Ok(Some(kes("249999.99"))));
    for amount in ["10.105", "1e1", "-10", "0", r#""ten""#] {
        assert_eq!(with(amount), Err(CallbackError::Amount), "{amount}");
    }
    for amount in ["true", "{}", "[10]"] {
        assert_eq!(with(amount), Err(CallbackError::Malformed), "{amount}");
    }
}

#[test]
fn a_failure_is_a_refusal_by_its_code_whether_number_or_text() {
    for code in [json!(2040), json!("2040")] {
        let reply = paid(&failed(&code)).reply;
        assert_eq!((reply.learnt, reply.reason), (Learnt::Refused { again: false }, Some(ReasonCode::PayeeFaInvalid)));
        assert_eq!(reply.message, "mpesa:2040 the payee is not a registered customer");
    }
    let reply = paid(&failed(&json!("SFC_IC0003"))).reply;
    assert_eq!(reply.reason, Some(ReasonCode::PayeeFaInvalid));
    let reply = paid(&failed(&json!(1))).reply;
    assert_eq!((reply.learnt, reply.hold), (Learnt::Refused { again: true }, Some(Hold::NoFunds)));
    let reply = paid(&failed(&json!(8006))).reply;
    assert_eq!((reply.learnt, reply.hold), (Learnt::Refused { again: true }, Some(Hold::Locked)));
    assert_eq!(paid(&failed(&json!(15))).reply.learnt, Learnt::Duplicate);
    let reply = paid(&failed(&json!(26))).reply;
    assert!(reply.learnt == Learnt::Nothing && reply.slow_down.is_some());
}

#[test]
fn i3_what_is_not_the_last_word_decides_nothing() {
    for kind in [json!(1), json!("1"), json!(2), Value::Null] {
        for mut body in [documented(), failed(&json!(2040))] {
            body["Result"]["ResultType"] = kind.clone();
            let reply = paid(&body).reply;
            assert_eq!((reply.learnt, reply.reason), (Learnt::Nothing, None), "{kind}");
        }
    }
    for code in [json!(9999), json!("who knows"), json!(17), json!("254705912645")] {
        let reply = paid(&failed(&code)).reply;
        assert_eq!((reply.learnt, reply.reason), (Learnt::Nothing, None), "{code}");
        assert!(!reply.message.contains("2547"));
    }
}

#[test]
fn i3_a_time_out_in_the_queue_is_no_failure_whatever_it_carries() {
    for body in [documented(), failed(&json!(1)), failed(&json!(2040))] {
        let reply = news_of(Route::PaymentTimeout, &body).expect("ours").reply;
        assert_eq!((reply.learnt, reply.hold), (Learnt::Nothing, None));
    }
    let reply = news_of_text(Route::StatusTimeout(question()), "whatever").expect("by its path").reply;
    assert_eq!(reply.learnt, Learnt::Nothing);
}

#[test]
fn a_callback_that_cannot_be_believed_moves_nothing() {
    let mut theirs = documented();
    theirs["Result"]["OriginatorConversationID"] = json!("53e3-4aa8-9fe0-8fb5e4092cdd3533373");
    let mut no_prefix = documented();
    no_prefix["Result"]["OriginatorConversationID"] = json!(key().to_string());
    let mut wrong_check = documented();
    wrong_check["Result"]["OriginatorConversationID"] = json!("gctb-00000040001Q");
    for body in [theirs, no_prefix, wrong_check] {
        assert_eq!(news_of(Route::PaymentResult, &body).expect_err("not ours"), CallbackError::NotOurs);
    }
    let twice = r#"{"Result":{"ResultType":0,"ResultCode":0,"ResultCode":1,"OriginatorConversationID":"x"}}"#;
    for body in ["", "{}", "null", "[]", "<html>", r#"{"Result":{}}"#, r#"{"Result":{"ResultCode":null}}"#, twice] {
        assert_eq!(news_of_text(Route::PaymentResult, body).expect_err(body), CallbackError::Malformed, "{body}");
    }
    let large = " ".repeat(70_000);
    assert_eq!(news_of_text(Route::PaymentResult, &large).expect_err("large"), CallbackError::TooLarge);
    let deep = "[".repeat(16_000);
    assert_eq!(news_of_text(Route::PaymentResult, &deep).expect_err("deep"), CallbackError::Malformed);
}

#[test]
fn news_of_another_amount_or_payee_are_seen_to_be() {
    let news = paid(&documented());
    let number = |text: &str| rail().numbering.read(text).expect("a number");
    assert_eq!(news.disagrees_with(kes("10"), &number("254705912645")), None);
    assert_eq!(news.disagrees_with(kes("11"), &number("254705912645")), Some(Disagreement::Amount));
    assert_eq!(news.disagrees_with(kes("10"), &number("254705912646")), Some(Disagreement::Payee));
    assert_eq!(
        paid(&failed(&json!(1))).disagrees_with(kes("10"), &number("254705912646")),
        None,
        "nothing is said of it"
    );
}

/// The documentation's example of a status query's result, with the odd names of some of its parameters.
fn status(state: &str, spaced: bool) -> Value {
    let originator = if spaced { "Originator Conversation ID" } else { "OriginatorConversationID" };
    json!({"Result": {"ResultType": 0, "ResultCode": 0, "ResultDesc": "The service request is processed successfully.",
        "OriginatorConversationID": "3211-416020-3", "ConversationID": "AG_20180223_0000493344ae97d86f75",
        "TransactionID": "MBN0000000", "ResultParameters": {"ResultParameter": [
            {"Key": "DebitPartyName", "Value": "600992 - Ministry"},
            {"Key": "CreditPartyName", "Value": "254705912645 - NICHOLAS JOHN SONGOK"},
            {"Key": originator, "Value": ours()}, {"Key": "InitiatedTime", "Value": 20_180_223_054_112_u64},
            {"Key": "TransactionReason"}, {"Key": "TransactionStatus", "Value": state},
            {"Key": "Amount", "Value": "10.00"}, {"Key": "ReceiptNo", "Value": "MBN31H462N"}]}}})
}

#[test]
fn the_answer_to_a_question_is_read_from_the_state_of_the_payment() {
    let table = [
        ("Completed", Learnt::Paid),
        ("COMPLETED", Learnt::Paid),
        ("Cancelled", Learnt::Refused { again: true }),
        ("Declined", Learnt::Refused { again: true }),
        ("Expired", Learnt::Refused { again: true }),
        ("Initiated", Learnt::Accepted),
        ("Authorized", Learnt::Accepted),
        ("Pending Authorized", Learnt::Accepted),
        ("Reversed", Learnt::Nothing),
        ("", Learnt::Nothing),
    ];
    for (state, expected) in table {
        for spaced in [false, true] {
            let news = news_of(Route::StatusResult(question()), &status(state, spaced)).expect("it can be believed");
            assert_eq!((news.key, news.reply.learnt), (key(), expected), "{state}");
            assert_eq!(news.reply.reason.is_some(), matches!(expected, Learnt::Refused { .. }));
            assert_eq!(news.amount, Some(kes("10")));
            assert_eq!(news.reply.rail_reference.as_deref(), Some("MBN31H462N"), "the payment's, not the query's");
            assert_eq!(news.reply.handle, None, "the ids beside the code are the query's");
        }
    }
}

#[test]
fn i3_a_code_of_the_query_is_never_one_of_the_payment() {
    for (code, learnt, hold) in [
        (json!(1), Learnt::Nothing, None),
        (json!(15), Learnt::Nothing, None),
        (json!(2001), Learnt::Nothing, Some(Hold::CredentialsRefused)),
        (json!("8006"), Learnt::Nothing, Some(Hold::Locked)),
        (json!(2040), Learnt::Nothing, None),
        (json!("SFC_IC0003"), Learnt::Nothing, None),
        (json!(2032), Learnt::NotFound, None),
    ] {
        let reply = news_of(Route::StatusResult(question()), &failed(&code)).expect("it can be believed").reply;
        assert_eq!((reply.learnt, reply.hold, reply.reason), (learnt, hold, None), "{code}");
    }
}

#[test]
fn an_answer_about_another_payment_than_was_asked_about_is_not_believed() {
    let other = Question { key: RailKey::parse("00000040001P").expect("a key"), ..question() };
    let error = news_of(Route::StatusResult(other), &status("Completed", false)).expect_err("another payment");
    assert_eq!(error, CallbackError::OtherPayment);
}

#[test]
fn an_answer_about_another_payer_is_not_believed() {
    let paid_by = |name: &str| {
        let mut body = status("Completed", false);
        body["Result"]["ResultParameters"]["ResultParameter"][0]["Value"] = json!(name);
        news_of(Route::StatusResult(question()), &body).map(|news| news.reply.learnt)
    };
    assert_eq!(paid_by("600310 - Ministry"), Err(CallbackError::OtherAccount));
    for ours_or_none in ["600992", "600992 - 600310", "Ministry - 600310"] {
        assert_eq!(paid_by(ours_or_none), Ok(Learnt::Paid), "{ours_or_none}");
    }
}

#[test]
fn an_answer_says_how_the_ledger_stood_when_it_was_asked_for_and_a_result_does_not() {
    let news = news_of(Route::StatusResult(question()), &status("Declined", false)).expect("it can be believed");
    assert_eq!((news.sends, news.quiet), (2, true));
    let news = news_of_text(Route::StatusTimeout(question()), "whatever").expect("by its path");
    assert_eq!((news.sends, news.quiet), (2, true));
    let news = paid(&documented());
    assert_eq!((news.sends, news.quiet), (0, false));
}

#[test]
fn the_balance_of_the_paying_account_is_found_by_its_name() {
    let body = json!({"Result": {"ResultType": 0, "ResultCode": "0", "ResultParameters": {"ResultParameter": [
        {"Key": "AccountBalance", "Value": "Working Account|KES|7.00|7.00|0.00|0.00&Utility Account|KES|228037.00|200000.00|0.00|0.00"},
        {"Key": "BOCompletedTime", "Value": 20_200_109_125_710_u64}]}}});
    let rail = rail();
    let Ok(Callback::Balance(accounts)) = rail.callback(Route::BalanceResult, body.to_string().as_bytes()) else {
        panic!("a balance was expected")
    };
    assert_eq!(rail.paying_account(&accounts).expect("listed").available_minor, 20_000_000);
    let failed = failed(&json!(2001)).to_string();
    for (route, body) in [(Route::BalanceResult, failed.as_str()), (Route::BalanceTimeout, "whatever")] {
        let Ok(Callback::Balance(accounts)) = rail.callback(route, body.as_bytes()) else { panic!("nothing is known") };
        assert!(accounts.is_empty());
    }
    let theirs = body.to_string().replace("Utility", "Utilities");
    let error = rail.callback(Route::BalanceResult, theirs.as_bytes()).map(|_| ()).expect_err("not the paying account");
    assert_eq!(error, CallbackError::OtherAccount);
}

#[test]
fn i9_news_print_neither_amount_nor_people() {
    let printed = format!("{:?}", paid(&documented()));
    for secret in ["NICHOLAS", "254705912645", "1000"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    let error =
        news_of_text(Route::PaymentResult, r#"{"Result":{"ResultCode":{"name":"NICHOLAS"}}}"#).expect_err("malformed");
    assert!(!format!("{error:?} {error}").contains("NICHOLAS"));
}
