//! simple-mpesa: login, deposit, balance, statement.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{World, answer};

async fn deposit(world: &World, token: &str, body: &Value) -> (u16, Value) {
    answer(world.request(Method::POST, "/api/transaction/deposit").bearer_auth(token).json(body)).await
}

fn to(account: &str, amount: u64) -> Value {
    json!({"amount": amount, "accountNo": account, "customerType": "subscriber"})
}

#[tokio::test]
async fn a_deposit_is_paid_when_it_is_answered_and_a_retry_pays_twice() {
    let world = World::start();
    let token = world.agent_token().await;
    for _ in 0..2 {
        let (status, body) = deposit(&world, &token, &to("a@b.example", 25)).await;
        assert_eq!((status, &body["status"]), (200, &json!("success")));
    }
    let form = "amount=10&accountNo=c%40d.example&customerType=subscriber";
    let request = world.request(Method::POST, "/api/transaction/deposit").bearer_auth(&token);
    let request = request.header("Content-Type", "application/x-www-form-urlencoded").body(form);
    assert_eq!(answer(request).await.0, 200);
    let expected =
        json!({"payments": 3, "amount_minor": {"KES": 6000}, "accounts": 2, "paid_twice": 1, "accounts_paid_twice": 1});
    assert_eq!(world.summary("simple-mpesa").await, expected);

    let ask = |path| answer(world.request(Method::GET, path).bearer_auth(&token));
    assert_eq!(ask("/api/account/balance").await.1["data"]["balance"], 8_999_999_999_940_u64);
    let rows = ask("/api/account/statement").await.1["data"]["transactions"].clone();
    assert_eq!((rows.as_array().map(Vec::len), &rows[0]["debitedAmount"]), (Some(3), &json!(10)));

    let world = World::start_in(world.kill(), &[]);
    assert_eq!(world.summary("simple-mpesa").await, expected);
    let request = world.request(Method::GET, "/api/account/balance").bearer_auth(&token);
    assert_eq!(answer(request).await.1["data"]["balance"], 8_999_999_999_940_u64, "the token is signed, not stored");
}

#[tokio::test]
async fn it_refuses_in_its_own_shapes() {
    let world = World::start();
    let login = |kind: &str, email: &str, password: &str| {
        let (path, body) = (format!("/api/login/{kind}"), json!({"email": email, "password": password}));
        let request = world.request(Method::POST, &path).json(&body);
        answer(request)
    };
    assert_eq!(
        login("agent", "", "").await,
        (
            400,
            json!([{"error": "Validation Error", "message": "email is a required field", "status": 400},
                {"error": "Validation Error", "message": "password is a required field", "status": 400}])
        )
    );
    let message = |(status, body): (u16, Value)| (status, body["message"].as_str().unwrap_or_default().to_owned());
    let expect = |status: u16, text: &str| (status, text.to_owned());
    assert_eq!(message(login("agent", "x@y.example", "p").await), expect(400, "user not found"));
    assert_eq!(login("agent", "agent@demo.example", "wrong").await.0, 401);
    assert_eq!(login("king", "agent@demo.example", "demo-password").await, (404, json!("")));

    let token = world.agent_token().await;
    let path = "/api/transaction/deposit";
    let good = to("a@b.example", 10);
    assert_eq!(message(world.post(path, &good).await), expect(401, "authorization header not set"));
    let basic = world.request(Method::POST, path).header("Authorization", "Basic x").json(&good);
    assert_eq!(message(answer(basic).await), expect(401, "authentication token not set"));
    let forged = format!("{token}x");
    assert_eq!(message(deposit(&world, &forged, &good).await), expect(401, "invalid signature on token"));

    let refused = |body: Value| {
        let token = token.clone();
        let world = &world;
        async move { message(deposit(world, &token, &body).await) }
    };
    assert_eq!(refused(to("a@b.example", 9)).await, expect(400, "cannot deposit amounts less than 10"));
    assert_eq!(refused(to("unknown@b.example", 10)).await, expect(400, "user not found"));
    assert_eq!(refused(to("frozen@b.example", 10)).await, expect(400, "couldn't access account. frozen"));
    let (status, body) = deposit(&world, &token, &json!({"amount": 10.5})).await;
    assert_eq!((status, body.as_array().map(Vec::len)), (400, Some(3)), "a validation error is an array");
    world.put("/control/simple-mpesa", &json!({"float_minor": 999})).await;
    let short = "cannot debit amount, account balance not enough. Amount: 10 Balance: 9";
    assert_eq!(refused(to("a@b.example", 10)).await, expect(400, short));

    world.faults(&json!({"simple-mpesa": {"token_life_s": 0}})).await;
    let expired = world.agent_token().await;
    assert_eq!(message(deposit(&world, &expired, &good).await), expect(401, "token has expired or is invalid"));
    assert_eq!(world.summary("simple-mpesa").await["payments"], 0);
}
