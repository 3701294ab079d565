//! Stories about the bank: what it pays, what it answers, and what it remembers after its own crash.
//!
//! The clock is an argument and the clerk stays at home, so nothing here waits.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::book::Taken;
use super::desk::{FILE_LIMIT, sha256};
use super::*;
use crate::faults::Respond;

/// A bank in a directory of its own, which survives the bank's crashes.
struct Town {
    root: TempDir,
    bank: Bank,
}

impl Town {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let bank = open(root.path());
        Self { root, bank }
    }

    /// Kills the bank and opens it again on what is on the disk.
    fn crash(self) -> Self {
        let Self { root, bank } = self;
        drop(bank);
        let bank = open(root.path());
        Self { root, bank }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn deliver(&self, name: &str, text: &str) {
        let path = self.path("outgoing").join(name);
        fs::write(&path, text).expect("written");
        let long_ago = SystemTime::now() - Duration::from_secs(60);
        fs::File::options().append(true).open(path).and_then(|file| file.set_modified(long_ago)).expect("aged");
    }

    fn turn(&self) {
        self.bank.turn(Utc::now()).expect("a turn");
    }

    /// Books and perhaps archives what waits, and stops there as a crash would.
    fn stop_after(&self, name: &str, step: Step) {
        let mut desk = self.bank.desk();
        let bytes = self.bank.places.read(name, FILE_LIMIT).expect("readable").expect("small");
        let file = payment_file::parse(name, &bytes).expect("good");
        let taken = Taken {
            delivery: desk.book().next_delivery(),
            file: name.to_owned(),
            sha256: sha256(&bytes),
            archived_as: self.bank.places.archive_name(name).expect("a name"),
            reject_percent: 0,
            at: Utc::now(),
        };
        desk.pay(&taken, &file).expect("paid");
        match step {
            Step::Booked => {}
            Step::Moved => {
                self.bank.places.archive(name, &taken.archived_as).expect("moved");
            }
            Step::Archived => desk.archive(&self.bank.places, &taken).expect("archived"),
        }
    }

    fn respond(&self, respond: Respond) {
        self.bank.change(BankChange::respond(respond));
    }

    fn summary(&self) -> Value {
        serde_json::to_value(self.bank.summary()).expect("JSON")
    }

    fn response(&self, name: &str) -> String {
        fs::read_to_string(self.path("incoming").join(name)).expect("a response file")
    }

    /// What a response says: reference and status of each line.
    fn said(&self, name: &str) -> Vec<(String, String)> {
        let text = self.response(name);
        let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
        let lines = text.lines().skip(1).filter(|line| !line.starts_with('#')).map(cells);
        lines.map(|cells| (cells[0].clone(), cells[1].clone())).collect()
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).expect("a directory");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry")).filter(|entry| entry.path().is_file()).collect();
        names.sort_by_key(fs::DirEntry::file_name);
        names.into_iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

enum Step {
    /// The payments are in the book.
    Booked,
    /// The file was renamed, the journal does not know.
    Moved,
    /// The journal knows.
    Archived,
}

fn open(root: &Path) -> Bank {
    Bank::open(root, &root.join("book.jsonl"), BankControls::new(Duration::ZERO), 0).expect("the bank opens")
}

/// A payment file of one minor-unit amount per account, in cents.
fn payment_file(name: &str, payments: &[(&str, i128)]) -> String {
    let stem = name.trim_end_matches(".csv");
    let mut text = payment_file::COLUMNS.join(",") + "\n";
    for (number, (account, cents)) in (1..).zip(payments) {
        let amount = money::format(*cents, 2);
        text += &format!(
            "{stem},{number},{stem}-{number},900100,A Person,{account},bank1,branch1,{amount},KES,2026-07-01,grant\n"
        );
    }
    let sum = payments.iter().map(|(_, cents)| cents).sum();
    text + &format!("#TRAILER,{},{}\n", payments.len(), money::format(sum, 2))
}

fn three() -> String {
    payment_file("b1.csv", &[("1111111", 1050), ("2220004", 2000), ("3333333", 5)])
}

fn pairs(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    lines.iter().map(|(reference, status)| ((*reference).to_owned(), (*status).to_owned())).collect()
}

#[test]
fn a_good_file_is_paid_booked_archived_and_answered() {
    let town = Town::new();
    town.deliver("b1.csv", &three());
    town.turn();
    assert_eq!(
        town.summary(),
        json!({"payments": 2, "paid_twice": 0, "beneficiary_paid_twice": 0, "files": 1, "refused_files": 0, "sums": {"KES": "10.55"}, "rejected": 1})
    );
    assert!(town.names("outgoing").is_empty());
    assert_eq!(town.names("outgoing/archive"), ["b1.csv"]);
    let response = town.response("b1.response.csv");
    let lines: Vec<&str> = response.lines().collect();
    assert_eq!(lines[0], "payment_ref,status,reason_code,reason_text,bank_reference,processed_at,amount,currency");
    assert!(
        lines[1].starts_with("b1-1,ACSC,,,SIM0000001-000001,") && lines[1].ends_with("Z,10.50,KES"),
        "{}",
        lines[1]
    );
    assert!(lines[2].starts_with("b1-2,RJCT,AC04,Account closed,"), "{}", lines[2]);
    assert_eq!(lines[4..], ["#TRAILER,3,30.55"]);
}

#[test]
fn the_book_has_a_line_for_every_payment_and_finds_them_by_number_and_reference() {
    let town = Town::new();
    let many: Vec<(String, i128)> = (0..2500).map(|n| (format!("55{n:04}9"), 100 + n)).collect();
    let many: Vec<(&str, i128)> = many.iter().map(|(account, cents)| (account.as_str(), *cents)).collect();
    town.deliver("b1.csv", &payment_file("b1.csv", &many));
    town.turn();
    let page = |offset, limit| {
        serde_json::from_str::<Vec<Value>>(&town.bank.page(offset, limit).expect("a page")).expect("JSON")
    };
    assert_eq!(page(0, 10_000).len(), 2500);
    assert_eq!(page(2100, 2).iter().map(|line| line["line"].clone()).collect::<Vec<_>>(), [2101, 2102]);
    assert!(page(2500, 10).is_empty() && page(1_000_000, 10).is_empty());
    let one: Vec<Value> = serde_json::from_str(&town.bank.payments_of("b1-2001", 10).expect("found")).expect("JSON");
    assert_eq!(one.len(), 1);
    assert_eq!((&one[0]["amount"], &one[0]["beneficiary_account"]), (&json!("21.00"), &json!("5520009")));
    assert_eq!(town.bank.payments_of("nobody", 10).expect("asked"), "[]");
}

#[test]
fn a_file_that_comes_twice_is_paid_twice_whatever_its_name() {
    let town = Town::new();
    town.deliver("b1.csv", &three());
    town.turn();
    town.deliver("b1.csv", &three());
    town.turn();
    assert_eq!(town.summary()["payments"], 4);
    assert_eq!(town.summary()["paid_twice"], 2);
    assert_eq!(town.summary()["beneficiary_paid_twice"], 2);
    assert_eq!(town.names("outgoing/archive"), ["b1.csv", "b1.csv.2"]);
    assert_eq!(town.names("incoming"), ["b1.response.2.csv", "b1.response.csv"]);
}

#[test]
fn the_bank_does_not_pay_again_for_its_own_crash_at_any_step() {
    for step in [Step::Booked, Step::Moved, Step::Archived] {
        let town = Town::new();
        town.deliver("b1.csv", &three());
        town.stop_after("b1.csv", step);
        let town = town.crash();
        town.turn();
        town.turn();
        assert_eq!((&town.summary()["payments"], &town.summary()["paid_twice"]), (&json!(2), &json!(0)));
        assert_eq!(town.names("incoming"), ["b1.response.csv"]);
        assert_eq!(town.names("outgoing/archive"), ["b1.csv"]);
    }
}

#[test]
fn a_file_that_arrives_again_while_the_bank_is_down_is_not_taken_for_its_crash() {
    let town = Town::new();
    town.deliver("b1.csv", &three());
    town.stop_after("b1.csv", Step::Moved);
    town.deliver("b1.csv", &three());
    let town = town.crash();
    town.turn();
    assert_eq!((&town.summary()["payments"], &town.summary()["paid_twice"]), (&json!(4), &json!(2)));
}

#[test]
fn a_group_that_a_crash_left_half_written_never_happened() {
    let town = Town::new();
    town.deliver("b1.csv", &three());
    town.turn();
    let whole = fs::read(town.path("book.jsonl")).expect("the book");
    let booked = whole.windows(9).position(|bytes| bytes == b"\"booked\",").expect("the end of the group");
    let torn = town.path("torn.jsonl");
    for cut in [booked, booked - 200, 20] {
        fs::write(&torn, [&whole, &whole[..cut]].concat()).expect("torn");
        let bank = Bank::open(town.root.path(), &torn, BankControls::new(Duration::ZERO), 0).expect("opens");
        assert_eq!(serde_json::to_value(bank.summary()).expect("JSON"), town.summary());
        assert_eq!(fs::read(&torn).expect("the book"), whole);
    }
}

#[test]
fn a_line_in_the_middle_of_the_book_that_is_none_stops_the_bank() {
    let town = Town::new();
    town.deliver("b1.csv", &three());
    town.turn();
    let damaged = fs::read_to_string(town.path("book.jsonl")).expect("the book").replacen("payment_ref", "payment", 1);
    fs::write(town.path("damaged.jsonl"), damaged).expect("written");
    let opened = Bank::open(town.root.path(), &town.path("damaged.jsonl"), BankControls::new(Duration::ZERO), 0);
    assert!(matches!(opened.err(), Some(BankError::BookCorrupt { line: 2 })));
}

#[test]
fn one_book_has_one_bank() {
    let town = Town::new();
    let second = Bank::open(town.root.path(), &town.path("book.jsonl"), BankControls::new(Duration::ZERO), 0);
    assert!(matches!(second.err(), Some(BankError::BookInUse)));
}

#[test]
fn a_bad_file_is_refused_whole_and_counted_also_after_a_restart() {
    let town = Town::new();
    town.deliver("b1.csv", &three().replace("#TRAILER,3,30.55", "#TRAILER,3,30.56"));
    town.turn();
    let town = town.crash();
    assert_eq!((&town.summary()["payments"], &town.summary()["refused_files"]), (&json!(0), &json!(1)));
    assert_eq!(town.names("outgoing/refused"), ["b1.csv"]);
    assert!(town.names("incoming").is_empty());
}

#[test]
fn a_bad_file_that_was_just_written_to_may_still_become_a_good_one() {
    let town = Town::new();
    let text = three();
    fs::write(town.path("outgoing").join("b1.csv"), &text[..200]).expect("written");
    town.turn();
    assert_eq!(town.summary()["refused_files"], 0);
    town.deliver("b1.csv", &text);
    town.turn();
    assert_eq!(town.summary()["payments"], 2);
}

#[test]
fn hidden_and_unfinished_files_are_left_alone() {
    let town = Town::new();
    for name in [".b1.csv", "b1.csv.part", "b1.csv.tmp"] {
        town.deliver(name, &three());
    }
    town.turn();
    assert_eq!(town.names("outgoing").len(), 3);
    assert_eq!(town.summary()["files"], 0);
}

#[test]
fn a_paused_bank_does_nothing() {
    let town = Town::new();
    town.deliver("b1.csv", &three());
    town.bank.change(BankChange::paused(true));
    town.turn();
    assert_eq!(town.summary()["files"], 0);
    town.bank.change(BankChange::paused(false));
    town.turn();
    assert_eq!(town.summary()["files"], 1);
}

#[test]
fn the_answer_comes_after_the_delay_and_the_payment_before() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let controls = BankControls::new(Duration::from_secs(60));
    let bank = Bank::open(root.path(), &root.path().join("book.jsonl"), controls, 0).expect("opens");
    let town = Town { root, bank };
    let start = Utc::now();
    town.deliver("b1.csv", &three());
    town.bank.turn(start).expect("a turn");
    assert_eq!(town.summary()["payments"], 2);
    town.bank.turn(start + TimeDelta::seconds(59)).expect("a turn");
    assert!(town.names("incoming").is_empty());
    town.bank.turn(start + TimeDelta::seconds(60)).expect("a turn");
    assert_eq!(town.names("incoming"), ["b1.response.csv"]);
}

#[test]
fn a_response_is_never_seen_half_written() {
    let town = Town::new();
    town.deliver("b1.csv", &three());
    // A name in the way of the hidden file shows that the response is first written under that name and then renamed.
    fs::create_dir(town.path("incoming").join(".b1.response.csv.tmp")).expect("made");
    assert!(matches!(town.bank.turn(Utc::now()), Err(BankError::Io { .. })));
    assert!(town.names("incoming").is_empty());
    fs::remove_dir(town.path("incoming").join(".b1.response.csv.tmp")).expect("removed");
    town.turn();
    assert_eq!(town.names("incoming"), ["b1.response.csv"], "and nothing hidden is left");
}

#[test]
fn half_an_answer_is_completed_on_request_also_after_a_restart() {
    let town = Town::new();
    town.respond(Respond::Half);
    town.deliver("b1.csv", &three());
    town.turn();
    assert_eq!(town.said("b1.response.csv"), pairs(&[("b1-1", "ACSC"), ("b1-3", "ACSC")]));
    let town = town.crash();
    assert_eq!(town.bank.respond_rest().expect("answered"), RestAnswered { files: 1, lines: 1 });
    assert_eq!(town.said("b1.response.2.csv"), pairs(&[("b1-2", "RJCT")]));
    assert_eq!(town.bank.respond_rest().expect("nothing is left"), RestAnswered::default());
}

#[test]
fn every_fault_says_something_else_about_the_same_payments() {
    let first = |respond| {
        let town = Town::new();
        town.respond(respond);
        town.deliver("b1.csv", &three());
        town.turn();
        assert_eq!(town.summary()["payments"], 2, "{respond:?}");
        town
    };
    let cells = |town: &Town, line: usize| {
        town.response("b1.response.csv").lines().nth(line).map(str::to_owned).unwrap_or_default()
    };

    let town = first(Respond::None);
    assert!(town.names("incoming").is_empty());
    assert_eq!(town.bank.respond_rest().expect("answered"), RestAnswered { files: 1, lines: 3 });

    let town = first(Respond::WrongAmount);
    assert!(cells(&town, 1).ends_with(",10.51,KES") && cells(&town, 4) == "#TRAILER,3,30.56");
    assert_eq!(town.bank.respond_rest().expect("answered"), RestAnswered { files: 1, lines: 1 });

    assert!(cells(&first(Respond::WrongCurrency), 1).ends_with(",10.50,USD"));
    assert!(cells(&first(Respond::UnknownRef), 1).starts_with("UNKNOWN-SIM0000001-000001,ACSC"));
    assert_eq!(cells(&first(Respond::DuplicateLines), 7), "#TRAILER,6,61.10");

    let town = first(Respond::BadStructure);
    assert!(cells(&town, 0).ends_with("processed_at") && !town.response("b1.response.csv").contains("#TRAILER"));

    for (respond, before, after) in [
        (Respond::PaidThenRejected, "ACSC", "RJCT"),
        (Respond::RejectedThenPaid, "RJCT", "ACSC"),
        (Respond::ReturnAfterPaid, "ACSC", "RTRN"),
    ] {
        let town = first(respond);
        assert_eq!(town.said("b1.response.csv"), pairs(&[("b1-1", before), ("b1-2", "RJCT"), ("b1-3", "ACSC")]));
        assert_eq!(town.said("b1.response.2.csv"), pairs(&[("b1-1", after)]));
    }
}
