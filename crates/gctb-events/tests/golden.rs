//! The bytes of every event, fixed for ever: a topic may be replayed years after its messages were written.
//!
//! `proto/gctb/v1/golden/NAME.hex` is what today's code writes; `NAME.first.hex` is the least that the first release
//! could write, which must decode for as long as the event exists. A change that turns this red would break a replay: add
//! a field with a new number, and a new golden file beside the old ones, instead of editing these.

use std::fmt::Debug;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use gctb_domain::{BackendName, BatchId, BatchNo, Currency, FinancialAddress, LedgerState, Money, ReasonCode, Seq};
use gctb_events::{
    BatchProgress, Event, Instruction, InstructionChunk, LedgerEntry, Payment, PaymentChunk, StatusChunk,
};
use uuid::Uuid;

const BATCH: Uuid = Uuid::from_u128(0x019a_a5c0_0000_7000_8000_0000_0000_0001);
const OUTBOX: Uuid = Uuid::from_u128(0x5c1e_7f0a_6e0f_4c58_9d3f_0f6f_5a1f_0003);

/// A field number that no event uses, for what a later release may add.
const FIELD_OF_THE_FUTURE: u64 = 1000;

fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).expect("a time")
}

fn fa(text: &str) -> FinancialAddress {
    FinancialAddress::parse(text).expect("an address")
}

fn money(minor: i64, code: &str) -> Money {
    Money::from_minor(minor, Currency::parse(code).expect("a currency")).expect("an amount")
}

fn full_instruction() -> Instruction {
    Instruction {
        seq: Seq(7),
        reference_id: "ref-0007".to_owned(),
        from_fa: fa("account:4100200300@head.treasury.bank_acc"),
        to_fa: fa("token:BEN900000011234@nationalId"),
        amount: money(123_456, "KES"),
        scheduled_at: Some(at(1_795_000_000_000)),
        payee_name: "Achieng Abdi".to_owned(),
        purpose: "Farmer Relief".to_owned(),
        note: "Cycle 1".to_owned(),
    }
}

fn plain_instruction() -> Instruction {
    Instruction {
        seq: Seq(0),
        reference_id: "r".to_owned(),
        from_fa: fa("account:1@a.b.bank_acc"),
        to_fa: fa("phone:+254700000123"),
        amount: money(5, "UGX"),
        scheduled_at: None,
        payee_name: String::new(),
        purpose: String::new(),
        note: String::new(),
    }
}

fn instructions(instructions: Vec<Instruction>) -> InstructionChunk {
    InstructionChunk { batch_id: BatchId::from_uuid(BATCH), batch_no: BatchNo(17), chunk_no: 2, part: 1, instructions }
}

fn payments(instructions: Vec<Instruction>) -> PaymentChunk {
    let resolved_fa = fa("account:0094373447@indigo.dfsp2.bank_acc");
    let payment = |instruction| Payment { instruction, resolved_fa: resolved_fa.clone() };
    PaymentChunk {
        batch_id: BatchId::from_uuid(BATCH),
        batch_no: BatchNo(17),
        chunk_no: 2,
        part: 1,
        payments: instructions.into_iter().map(payment).collect(),
    }
}

fn full_entry() -> LedgerEntry {
    LedgerEntry {
        seq: Seq(7),
        version: 3,
        state: LedgerState::Failed,
        attempt: 1,
        backend: Some(BackendName::parse("file").expect("a name")),
        resolved_fa: "account:0094373447@indigo.dfsp2.bank_acc".to_owned(),
        file: Some("gctb_file_20260701_000001.csv".to_owned()),
        rail_reference: Some("SIM0000001-000007".to_owned()),
        reason: Some(ReasonCode::PayeeFaInvalid),
        message: "AC04 Account closed".to_owned(),
        changed_at: at(1_795_000_001_234),
    }
}

fn plain_entry() -> LedgerEntry {
    LedgerEntry {
        seq: Seq(0),
        version: 1,
        state: LedgerState::Rejected,
        attempt: 0,
        backend: None,
        resolved_fa: String::new(),
        file: None,
        rail_reference: None,
        reason: None,
        message: String::new(),
        changed_at: at(0),
    }
}

fn status(entries: Vec<LedgerEntry>) -> StatusChunk {
    StatusChunk { batch_id: BatchId::from_uuid(BATCH), outbox_id: OUTBOX, entries }
}

fn progress(totals_version: i64) -> BatchProgress {
    BatchProgress { batch_id: BatchId::from_uuid(BATCH), totals_version }
}

fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../proto/gctb/v1/golden").join(format!("{name}.hex"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| {
            let pair = str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).expect("two hexadecimal digits")
        })
        .collect()
}

/// 32 bytes a line, as the files have it.
fn hex(bytes: &[u8]) -> String {
    let line = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
    bytes.chunks(32).map(line).collect()
}

fn decoded<E: Event>(bytes: &[u8]) -> E {
    let decoded = E::decode(bytes).expect("the message can be read");
    assert!(decoded.refused.is_empty(), "no entry is refused: {:?}", decoded.refused);
    decoded.event
}

/// `value` is written as exactly the golden bytes, and these are read as `value`.
fn check<E: Event + PartialEq + Debug>(name: &str, value: &E) {
    let bytes = golden(name);
    assert_eq!(hex(&value.encode()), hex(&bytes), "what is written as {name}");
    assert_eq!(&decoded::<E>(&bytes), value, "what is read of {name}");
}

/// The golden bytes of the first release are read as `value`, whatever is written today.
fn check_first<E: Event + PartialEq + Debug>(name: &str, value: &E) {
    assert_eq!(&decoded::<E>(&golden(&format!("{name}.first"))), value, "what is read of {name}.first");
}

#[test]
fn every_event_is_written_as_its_golden_bytes_and_reads_back() {
    check("instruction_chunk", &instructions(vec![full_instruction(), plain_instruction()]));
    check("payment_chunk", &payments(vec![full_instruction(), plain_instruction()]));
    check("status_chunk", &status(vec![full_entry(), plain_entry()]));
    check("batch_progress", &progress(42));
}

#[test]
fn events_with_nothing_but_their_first_fields_are_read_for_ever() {
    check_first("instruction_chunk", &{
        let mut chunk = instructions(vec![plain_instruction()]);
        (chunk.chunk_no, chunk.part) = (0, 0);
        chunk
    });
    check_first("payment_chunk", &{
        let mut chunk = payments(vec![plain_instruction()]);
        (chunk.chunk_no, chunk.part) = (0, 0);
        chunk
    });
    check_first("status_chunk", &status(vec![plain_entry()]));
    check_first("batch_progress", &progress(0));
}

// Enough of protobuf's wire format to write what no released code writes.

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn batch_id() -> Vec<u8> {
    bytes(1, BATCH.as_bytes())
}

/// The fields of [`plain_instruction`], then `more`; protobuf lets the last value of a field win.
fn instruction_with(more: &[u8]) -> Vec<u8> {
    let plain = [
        bytes(2, b"r"),
        bytes(3, b"account:1@a.b.bank_acc"),
        bytes(4, b"phone:+254700000123"),
        number(5, 5),
        bytes(6, b"UGX"),
    ];
    [plain.concat(), more.to_vec()].concat()
}

fn ledger_entry_with(more: &[u8]) -> Vec<u8> {
    [number(2, 1), number(3, 1), more.to_vec()].concat()
}

#[test]
fn fields_of_a_later_release_are_passed_over() {
    let added = [number(FIELD_OF_THE_FUTURE, 1), bytes(FIELD_OF_THE_FUTURE + 1, b"news")].concat();
    let chunk = |number_of_entries: u64, entry: &[u8]| {
        [batch_id(), number(2, 17), bytes(number_of_entries, entry), added.clone()].concat()
    };

    let read: InstructionChunk = decoded(&chunk(5, &instruction_with(&added)));
    assert_eq!(read.instructions, [plain_instruction()]);

    let payment = [bytes(1, &instruction_with(&added)), bytes(2, b"phone:+254700000123"), added.clone()].concat();
    let read: PaymentChunk = decoded(&chunk(5, &payment));
    assert_eq!(read.payments.len(), 1);
    assert_eq!(read.payments[0].instruction, plain_instruction());

    let message = [batch_id(), bytes(2, OUTBOX.as_bytes()), bytes(3, &ledger_entry_with(&added)), added.clone()];
    let read: StatusChunk = decoded(&message.concat());
    assert_eq!(read, status(vec![plain_entry()]));

    let read: BatchProgress = decoded(&[batch_id(), number(2, 42), added].concat());
    assert_eq!(read, progress(42));
}

/// Reads a message of a good and a bad entry: the good one is handled, the bad one comes back in a message of its own that
/// is refused for the same reason, and the reason quotes nothing of `secrets`.
fn check_bad_entry<E: Event + Debug>(message: &[u8], good: impl Fn(&E) -> usize, says: &str, secrets: &[&str]) {
    let read = E::decode(message).expect("the message can be read");
    assert_eq!(good(&read.event), 1, "the good entry is handled");
    assert_eq!(read.refused.len(), 1, "one entry is refused");
    let refused = &read.refused[0];
    assert!(refused.reason.contains(says), "{:?} does not say {says:?}", refused.reason);
    for secret in secrets {
        assert!(!refused.reason.contains(secret), "{:?} quotes the entry", refused.reason);
    }
    let again = E::decode(&refused.payload).expect("a refused entry can be driven again");
    assert_eq!(good(&again.event), 0, "it travels alone");
    assert_eq!(again.refused, read.refused, "and is refused for the same reason");
}

#[test]
fn i7_i9_one_bad_entry_is_refused_alone_and_its_reason_quotes_nothing_of_it() {
    let secrets = ["SECRETFA", "987654", "ZZZ", "rjct.secret"];
    let chunk = |entries: [&[u8]; 2]| [batch_id(), number(2, 17), bytes(5, entries[0]), bytes(5, entries[1])].concat();
    let private = bytes(4, b"phone:SECRETFA");
    let bad_instructions = [
        ("currency", [private.clone(), bytes(6, b"ZZZ")].concat()),
        ("amount_minor", [private.clone(), number(5, 0)].concat()),
        ("to_fa", bytes(4, b"")),
        ("from_fa", bytes(3, b"")),
        ("reference_id", bytes(2, b"")),
        ("scheduled_at_ms", [private.clone(), number(7, i64::MAX.unsigned_abs())].concat()),
        ("seq", [private, number(1, u64::from(u32::MAX))].concat()),
    ];
    let good = instruction_with(&[]);
    for (says, wrong) in bad_instructions {
        let bad = instruction_with(&wrong);
        let count = |chunk: &InstructionChunk| chunk.instructions.len();
        check_bad_entry(&chunk([&good, &bad]), count, says, &secrets);

        let payment = |instruction: &[u8]| [bytes(1, instruction), bytes(2, b"phone:+254700000123")].concat();
        let count = |chunk: &PaymentChunk| chunk.payments.len();
        check_bad_entry(&chunk([&payment(&good), &payment(&bad)]), count, says, &secrets);
    }

    let bad_entries = [
        ("state", number(3, 200)),
        ("version", number(2, 0)),
        ("backend", bytes(5, b"SECRETFA")),
        ("reason_code", bytes(9, b"rjct.secret")),
        ("changed_at_ms", number(11, i64::MAX.unsigned_abs())),
        ("attempt", number(4, 987_654)),
    ];
    for (says, wrong) in bad_entries {
        let entries = [bytes(3, &ledger_entry_with(&[])), bytes(3, &ledger_entry_with(&wrong))].concat();
        let message = [batch_id(), bytes(2, OUTBOX.as_bytes()), entries].concat();
        check_bad_entry(&message, |chunk: &StatusChunk| chunk.entries.len(), says, &secrets);
    }
}

#[test]
fn a_message_without_its_batch_is_refused_whole_without_its_content() {
    let message = bytes(1, b"SECRETFA");
    let texts = [
        InstructionChunk::decode(&message).expect_err("refused").to_string(),
        PaymentChunk::decode(&message).expect_err("refused").to_string(),
        StatusChunk::decode(&message).expect_err("refused").to_string(),
        BatchProgress::decode(&message).expect_err("refused").to_string(),
        InstructionChunk::decode(b"SECRETFA is no protobuf").expect_err("refused").to_string(),
    ];
    for text in texts {
        assert!(text.starts_with("the message is not a gctb.v1."), "{text}");
        assert!(!text.contains("SECRETFA"), "{text}");
    }
}
