//! What the stories share: a database with payments that were sent, a listener, and Daraja's callbacks about them.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use chrono::Utc;
use gctb_backend::{Hold, PaymentBackend};
use gctb_db::{BatchClaims, BatchWords, Claim, Db, Holder, NewBatch, NewInstruction, Turn, Word};
use gctb_domain::paying::Learnt;
use gctb_domain::{BackendName, BatchId, BatchNo, RailKey, Seq};
use gctb_runtime::{Health, Shutdown, Telemetry, TelemetrySettings, Workers};
use gctb_testkit::TestDatabase;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::callbacks::{CallbackWorld, Callbacks};
use crate::daraja::{Daraja, Question, Route};
use crate::funds::Funds;
use crate::settings::{IDENTITY, MpesaSettings};
use crate::testing::{CALLBACK_TOKEN, Certificate, NOW, kes, settings_at};

const LONG: Duration = Duration::from_secs(600);

/// A listener on a database with one batch, whose payments of 10 KES were sent and not answered yet.
pub(super) struct Stage {
    pub(super) database: TestDatabase,
    pub(super) rail: Arc<Daraja>,
    pub(super) holder: Holder,
    pub(super) funds: Arc<Funds>,
    pub(super) health: Health,
    pub(super) batch: BatchId,
    pub(super) number: BatchNo,
    /// Outbox rows that were handed over to be published.
    pub(super) published: Arc<Mutex<usize>>,
    /// Holds that were told of.
    pub(super) holds: Arc<Mutex<Vec<Hold>>>,
    pub(super) url: String,
    pub(super) client: reqwest::Client,
    shutdown: Shutdown,
    workers: Option<Workers>,
    _certificate: Certificate,
}

/// The defaults with a listener on any free port, and a certificate that must outlive the settings.
pub(super) fn defaults(rail_url: &str) -> (MpesaSettings, Certificate) {
    let certificate = Certificate::rsa(2048, NOW + 3600);
    let mut settings = settings_at(rail_url, &certificate);
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    settings.daraja.listener.bind = format!("127.0.0.1:{port}");
    settings.daraja.callback_url = Some(format!("http://127.0.0.1:{port}/mpesa"));
    (settings, certificate)
}

impl Stage {
    /// `None` where there is no Postgres to test with.
    pub(super) fn start(test: &str, payments: i32) -> Option<Self> {
        Self::start_with(test, payments, |_| {})
    }

    pub(super) fn start_with(test: &str, payments: i32, change: impl FnOnce(&mut MpesaSettings)) -> Option<Self> {
        let (mut settings, certificate) = defaults("http://127.0.0.1:9");
        change(&mut settings);
        Self::start_by(test, payments, &settings, certificate, None)
    }

    /// `writes_to`: the database that the listener uses, where it is another one than the payments are in.
    pub(super) fn start_by(
        test: &str,
        payments: i32,
        settings: &MpesaSettings,
        certificate: Certificate,
        writes_to: Option<Db>,
    ) -> Option<Self> {
        let database = gctb_testkit::database(test)?;
        let rail = Arc::new(Daraja::new(settings, NOW).expect("good settings"));
        let funds = Arc::new(Funds::new(&settings.daraja));
        let holder = holder(rail.kind());
        let (batch, number) = sent(database.db(), &holder, payments);
        let (published, holds) = (Arc::<Mutex<usize>>::default(), Arc::<Mutex<Vec<Hold>>>::default());
        let (publishing, telling) = (Arc::clone(&published), Arc::clone(&holds));
        let db = writes_to.unwrap_or_else(|| database.db().clone());
        let world = CallbackWorld::new(Arc::clone(&rail), db, holder.clone(), Arc::clone(&funds))
            .publishing(move |rows| *publishing.lock().expect("nobody panics") += rows.len())
            .telling(move |news| telling.lock().expect("nobody panics").extend(news.reply.hold));
        let (health, shutdown) = (Health::new(), Shutdown::new());
        let mut workers = Workers::new(&shutdown);
        let meter = telemetry().meter();
        let callbacks = Callbacks::start(settings, world, &health, &meter, &shutdown, &mut workers).expect("it starts");
        Some(Self {
            database,
            rail,
            holder,
            funds,
            health,
            batch,
            number,
            published,
            holds,
            url: format!("http://{}", callbacks.address()),
            client: reqwest::Client::builder().no_proxy().build().expect("a client"),
            shutdown,
            workers: Some(workers),
            _certificate: certificate,
        })
    }

    pub(super) fn key(&self, seq: i32) -> RailKey {
        RailKey::new(self.number, Seq(seq), 1).expect("in range")
    }

    /// The result of a payment that was made.
    pub(super) fn paid(&self, seq: i32) -> Value {
        paid(self.key(seq), seq)
    }

    /// The result of one that was not.
    pub(super) fn failed(&self, seq: i32, code: i32) -> Value {
        json!({"Result": {"ResultType": 0, "ResultCode": code, "ResultDesc": "failed", "TransactionID": format!("R{seq}"),
            "OriginatorConversationID": format!("gctb-{}", self.key(seq)), "ConversationID": format!("AG_{seq}")}})
    }

    /// The answer to a status query about a payment that was declined, and where it is posted.
    pub(super) fn declined(&self, seq: i32, sends: i16, quiet: bool) -> (Route, Value) {
        let key = self.key(seq);
        let body = json!({"Result": {"ResultType": 0, "ResultCode": 0, "ResultParameters": {"ResultParameter": [
            {"Key": "TransactionStatus", "Value": "Declined"}, {"Key": "Amount", "Value": "10.00"},
            {"Key": "DebitPartyName", "Value": "600992 - Ministry"},
            {"Key": "OriginatorConversationID", "Value": format!("gctb-{key}")}]}}});
        (Route::StatusResult(Question { key, sends, quiet }), body)
    }

    pub(super) fn request(&self, route: Route, body: impl Into<String>) -> reqwest::RequestBuilder {
        let url = format!("{}/mpesa/{CALLBACK_TOKEN}{}", self.url, route.path());
        self.client.post(url).header(CONTENT_TYPE, "application/json").body(body.into())
    }

    /// Posts and gives the status and the body of the answer.
    pub(super) async fn post(&self, route: Route, body: impl Into<String>) -> (u16, String) {
        answered(self.request(route, body)).await
    }

    /// Posts and gives the status alone.
    pub(super) async fn result(&self, body: &Value) -> u16 {
        self.post(Route::PaymentResult, body.to_string()).await.0
    }

    /// What the ledger says of each payment, in order: state, version, receipt.
    pub(super) fn ledger(&self) -> Vec<String> {
        self.database.values(
            "SELECT state || ':' || version || ':' || coalesce(rail_reference, '-') AS value FROM payment_ledger ORDER BY seq",
        )
    }

    pub(super) fn states(&self) -> Vec<String> {
        self.database.values("SELECT state::text AS value FROM payment_ledger ORDER BY seq")
    }

    /// What is kept for a person: kind, position, and how long the body is.
    pub(super) fn kept(&self) -> Vec<String> {
        self.database.values(
            "SELECT kind || ':' || coalesce(seq::text, '-') AS value FROM rail_exceptions ORDER BY exception_id",
        )
    }

    pub(super) fn count(&self, table: &str) -> String {
        self.database.value(&format!("SELECT count(*)::text AS value FROM {table}"))
    }

    pub(super) fn sql(&self, sql: &str) {
        self.database.db().execute_sql(sql).expect("the test's statement runs");
    }

    /// What a lane tells about a payment that it has sent.
    pub(super) fn lane_heard(&self, seq: i32, learnt: Learnt) {
        let word = Word {
            seq: Seq(seq),
            attempt: 1,
            learnt,
            sends: 1,
            quiet: false,
            fenced: false,
            amount: None,
            handle: Some(format!("AG_{seq}")),
            rail_reference: None,
            reason: None,
            refuses_everybody: false,
            message: "a lane's word".to_owned(),
            send_after: Duration::ZERO,
        };
        let words = BatchWords { batch: self.batch, work: None, traceparent: None, words: vec![word] };
        let turn = Turn { words: vec![words], claims: Vec::new() };
        self.database.db().turn(&self.holder, &turn).expect("recorded");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.shutdown.request();
        let ended = self.workers.take().map(|workers| workers.join(Duration::from_secs(30)));
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the listener's threads end with the shutdown: {ended:?}");
        }
    }
}

/// The state of a ledger row, as SQL shows it.
pub(super) fn code(state: gctb_domain::LedgerState) -> String {
    state.code().to_string()
}

/// What Daraja posts about a payment of 10 KES that was made.
pub(super) fn paid(key: RailKey, seq: i32) -> Value {
    json!({"Result": {"ResultType": 0, "ResultCode": 0, "ResultDesc": "processed", "TransactionID": format!("R{seq}"),
        "OriginatorConversationID": format!("gctb-{key}"), "ConversationID": format!("AG_{seq}"),
        "ResultParameters": {"ResultParameter": [{"Key": "TransactionAmount", "Value": 10},
            {"Key": "ReceiverPartyPublicName", "Value": format!("{} - JANE DOE", msisdn(seq))}]}}})
}

pub(super) fn msisdn(seq: i32) -> String {
    format!("254705{:06}", 912_000 + seq)
}

pub(super) async fn answered(request: reqwest::RequestBuilder) -> (u16, String) {
    let response = request.send().await.expect("it is answered");
    (response.status().as_u16(), response.text().await.expect("a body"))
}

/// How often this was counted in this process: `name`, or how `name{label="value"` begins.
pub(super) fn counted(metric: &str) -> u64 {
    let text = telemetry().render_metrics();
    let line = text.lines().find(|line| line.starts_with(metric));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

/// One for all stories, since a process has one log.
fn telemetry() -> &'static Telemetry {
    static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();
    TELEMETRY.get_or_init(|| {
        let settings =
            TelemetrySettings { log_filter: "off".to_owned(), otlp_endpoint: None, trace_sample_permille: 0 };
        Telemetry::start(&IDENTITY, &settings).expect("it starts")
    })
}

pub(super) fn holder(kind: gctb_domain::paying::RailKind) -> Holder {
    Holder {
        backend: BackendName::parse("mpesa").expect("a name"),
        owner: Uuid::new_v4(),
        kind,
        lease: LONG,
        settle: LONG,
        attempts_max: 3,
        ask_after: LONG,
        ask_after_max: LONG,
        asks_max: 20,
        retry_after: LONG,
    }
}

/// A batch whose payments are claimed: from then on they may be sent.
fn sent(db: &Db, holder: &Holder, payments: i32) -> (BatchId, BatchNo) {
    let (batch, number) = (BatchId::accepted_at(Utc::now()), db.next_batch_no().expect("a number"));
    let claims: Vec<Claim> = (0..payments)
        .map(|seq| Claim {
            seq: Seq(seq),
            payer_fa: "account:1@a.b.bank_acc".to_owned(),
            resolved_fa: format!("tel:+{}", msisdn(seq)),
            amount: kes("10"),
            scheduled_at: None,
            payee_name: "Jane Doe".to_owned(),
            narrative: "relief".to_owned(),
            refusal: None,
        })
        .collect();
    let references: Vec<String> = (0..payments).map(|seq| format!("r-{seq}")).collect();
    let instructions: Vec<NewInstruction<'_>> =
        claims.iter().zip(&references).map(|(claim, reference)| instruction(claim, reference)).collect();
    let transaction = batch.to_string();
    let stored = NewBatch {
        batch_id: batch,
        batch_no: number,
        sender_id: "spp.example.org",
        transaction_id: &transaction,
        message_id: &transaction,
        digest: &[0; 32],
        digest_version: 1,
        request_timestamp: Utc::now(),
        received_at: Utc::now(),
        traceparent: None,
        instructions: instructions.len(),
        in_flight: instructions.len(),
    };
    db.intake(&stored, instructions, || &[]).expect("stored");
    db.introduce_rail(&holder.backend).expect("introduced");
    let claims = vec![BatchClaims { batch, batch_no: number, traceparent: None, claims }];
    let turned = db.turn(holder, &Turn { words: Vec::new(), claims }).expect("claimed");
    assert_eq!(turned.claimed[0].len(), references.len());
    (batch, number)
}

fn instruction<'a>(claim: &'a Claim, reference: &'a str) -> NewInstruction<'a> {
    NewInstruction {
        seq: claim.seq,
        request_id: reference,
        from_fa: &claim.payer_fa,
        to_fa: &claim.resolved_fa,
        amount: Some(claim.amount),
        currency: "KES",
        amount_text: None,
        scheduled_at: None,
        scheduled_text: None,
        payer_name: None,
        payee_name: Some(&claim.payee_name),
        purpose: None,
        note: None,
        instruction: None,
        locale: None,
        refusal: None,
    }
}
