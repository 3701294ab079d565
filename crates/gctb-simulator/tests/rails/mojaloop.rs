//! The Mojaloop SDK: two phases, every state, every shape of error.

use serde_json::{Value, json};

use crate::world::World;

pub(crate) fn transfer(home: &str, payee: &str, amount: &str) -> Value {
    json!({"homeTransactionId": home, "from": {"type": "BUSINESS", "idType": "ACCOUNT_ID", "idValue": "1212121212", "displayName": "Treasury"},
        "to": {"idType": "MSISDN", "idValue": payee}, "amountType": "SEND", "currency": "KES", "amount": amount,
        "transactionType": "TRANSFER", "note": "Relief"})
}

/// Prepares a transfer and gives its id.
pub(crate) async fn prepare(world: &World, home: &str, payee: &str) -> String {
    let (status, model) = world.post("/transfers", &transfer(home, payee, "1000.5")).await;
    assert_eq!((status, &model["currentState"]), (200, &json!("WAITING_FOR_QUOTE_ACCEPTANCE")), "{model}");
    model["transferId"].as_str().expect("an id").to_owned()
}

pub(crate) async fn accept(world: &World, id: &str) -> (u16, Value) {
    world.put(&format!("/transfers/{id}"), &json!({"acceptQuote": true})).await
}

async fn inquire(world: &World, id: &str) -> (u16, Value) {
    world.get(&format!("/transfers/{id}")).await
}

#[tokio::test]
async fn a_transfer_is_quoted_first_and_paid_once_when_the_quote_is_accepted() {
    let world = World::start();
    let id = prepare(&world, "h1", "254700001234").await;
    assert_eq!(world.summary("mojaloop").await["payments"], 0, "POST moves no money");
    let (status, unknown) = inquire(&world, &id).await;
    assert_eq!((status, &unknown["statusCode"]), (500, &json!("3208")), "the switch was not asked yet");

    let (first, second) = tokio::join!(accept(&world, &id), accept(&world, &id));
    for (status, model) in [first, second] {
        assert_eq!((status, &model["currentState"]), (200, &json!("COMPLETED")));
        assert_eq!(model["fulfil"]["body"]["transferState"], "COMMITTED");
    }
    let (status, model) = inquire(&world, &id).await;
    assert_eq!((status, &model["fulfil"]["body"]["transferState"]), (200, &json!("COMMITTED")));
    let paid = world.get("/rails/mojaloop/book/h1").await.1;
    assert_eq!(paid.as_array().map(Vec::len), Some(1), "PUT twice pays once");
    assert_eq!((&paid[0]["reference"], &paid[0]["amount_minor"]), (&json!(id), &json!(100_050)));
    assert_eq!(paid[0]["account"], "MSISDN:254700001234");

    let again = prepare(&world, "h1", "254700001234").await;
    accept(&world, &again).await;
    assert_eq!(world.summary("mojaloop").await["paid_twice"], 1, "homeTransactionId is not compared");

    world.post(&format!("/control/mojaloop/forget/{id}"), &json!({})).await;
    assert_eq!(inquire(&world, &id).await.0, 500, "a switch that forgot");
    assert_eq!(world.get("/").await.0, 200);
}

#[tokio::test]
async fn a_rejected_quote_ends_in_aborted_and_stays_there() {
    let world = World::start();
    let id = prepare(&world, "h1", "254700001234").await;
    let (status, model) = world.put(&format!("/transfers/{id}"), &json!({"acceptQuote": false})).await;
    assert_eq!((status, &model["currentState"]), (200, &json!("ABORTED")));
    assert_eq!(model["abortedReason"], "Quote rejected by backend");
    assert_eq!(accept(&world, &id).await.1["currentState"], "ABORTED");
    assert_eq!(inquire(&world, &id).await.1["statusCode"], "3208");
    assert_eq!(world.summary("mojaloop").await["payments"], 0);
}

#[tokio::test]
async fn the_knobs_of_the_sdk_change_its_phases_and_the_fee_is_shown() {
    let world = World::start();
    world.faults(&json!({"mojaloop": {"auto_accept_party": false, "fee_minor": 150}})).await;
    let (_, model) = world.post("/transfers", &transfer("h1", "254700001234", "1000")).await;
    assert_eq!(model["currentState"], "WAITING_FOR_PARTY_ACCEPTANCE");
    let path = format!("/transfers/{}", model["transferId"].as_str().expect("an id"));
    let (_, model) = world.put(&path, &json!({"acceptParty": true})).await;
    assert_eq!(model["currentState"], "WAITING_FOR_QUOTE_ACCEPTANCE");
    let quote = &model["quoteResponse"]["body"];
    assert_eq!(quote["payeeReceiveAmount"]["amount"], "998.5");
    assert_eq!((&quote["transferAmount"]["amount"], &quote["payeeFspFee"]["amount"]), (&json!("1000"), &json!("1.5")));
    let (_, other) = world.post("/transfers", &transfer("h2", "254700001234", "1000")).await;
    let path = format!("/transfers/{}", other["transferId"].as_str().expect("an id"));
    let (_, model) = world.put(&path, &json!({"acceptParty": false})).await;
    assert_eq!(model["abortedReason"], "Payee rejected by backend");

    world.faults(&json!({"mojaloop": {"auto_accept_quotes": true}})).await;
    let (_, model) = world.post("/transfers", &transfer("h3", "254700001234", "1000")).await;
    assert_eq!((&model["currentState"], world.times_paid("mojaloop", "h3").await), (&json!("COMPLETED"), 1));
}

#[tokio::test]
async fn errors_before_the_transfer_carry_their_code_and_pay_nothing() {
    let world = World::start();
    for (ending, status, code) in [
        ("0101", 500, "1001"),
        ("0107", 500, "5107"),
        ("0200", 500, "3200"),
        ("0203", 500, "3203"),
        ("0204", 500, "3204"),
        ("0206", 500, "2006"),
        ("0504", 504, "504"),
        ("0420", 500, "4200"),
        ("0503", 500, "5103"),
        ("0506", 500, "5106"),
        ("0520", 500, "5200"),
        ("0530", 500, "5300"),
        ("0540", 500, "5400"),
        ("0505", 504, "504"),
    ] {
        let (got, body) = world.post("/transfers", &transfer("h", &format!("25470000{ending}"), "10")).await;
        assert_eq!((got, &body["statusCode"]), (status, &json!(code)), "{ending}");
        let state = &body["transferState"];
        assert_eq!((&state["currentState"], &state["homeTransactionId"]), (&json!("ERROR_OCCURRED"), &json!("h")));
        let id = state["transferId"].as_str().expect("an id");
        if status == 500 {
            assert_eq!(state["lastError"]["mojaloopError"]["errorInformation"]["errorCode"], code);
        } else {
            assert!(body["message"].as_str().expect("text").starts_with("Timeout re"), "{body}");
        }
        assert_eq!(inquire(&world, id).await.1["statusCode"], "3208");
        assert_eq!(accept(&world, id).await.0, status, "an error stays one");
    }
    let (status, party) = world.get("/parties/MSISDN/254700000204").await;
    assert_eq!((status, &party["statusCode"]), (500, &json!("3204")));
    assert_eq!(world.get("/parties/MSISDN/254700001234/sub").await.0, 200);
    assert_eq!(world.summary("mojaloop").await["payments"], 0);
}

#[tokio::test]
async fn errors_of_the_transfer_say_nothing_about_the_money_until_the_switch_is_asked() {
    let world = World::start();
    for (ending, status, code, asked, paid) in [
        ("0303", 500, "3303", "ABORTED", 0),
        ("0401", 500, "4001", "ABORTED", 0),
        ("0501", 500, "5001", "ABORTED", 0),
        ("0514", 500, "5104", "ABORTED", 0),
        ("0515", 500, "5105", "ABORTED", 0),
        ("0223", 500, "2003", "3208", 0),
        ("0221", 500, "2001", "COMMITTED", 1),
        ("0507", 504, "504", "3208", 0),
        ("0508", 504, "504", "COMMITTED", 1),
        ("0509", 504, "504", "ABORTED", 0),
        ("0601", 200, "RESERVED", "COMMITTED", 1),
        ("0602", 200, "ABORTED", "ABORTED", 0),
        ("0603", 200, "RESERVED", "ABORTED", 0),
    ] {
        let id = prepare(&world, ending, &format!("25470000{ending}")).await;
        let (got, body) = accept(&world, &id).await;
        let said = if status == 200 { &body["fulfil"]["body"]["transferState"] } else { &body["statusCode"] };
        assert_eq!((got, said), (status, &json!(code)), "{ending}");
        let (got, body) = inquire(&world, &id).await;
        let said = if got == 200 { &body["fulfil"]["body"]["transferState"] } else { &body["statusCode"] };
        assert_eq!(said, &json!(asked), "{ending}");
        assert_eq!(world.times_paid("mojaloop", ending).await, paid, "{ending}");
        accept(&world, &id).await;
        assert_eq!(world.times_paid("mojaloop", ending).await, paid, "{ending}, asked to pay again");
    }
}

#[tokio::test]
async fn what_the_document_forbids_is_refused_with_a_number() {
    let world = World::start();
    let (status, body) = world.post("/transfers", &transfer("h", "254700001234", "100.00")).await;
    assert_eq!((status, &body["statusCode"]), (400, &json!(400)));
    let mut open = transfer("h", "254700001234", "100");
    open["reference"] = json!("x");
    let (status, body) = world.post("/transfers", &open).await;
    assert_eq!((status, &body["message"]), (400, &json!("/requestBody must NOT have additional properties")));
    let id = prepare(&world, "h", "254700001234").await;
    let both = json!({"acceptQuote": true, "acceptParty": true});
    assert_eq!(world.put(&format!("/transfers/{id}"), &both).await.0, 400);
    let (status, body) = accept(&world, "01J9ZQ6Y2M8K5T7V3N4R0W1XAB").await;
    assert_eq!(status, 500);
    assert!(body["message"].as_str().expect("text").starts_with("No cached data found for transferId"));
    let (status, body) = world.post("/transfers", &transfer("h", "254700001234", "1.234")).await;
    assert_eq!((status, &body["statusCode"]), (500, &json!("3100")), "KES has two decimals");
}

#[tokio::test]
async fn a_killed_sdk_knows_its_transfers_and_never_pays_one_again() {
    let world = World::start();
    let (quoted, paid) = (prepare(&world, "q", "254700001234").await, prepare(&world, "p", "254700001235").await);
    let failed = prepare(&world, "f", "254700000508").await;
    accept(&world, &paid).await;
    accept(&world, &failed).await;
    let world = World::start_in(world.kill(), &[]);
    assert_eq!(world.summary("mojaloop").await["payments"], 2);
    assert_eq!(inquire(&world, &paid).await.1["fulfil"]["body"]["transferState"], "COMMITTED");
    assert_eq!(accept(&world, &failed).await.0, 504, "what was said is said again");
    for id in [&quoted, &paid] {
        assert_eq!(accept(&world, id).await.1["currentState"], "COMPLETED");
    }
    let summary = world.summary("mojaloop").await;
    assert_eq!((&summary["payments"], &summary["paid_twice"]), (&json!(3), &json!(0)));
}
