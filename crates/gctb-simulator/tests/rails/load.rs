//! Twenty thousand payments, as fast as they go: the book has each once. The rate is printed and not judged.
//!
//! A build without optimisation makes them on all rails together, since it takes minutes otherwise; one with it, on each.

use std::sync::Arc;
use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::mojaloop::{accept, transfer};
use crate::mpesa::Payer;
use crate::world::{World, answer};

const PAYMENTS: u64 = if cfg!(debug_assertions) { 7_000 } else { 20_000 };
const IN_FLIGHT: u64 = 64;

/// Makes so many calls with a bounded number in flight: `call` is given the number of each.
async fn many<F: Future<Output = ()> + Send>(call: impl Fn(u64) -> F + Send + Sync + 'static) {
    let call = Arc::new(call);
    let mut running = JoinSet::new();
    for lane in 0..IN_FLIGHT {
        let call = Arc::clone(&call);
        let lane = async move {
            let mut n = lane;
            while n < PAYMENTS {
                call(n).await;
                n += IN_FLIGHT;
            }
        };
        // A lane borrows nothing and ends with its test.
        running.spawn(lane);
    }
    while let Some(ended) = running.join_next().await {
        ended.expect("no lane panicked");
    }
}

/// A rush on one rail, for what it costs the simulator.
struct Rush<'a> {
    world: &'a World,
    started: Instant,
    used: (u64, u64),
}

impl<'a> Rush<'a> {
    fn start(world: &'a World) -> Self {
        Self { world, started: Instant::now(), used: world.used() }
    }

    fn say(&self, rail: &str) {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let (cpu_ms, kib) = self.world.used();
        let rate = PAYMENTS * 1000 / ms;
        let cpu_us = (cpu_ms - self.used.0) * 1000 / PAYMENTS;
        let bytes = kib.saturating_sub(self.used.1) * 1024 / PAYMENTS;
        eprintln!("{rail}: {rate} payments/s; of the simulator, each {cpu_us} us of CPU and {bytes} bytes more held");
    }
}

fn expected(summary: &Value) {
    assert_eq!(
        *summary,
        json!({"payments": PAYMENTS, "amount_minor": {"KES": PAYMENTS * 1000}, "accounts": PAYMENTS, "paid_twice": 0, "accounts_paid_twice": 0})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_rail_stands_a_rush_and_its_book_agrees() {
    let world = Arc::new(World::start());

    let token = world.agent_token().await;
    let rush = Rush::start(&world);
    let shared = Arc::clone(&world);
    many(move |n| {
        let (world, token) = (Arc::clone(&shared), token.clone());
        async move {
            let body = json!({"amount": 10, "accountNo": format!("p{n}@b.example"), "customerType": "subscriber"});
            let request = world.request(Method::POST, "/api/transaction/deposit").bearer_auth(token).json(&body);
            assert_eq!(answer(request).await.0, 200);
        }
    })
    .await;
    rush.say("simple-mpesa");
    expected(&world.summary("simple-mpesa").await);

    let rush = Rush::start(&world);
    let shared = Arc::clone(&world);
    many(move |n| {
        let world = Arc::clone(&shared);
        async move {
            let payee = format!("2547{:08}", 10_000 * n + 5000);
            let (_, model) = world.post("/transfers", &transfer(&n.to_string(), &payee, "10")).await;
            let id = model["transferId"].as_str().expect("an id").to_owned();
            assert_eq!(accept(&world, &id).await.0, 200);
        }
    })
    .await;
    rush.say("mojaloop");
    expected(&world.summary("mojaloop").await);

    let payer = Payer::of(&world).await;
    let (good, token) = (payer.body("k", "254700001234", 10), payer.token.clone());
    let rush = Rush::start(&world);
    let shared = Arc::clone(&world);
    many(move |n| {
        let (world, token, mut body) = (Arc::clone(&shared), token.clone(), good.clone());
        async move {
            body["OriginatorConversationID"] = json!(format!("k{n}"));
            body["PartyB"] = json!(format!("2547{:04}{:04}", n / 9000, 1000 + n % 9000));
            let request = world.request(Method::POST, "/mpesa/b2c/v3/paymentrequest").bearer_auth(token).json(&body);
            assert_eq!(answer(request).await.0, 200);
        }
    })
    .await;
    for _ in 0..PAYMENTS {
        payer.listener.next();
    }
    rush.say("mpesa, callbacks included");
    expected(&world.summary("mpesa").await);
}
