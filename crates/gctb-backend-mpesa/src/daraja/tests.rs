//! Stories of payments and questions over Daraja, played by a server of this test.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use gctb_domain::ReasonCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use wiremock::matchers::{basic_auth, header, method, path, query_param};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::*;
use crate::testing::{
    After, CALLBACK_TOKEN, Certificate, Misbehaving, NOW, PASSWORD, hurried, key, load, order_to, settings, settings_at,
};

const PAYMENT: &str = "/mpesa/b2c/v3/paymentrequest";
const QUERY: &str = "/mpesa/transactionstatus/v1/query";
const OAUTH: &str = "/oauth/v1/generate";
const LOGIN: &str = r#"{"access_token":"t1","expires_in":"3599"}"#;

fn ack() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({
        "ConversationID": "AG_20240706_20106e9209c04bebd05b", "OriginatorConversationID": format!("gctb-{}", key()),
        "ResponseCode": "0", "ResponseDescription": "Accept the service request successfully."}))
}

fn error(status: u16, code: &str, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({
        "requestId": "1c5b", "errorCode": code, "errorMessage": message}))
}

fn order() -> Order {
    order_to("tel:+254705912645", "10.00")
}

/// Tokens t1, t2 … in turn, each of this life.
struct Logins(AtomicUsize, Value);

impl Respond for Logins {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        let body = json!({"access_token": format!("t{number}"), "expires_in": self.1});
        // Long enough for the others to come meanwhile.
        ResponseTemplate::new(200).set_body_json(body).set_delay(Duration::from_millis(50))
    }
}

async fn gateway() -> (MockServer, Daraja, Certificate) {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path(OAUTH))
        .and(query_param("grant_type", "client_credentials"))
        .and(basic_auth("app-key-hush", "app-secret-hush"))
        .respond_with(Logins(AtomicUsize::new(0), json!("3599")))
        .mount(&server)
        .await;
    let certificate = Certificate::rsa(2048, NOW + 3600);
    let rail = Daraja::new(&settings_at(&server.uri(), &certificate), NOW).expect("good settings");
    (server, rail, certificate)
}

async fn answers(server: &MockServer, to: &str, answer: ResponseTemplate) {
    Mock::given(method("POST")).and(path(to)).respond_with(answer).mount(server).await;
}

async fn requests(server: &MockServer, to: &str) -> Vec<Request> {
    let all = server.received_requests().await.expect("recorded");
    all.into_iter().filter(|request| request.url.path() == to).collect()
}

/// The reply to a payment that the gateway answers like this, once.
async fn paid_with(server: &MockServer, rail: &Daraja, answer: ResponseTemplate) -> Reply {
    let once = Mock::given(method("POST")).and(path(PAYMENT)).respond_with(answer);
    let _removed_at_the_end = server.register_as_scoped(once).await;
    rail.pay(&order()).await
}

#[tokio::test]
async fn a_payment_is_sent_as_daraja_wants_it_under_our_own_key() {
    let (server, rail, certificate) = gateway().await;
    answers(&server, PAYMENT, ack()).await;
    let reply = rail.pay(&order()).await;
    assert_eq!(reply.learnt, Learnt::Accepted);
    assert_eq!(reply.handle.as_deref(), Some("AG_20240706_20106e9209c04bebd05b"));
    let sent = &requests(&server, PAYMENT).await[0];
    assert_eq!(sent.headers.get("authorization").expect("a header"), "Bearer t1");
    let mut body: Value = sent.body_json().expect("JSON");
    let credential = body["SecurityCredential"].take();
    assert_eq!(certificate.decrypt(credential.as_str().expect("a text")), PASSWORD.as_bytes());
    let base = format!("https://gctb.example.org/mpesa/{CALLBACK_TOKEN}");
    let expected = json!({
        "OriginatorConversationID": format!("gctb-{}", key()), "InitiatorName": "testapi", "SecurityCredential": null,
        "CommandID": "BusinessPayment", "Amount": "10", "PartyA": "600992", "PartyB": "254705912645",
        "Remarks": "Farmers relief", "QueueTimeOutURL": format!("{base}/payment/timeout"),
        "ResultURL": format!("{base}/payment/result")});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn what_the_rail_cannot_pay_is_refused_before_any_call() {
    let (server, rail, _certificate) = gateway().await;
    for (address, amount, reason) in [
        ("tel:+256705912645", "10", ReasonCode::PayeeFaInvalid),
        ("account:1@indigo.dfsp2.bank_acc", "10", ReasonCode::PayeeFaInvalid),
        ("tel:+254705912645", "9", ReasonCode::AmountInvalid),
        ("tel:+254705912645", "10.50", ReasonCode::AmountInvalid),
        ("tel:+254705912645", "250001", ReasonCode::AmountInvalid),
    ] {
        let order = order_to(address, amount);
        let reply = rail.pay(&order).await;
        assert_eq!(
            (reply.learnt, reply.reason),
            (Learnt::Refused { again: false }, Some(reason)),
            "{address} {amount}"
        );
        assert_eq!(rail.check(&order.to, order.amount).expect_err("refused").reason, reason);
    }
    assert!(server.received_requests().await.expect("recorded").is_empty());
}

#[tokio::test]
async fn i3_every_answer_that_proves_nothing_leaves_the_payment_unknown() {
    let (server, rail, _certificate) = gateway().await;
    let html = "<html><body>502 Bad Gateway</body></html>";
    let other = json!({"ConversationID": "AG_1", "OriginatorConversationID": "gctb-00000040001P", "ResponseCode": "0"});
    let both = json!({"ResponseCode": "0", "errorCode": "400.002.02", "errorMessage": "Bad Request - Invalid Amount"});
    for (name, answer) in [
        ("a web page", ResponseTemplate::new(200).set_body_raw(html, "text/html")),
        ("a web page with 400", ResponseTemplate::new(400).set_body_raw(html, "text/html")),
        ("a web page with 502", ResponseTemplate::new(502).set_body_raw(html, "text/html")),
        ("nothing", ResponseTemplate::new(200)),
        ("nothing with 500", ResponseTemplate::new(500)),
        ("half of it", ResponseTemplate::new(200).set_body_raw(r#"{"ResponseCode":"#, "application/json")),
        ("another type", ResponseTemplate::new(200).set_body_json(json!({"ResponseCode": {"code": 0}}))),
        ("a list", ResponseTemplate::new(200).set_body_json(json!([{"ResponseCode": "0"}]))),
        ("no code", ResponseTemplate::new(200).set_body_json(json!({"ResponseDescription": "Accept"}))),
        ("an empty code", ResponseTemplate::new(200).set_body_json(json!({"ResponseCode": ""}))),
        ("another code", ResponseTemplate::new(200).set_body_json(json!({"ResponseCode": "1"}))),
        ("two things at once", ResponseTemplate::new(200).set_body_json(both)),
        ("another payment's", ResponseTemplate::new(200).set_body_json(other)),
        ("an acknowledgement with 500", ResponseTemplate::new(500).set_body_json(json!({"ResponseCode": "0"}))),
        ("elsewhere", ResponseTemplate::new(302).insert_header("location", "/elsewhere")),
        ("401 without words", ResponseTemplate::new(401)),
        ("an internal error", error(500, "500.001.1001", "Internal Server Error")),
        ("an unknown error", error(400, "400.009.99", "who knows")),
        ("a refusal with 500", error(500, "400.002.02", "Bad Request - Invalid Amount")),
        ("too much", ResponseTemplate::new(200).set_body_raw(vec![b' '; 70_000], "application/json")),
    ] {
        let reply = paid_with(&server, &rail, answer).await;
        assert_eq!((reply.learnt, reply.reason, reply.hold), (Learnt::Nothing, None, None), "{name}: {reply:?}");
    }
}

#[tokio::test]
async fn the_gateways_codes_mean_what_the_table_says() {
    let (server, rail, _certificate) = gateway().await;
    let reply = paid_with(&server, &rail, error(400, "400.002.02", "Bad Request - Invalid PhoneNumber")).await;
    assert_eq!((reply.learnt, reply.reason), (Learnt::Refused { again: false }, Some(ReasonCode::PayeeFaInvalid)));
    assert_eq!(reply.message, "mpesa:400.002.02 the gateway refused the phone number");
    let reply = paid_with(&server, &rail, error(500, "500.002.1001", "Duplicate OriginatorConversationID.")).await;
    assert_eq!((reply.learnt, reply.reason), (Learnt::Duplicate, None));
    let reply = paid_with(&server, &rail, error(500, "500.003.02", "Spike Arrest Violation")).await;
    assert_eq!((reply.learnt, reply.slow_down), (Learnt::NotSent, Some(Duration::from_secs(5))));
    let reply = paid_with(&server, &rail, error(404, "404.001.04", "Invalid Authentication Header")).await;
    assert_eq!((reply.learnt, reply.hold), (Learnt::NotSent, Some(Hold::NotPermitted)));
}

#[tokio::test]
async fn a_busy_gateway_is_left_alone_as_long_as_it_asks_within_our_limit() {
    let (server, rail, _certificate) = gateway().await;
    let fault = json!({"fault": {"faultstring": "Spike arrest violation. Allowed rate : 5ps",
        "detail": {"errorcode": "policies.ratelimit.SpikeArrestViolation"}}});
    let reply = paid_with(&server, &rail, ResponseTemplate::new(503).set_body_json(fault)).await;
    assert_eq!((reply.learnt, reply.slow_down), (Learnt::NotSent, Some(Duration::from_secs(5))));
    let reply = paid_with(&server, &rail, ResponseTemplate::new(429).insert_header("retry-after", "30")).await;
    assert_eq!((reply.learnt, reply.slow_down), (Learnt::NotSent, Some(Duration::from_secs(30))));
    let reply = paid_with(&server, &rail, ResponseTemplate::new(429).insert_header("retry-after", "86400")).await;
    assert_eq!(reply.slow_down, Some(Duration::from_secs(300)));
    let reply = paid_with(&server, &rail, ResponseTemplate::new(503).set_body_string("busy")).await;
    assert_eq!((reply.learnt, reply.slow_down), (Learnt::Nothing, Some(Duration::from_secs(5))));
}

#[tokio::test]
async fn fifty_payments_at_once_share_one_token() {
    let (server, rail, _certificate) = gateway().await;
    answers(&server, PAYMENT, ack()).await;
    let order = order();
    let replies = join_all((0..50).map(|_| rail.pay(&order))).await;
    assert!(replies.iter().all(|reply| reply.learnt == Learnt::Accepted));
    assert_eq!(requests(&server, OAUTH).await.len(), 1);
}

#[tokio::test]
async fn i2_a_refused_token_is_renewed_once_for_fifty_payments_and_the_same_body_goes_again() {
    for (status, code) in [(404, "404.001.03"), (401, "401.002.01"), (401, "401.003.01"), (400, "400.003.01")] {
        let (server, rail, _certificate) = gateway().await;
        let old = Mock::given(method("POST")).and(path(PAYMENT)).and(header("authorization", "Bearer t1"));
        old.respond_with(error(status, code, "Invalid Access Token")).mount(&server).await;
        answers(&server, PAYMENT, ack()).await;
        let order = order();
        let replies = join_all((0..50).map(|_| rail.pay(&order))).await;
        assert!(replies.iter().all(|reply| reply.learnt == Learnt::Accepted), "{code}");
        assert_eq!(requests(&server, OAUTH).await.len(), 2, "{code}: one token for all, and one in its place");
        let sent = requests(&server, PAYMENT).await;
        assert!(sent.iter().all(|request| request.body == sent[0].body), "{code}");
        let accepted = sent.iter().filter(|request| request.headers["authorization"] == "Bearer t2").count();
        assert_eq!(accepted, 50, "{code}: each was taken once");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_twice_is_not_tried_a_third_time() {
    let (server, rail, _certificate) = gateway().await;
    answers(&server, PAYMENT, error(404, "404.001.03", "Invalid Access Token")).await;
    let reply = rail.pay(&order()).await;
    assert_eq!((reply.learnt, reply.slow_down), (Learnt::NotSent, Some(Duration::from_secs(5))));
    assert_eq!(requests(&server, PAYMENT).await.len(), 2);
}

#[tokio::test]
async fn a_token_near_its_end_is_renewed_and_a_short_one_is_used_for_half_of_its_life() {
    for (life, expected) in [(json!("3599"), 1), (json!(3599), 1), (json!("20"), 1), (json!("0"), 0)] {
        let server = MockServer::start().await;
        let logins = Logins(AtomicUsize::new(0), life.clone());
        Mock::given(path(OAUTH)).respond_with(logins).mount(&server).await;
        answers(&server, PAYMENT, ack()).await;
        let certificate = Certificate::rsa(2048, NOW + 3600);
        let rail = Daraja::new(&settings_at(&server.uri(), &certificate), NOW).expect("good settings");
        for _ in 0..3 {
            rail.pay(&order()).await;
        }
        let payments = requests(&server, PAYMENT).await.len();
        assert_eq!((requests(&server, OAUTH).await.len(), payments), (1, 3 * expected), "a life of {life}");
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_rail_is_asked_once_for_all() {
    for (answer, hold) in [
        (ResponseTemplate::new(400), Some(Hold::CredentialsRefused)),
        (error(400, "400.008.01", "Invalid Authentication passed"), Some(Hold::CredentialsRefused)),
        (ResponseTemplate::new(401), Some(Hold::CredentialsRefused)),
        (ResponseTemplate::new(500), None),
        (ResponseTemplate::new(200).set_body_string("<html>"), None),
        (ResponseTemplate::new(200).set_body_json(json!({"access_token": "a\nb", "expires_in": "3599"})), None),
        (ResponseTemplate::new(200).set_body_json(json!({"access_token": "t1", "expires_in": "soon"})), None),
    ] {
        let server = MockServer::start().await;
        Mock::given(path(OAUTH)).respond_with(answer).mount(&server).await;
        let certificate = Certificate::rsa(2048, NOW + 3600);
        let rail = Daraja::new(&settings_at(&server.uri(), &certificate), NOW).expect("good settings");
        let order = order();
        for reply in join_all((0..50).map(|_| rail.pay(&order))).await {
            assert_eq!((reply.learnt, reply.hold), (Learnt::NotSent, hold));
            assert!(reply.slow_down.is_some());
        }
        assert_eq!(server.received_requests().await.expect("recorded").len(), 1);
    }
}

#[tokio::test]
async fn i3_a_connection_that_closes_after_the_payment_was_read_leaves_it_unknown() {
    for after in [After::Close, After::HalfAnAnswer] {
        let server = Misbehaving::start(LOGIN, after).await;
        let certificate = Certificate::rsa(2048, NOW + 3600);
        let rail = Daraja::new(&settings_at(&server.url, &certificate), NOW).expect("good settings");
        let reply = rail.pay(&order()).await;
        assert_eq!(reply.learnt, Learnt::Nothing);
        assert_eq!(server.payments_read(), 1, "and nobody sent it again");
    }
}

#[tokio::test]
async fn i2_a_kept_connection_that_closes_after_the_second_payment_was_read_sends_it_once() {
    let acknowledged = r#"{"ConversationID":"AG_1","ResponseCode":0}"#;
    let server = Misbehaving::start(LOGIN, After::CloseAtTheSecond(acknowledged)).await;
    let certificate = Certificate::rsa(2048, NOW + 3600);
    let rail = Daraja::new(&settings_at(&server.url, &certificate), NOW).expect("good settings");
    assert_eq!(rail.pay(&order()).await.learnt, Learnt::Accepted);
    assert_eq!(rail.pay(&order()).await.learnt, Learnt::Nothing);
    assert_eq!(server.payments_read(), 2, "one request for each payment");
}

#[tokio::test]
async fn i3_a_call_that_hangs_ends_at_its_deadline_and_leaves_the_payment_unknown() {
    let server = Misbehaving::start(LOGIN, After::Hang).await;
    let certificate = Certificate::rsa(2048, NOW + 3600);
    let mut settings = settings_at(&server.url, &certificate);
    hurried(&mut settings);
    let rail = Daraja::new(&settings, NOW).expect("good settings");
    let began = Instant::now();
    let reply = rail.pay(&order()).await;
    assert_eq!((reply.learnt, reply.message.as_str()), (Learnt::Nothing, "the rail did not answer in time"));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(server.payments_read(), 1);
}

#[tokio::test]
async fn a_login_that_hangs_means_that_nothing_was_sent() {
    let server = MockServer::start().await;
    let late = ResponseTemplate::new(200).set_body_string(LOGIN).set_delay(Duration::from_secs(30));
    Mock::given(path(OAUTH)).respond_with(late).mount(&server).await;
    let certificate = Certificate::rsa(2048, NOW + 3600);
    let mut settings = settings_at(&server.uri(), &certificate);
    hurried(&mut settings);
    let rail = Daraja::new(&settings, NOW).expect("good settings");
    let began = Instant::now();
    let order = order();
    let replies = join_all((0..50).map(|_| rail.pay(&order))).await;
    assert!(replies.iter().all(|reply| reply.learnt == Learnt::NotSent));
    assert_eq!(requests(&server, OAUTH).await.len(), 1, "one waited for it, and told the others");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_refused_connection_means_that_nothing_was_sent() {
    let (server, rail, _certificate) = gateway().await;
    answers(&server, PAYMENT, ack()).await;
    assert_eq!(rail.pay(&order()).await.learnt, Learnt::Accepted, "there is a token");
    // The port is free again, and nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address").port();
    let mut away = rail;
    away.base_url = format!("http://127.0.0.1:{port}");
    let reply = away.pay(&order()).await;
    assert_eq!((reply.learnt, reply.message.as_str()), (Learnt::NotSent, "the rail could not be connected to"));
    away.base_url = "http://no-such-host.invalid".to_owned();
    assert_eq!(away.pay(&order()).await.learnt, Learnt::NotSent, "and so does a name that nobody has");
    away.base_url = server.uri().replace("http://", "https://");
    assert_eq!(away.pay(&order()).await.learnt, Learnt::NotSent, "and a rail that speaks no TLS");
}

#[tokio::test]
async fn a_question_names_the_payment_by_our_key_and_its_answer_says_when_it_was_asked() {
    let (server, rail, _certificate) = gateway().await;
    answers(&server, QUERY, ack()).await;
    let reply = rail.inquire(&Order { sends: 2, quiet: true, ..order() }).await;
    assert_eq!((reply.learnt, reply.handle), (Learnt::Nothing, None));
    let mut body: Value = requests(&server, QUERY).await[0].body_json().expect("JSON");
    body["SecurityCredential"].take();
    let base = format!("https://gctb.example.org/mpesa/{CALLBACK_TOKEN}/status/{}/2-q", key());
    let expected = json!({
        "Initiator": "testapi", "SecurityCredential": null, "CommandID": "TransactionStatusQuery",
        "OriginalConversationID": format!("gctb-{}", key()), "PartyA": "600992", "IdentifierType": "4",
        "ResultURL": format!("{base}/result"), "QueueTimeOutURL": format!("{base}/timeout"), "Remarks": "OK"});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn i3_whatever_is_said_to_a_question_at_once_is_not_said_of_the_payment() {
    let (server, rail, _certificate) = gateway().await;
    for (answer, hold) in [
        (error(400, "400.002.02", "Bad Request - Invalid PhoneNumber"), None),
        (error(400, "400.002.02", "Bad Request - Invalid Initiator"), Some(Hold::CredentialsRefused)),
        (error(500, "500.002.1001", "Duplicate"), None),
        (error(500, "500.003.02", "Spike Arrest"), None),
        (error(404, "404.001.03", "Invalid Access Token"), None),
        (error(404, "404.002.01", "Resource not found"), Some(Hold::NotPermitted)),
        (ResponseTemplate::new(429), None),
    ] {
        let once = Mock::given(method("POST")).and(path(QUERY)).respond_with(answer);
        let _removed_at_the_end = server.register_as_scoped(once).await;
        let reply = rail.inquire(&order()).await;
        assert_eq!((reply.learnt, reply.hold), (Learnt::Nothing, hold));
    }
    let certificate = Certificate::rsa(2048, NOW + 3600);
    let nobody = Daraja::new(&settings_at("http://127.0.0.1:1", &certificate), NOW).expect("good settings");
    assert_eq!(nobody.inquire(&order()).await.learnt, Learnt::Nothing, "that the question was not sent, either");
}

#[tokio::test]
async fn the_balance_is_asked_for_by_the_short_code() {
    let (server, rail, _certificate) = gateway().await;
    answers(&server, "/mpesa/accountbalance/v1/query", ack()).await;
    assert!(rail.ask_balance().await.taken);
    let body: Value = requests(&server, "/mpesa/accountbalance/v1/query").await[0].body_json().expect("JSON");
    assert_eq!((&body["CommandID"], &body["PartyA"]), (&json!("AccountBalance"), &json!("600992")));
    assert!(body.get("OriginalConversationID").is_none());
}

#[test]
fn i9_neither_settings_nor_the_rail_print_a_secret() {
    let certificate = Certificate::rsa(2048, NOW + 3600);
    let settings = settings_at("http://127.0.0.1:9", &certificate);
    let rail = Daraja::new(&settings, NOW).expect("good settings");
    let printed = format!("{settings:?} {rail:?}");
    for secret in ["hush", PASSWORD, CALLBACK_TOKEN] {
        assert!(!printed.contains(secret), "{secret}");
    }
}

#[test]
fn what_is_missing_or_makes_no_sense_is_named_at_the_start() {
    let certificate = Certificate::rsa(2048, NOW + 3600);
    let file = certificate.path().to_string_lossy().into_owned();
    for (key, value, setting) in [
        ("DARAJA__BASE_URL", "", "mpesa.daraja.base_url"),
        ("DARAJA__BASE_URL", "ftp://rail", "mpesa.daraja.base_url"),
        ("DARAJA__BASE_URL", "http://u:p@rail", "mpesa.daraja.base_url"),
        ("REQUIRE_HTTPS", "true", "mpesa.daraja.base_url"),
        ("DARAJA__CONSUMER_KEY", "", "mpesa.daraja.consumer_key"),
        ("DARAJA__CONSUMER_SECRET", " ", "mpesa.daraja.consumer_secret"),
        ("DARAJA__INITIATOR_NAME", "", "mpesa.daraja.initiator_name"),
        ("DARAJA__INITIATOR_PASSWORD", "", "mpesa.daraja.initiator_password"),
        ("DARAJA__CERTIFICATE_FILE", "", "mpesa.daraja.certificate_file"),
        ("DARAJA__SHORT_CODE", "", "mpesa.daraja.short_code"),
        ("DARAJA__SHORT_CODE", "six", "mpesa.daraja.short_code"),
        ("DARAJA__COMMAND_ID", "Pay", "mpesa.daraja.command_id"),
        ("DARAJA__KEY_PREFIX", "ministry-of-health", "mpesa.daraja.key_prefix"),
        ("DARAJA__REMARKS", "x", "mpesa.daraja.remarks"),
        ("DARAJA__CALLBACK_URL", "", "mpesa.daraja.callback_url"),
        ("DARAJA__CALLBACK_TOKEN", "guess", "mpesa.daraja.callback_token"),
        ("AMOUNT_MAX", "much", "mpesa.amount_max"),
        ("CALL_TIMEOUT", "20s", "mpesa.call_timeout"),
        ("MSISDN__COUNTRY_CODE", "+254", "mpesa.msisdn.country_code"),
        ("MSISDN__PATTERN", "(", "mpesa.msisdn.pattern"),
    ] {
        let settings = load(&[("DARAJA__CERTIFICATE_FILE", &file), (key, value)]).expect("they can be read");
        let error = Daraja::new(&settings, NOW).map(|_| ()).expect_err(setting);
        assert!(error.to_string().contains(setting), "{key}={value}: {error}");
    }
    assert!(load(&[("DARAJA__SHORTCODE", "1")]).expect_err("unknown").contains("shortcode"));
    assert!(settings().whole_units_only);
}
