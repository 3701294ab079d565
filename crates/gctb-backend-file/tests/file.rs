//! Stories of payment files on a real Postgres and a real folder: claimed, put once, answered line by line.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use gctb_backend_file::answers::Answers;
use gctb_backend_file::claims::Claims;
use gctb_backend_file::deliver::Deliveries;
use gctb_backend_file::layout::Layout;
use gctb_backend_file::response::Words;
use gctb_backend_file::settings::{ColumnSettings, FilesSettings, StoreSettings, WordSettings};
use gctb_backend_file::store::Store;
use gctb_db::{Db, NewBatch, NewInstruction, OutboxRow};
use gctb_domain::{
    BackendName, BatchId, BatchNo, Currency, FaStrategies, FinancialAddress, Money, Seq, default_strategies,
};
use gctb_events::{Instruction, Payment, PaymentChunk};
use gctb_runtime::{Handler, Health, Incoming, Origin, Shutdown};
use gctb_testkit::TestDatabase;
use opentelemetry::metrics::noop::NoopMeterProvider;
use opentelemetry::metrics::{Meter, MeterProvider as _};

const PAYER: &str = "account:4100200300@head.treasury.bank_acc";

/// One backend on one database and one folder.
struct Bench {
    database: TestDatabase,
    root: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
    store: Store,
    published: Arc<Mutex<Vec<OutboxRow>>>,
}

impl Bench {
    fn start(test: &str) -> Option<Self> {
        let database = gctb_testkit::database(test)?;
        let root = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        for shared in ["outgoing", "incoming"] {
            std::fs::create_dir(root.path().join(shared)).expect("a folder");
        }
        let store = Store::open(&store_settings(root.path()), &runtime).expect("the store opens");
        store.make_places().expect("the folder is there");
        Some(Self { database, root, _runtime: runtime, store, published: Arc::default() })
    }

    fn db(&self) -> Db {
        self.database.db().clone()
    }

    fn publish(&self) -> impl Fn(Vec<OutboxRow>) + use<> {
        let published = Arc::clone(&self.published);
        move |rows| published.lock().expect("nobody panics").extend(rows)
    }

    fn claims(&self) -> Claims<impl Fn(Vec<OutboxRow>) + use<>> {
        Claims::new(backend(), self.db(), self.publish(), layout(), &files_settings())
    }

    fn deliveries(&self) -> Deliveries {
        Deliveries::new(backend(), self.db(), self.store.clone(), layout(), files_settings(), &Health::new(), &meter())
    }

    fn answers(&self) -> Answers<impl Fn(Vec<OutboxRow>) + use<>> {
        let (store, settings) = (self.store.clone(), store_settings(self.root.path()));
        Answers::new(backend(), self.db(), self.publish(), store, words(), settings, &Health::new(), &meter())
    }

    /// A batch of `count` instructions, as intake stores it, and its chunk as the mapper sends it.
    fn batch(&self, count: i32) -> PaymentChunk {
        let batch_id = BatchId::accepted_at(Utc::now());
        let batch_no = self.db().next_batch_no().expect("a number");
        let instructions: Vec<Instruction> = (0..count).map(instruction).collect();
        let new: Vec<NewInstruction<'_>> = instructions.iter().map(new_instruction).collect();
        let transaction = batch_id.to_string();
        let batch = NewBatch {
            batch_id,
            batch_no,
            sender_id: "spp.example.org",
            transaction_id: &transaction,
            message_id: &transaction,
            digest: &[0; 32],
            digest_version: 1,
            request_timestamp: Utc::now(),
            received_at: Utc::now(),
            traceparent: None,
            instructions: new.len(),
            in_flight: new.len(),
        };
        self.db().intake(&batch, new, || &[]).expect("stored");
        let payments =
            instructions.into_iter().map(|i| Payment { resolved_fa: i.to_fa.clone(), instruction: i }).collect();
        PaymentChunk { batch_id, batch_no, chunk_no: 0, part: 0, payments }
    }

    fn claim(&self, chunk: &PaymentChunk) -> Vec<(&'static str, u64)> {
        self.claims().handle(&[incoming(chunk)]).expect("handled").outcomes
    }

    /// Closes and puts until nothing is left to do.
    fn put(&self, deliveries: &mut Deliveries) {
        self.database.db().execute_sql("UPDATE outgoing_files SET close_due_at = now() WHERE state = 1").expect("due");
        deliveries.round(&Shutdown::new()).expect("Postgres is there");
    }

    /// Lists twice, since a file is read when two listings show it unchanged.
    fn read_answers(&self) {
        let mut answers = self.answers();
        answers.round(&Shutdown::new()).expect("listed");
        answers.round(&Shutdown::new()).expect("read");
    }

    fn outgoing(&self) -> Vec<String> {
        names(&self.root.path().join("outgoing"))
    }

    fn respond(&self, name: &str, lines: &[(String, &str, &str, &str)]) {
        let head = "payment_ref,status,reason_code,reason_text,bank_reference,processed_at,amount,currency\n";
        let rows: String = lines
            .iter()
            .map(|(key, status, code, amount)| format!("{key},{status},{code},,BR-{key},,{amount},KES\n"))
            .collect();
        let sum: i64 =
            lines.iter().map(|(_, _, _, amount)| amount.replace('.', "").parse::<i64>().expect("an amount")).sum();
        let body = format!("{head}{rows}#TRAILER,{},{}.{:02}\n", lines.len(), sum / 100, sum % 100);
        std::fs::write(self.root.path().join("incoming").join(name), body).expect("written");
    }

    fn states(&self) -> Vec<String> {
        self.database.values("SELECT state || ':' || version AS value FROM payment_ledger ORDER BY seq")
    }

    fn file_states(&self) -> Vec<String> {
        self.database.values("SELECT state::text AS value FROM outgoing_files ORDER BY file_id")
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok().filter(|e| e.path().is_file()).and_then(|e| e.file_name().into_string().ok()))
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

fn backend() -> BackendName {
    BackendName::parse("file").expect("a name")
}

fn meter() -> Meter {
    NoopMeterProvider::new().meter("test")
}

fn layout() -> Layout {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let columns = ColumnSettings {
        beneficiary_account: names(&["account_no", "phone", "email"]),
        bank_code: names(&["bank", "wallet"]),
        branch_code: names(&["branch"]),
        debit_account: names(&["account_no"]),
    };
    Layout::new(FaStrategies::compile(&default_strategies()).expect("compile"), columns)
}

fn words() -> Words {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Words::new(&WordSettings {
        paid: words(&["ACSC"]),
        pending: words(&["PDNG"]),
        refused: words(&["RJCT"]),
        returned: words(&["RTRN"]),
    })
}

fn files_settings() -> FilesSettings {
    FilesSettings {
        rows_max: 500,
        close_after: Duration::from_secs(3600),
        tick: Duration::from_millis(10),
        overdue_after_hours: 48,
        recover_after: Duration::ZERO,
        put_timeout: Duration::from_secs(600),
        retry_min: Duration::ZERO,
        retry_max: Duration::ZERO,
    }
}

fn store_settings(root: &Path) -> StoreSettings {
    StoreSettings {
        root: root.display().to_string(),
        outgoing: "outgoing".to_owned(),
        incoming: "incoming".to_owned(),
        traces: vec!["outgoing/archive".to_owned()],
        poll: Duration::from_millis(10),
        settle: Duration::ZERO,
        response_bytes_max: 1 << 20,
    }
}

fn instruction(seq: i32) -> Instruction {
    let kes = Currency::parse("KES").expect("a currency");
    Instruction {
        seq: Seq(seq),
        reference_id: format!("r-{seq}"),
        from_fa: FinancialAddress::parse(PAYER).expect("an address"),
        to_fa: FinancialAddress::parse(&format!("phone:+25470000{seq:04}")).expect("an address"),
        amount: Money::from_minor(1_000, kes).expect("positive"),
        scheduled_at: None,
        payee_name: "Jane Doe".to_owned(),
        purpose: "Farmer relief".to_owned(),
        note: String::new(),
    }
}

fn new_instruction(instruction: &Instruction) -> NewInstruction<'_> {
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
        payee_name: Some(&instruction.payee_name),
        purpose: None,
        note: None,
        instruction: None,
        locale: None,
        refusal: None,
    }
}

fn incoming(chunk: &PaymentChunk) -> Incoming<PaymentChunk> {
    let origin = Origin { topic: "gctb.payments.file".to_owned(), partition: 0, offset: 0, timestamp_ms: None };
    Incoming { event: chunk.clone(), origin, traceparent: None }
}

fn key(batch_no: BatchNo, seq: i32) -> String {
    gctb_domain::RailKey::new(batch_no, Seq(seq), 1).expect("fits").to_string()
}

#[test]
fn a_chunk_is_claimed_put_once_and_answered_line_by_line() {
    let Some(bench) = Bench::start("a_chunk_is_claimed_put_once_and_answered_line_by_line") else { return };
    let chunk = bench.batch(4);
    assert_eq!(bench.claim(&chunk), [("claimed", 4)]);
    let mut deliveries = bench.deliveries();
    bench.put(&mut deliveries);
    assert_eq!((bench.outgoing().len(), bench.file_states()), (1, vec!["4".to_owned()]));

    let key = |seq| key(chunk.batch_no, seq);
    bench.respond(
        "r1.csv",
        &[
            (key(0), "ACSC", "", "10.00"),
            (key(1), "RJCT", "AC04", "10.00"),
            (key(2), "ACSC", "", "99.00"),
            (key(3), "PDNG", "", "10.00"),
        ],
    );
    bench.read_answers();
    assert_eq!(bench.states(), ["7:2", "8:2", "3:1", "4:2"], "paid, failed, not believed, accepted");
    let exceptions = bench.database.values("SELECT kind || ':' || line_no AS value FROM file_exceptions");
    assert_eq!(exceptions, ["amount_differs:4"]);
    assert_eq!(names(&bench.root.path().join("incoming/processed")), ["r1.csv"]);
}

#[test]
fn i2_a_chunk_that_comes_again_is_known_and_fills_no_second_file() {
    let Some(bench) = Bench::start("i2_a_chunk_that_comes_again_is_known_and_fills_no_second_file") else { return };
    let chunk = bench.batch(3);
    assert_eq!(bench.claim(&chunk), [("claimed", 3)]);
    bench.put(&mut bench.deliveries());
    // Another process, hence other open files, and the same messages once more.
    assert_eq!(bench.claim(&chunk), [("already_known", 3)]);
    bench.put(&mut bench.deliveries());
    assert_eq!(bench.outgoing().len(), 1);
    assert_eq!(bench.file_states(), ["4"], "dispatched, and no other was opened");
}

#[test]
fn i2_a_file_whose_put_was_not_recorded_is_found_at_the_bank_and_not_put_again() {
    let Some(bench) = Bench::start("i2_a_file_whose_put_was_not_recorded_is_found_at_the_bank_and_not_put_again")
    else {
        return;
    };
    let chunk = bench.batch(2);
    bench.claim(&chunk);
    bench.put(&mut bench.deliveries());
    // The process died between the put and its commit; meanwhile the bank took the file.
    bench
        .database
        .db()
        .execute_sql("UPDATE outgoing_files SET state = 3, dispatched_at = NULL")
        .expect("as after a crash");
    let name = bench.outgoing().remove(0);
    let (from, to) = (bench.root.path().join("outgoing"), bench.root.path().join("outgoing/archive"));
    std::fs::create_dir_all(&to).expect("made");
    std::fs::rename(from.join(&name), to.join(&name)).expect("taken");
    let mut successor = bench.deliveries();
    bench.put(&mut successor);
    successor.look().expect("looks");
    assert_eq!(bench.file_states(), ["4"]);
    assert!(bench.outgoing().is_empty(), "nothing was put again");
}

#[test]
fn i2_a_file_with_no_trace_at_the_bank_waits_for_an_operator() {
    let Some(bench) = Bench::start("i2_a_file_with_no_trace_at_the_bank_waits_for_an_operator") else { return };
    let chunk = bench.batch(2);
    bench.claim(&chunk);
    bench.put(&mut bench.deliveries());
    bench
        .database
        .db()
        .execute_sql("UPDATE outgoing_files SET state = 3, dispatched_at = NULL")
        .expect("as after a crash");
    let name = bench.outgoing().remove(0);
    std::fs::remove_file(bench.root.path().join("outgoing").join(name)).expect("gone");
    let mut successor = bench.deliveries();
    bench.put(&mut successor);
    successor.look().expect("looks");
    bench.put(&mut successor);
    assert_eq!((bench.file_states(), bench.outgoing().len()), (vec!["3".to_owned()], 0), "never put by itself");
    assert_eq!(bench.db().overdue_files(48).expect("listed").len(), 1, "visible to an operator");
}

#[test]
fn i3_a_put_that_may_have_gone_through_and_shows_nothing_waits_for_an_operator() {
    let test = "i3_a_put_that_may_have_gone_through_and_shows_nothing_waits_for_an_operator";
    let Some(bench) = Bench::start(test) else { return };
    bench.claim(&bench.batch(2));
    // Somebody went through the gate of this put, and the bank took the file away at once.
    let name = bench.database.value("SELECT name AS value FROM outgoing_files");
    std::fs::write(bench.root.path().join(format!("outgoing/.writing/{name}.1.gate")), "").expect("the gate is open");
    let mut deliveries = bench.deliveries();
    bench.put(&mut deliveries);
    bench.put(&mut deliveries);
    assert_eq!((bench.file_states(), bench.outgoing().len()), (vec!["3".to_owned()], 0), "never put by itself");
    assert_eq!(bench.db().overdue_files(48).expect("listed").len(), 1, "visible to an operator");
}

#[test]
fn i8_a_folder_that_cannot_be_written_keeps_the_file_closed_and_goes_on_when_it_can() {
    let Some(bench) = Bench::start("i8_a_folder_that_cannot_be_written_keeps_the_file_closed_and_goes_on_when_it_can")
    else {
        return;
    };
    let chunk = bench.batch(2);
    bench.claim(&chunk);
    // A file where the folder for unfinished writes should be: root writes through mode bits, but not through this.
    let writing = bench.root.path().join("outgoing/.writing");
    std::fs::remove_dir_all(&writing).expect("removed");
    std::fs::write(&writing, "in the way").expect("written");
    let mut deliveries = bench.deliveries();
    bench.put(&mut deliveries);
    assert_eq!((bench.file_states(), bench.outgoing().len()), (vec!["2".to_owned()], 0), "closed again, nothing seen");
    std::fs::remove_file(&writing).expect("out of the way");
    std::fs::create_dir(&writing).expect("back");
    bench.put(&mut deliveries);
    assert_eq!((bench.file_states(), bench.outgoing().len()), (vec!["4".to_owned()], 1));
}

#[test]
fn i8_many_files_that_meet_one_outage_of_the_folder_wait_no_longer_than_one_file() {
    let test = "i8_many_files_that_meet_one_outage_of_the_folder_wait_no_longer_than_one_file";
    let Some(bench) = Bench::start(test) else { return };
    let writing = bench.root.path().join("outgoing/.writing");
    std::fs::remove_dir_all(&writing).expect("removed");
    std::fs::write(&writing, "in the way").expect("written");
    let mut deliveries = bench.deliveries();
    for _ in 0..8 {
        // A file of its own for each, put in a round of its own.
        bench.claim(&bench.batch(1));
        bench.put(&mut deliveries);
    }
    let longest =
        "SELECT round(max(extract(epoch FROM retry_at - now()) * 1000))::bigint::text AS value FROM outgoing_files";
    let longest_ms: i64 = bench.database.value(longest).parse().expect("a time");
    assert!(longest_ms < 5_000, "the outage has lasted some moments, and the next put waits {longest_ms} ms");
}

#[test]
fn the_same_answer_under_two_names_is_recorded_once() {
    let Some(bench) = Bench::start("the_same_answer_under_two_names_is_recorded_once") else { return };
    let chunk = bench.batch(1);
    bench.claim(&chunk);
    bench.put(&mut bench.deliveries());
    for name in ["first.csv", "second.csv"] {
        bench.respond(name, &[(key(chunk.batch_no, 0), "ACSC", "", "10.00")]);
        bench.read_answers();
    }
    assert_eq!((bench.states(), bench.file_states()), (vec!["7:2".to_owned()], vec!["5".to_owned()]));
    assert_eq!(bench.database.values("SELECT name AS value FROM incoming_files"), ["first.csv"]);
    assert_eq!(names(&bench.root.path().join("incoming/processed")), ["first.csv", "second.csv"]);
}

#[test]
fn a_file_of_the_wrong_structure_is_set_aside_whole_with_the_line_and_the_reason() {
    let Some(bench) = Bench::start("a_file_of_the_wrong_structure_is_set_aside_whole_with_the_line_and_the_reason")
    else {
        return;
    };
    let chunk = bench.batch(1);
    bench.claim(&chunk);
    bench.put(&mut bench.deliveries());
    let body = format!(
        "payment_ref,status,reason_code,reason_text,bank_reference,processed_at,amount,currency\n{},ACSC,,,,,10.00,KES\nbroken\n",
        key(chunk.batch_no, 0)
    );
    std::fs::write(bench.root.path().join("incoming/bad.csv"), body).expect("written");
    bench.read_answers();
    assert_eq!(bench.states(), ["3:1"], "not one line of it was used");
    let problem = bench.database.value("SELECT problem AS value FROM incoming_files WHERE state = 3");
    assert_eq!(problem, "line 3: the line does not have eight columns");
    assert_eq!(names(&bench.root.path().join("incoming/set-aside")), ["bad.csv"]);
}

#[test]
fn a_file_that_is_too_large_to_be_read_is_set_aside_and_listed() {
    let Some(bench) = Bench::start("a_file_that_is_too_large_to_be_read_is_set_aside_and_listed") else { return };
    std::fs::write(bench.root.path().join("incoming/large.csv"), vec![b'x'; (1 << 20) + 1]).expect("written");
    bench.read_answers();
    assert_eq!(names(&bench.root.path().join("incoming/set-aside")), ["large.csv"]);
    let kinds: Vec<String> = bench.db().exceptions(10).expect("listed").into_iter().map(|row| row.kind).collect();
    assert_eq!(kinds, ["file_set_aside"]);
}

#[test]
fn a_file_is_filled_to_its_limit_and_closed_at_once() {
    let Some(bench) = Bench::start("a_file_is_filled_to_its_limit_and_closed_at_once") else { return };
    let (first, second) = (bench.batch(300), bench.batch(300));
    let mut claims = bench.claims();
    claims.handle(&[incoming(&first), incoming(&second)]).expect("handled");
    assert_eq!(bench.file_states(), ["2", "1"], "the full one is closed, whatever its time");
    bench.put(&mut bench.deliveries());
    let lines = bench.database.values("SELECT line_count::text AS value FROM outgoing_files ORDER BY file_id");
    assert_eq!(lines, ["500", "100"]);
    assert_eq!(bench.outgoing().len(), 2);
}
