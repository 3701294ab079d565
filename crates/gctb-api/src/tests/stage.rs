//! The service without its socket: the real routes, the real database, no Kafka.

use std::time::Duration;

use actix_web::body::to_bytes;
use actix_web::http::header::{CONTENT_LENGTH, HeaderValue, RETRY_AFTER};
use actix_web::http::{Method, StatusCode};
use actix_web::{App, test};
use chrono::Utc;
use gctb_db::{Db, DbOptions};
use gctb_outbox::Outbox;
use gctb_runtime::{Health, Producer, Shutdown, Workers};
use gctb_testkit::TestDatabase;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::metrics::Metrics;
use crate::routes;
use crate::settings::{IDENTITY, Settings};
use crate::world::World;

/// Nobody listens on port 1.
const NOBODY: &str = "127.0.0.1:1";

/// A sender that is answered in specification mode; all others are answered in OpenG2P mode.
pub(super) const SPEC_SENDER: &str = "spp.example.org";

/// A running service, and the database of its own if it has one.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) database: Option<TestDatabase>,
    shutdown: Shutdown,
    workers: Option<Workers>,
}

/// What a request was answered with.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<String>,
    pub(super) bytes: Vec<u8>,
}

impl Stage {
    /// With a database of its own; None where there is no server for it.
    pub(super) fn with_database(test: &str) -> Option<Self> {
        let database = gctb_testkit::database(test)?;
        Some(Self::build(&[], database.db().clone(), Some(database)))
    }

    /// With a database that cannot be reached.
    pub(super) fn without_database(changes: &[(&str, &str)]) -> Self {
        let options = DbOptions {
            url: SecretString::from(format!("postgres://nobody@{NOBODY}/nothing")),
            pool_size: 1,
            connect_timeout: Duration::from_millis(200),
            statement_timeout: Duration::from_secs(1),
            silence_timeout: Duration::from_secs(2),
            transaction_idle_timeout: Duration::from_secs(2),
            application_name: IDENTITY.name.to_owned(),
        };
        Self::build(changes, Db::new(&options), None)
    }

    fn build(changes: &[(&str, &str)], db: Db, database: Option<TestDatabase>) -> Self {
        let settings = settings(changes);
        let (health, shutdown) = (Health::new(), Shutdown::new());
        let producer = Producer::new(&settings.kafka, IDENTITY.name, &health).expect("the settings can be used");
        let meter = opentelemetry::global::meter("test");
        let mut workers = Workers::new(&shutdown);
        let outbox = Outbox::start(&settings.outbox, &db, &producer, &health, &meter, &shutdown, &mut workers)
            .expect("threads can be started");
        let mut world = World::new(&settings, db, outbox, Metrics::new(meter), Utc::now).expect("settings make sense");
        world.senders.modes.insert(SPEC_SENDER.to_owned(), gctb_connect::Mode::Spec);
        Self { world, database, shutdown, workers: Some(workers) }
    }

    pub(super) fn database(&self) -> &TestDatabase {
        self.database.as_ref().expect("a stage with a database")
    }

    /// Room for a small body.
    pub(super) async fn room(&self) -> crate::budget::Room {
        self.world.bodies.budget.wait_for(1, Duration::ZERO).await.expect("there is room")
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_bytes(path, body.to_string().into_bytes(), None).await
    }

    /// `announced` is a Content-Length that need not be true.
    pub(super) async fn post_bytes(&self, path: &str, body: Vec<u8>, announced: Option<usize>) -> Answer {
        self.call(test::TestRequest::post().uri(path).set_payload(body), announced).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.call(test::TestRequest::default().method(Method::GET).uri(path), None).await
    }

    async fn call(&self, request: test::TestRequest, announced: Option<usize>) -> Answer {
        let mut request = request.to_request();
        // A payload brings its true length with it.
        request.headers_mut().remove(CONTENT_LENGTH);
        if let Some(bytes) = announced {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes));
        }
        let service = test::init_service(App::new().configure(routes::api(self.world.clone()))).await;
        let response = test::call_service(&service, request).await;
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let bytes = to_bytes(response.into_body()).await.unwrap_or_default().to_vec();
        Answer { status, retry_after, bytes }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.shutdown.request();
        if let Some(workers) = self.workers.take() {
            let ended = workers.join(Duration::from_secs(30));
            assert!(ended.is_ok() || std::thread::panicking(), "the workers end");
        }
    }
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("the answer is JSON")
    }

    /// The items of a disburse answer.
    pub(super) fn items(&self) -> Vec<Value> {
        self.json()["message"]["disbursements_status"].as_array().expect("a list of items").clone()
    }

    pub(super) fn error(&self) -> (u16, String, String) {
        let error = self.json()["errors"][0].clone();
        let text = |field: &str| error[field].as_str().expect("a text").to_owned();
        (self.status.as_u16(), text("code"), text("message"))
    }
}

fn settings(changes: &[(&str, &str)]) -> Settings {
    let fixed = [
        ("GCTB_API__DATABASE__URL", "postgres://unused@h/d"),
        ("GCTB_API__KAFKA__BROKERS", NOBODY),
        ("GCTB_API__KAFKA__MESSAGE_TIMEOUT", "100ms"),
        ("GCTB_API__OUTBOX__RELAY_INTERVAL", "1h"),
        ("GCTB_API__INTAKE__DEFAULT_PAYER_FA", "account:4100200300@head.treasury.bank_acc"),
    ];
    let env = fixed.iter().chain(changes).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    gctb_runtime::settings::load_from(&IDENTITY, std::iter::empty(), env).expect("the settings can be read")
}

/// An item that can be paid.
pub(super) fn item(reference: &str) -> Value {
    json!({"reference_id": reference, "payer_fa": "", "payee_fa": "token:ABC123@nationalId", "amount": "1000.0",
        "currency_code": "KES", "payee_name": "Jane Doe", "locale": "eng"})
}

/// A disburse message.
pub(super) fn message(sender: &str, message_id: &str, transaction: &str, items: &[Value]) -> Value {
    json!({"signature": "string", "header": {"message_id": message_id, "message_ts": "2026-07-01 08:30:00.123456",
        "action": "disburse", "sender_id": sender, "total_count": items.len()},
        "message": {"transaction_id": transaction, "disbursements": items}})
}

/// A status message; `asked` goes into txnstatus_request.
pub(super) fn question(sender: &str, asked: Value) -> Value {
    let mut request = json!({"reference_id": "q", "txn_type": "disburse", "locale": "eng"});
    request.as_object_mut().expect("an object").extend(asked.as_object().expect("an object").clone());
    json!({"signature": "", "header": {"message_id": "q-1", "message_ts": "2026-07-01T08:30:00Z", "action": "disburse",
        "sender_id": sender}, "message": {"transaction_id": "q-t", "txnstatus_request": request}})
}
