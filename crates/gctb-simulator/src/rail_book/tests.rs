//! The book of a rail: what is written is counted, found and read back.

use std::fs::OpenOptions;
use std::io::Write;

use chrono::DateTime;
use serde_json::{Value, json};

use super::*;

fn paid(key: Option<&'static str>, account: &'static str, amount_minor: u64) -> Paid<'static> {
    Paid {
        key: key.map(Into::into),
        account: account.into(),
        amount_minor,
        currency: "KES".into(),
        reference: "R1".into(),
        time: DateTime::UNIX_EPOCH,
    }
}

fn summary(book: &RailBook) -> Value {
    json!(book.summary())
}

#[test]
fn a_book_read_back_says_what_it_said_before() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("mpesa.jsonl");
    let book = RailBook::open(&path, |_, _| true).expect("opens");
    book.note(&json!({"event": "accepted"})).expect("written");
    for (key, account, amount) in [("a", "254700000001", 1000), ("b", "254700000001", 500), ("a", "254700000002", 7)] {
        book.pay(&paid(Some(key), account, amount)).expect("written");
    }
    let before = summary(&book);
    assert_eq!(
        before,
        json!({"payments": 3, "amount_minor": {"KES": 1507}, "accounts": 2, "paid_twice": 1, "accounts_paid_twice": 1})
    );
    assert!(matches!(RailBook::open(&path, |_, _| true), Err(RailError::BookInUse(_))));
    drop(book);

    let mut lines = (0, 0);
    let book = RailBook::open(&path, |_, line| {
        match line {
            Line::Payment(_) => lines.0 += 1,
            Line::Event(_) => lines.1 += 1,
        }
        true
    })
    .expect("opens again");
    assert_eq!((summary(&book), lines), (before, (3, 1)));
    let of = |name| serde_json::from_str::<Vec<Value>>(&book.payments_of(name).expect("read")).expect("JSON").len();
    assert_eq!((of("a"), of("b"), of("254700000001"), of("nobody")), (2, 1, 2, 0));
}

#[test]
fn where_the_rail_has_no_key_an_account_paid_again_is_paid_twice() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let book = RailBook::open(&folder.path().join("simple-mpesa.jsonl"), |_, _| true).expect("opens");
    for _ in 0..3 {
        book.pay(&paid(None, "a@example.org", 1000)).expect("written");
    }
    assert_eq!(summary(&book)["paid_twice"], 1);
}

#[test]
fn pages_hold_payments_alone_and_follow_each_other() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let book = RailBook::open(&folder.path().join("book.jsonl"), |_, _| true).expect("opens");
    for amount in 0..2500 {
        book.note(&json!({"event": "accepted"})).expect("written");
        book.pay(&paid(Some("k"), "a", amount)).expect("written");
    }
    let page: Vec<Value> = serde_json::from_str(&book.page(1998, 5).expect("read")).expect("JSON");
    let amounts: Vec<_> = page.iter().map(|line| line["amount_minor"].as_u64()).collect();
    assert_eq!(amounts, [1998, 1999, 2000, 2001, 2002].map(Some));
    assert_eq!(book.page(9000, 5).expect("read"), "[]");
}

#[test]
fn half_a_line_is_cut_off_and_a_line_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("book.jsonl");
    let book = RailBook::open(&path, |_, _| true).expect("opens");
    book.pay(&paid(Some("k"), "a", 5)).expect("written");
    drop(book);
    let append = |bytes: &[u8]| {
        OpenOptions::new().append(true).open(&path).and_then(|mut file| file.write_all(bytes)).expect("written");
    };
    append(br#"{"key":"half"#);
    let book = RailBook::open(&path, |_, _| true).expect("opens");
    assert_eq!(summary(&book)["payments"], 1);
    book.pay(&paid(Some("l"), "a", 5)).expect("written");
    drop(book);
    append(b"{\"neither\":1}\n");
    assert!(matches!(RailBook::open(&path, |_, _| true), Err(RailError::BookCorrupt { line: 3, .. })));
}
