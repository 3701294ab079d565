//! Fresh batches from a template: new ids, references, times and beneficiaries, everything else as it stands.
//!
//! The rules are those of docs/examples/README.md. What is deliberately wrong in the template stays wrong in the same
//! way: two bearers of one reference share their new one, an over-long reference stays over-long.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::template::{Disbursement, Header, Message, Template};
use crate::breakdown::Tally;

/// Most disbursements of one batch (the bridge's limit).
const BATCH_MAX: u64 = 100_000;
/// Characters of a new reference; what the template's has beyond them is kept behind it.
const REFERENCE_CHARS: usize = 36;
/// Digits of an address that are kept at the end of its long digit run: the simulated bank rejects by them.
const SUFFIX_DIGITS: usize = 4;
/// Digits before them that become the beneficiary's number.
const NUMBER_DIGITS: usize = 8;
/// Numbers there are.
const NUMBERS: u64 = 100_000_000;
/// What a mobile or fixed number of Kenya begins with. It has nine digits more, too few for a number of eight.
const COUNTRY_CODE: &str = "254";
/// Digits of such a number, the country code included.
const PHONE_DIGITS: usize = 12;
/// Digits of it that are replaced: those between the code of the operator and the last four.
const PHONE_NUMBER_DIGITS: usize = 4;
/// Numbers there are for a phone.
const PHONE_NUMBERS: u64 = 10_000;
/// How far apart the phones of two neighbours are: two that end alike do not meet in the next repetitions.
const PHONE_STRIDE: u64 = 7;

/// One batch to send.
pub(crate) struct Batch {
    /// Its transaction_id.
    pub(crate) transaction: Uuid,
    /// The whole message.
    pub(crate) message: Message,
}

/// Makes `count` disbursements from a template, a batch at a time.
pub(crate) struct Filling<'a> {
    template: &'a Template,
    count: u64,
    first_number: u64,
    made: u64,
}

impl<'a> Filling<'a> {
    /// Starts; the first beneficiary gets `first_number` modulo 10^8, the others the numbers after it.
    pub(crate) fn new(template: &'a Template, count: u64, first_number: u64) -> Self {
        Self { template, count, first_number: first_number % NUMBERS, made: 0 }
    }

    /// The next batch, counted into `sent`; none after the last one. `transaction` must be new each time.
    pub(crate) fn next_batch(&mut self, transaction: Uuid, now: DateTime<Utc>, sent: &mut Tally) -> Option<Batch> {
        let size = (self.count - self.made).min(BATCH_MAX);
        if size == 0 {
            return None;
        }
        let disbursements: Vec<_> = (0..size).map(|_| self.next_item(transaction, now)).collect();
        disbursements.iter().for_each(|item| sent.count(Some(&item.amount), Some(&item.currency_code)));
        let pattern = self.template.message();
        let mut message = Message {
            header: header(&pattern.header, transaction, now, size),
            message: super::template::Body { transaction_id: transaction.to_string(), disbursements },
            rest: pattern.rest.clone(),
        };
        message.rest.entry("signature").or_insert_with(|| "".into());
        Some(Batch { transaction, message })
    }

    fn next_item(&mut self, transaction: Uuid, now: DateTime<Utc>) -> Disbursement {
        let items = &self.template.message().message.disbursements;
        let (repetition, position) = (self.made / items.len() as u64, self.made % items.len() as u64);
        let numbers = Numbers {
            long: (self.first_number + self.made) % NUMBERS,
            phone: (self.first_number + repetition + PHONE_STRIDE * position) % PHONE_NUMBERS,
        };
        self.made += 1;
        let mut item = items[position as usize].clone();
        item.reference_id = fresh_reference(&item.reference_id, transaction, repetition);
        item.payee_fa = with_number(&item.payee_fa, numbers);
        item.scheduled_timestamp = item.scheduled_timestamp.map(|text| due_time(text, now));
        item
    }
}

fn header(pattern: &Header, transaction: Uuid, now: DateTime<Utc>, size: u64) -> Header {
    let mut header = pattern.clone();
    header.message_id = Uuid::new_v5(&transaction, b"message").to_string();
    header.message_ts = openg2p_time(now);
    header.total_count = size;
    header
}

/// Equal references of one repetition stay equal; what an over-long one has beyond a new one's length is kept.
fn fresh_reference(old: &str, transaction: Uuid, repetition: u64) -> String {
    let fresh = Uuid::new_v5(&transaction, format!("{repetition} {old}").as_bytes());
    let beyond: String = old.chars().skip(REFERENCE_CHARS).collect();
    format!("{fresh}{beyond}")
}

/// The number of one beneficiary.
#[derive(Clone, Copy)]
struct Numbers {
    /// For accounts and ids: eight digits.
    long: u64,
    /// For phones: four digits. With the last four of the template's thousand it still tells ten million phones apart.
    phone: u64,
}

/// Replaces the digits before the last four of the last run of at least twelve digits: four of a phone number, eight of
/// any other. An address without such a run (an empty one, words) stays as it is.
fn with_number(address: &str, numbers: Numbers) -> String {
    let Some((start, end)) = last_long_run(address) else { return address.to_owned() };
    let is_phone = end - start == PHONE_DIGITS && address[start..].starts_with(COUNTRY_CODE);
    let (number, width) = if is_phone { (numbers.phone, PHONE_NUMBER_DIGITS) } else { (numbers.long, NUMBER_DIGITS) };
    let (from, suffix) = (end - width - SUFFIX_DIGITS, end - SUFFIX_DIGITS);
    format!("{}{number:0width$}{}", &address[..from], &address[suffix..])
}

/// Where it begins, and the byte behind it.
fn last_long_run(address: &str) -> Option<(usize, usize)> {
    let (mut length, mut run) = (0, None);
    for (at, byte) in address.bytes().enumerate() {
        length = if byte.is_ascii_digit() { length + 1 } else { 0 };
        if length >= NUMBER_DIGITS + SUFFIX_DIGITS {
            run = Some((at + 1 - length, at + 1));
        }
    }
    run
}

/// `+5s` becomes the time five seconds from `now`; every other text, also an unreadable one, stays.
fn due_time(text: String, now: DateTime<Utc>) -> String {
    let seconds = text.strip_prefix('+').and_then(|rest| rest.strip_suffix('s')).and_then(|n| n.parse::<u32>().ok());
    match seconds {
        Some(seconds) => openg2p_time(now + TimeDelta::seconds(i64::from(seconds))),
        None => text,
    }
}

/// The form that OpenG2P's client sends: no zone, which means UTC.
fn openg2p_time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn template(items: &[(&str, &str)]) -> Template {
        let items: Vec<_> = items
            .iter()
            .map(|(reference, payee)| {
                serde_json::json!({"reference_id": reference, "payee_fa": payee, "amount": "10.00",
                    "currency_code": "KES", "scheduled_timestamp": "+5s", "note": "kept"})
            })
            .collect();
        let message = serde_json::json!({
            "header": {"message_id": "m", "message_ts": "t", "sender_id": "s", "total_count": 1, "action": "disburse"},
            "message": {"transaction_id": "x", "disbursements": items},
        });
        Template::read(Path::new("template"), message.to_string().as_bytes()).expect("a template")
    }

    fn example() -> Template {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/disburse-1000.json");
        let bytes = std::fs::read(path).expect("the example exists");
        Template::read(Path::new(path), &bytes).expect("a template")
    }

    fn fill(template: &Template, count: u64) -> (Vec<Batch>, Tally) {
        let now = DateTime::from_timestamp(1_795_000_000, 0).expect("in range");
        let (mut filling, mut sent, mut batches) = (Filling::new(template, count, 7), Tally::default(), Vec::new());
        while let Some(batch) = filling.next_batch(Uuid::from_u128(batches.len() as u128 + 1), now, &mut sent) {
            batches.push(batch);
        }
        (batches, sent)
    }

    fn all_items(batches: &[Batch]) -> impl Iterator<Item = &Disbursement> {
        batches.iter().flat_map(|batch| &batch.message.message.disbursements)
    }

    #[test]
    fn the_number_of_an_address_is_replaced_and_its_last_four_digits_stay() {
        for (address, expected) in [
            ("account:000000170004@branch1.bank1.bank_acc", "account:123456780004@branch1.bank1.bank_acc"),
            ("phone:+254000000175210", "phone:+254123456785210"),
            ("token:NOTFOUND000000175210@nationalId", "token:NOTFOUND123456785210@nationalId"),
            ("email:p000000175210@example.org", "email:p123456785210@example.org"),
            ("iban:KE00EQBL000000175210", "iban:KE00EQBL123456785210"),
            ("account:12345@bank", "account:12345@bank"),
            ("not an address", "not an address"),
            ("", ""),
        ] {
            assert_eq!(with_number(address, Numbers { long: 12_345_678, phone: 0 }), expected);
        }
        let small = Numbers { long: 5, phone: 0 };
        assert_eq!(with_number("phone:+254000000175210", small), "phone:+254000000055210");
    }

    #[test]
    fn a_phone_keeps_its_country_its_operator_and_its_last_four_digits() {
        for (address, expected) in [
            ("phone:+254700011234", "phone:+254743211234"),
            ("account:254100010003@safaricom.mpesa", "account:254143210003@safaricom.mpesa"),
            ("phone:+254200011234", "phone:+254243211234"),
            ("account:123400011234@branch1.bank1.bank_acc", "account:000000001234@branch1.bank1.bank_acc"),
        ] {
            assert_eq!(with_number(address, Numbers { long: 0, phone: 4_321 }), expected);
        }
    }

    #[test]
    fn duplicates_stay_duplicate_within_a_repetition_and_over_long_stays_over_long() {
        let long = "x".repeat(120);
        let (batches, _) = fill(&template(&[("a", ""), ("b", ""), ("a", ""), (&long, "")]), 8);
        let references: Vec<_> = all_items(&batches).map(|item| item.reference_id.as_str()).collect();
        assert_eq!(references[0], references[2]);
        assert_eq!(references[4], references[6]);
        assert_ne!(references[0], references[4]);
        assert_eq!(references[3].len(), 120);
        assert_eq!(references.iter().collect::<BTreeSet<_>>().len(), 6);
    }

    #[test]
    fn a_relative_time_becomes_one_ahead_and_an_unreadable_one_stays_unreadable() {
        let now = DateTime::from_timestamp(1_795_000_000, 250_000_000).expect("in range");
        assert_eq!(due_time("+5s".into(), now), openg2p_time(now + TimeDelta::seconds(5)));
        assert_eq!(openg2p_time(now), "2026-11-18 11:06:40.250000");
        for text in ["next Tuesday", "2026-11-23 10:00:00.000000", "+s", "+-5s", ""] {
            assert_eq!(due_time(text.into(), now), text);
        }
    }

    #[test]
    fn what_is_not_replaced_is_sent_as_it_stands() {
        let (batches, _) = fill(&template(&[("a", "")]), 1);
        let json = serde_json::to_value(&batches[0].message).expect("serialises");
        assert_eq!(json["header"]["action"], "disburse");
        assert_eq!(json["header"]["total_count"], 1);
        assert_eq!(json["signature"], "");
        assert_eq!(json["message"]["transaction_id"], batches[0].transaction.to_string());
        assert_eq!(json["message"]["disbursements"][0]["note"], "kept");
    }

    #[test]
    fn a_larger_number_repeats_the_pattern_in_batches_of_at_most_a_hundred_thousand() {
        let (batches, sent) = fill(&template(&[("a", "account:000000011234@b.b.bank_acc")]), 250_000);
        let sizes: Vec<_> = batches.iter().map(|batch| batch.message.message.disbursements.len()).collect();
        assert_eq!(sizes, [100_000, 100_000, 50_000]);
        assert_eq!((sent.count, sent.sums.to_string()), (250_000, "KES 2500000.00".into()));
        let payees: BTreeSet<_> = all_items(&batches).map(|item| item.payee_fa.as_str()).collect();
        let references: BTreeSet<_> = all_items(&batches).map(|item| item.reference_id.as_str()).collect();
        assert_eq!((payees.len(), references.len()), (250_000, 250_000));
    }

    #[test]
    fn the_example_batch_pays_nobody_twice_however_often_it_is_repeated() {
        let (batches, sent) = fill(&example(), 3_000);
        assert_eq!(sent.count, 3_000);
        let addressed = || all_items(&batches).map(|item| &item.payee_fa).filter(|payee| payee.contains(':'));
        assert_eq!(addressed().collect::<BTreeSet<_>>().len(), addressed().count());
    }
}
