//! What the tests of both loops work with: a simulator, a database, and a router and a resolver between them.

mod fragile;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};

use chrono::Utc;
use gctb_db::{NewBatch, NewInstruction, OutboxRow};
use gctb_domain::{BatchId, BatchNo, Currency, FinancialAddress, Money, Seq};
use gctb_events::{Event, Instruction, InstructionChunk, Outgoing, Payment, PaymentChunk};
use gctb_mapper::{Clock, Exits, IDENTITY, Resolver, Router, Rules, Settings, World};
use gctb_runtime::{HandleError, Handled, Handler, Health, Incoming, Origin, Shutdown, chain};
use gctb_simulator::testing::Played;
use gctb_testkit::{TestDatabase, eventually};
use serde_json::Value;

pub(crate) use fragile::FragileMapper;

pub(crate) const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
pub(crate) const REJECTED: &str = "1";
pub(crate) const OTHER: &str = "mpesa";

/// The two handlers between a simulator and a database of their own.
pub(crate) struct Bench {
    pub(crate) router: Router,
    pub(crate) resolver: Resolver,
    pub(crate) database: TestDatabase,
    pub(crate) health: Health,
    pub(crate) published: Arc<Mutex<Vec<OutboxRow>>>,
    sent: Arc<Mutex<Vec<Outgoing>>>,
    simulator: Played,
}

impl Bench {
    /// None, and the test counted as skipped, where there is no Postgres. `settings` are environment variables without
    /// the prefix.
    pub(crate) fn start(test: &str, settings: &[(&str, &str)]) -> Option<Self> {
        let simulator = Played::start();
        let url = format!("{}/mapper/sync/resolve", simulator.url());
        Self::start_with(test, settings, &url, simulator)
    }

    /// The same with a mapper elsewhere.
    pub(crate) fn start_at(test: &str, url: &str) -> Option<Self> {
        Self::start_with(test, &[], url, Played::start())
    }

    fn start_with(test: &str, settings: &[(&str, &str)], url: &str, simulator: Played) -> Option<Self> {
        let database = gctb_testkit::database(test)?;
        let settings = load(url, settings);
        let (sent, published) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let health = Health::new();
        let exits = || exits(&database, &sent, &published);
        let world = World {
            exits: exits(),
            clock: Clock::SYSTEM,
            meter: opentelemetry::global::meter("test"),
            health: health.clone(),
            shutdown: Shutdown::new(),
        };
        let rules = Rules::compile(&settings).expect("the rules compile");
        let router = Router::new(rules.clone(), exits());
        let resolver = Resolver::new(rules, &settings.mapper, world).expect("calls can be prepared");
        Some(Self { router, resolver, database, health, published, sent, simulator })
    }

    /// Stores a batch with these payees, and gives its one chunk.
    pub(crate) fn batch(&self, payees: &[&str]) -> InstructionChunk {
        let chunk = chunk(payees);
        let text = chunk.batch_id.to_string();
        let new = NewBatch {
            batch_id: chunk.batch_id,
            batch_no: chunk.batch_no,
            sender_id: "spp.example.org",
            transaction_id: &text,
            message_id: &text,
            digest: b"digest",
            digest_version: 1,
            request_timestamp: Utc::now(),
            received_at: Utc::now(),
            traceparent: None,
            instructions: chunk.instructions.len(),
            in_flight: chunk.instructions.len(),
        };
        let rows: Vec<NewInstruction<'_>> = chunk.instructions.iter().map(row).collect();
        self.database.db().intake(&new, rows, || &[]).expect("the batch is stored");
        chunk
    }

    /// The chunk as the loop hands it over.
    pub(crate) fn incoming(&self, chunk: &InstructionChunk, offset: i64) -> Incoming<InstructionChunk> {
        let origin = Origin { topic: "gctb.batches".to_owned(), partition: 0, offset, timestamp_ms: Some(1) };
        Incoming { event: chunk.clone(), origin, traceparent: Some(TRACEPARENT.to_owned()) }
    }

    /// Has the resolver handle the same messages as its loop does, until they are handled.
    pub(crate) fn until_handled(&mut self, polled: &[Incoming<InstructionChunk>]) -> Handled {
        eventually("the messages to be handled", || self.resolver.handle(polled).ok())
    }

    /// The ledger, a line per row: position, state, reason.
    pub(crate) fn ledger(&self) -> Vec<String> {
        let sql = "SELECT concat_ws(' ', seq, state, reason_code) AS value FROM payment_ledger ORDER BY batch_id, seq";
        self.database.values(sql)
    }

    /// The positions of the payments that were sent ahead, in the order of sending.
    pub(crate) fn sent(&self) -> Vec<i32> {
        seqs(&self.sent.lock().expect("not poisoned"))
    }

    /// What the simulator's mapper has been asked so far.
    pub(crate) fn mapper(&self) -> Value {
        runtime().block_on(self.simulator.get("/control/mapper"))
    }

    /// Changes how the simulator's mapper behaves.
    pub(crate) fn set_mapper(&self, change: &Value) {
        runtime().block_on(self.simulator.put("/control/mapper", change));
    }
}

/// The exits of one loop: what it sends ahead and what it publishes is kept.
fn exits(database: &TestDatabase, sent: &Arc<Mutex<Vec<Outgoing>>>, published: &Arc<Mutex<Vec<OutboxRow>>>) -> Exits {
    let (sent, published) = (Arc::clone(sent), Arc::clone(published));
    Exits {
        db: database.db().clone(),
        publish: Box::new(move |rows| published.lock().expect("not poisoned").extend(rows)),
        send: Box::new(move |messages| {
            sent.lock().expect("not poisoned").extend_from_slice(messages);
            Ok(())
        }),
    }
}

/// Settings for a mapper at `url`; the waiting times are short unless `more` says otherwise.
pub(crate) fn load(url: &str, more: &[(&str, &str)]) -> Settings {
    let mut values = BTreeMap::from([
        ("DATABASE__URL", "postgres://nobody@127.0.0.1:9/none"),
        ("KAFKA__BROKERS", "127.0.0.1:9"),
        ("MAPPER__URL", url),
        ("MAPPER__BREAKER__OPEN_TIME", "20ms"),
    ]);
    values.extend(more.iter().copied());
    let env = values.into_iter().map(|(key, value)| (format!("GCTB_MAPPER__{key}"), value.to_owned()));
    let settings: Settings = gctb_runtime::settings::load_from(&IDENTITY, std::iter::empty(), env).expect("readable");
    settings.check().expect("they make sense");
    settings
}

/// The error as the loop logs it.
pub(crate) fn error_text(error: &HandleError) -> String {
    chain(error as &dyn Error)
}

pub(crate) fn token(sub: &str) -> String {
    format!("token:{sub}@nationalId")
}

/// A chunk of a batch that nobody stored.
pub(crate) fn chunk(payees: &[&str]) -> InstructionChunk {
    let instructions = payees.iter().zip(0..).map(|(payee, seq)| Instruction {
        seq: Seq(seq),
        reference_id: format!("ref-{seq}"),
        from_fa: FinancialAddress::parse("account:1@treasury.bank.bank_acc").expect("an address"),
        to_fa: FinancialAddress::parse(payee).expect(payee),
        amount: Money::parse("10.50", Currency::parse("KES").expect("a currency")).expect("an amount"),
        scheduled_at: None,
        payee_name: "A Person".to_owned(),
        purpose: "grant".to_owned(),
        note: String::new(),
    });
    let batch_id = BatchId::accepted_at(Utc::now());
    InstructionChunk { batch_id, batch_no: BatchNo(7), chunk_no: 3, part: 1, instructions: instructions.collect() }
}

fn row(instruction: &Instruction) -> NewInstruction<'_> {
    NewInstruction {
        seq: instruction.seq,
        request_id: &instruction.reference_id,
        from_fa: instruction.from_fa.as_str(),
        to_fa: instruction.to_fa.as_str(),
        amount: Some(instruction.amount),
        currency: "KES",
        amount_text: None,
        scheduled_at: None,
        scheduled_text: None,
        payer_name: None,
        payee_name: None,
        purpose: None,
        note: None,
        instruction: None,
        locale: None,
        refusal: None,
    }
}

/// The payments in messages, which all belong to chunk 3, part 1.
pub(crate) fn payments(outgoing: &[Outgoing]) -> Vec<Payment> {
    let chunks = outgoing.iter().map(|message| PaymentChunk::decode(&message.payload).expect("readable").event);
    chunks.inspect(|chunk| assert_eq!((chunk.chunk_no, chunk.part), (3, 1))).flat_map(|chunk| chunk.payments).collect()
}

pub(crate) fn seqs(outgoing: &[Outgoing]) -> Vec<i32> {
    payments(outgoing).iter().map(|payment| payment.instruction.seq.0).collect()
}

pub(crate) fn decoded(payload: &[u8]) -> InstructionChunk {
    InstructionChunk::decode(payload).expect("readable").event
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
