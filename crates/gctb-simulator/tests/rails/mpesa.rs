//! Daraja: tokens, requests, results, queries, restarts.

use reqwest::Method;
use serde_json::{Value, json};

use crate::listener::Listener;
use crate::world::{World, answer};

/// Somebody who may pay, with an address for results.
pub(crate) struct Payer<'a> {
    pub(crate) world: &'a World,
    pub(crate) token: String,
    credential: String,
    pub(crate) listener: Listener,
}

impl<'a> Payer<'a> {
    pub(crate) async fn of(world: &'a World) -> Self {
        let (token, credential) = (world.daraja_token().await, world.credential("demo-password#1").await);
        Self { world, token, credential, listener: Listener::start() }
    }

    pub(crate) fn body(&self, key: &str, msisdn: &str, amount: u64) -> Value {
        json!({"OriginatorConversationID": key, "InitiatorName": "testapi", "SecurityCredential": self.credential,
            "CommandID": "BusinessPayment", "Amount": amount.to_string(), "PartyA": "600992", "PartyB": msisdn, "Remarks": "Relief",
            "QueueTimeOutURL": self.listener.url("/timeout"), "ResultURL": self.listener.url("/result"), "Occassion": "July"})
    }

    pub(crate) fn request(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.world.request(Method::POST, path).bearer_auth(&self.token).json(body)
    }

    pub(crate) async fn pay(&self, key: &str, msisdn: &str, amount: u64) -> (u16, Value) {
        answer(self.request("/mpesa/b2c/v3/paymentrequest", &self.body(key, msisdn, amount))).await
    }

    /// Pays and gives the result code that comes.
    async fn code(&self, key: &str, msisdn: &str, amount: u64) -> Value {
        let (status, ack) = self.pay(key, msisdn, amount).await;
        assert_eq!((status, &ack["ResponseCode"]), (200, &json!("0")), "{ack}");
        let result = self.listener.next().result();
        assert_eq!(
            (&result["OriginatorConversationID"], &result["ConversationID"]),
            (&json!(key), &ack["ConversationID"])
        );
        result["ResultCode"].clone()
    }

    /// What a query is answered.
    async fn ask(&self, path: &str, command: &str, more: &Value) -> Value {
        let mut body = json!({"Initiator": "testapi", "SecurityCredential": self.credential, "CommandID": command, "PartyA": "600992",
            "IdentifierType": "4", "Remarks": "OK", "ResultURL": self.listener.url("/query"), "QueueTimeOutURL": self.listener.url("/timeout")});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let (status, ack) = answer(self.request(path, &body)).await;
        assert_eq!(status, 200, "{ack}");
        let callback = self.listener.next();
        assert_eq!(callback.path, "/query");
        let result = callback.result();
        assert_eq!(result["ConversationID"], ack["ConversationID"], "the ids are those of the query");
        result
    }

    pub(crate) async fn status(&self, key: &str) -> Value {
        let asked = json!({"OriginalConversationID": key});
        self.ask("/mpesa/transactionstatus/v1/query", "TransactionStatusQuery", &asked).await
    }
}

/// A parameter of a result by its key.
pub(crate) fn parameter(result: &Value, key: &str) -> Value {
    let parameters = result["ResultParameters"]["ResultParameter"].as_array().expect("parameters");
    parameters.iter().find(|parameter| parameter["Key"] == key).map(|found| found["Value"].clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_payment_is_acknowledged_then_made_then_told_and_can_be_asked_for() {
    let world = World::start();
    let payer = Payer::of(&world).await;
    let (status, ack) = payer.pay("gctb_1", "254705912645", 250).await;
    assert_eq!((status, &ack["OriginatorConversationID"]), (200, &json!("gctb_1")));
    let callback = payer.listener.next();
    assert_eq!(callback.path, "/result");
    assert!(
        callback.text.contains(r#""B2CUtilityAccountAvailableFunds","Value":8999999999750.00"#),
        "{}",
        callback.text
    );
    let result = callback.result();
    assert_eq!((&result["ResultType"], &result["ResultCode"]), (&json!(0), &json!(0)));
    assert_eq!(parameter(&result, "TransactionAmount"), 250);
    let receipt = parameter(&result, "TransactionReceipt");
    assert_eq!(receipt, result["TransactionID"]);

    let paid = world.get("/rails/mpesa/book/gctb_1").await.1;
    assert_eq!((&paid[0]["account"], &paid[0]["amount_minor"]), (&json!("254705912645"), &json!(25_000)));
    assert_eq!(paid[0]["reference"], receipt);

    let found = payer.status("gctb_1").await;
    assert_eq!(parameter(&found, "TransactionStatus"), "Completed");
    assert_eq!(parameter(&found, "ReceiptNo"), receipt);
    let asked = json!({"TransactionID": receipt});
    let by_receipt = payer.ask("/mpesa/transactionstatus/v1/query", "TransactionStatusQuery", &asked).await;
    assert_eq!(parameter(&by_receipt, "OriginatorConversationID"), "gctb_1");
    assert_eq!(payer.status("nobody").await["ResultCode"], 2032);

    let balance = payer.ask("/mpesa/accountbalance/v1/query", "AccountBalance", &json!({})).await;
    let accounts = parameter(&balance, "AccountBalance");
    assert!(
        accounts.as_str().expect("text").contains("&Utility Account|KES|8999999999750.00|8999999999750.00|0.00|0.00&")
    );
    assert!(!world.log().contains("254705912645"), "no personal data in the log");
}

#[tokio::test]
async fn a_key_that_was_taken_is_a_duplicate_and_v1_makes_its_own() {
    let world = World::start();
    let payer = Payer::of(&world).await;
    payer.code("k1", "254700001234", 10).await;
    let (status, refusal) = payer.pay("k1", "254700001234", 10).await;
    assert_eq!((status, &refusal["errorCode"]), (500, &json!("500.002.1001")));
    assert_eq!(payer.code("k2", "254700000040", 10).await, 2040);
    assert_eq!(payer.pay("k2", "254700000040", 10).await.0, 500, "a refused key is remembered too");
    assert_eq!(world.times_paid("mpesa", "k1").await, 1);

    for _ in 0..2 {
        let body = payer.body("ignored", "254700001234", 10);
        let (status, ack) = answer(payer.request("/mpesa/b2c/v1/paymentrequest", &body)).await;
        assert_eq!(status, 200);
        assert_ne!(ack["OriginatorConversationID"], "ignored");
        payer.listener.next();
    }
    assert_eq!(world.summary("mpesa").await["payments"], 3, "v1 pays again");
}

#[tokio::test]
async fn with_the_lax_knobs_refused_keys_are_forgotten_and_paid_ones_are_not() {
    let world = World::start();
    let payer = Payer::of(&world).await;
    world.faults(&json!({"mpesa": {"forgets_refused": true}})).await;
    assert_eq!(payer.code("k1", "254700000040", 10).await, 2040);
    assert_eq!(payer.code("k1", "254700001234", 10).await, 0);
    assert_eq!(payer.pay("k1", "254700001234", 10).await.0, 500);

    world.faults(&json!({"mpesa": {"dedupe_lax": true, "callback_delay_ms": 200}})).await;
    assert_eq!(payer.pay("k2", "254700001234", 10).await.0, 200);
    assert_eq!(payer.pay("k2", "254700001234", 10).await.0, 200, "acknowledged while the first is in hand");
    let mut codes = [payer.listener.next(), payer.listener.next()].map(|told| told.result()["ResultCode"].as_u64());
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(15)]);
    assert_eq!(world.times_paid("mpesa", "k2").await, 1);
}

#[tokio::test]
async fn reserved_numbers_amounts_and_empty_funds_are_refused_by_their_codes() {
    let world = World::start();
    let payer = Payer::of(&world).await;
    for (n, (ending, code)) in [
        ("0001", json!(1)),
        ("0003", json!("SFC_IC0003")),
        ("0004", json!(4)),
        ("0006", json!(2006)),
        ("0008", json!(8)),
        ("0011", json!(11)),
        ("0015", json!(15)),
        ("0017", json!(17)),
        ("0021", json!(21)),
        ("0026", json!(26)),
        ("0028", json!(2028)),
        ("0040", json!(2040)),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(payer.code(&format!("r{n}"), &format!("25470000{ending}"), 10).await, code);
    }
    assert_eq!(payer.code("small", "254700001234", 9).await, 2);
    assert_eq!(payer.code("large", "254700001234", 250_001).await, 3);
    assert_eq!(world.summary("mpesa").await["payments"], 0);
    assert_eq!(parameter(&payer.status("r7").await, "TransactionStatus"), "Declined");

    assert_eq!(payer.code("paid17", "254700000117", 10).await, 17);
    assert_eq!(world.times_paid("mpesa", "paid17").await, 1, "an internal failure after paying");
    assert_eq!(parameter(&payer.status("paid17").await, "TransactionStatus"), "Completed");

    world.put("/control/mpesa", &json!({"funds_minor": 1500})).await;
    assert_eq!(payer.code("f1", "254700001234", 10).await, 0);
    assert_eq!(payer.code("f2", "254700001234", 10).await, 1);
}

#[tokio::test]
async fn the_gateway_refuses_in_its_own_words_and_pays_nothing() {
    let world = World::start();
    let payer = Payer::of(&world).await;
    let pay = "/mpesa/b2c/v3/paymentrequest";
    let good = payer.body("k", "254700001234", 10);
    let refusal = |(status, body): (u16, Value)| (status, body["errorCode"].as_str().unwrap_or_default().to_owned());
    let expect = |status: u16, code: &str| (status, code.to_owned());

    assert_eq!(refusal(world.get(pay).await), expect(405, "405.001"));
    assert_eq!(refusal(world.post(pay, &good).await), expect(404, "404.001.04"));
    let wrong = world.request(Method::POST, pay).bearer_auth("wrong").json(&good);
    assert_eq!(refusal(answer(wrong).await), expect(404, "404.001.03"));
    assert_eq!(refusal(answer(payer.request(pay, &json!([]))).await), expect(400, "400.002.05"));
    let mut bad = good.clone();
    bad["Amount"] = json!("10.50");
    let (status, body) = answer(payer.request(pay, &bad)).await;
    assert_eq!((status, &body["errorMessage"]), (400, &json!("Bad Request - Invalid Amount")));
    assert_eq!(refusal((status, body)), expect(400, "400.002.02"));

    let next = world.daraja_token().await;
    assert_eq!(
        refusal(answer(payer.request(pay, &good)).await),
        expect(401, "401.003.01"),
        "a new token ends the last"
    );
    assert_ne!(next, payer.token);

    assert_eq!(world.oauth("demo-consumer-key:wrong").await, (400, json!("")));
    assert_eq!(refusal(world.get("/oauth/v1/generate?grant_type=client_credentials").await), expect(400, "400.008.01"));
    let basic = world.request(Method::GET, "/oauth/v1/generate?grant_type=x").header("Authorization", "Basic eA==");
    assert_eq!(refusal(answer(basic).await), expect(400, "400.008.02"));
    let (_, token) = world.oauth("demo-consumer-key:demo-consumer-secret").await;
    assert_eq!(token["expires_in"], "3599");
    assert_eq!(world.summary("mpesa").await["payments"], 0);
}

#[tokio::test]
async fn wrong_credentials_are_told_later_and_too_many_lock() {
    let world = World::start();
    let mut payer = Payer::of(&world).await;
    world.faults(&json!({"mpesa": {"lock_after": 2}})).await;
    let good = std::mem::replace(&mut payer.credential, world.credential("wrong").await);
    assert_eq!(payer.code("w1", "254700001234", 10).await, 2001);
    assert_eq!(payer.code("w2", "254700001234", 10).await, 2001);
    payer.credential = good;
    assert_eq!(payer.code("w3", "254700001234", 10).await, 8006);
    assert_eq!(world.put("/control/mpesa", &json!({"locked": false})).await.1["locked"], false);
    assert_eq!(payer.code("w4", "254700001234", 10).await, 0);
}

#[tokio::test]
async fn a_killed_simulator_keeps_its_book_its_keys_and_its_word() {
    let world = World::start();
    let payer = Payer::of(&world).await;
    payer.code("done", "254700001234", 10).await;
    world.faults(&json!({"mpesa": {"callback_delay_ms": 600_000}})).await;
    assert_eq!(payer.pay("in-hand", "254700001235", 20).await.0, 200);
    let listener = payer.listener;

    let world = World::start_in(world.kill(), &[]);
    let told = listener.next().result();
    assert_eq!((&told["OriginatorConversationID"], &told["ResultCode"]), (&json!("in-hand"), &json!(0)));
    let summary = world.wait_for_payments("mpesa", 2).await;
    assert_eq!(
        summary,
        json!({"payments": 2, "amount_minor": {"KES": 3000}, "accounts": 2, "paid_twice": 0, "accounts_paid_twice": 0})
    );
    let payer = Payer::of(&world).await;
    for key in ["done", "in-hand"] {
        assert_eq!(payer.pay(key, "254700001234", 10).await.0, 500);
        assert_eq!(parameter(&payer.status(key).await, "TransactionStatus"), "Completed");
    }
}
