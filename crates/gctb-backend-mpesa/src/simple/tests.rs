//! Stories of deposits, played by a server of this test.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use gctb_domain::ReasonCode;
use serde_json::{Value, json};
use wiremock::matchers::{body_json, header, method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::*;
use crate::testing::{After, Certificate, Misbehaving, NOW, hurried, load, order_to, settings_at};

const LOGIN: &str = "/api/login/agent";
const DEPOSIT: &str = "/api/transaction/deposit";
const LOGGED_IN: &str = r#"{"userId":"u","userType":"agent","token":"t1"}"#;

fn order() -> Order {
    order_to("email:john@x.com.mpesa", "10.00")
}

fn paid() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"status": "success", "message": "Success",
        "data": {"message": "Transaction under processing. You will receive a message shortly."}}))
}

fn error(status: u16, message: &str) -> ResponseTemplate {
    let error = if status == 401 { "unauthorized" } else { "could not process request" };
    ResponseTemplate::new(status).set_body_json(json!({"error": error, "message": message, "status": status}))
}

/// Tokens t1, t2 … in turn.
struct Logins(AtomicUsize);

impl Respond for Logins {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        ResponseTemplate::new(200)
            .set_body_json(json!({"userId": "u", "userType": "agent", "token": format!("t{number}")}))
            .set_delay(Duration::from_millis(50))
    }
}

fn rail_at(url: &str) -> Simple {
    let certificate = Certificate::text("not looked at");
    Simple::new(&settings_at(url, &certificate)).expect("good settings")
}

async fn simulator() -> (MockServer, Simple) {
    let server = MockServer::start().await;
    let login = json!({"email": "agent@example.org", "password": "agent-hush"});
    let login = Mock::given(method("POST")).and(path(LOGIN)).and(body_json(login));
    login.respond_with(Logins(AtomicUsize::new(0))).mount(&server).await;
    let rail = rail_at(&server.uri());
    (server, rail)
}

async fn answers(server: &MockServer, answer: ResponseTemplate) {
    Mock::given(method("POST")).and(path(DEPOSIT)).respond_with(answer).mount(server).await;
}

async fn requests(server: &MockServer, to: &str) -> Vec<Request> {
    let all = server.received_requests().await.expect("recorded");
    all.into_iter().filter(|request| request.url.path() == to).collect()
}

/// The reply to a payment that the simulator answers like this, once.
async fn paid_with(server: &MockServer, rail: &Simple, answer: ResponseTemplate) -> Reply {
    let once = Mock::given(method("POST")).and(path(DEPOSIT)).respond_with(answer);
    let _removed_at_the_end = server.register_as_scoped(once).await;
    rail.pay(&order()).await
}

#[tokio::test]
async fn a_deposit_names_whole_shillings_and_the_customers_email() {
    let (server, rail) = simulator().await;
    answers(&server, paid()).await;
    assert_eq!(rail.pay(&order()).await.learnt, Learnt::Paid);
    let sent = &requests(&server, DEPOSIT).await[0];
    assert_eq!(sent.headers["authorization"], "Bearer t1");
    let body: Value = sent.body_json().expect("JSON");
    assert_eq!(body, json!({"amount": 10, "accountNo": "john@x.com", "customerType": "subscriber"}));
}

#[tokio::test]
async fn what_it_cannot_pay_is_refused_before_any_call() {
    let (server, rail) = simulator().await;
    for (address, amount, reason) in [
        ("tel:+254705912645", "10", ReasonCode::PayeeFaInvalid),
        ("email:john@x.com.mpesa", "9", ReasonCode::AmountInvalid),
        ("email:john@x.com.mpesa", "10.50", ReasonCode::AmountInvalid),
    ] {
        let order = order_to(address, amount);
        let reply = rail.pay(&order).await;
        assert_eq!((reply.learnt, reply.reason), (Learnt::Refused { again: false }, Some(reason)));
        assert_eq!(rail.check(&order.to, order.amount).expect_err("refused").reason, reason);
    }
    assert!(server.received_requests().await.expect("recorded").is_empty());
}

#[tokio::test]
async fn every_message_means_what_the_table_says() {
    use Learnt::{Nothing, Refused};
    let (server, rail) = simulator().await;
    let (payee, ours) = (Refused { again: false }, Refused { again: true });
    let (address, amount, failed) =
        (Some(ReasonCode::PayeeFaInvalid), Some(ReasonCode::AmountInvalid), Some(ReasonCode::PaymentFailed));
    for (message, learnt, reason, hold) in [
        ("user not found", payee, address, None),
        ("<invalid> user not found", payee, address, None),
        ("cannot deposit amounts less than 10", payee, amount, None),
        ("cannot debit amount, account balance not enough. Amount: 10 Balance: 3", ours, failed, Some(Hold::NoFunds)),
        ("customer is not allowed to make a deposit", ours, failed, Some(Hold::NotPermitted)),
        ("couldn't access account. frozen", Nothing, None, Some(Hold::Locked)),
        ("couldn't access account. suspended", Nothing, None, Some(Hold::Locked)),
        ("user's account has not been created, report issue", Nothing, None, Some(Hold::NotPermitted)),
        ("something new", Nothing, None, None),
        ("", Nothing, None, None),
    ] {
        let reply = paid_with(&server, &rail, error(400, message)).await;
        assert_eq!((reply.learnt, reply.reason, reply.hold), (learnt, reason, hold), "{message}");
        assert!(!reply.message.contains("Balance:") && !reply.message.contains("balance: 3"));
    }
    let list = json!([{"error": "Validation Error", "message": "amount is a required field", "status": 400}]);
    let reply = paid_with(&server, &rail, ResponseTemplate::new(400).set_body_json(list)).await;
    assert_eq!((reply.learnt, reply.reason), (payee, amount));
}

#[tokio::test]
async fn i3_every_answer_that_proves_nothing_leaves_the_payment_unknown() {
    let (server, rail) = simulator().await;
    let html = "<html></html>";
    for (name, answer) in [
        ("a web page", ResponseTemplate::new(200).set_body_raw(html, "text/html")),
        ("a web page with 400", ResponseTemplate::new(400).set_body_raw(html, "text/html")),
        ("nothing", ResponseTemplate::new(200)),
        ("no success", ResponseTemplate::new(200).set_body_json(json!({"status": "pending"}))),
        ("another type", ResponseTemplate::new(200).set_body_json(json!({"status": true}))),
        ("an empty list", ResponseTemplate::new(400).set_body_json(json!([]))),
        ("an internal error", error(500, "internal error")),
        ("a known message with 500", error(500, "user not found")),
        ("401 of somebody else", ResponseTemplate::new(401)),
        ("401 for another reason", error(401, "the customer may not")),
        ("elsewhere", ResponseTemplate::new(302).insert_header("location", "/elsewhere")),
        ("busy", ResponseTemplate::new(503)),
    ] {
        let reply = paid_with(&server, &rail, answer).await;
        assert_eq!((reply.learnt, reply.reason, reply.hold), (Learnt::Nothing, None, None), "{name}");
    }
}

#[tokio::test]
async fn i2_a_refused_login_is_renewed_once_for_fifty_deposits_and_each_is_made_once() {
    for message in ["token has expired or is invalid", "invalid signature on token"] {
        let (server, rail) = simulator().await;
        let old = Mock::given(path(DEPOSIT)).and(header("authorization", "Bearer t1"));
        old.respond_with(error(401, message)).mount(&server).await;
        answers(&server, paid()).await;
        let order = order();
        let replies = join_all((0..50).map(|_| rail.pay(&order))).await;
        assert!(replies.iter().all(|reply| reply.learnt == Learnt::Paid));
        assert_eq!(requests(&server, LOGIN).await.len(), 2);
        let deposits = requests(&server, DEPOSIT).await;
        assert_eq!(deposits.iter().filter(|request| request.headers["authorization"] == "Bearer t2").count(), 50);
    }
}

#[tokio::test]
async fn a_login_that_is_refused_holds_the_rail_and_nothing_was_sent() {
    for answer in [error(401, "invalid credentials"), error(400, "user not found")] {
        let server = MockServer::start().await;
        Mock::given(path(LOGIN)).respond_with(answer).mount(&server).await;
        let reply = rail_at(&server.uri()).pay(&order()).await;
        assert_eq!((reply.learnt, reply.hold), (Learnt::NotSent, Some(Hold::CredentialsRefused)));
    }
    let (server, rail) = simulator().await;
    answers(&server, error(401, "token has expired or is invalid")).await;
    let reply = rail.pay(&order()).await;
    assert_eq!((reply.learnt, reply.hold), (Learnt::NotSent, Some(Hold::CredentialsRefused)));
    assert_eq!(requests(&server, DEPOSIT).await.len(), 2, "and not a third time");
}

#[tokio::test]
async fn i3_a_deposit_that_was_read_and_not_answered_is_unknown_and_not_sent_again() {
    for after in [After::Close, After::HalfAnAnswer, After::Hang] {
        let server = Misbehaving::start(LOGGED_IN, after).await;
        let certificate = Certificate::rsa(2048, NOW + 3600);
        let mut settings = settings_at(&server.url, &certificate);
        hurried(&mut settings);
        let reply = Simple::new(&settings).expect("good settings").pay(&order()).await;
        assert_eq!(reply.learnt, Learnt::Nothing);
        assert_eq!(server.payments_read(), 1);
    }
}

#[tokio::test]
async fn a_refused_connection_means_that_nothing_was_sent_and_nothing_can_be_asked() {
    let rail = rail_at("http://127.0.0.1:1");
    assert_eq!(rail.pay(&order()).await.learnt, Learnt::NotSent);
    assert_eq!(rail.inquire(&order()).await.learnt, Learnt::Nothing);
    assert_eq!(rail.kind(), RailKind { dedupes: Dedupe::Never, can_be_asked: false, two_phase: false });
}

#[test]
fn what_is_missing_or_makes_no_sense_is_named_at_the_start_and_no_secret_is_printed() {
    for (key, value, setting) in [
        ("SIMPLE__BASE_URL", "", "mpesa.simple.base_url"),
        ("REQUIRE_HTTPS", "true", "mpesa.simple.base_url"),
        ("SIMPLE__AGENT_EMAIL", "", "mpesa.simple.agent_email"),
        ("SIMPLE__AGENT_PASSWORD", "", "mpesa.simple.agent_password"),
        ("SIMPLE__CUSTOMER_TYPE", "person", "mpesa.simple.customer_type"),
        ("SIMPLE__TOKEN_LIFE", "0s", "mpesa.simple.token_life"),
    ] {
        let error = Simple::new(&load(&[(key, value)]).expect("they can be read")).map(|_| ()).expect_err(setting);
        assert!(error.to_string().contains(setting), "{key}={value}: {error}");
    }
    assert!(!format!("{:?}", rail_at("http://127.0.0.1:1")).contains("hush"));
}
