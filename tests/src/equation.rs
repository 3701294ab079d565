//! received = paid + failed + in flight, in counts and in sums, by every witness; and nobody is paid twice.
//!
//! The witnesses are the status API, the projection, the control totals, the ledger, and the bank's or the rail's own book. They must
//! agree at any time on what is final, and the sender must be told of each disbursement what the test expects of it.

use std::collections::{BTreeMap, BTreeSet};

use gctb_testkit::TestDatabase;
use serde_json::Value;

use crate::bank::{Payment, assert_nobody_is_paid_twice, minor};
use crate::batch::Fate;
use crate::http;
use crate::rails::Rail;
use crate::service::Service;
use crate::system::{Sent, System};
use crate::tables::Snapshot;

/// The largest page that the status API gives.
const PAGE_MAX: usize = 2000;

/// A number of disbursements and their sum in minor units; what did not parse counts with 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub minor: i128,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.minor += other.minor;
    }
}

/// One witness's account of all batches of a system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Paid.
    pub paid: Sum,
    /// Refused, cancelled or returned.
    pub failed: Sum,
    /// Not decided.
    pub in_flight: Sum,
}

impl Account {
    fn received(&self) -> Sum {
        let mut received = self.paid;
        received.add(self.failed);
        received.add(self.in_flight);
        received
    }

    /// By the status of the projection and the totals.
    fn place(&mut self, status: &str, sum: Sum) {
        match status {
            "5" => self.paid.add(sum),
            "6" | "7" | "8" => self.failed.add(sum),
            _ => self.in_flight.add(sum),
        }
    }
}

/// Checks the equation when every batch is finished: all witnesses agree, the bank or the rail that the system was deployed with
/// paid what they say, each disbursement ended as its [`Fate`] wants, and nobody was paid twice.
///
/// # Panics
/// Where anything of it does not hold.
pub fn assert_all_ended(system: &System) -> Account {
    let account = assert_witnesses_agree(system);
    assert_eq!(account.in_flight, Sum::default(), "nothing is in flight");
    for sent in &system.sent {
        assert_each_ended_as_it_must(system, sent);
    }
    let book = book(system);
    assert_nobody_is_paid_twice(&book);
    assert_eq!(booked(&book), account.paid, "left: what the book says was paid; right: what the bridge says");
    if let Some(rail) = system.options.rail {
        assert_who_was_paid(system, rail, &book);
    }
    let expected: usize = system.sent.iter().map(|sent| sent.batch.count(|fate| fate == Fate::Paid)).sum();
    assert_eq!(account.paid.count, expected as u64, "as many are paid as can be");
    account
}

/// Checks that API, projection, totals and ledger tell the same, and that nothing received got lost.
///
/// # Panics
/// Where they do not.
pub fn assert_witnesses_agree(system: &System) -> Account {
    system.wait_for_an_empty_outbox();
    let by_api = by_status_api(system);
    let by_projection = by_projection(&system.database);
    let by_totals = by_totals(&system.database);
    assert_eq!(by_api, by_projection, "left: the status API; right: the projection");
    assert_eq!(by_totals, by_projection, "left: the control totals; right: the projection");
    let by_ledger = by_ledger(&system.database, by_projection.received());
    assert_eq!(by_ledger.paid, by_projection.paid, "left: paid by the ledger; right: by the projection");
    assert_eq!(
        by_ledger.failed.count, by_projection.failed.count,
        "left: failed by the ledger; right: by the projection"
    );
    let received: usize = system.sent.iter().map(|sent| sent.batch.items.len()).sum();
    assert_eq!(by_api.received().count, received as u64, "everything received is accounted for");
    by_api
}

/// The book of the bank, or of the rail that the system was deployed with.
///
/// # Panics
/// Where it has anything but whole minor units of KES.
pub fn book(system: &System) -> Vec<Payment> {
    let Some(rail) = system.options.rail else { return system.bank().book() };
    let url = system.url(Service::Simulator, &format!("/rails/{}/book", rail.book()));
    let mut book = Vec::new();
    loop {
        let (_, page) = http::get(&format!("{url}?offset={}&limit=10000", book.len()));
        let lines = page.as_array().filter(|lines| !lines.is_empty()).map(Vec::as_slice);
        let Some(lines) = lines else { return book };
        book.extend(lines.iter().map(rail_payment));
    }
}

fn rail_payment(line: &Value) -> Payment {
    let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
    assert_eq!(text("currency"), "KES", "tests pay in KES");
    let minor = line["amount_minor"].as_i64().expect("a book has whole minor units");
    // Attempts have keys of their own, and simple-mpesa has none: each payment is known by the rail's reference, each payee by
    // the account.
    Payment { payment_ref: text("reference"), account: text("account"), minor: minor.into() }
}

/// The rail's book, the ledger and the test name the same payees.
fn assert_who_was_paid(system: &System, rail: Rail, book: &[Payment]) {
    let booked: BTreeSet<String> = book.iter().map(|payment| payment.account.clone()).collect();
    let by_ledger = system.database.values("SELECT resolved_fa AS value FROM payment_ledger WHERE state = 7");
    let by_ledger: BTreeSet<String> = by_ledger.iter().map(|address| account_of(rail, address)).collect();
    assert_eq!(booked, by_ledger, "left: paid by the rail's book; right: by the ledger");
    let payable = system.sent.iter().flat_map(|sent| &sent.batch.items).filter(|item| item.fate == Fate::Paid);
    let payable: BTreeSet<String> = payable.map(|item| account_of(rail, &item.payee_fa)).collect();
    assert_eq!(booked, payable, "left: paid by the rail's book; right: who can be paid");
}

/// The account of a phone number or an e-mail as the rail's book writes it.
pub fn account_of(rail: Rail, address: &str) -> String {
    let name = address.split_once(':').map_or(address, |(_, name)| name).trim_start_matches('+');
    match rail {
        Rail::Simple | Rail::Daraja => name.to_owned(),
        Rail::Mojaloop => format!("MSISDN:{name}"),
    }
}

fn booked(book: &[Payment]) -> Sum {
    Sum { count: book.len() as u64, minor: book.iter().map(|payment| payment.minor).sum() }
}

fn statuses(system: &System, sent: &Sent) -> BTreeMap<String, Vec<Value>> {
    let (status, answer) = system.status(&sent.transaction_id, PAGE_MAX).expect("gctb-api answers");
    assert_eq!(status, 200, "{answer}");
    let items = answer["message"]["txnstatus_response"]["txn_status"].as_array().cloned().unwrap_or_default();
    assert_eq!(items.len(), sent.batch.items.len(), "every disbursement is told of");
    let mut statuses: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for item in items {
        statuses.entry(item["reference_id"].as_str().unwrap_or_default().to_owned()).or_default().push(item);
    }
    statuses
}

fn by_status_api(system: &System) -> Account {
    let mut account = Account::default();
    for item in system.sent.iter().flat_map(|sent| statuses(system, sent)).flat_map(|(_, items)| items) {
        let minor = if item["currency_code"] == "KES" { item["amount"].as_str().and_then(minor) } else { None };
        let sum = Sum { count: 1, minor: minor.unwrap_or(0) };
        match item["status"].as_str() {
            Some("succ") => account.paid.add(sum),
            Some("rjct") => account.failed.add(sum),
            Some("rcvd" | "pdng") => account.in_flight.add(sum),
            other => panic!("no status of the specification: {other:?}"),
        }
    }
    account
}

fn assert_each_ended_as_it_must(system: &System, sent: &Sent) {
    let statuses = statuses(system, sent);
    for item in &sent.batch.items {
        for told in statuses.get(&item.reference_id).into_iter().flatten() {
            let status = told["status"].as_str().unwrap_or_default();
            let reason = told["status_reason_code"].as_str();
            let expected = match item.fate {
                Fate::Paid => ("succ", None),
                Fate::Refused(code) => ("rjct", Some(code)),
            };
            assert_eq!((status, reason), expected, "what the sender is told of {item:?}");
        }
    }
    let told: usize = statuses.values().map(Vec::len).sum();
    assert_eq!(told, sent.batch.items.len(), "each reference is told of");
}

fn by_projection(database: &TestDatabase) -> Account {
    account(
        database,
        "SELECT status::text || ' ' || count(*) || ' ' || coalesce(sum(amount), 0) AS value FROM payment_instructions GROUP BY status",
    )
}

fn by_totals(database: &TestDatabase) -> Account {
    account(
        database,
        "SELECT status::text || ' ' || sum(instructions) || ' ' || sum(amount_minor) AS value FROM batch_totals GROUP BY status",
    )
}

fn account(database: &TestDatabase, sql: &str) -> Account {
    let mut account = Account::default();
    for row in database.values(sql) {
        let (status, sum) = read_row(&row);
        account.place(&status, sum);
    }
    account
}

fn by_ledger(database: &TestDatabase, received: Sum) -> Account {
    let sql = "SELECT state::text || ' ' || count(*) || ' ' || coalesce(sum(amount), 0) AS value FROM payment_ledger GROUP BY state";
    let mut account = Account::default();
    for row in database.values(sql) {
        let (state, sum) = read_row(&row);
        match state.as_str() {
            "7" => account.paid.add(sum),
            "1" | "2" | "8" | "9" => account.failed.add(sum),
            _ => account.in_flight.add(sum),
        }
    }
    assert!(account.received().count <= received.count, "the ledger has rows of instructions that nobody sent");
    account
}

fn read_row(row: &str) -> (String, Sum) {
    let mut words = row.split(' ');
    let mut next = || words.next().unwrap_or_default();
    let state = next().to_owned();
    let count = next().parse().expect("a count");
    let minor = next().split('.').next().unwrap_or_default().parse().expect("a sum");
    (state, Sum { count, minor })
}

/// The tables and the book before something that must change neither.
#[derive(Debug)]
pub struct Before {
    tables: Snapshot,
    look: fn(&TestDatabase) -> Snapshot,
    book: usize,
}

impl Before {
    /// As they stand now.
    pub fn of(system: &System) -> Self {
        Self::seen_by(Snapshot::of, system)
    }

    /// As they stand when every batch is finished and every file is at its end, times and owners included.
    pub fn to_the_last_column(system: &System) -> Self {
        let open = "SELECT ((SELECT count(*) FROM outgoing_files WHERE state < 5)
                    + (SELECT count(*) FROM incoming_files WHERE state = 1))::text AS value";
        system.wait_for_value("every file to be at its end", open, "0");
        Self::seen_by(Snapshot::to_the_last_column, system)
    }

    fn seen_by(look: fn(&TestDatabase) -> Snapshot, system: &System) -> Self {
        system.wait_for_an_empty_outbox();
        Self { tables: look(&system.database), look, book: book(system).len() }
    }

    /// Fails where the tables or the bank's book changed.
    ///
    /// # Panics
    /// Then.
    pub fn assert_unchanged(&self, system: &System, what: &str) {
        system.wait_for_an_empty_outbox();
        let book = book(system);
        assert_nobody_is_paid_twice(&book);
        assert_eq!(book.len(), self.book, "{what} made somebody pay");
        self.tables.assert_same(&(self.look)(&system.database), what);
    }
}
