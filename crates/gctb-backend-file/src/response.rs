//! The bank's response file: its structure is right as a whole or the file is set aside; each line is judged by itself.

use std::collections::HashMap;

use gctb_db::{FileLine, LineException};
use gctb_domain::{Currency, Money, News, RailKey};

use crate::layout::decimal;
use crate::reasons::{Verdict, verdict};
use crate::settings::WordSettings;

const HEADER: [&str; 8] =
    ["payment_ref", "status", "reason_code", "reason_text", "bank_reference", "processed_at", "amount", "currency"];

/// Longest text of the bank that is kept, in characters (G2P Connect allows 999 for a reason).
const TEXT_CHARS_MAX: usize = 900;
/// Longest reference of the bank that is kept, in characters.
const REFERENCE_CHARS_MAX: usize = 64;

/// A response file whose structure is right.
#[derive(Debug, Default)]
pub struct Response {
    /// What each line says; some lines say nothing that can be recorded and only have an exception.
    pub lines: Vec<(i32, Option<FileLine>, Option<LineException>)>,
}

impl Response {
    /// The sum of the lines' amounts as the trailer writes it; None where they are not all readable and of one currency.
    fn sum(&self) -> Option<String> {
        let amounts: Vec<Money> =
            self.lines.iter().map(|(_, line, _)| line.as_ref().map(|line| line.amount)).collect::<Option<_>>()?;
        let currency = amounts.first()?.currency();
        let alike = amounts.iter().all(|amount| amount.currency() == currency);
        let sum = amounts.iter().map(|amount| i128::from(amount.minor())).sum();
        alike.then(|| decimal(sum, currency.exponent()))
    }
}

/// Why a file is set aside whole, with the line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct WrongStructure {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong.
    pub reason: String,
}

/// What the bank's status words mean, by word.
#[derive(Clone, Debug)]
pub struct Words(HashMap<String, Meaning>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Paid,
    Pending,
    Refused,
    Returned,
}

impl Words {
    /// The words of the settings, without regard to case.
    pub fn new(settings: &WordSettings) -> Self {
        let groups = [
            (&settings.paid, Meaning::Paid),
            (&settings.pending, Meaning::Pending),
            (&settings.refused, Meaning::Refused),
            (&settings.returned, Meaning::Returned),
        ];
        let words = groups
            .into_iter()
            .flat_map(|(words, meaning)| words.iter().map(move |word| (word.to_uppercase(), meaning)));
        Self(words.collect())
    }

    fn meaning(&self, word: &str) -> Option<Meaning> {
        self.0.get(&word.to_uppercase()).copied()
    }
}

/// Reads a response file. `backend` names us in messages that the sender sees.
///
/// # Errors
/// [`WrongStructure`] where the file as a whole cannot be trusted: no line of it is used then.
pub fn parse(bytes: &[u8], backend: &str, words: &Words) -> Result<Response, WrongStructure> {
    let mut csv = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut response = Response::default();
    let mut trailer = None;
    for (record, number) in csv.records().zip(1_i32..) {
        let wrong = |reason: &str| WrongStructure { line: u64::from(number.unsigned_abs()), reason: reason.to_owned() };
        // The error's own words may quote a field.
        let record = record.map_err(|_| wrong("not UTF-8 or not CSV"))?;
        let fields: Vec<&str> = record.iter().collect();
        if trailer.is_some() {
            return Err(wrong("a line follows the trailer"));
        }
        match fields.as_slice() {
            fields if number == 1 && *fields == HEADER => {}
            _ if number == 1 => return Err(wrong("the header is not the one that was agreed")),
            ["#TRAILER", count, sum] => {
                if count.parse::<usize>() != Ok(response.lines.len()) {
                    return Err(wrong("the trailer counts another number of lines than there are"));
                }
                if response.sum().is_some_and(|expected| expected != *sum) {
                    return Err(wrong("the trailer has another sum than the lines"));
                }
                trailer = Some(number);
            }
            [reference, status, code, text, bank_reference, _processed_at, amount, currency] => {
                let line = Line { number, reference, status, code, text, bank_reference, amount, currency };
                let (news, exception) = line.read(backend, words);
                response.lines.push((number, news, exception));
            }
            _ => return Err(wrong("the line does not have eight columns")),
        }
    }
    match trailer {
        Some(_) => Ok(response),
        None => Err(WrongStructure { line: csv.position().line(), reason: "the trailer is missing".to_owned() }),
    }
}

struct Line<'a> {
    number: i32,
    reference: &'a str,
    status: &'a str,
    code: &'a str,
    text: &'a str,
    bank_reference: &'a str,
    amount: &'a str,
    currency: &'a str,
}

impl Line<'_> {
    fn read(&self, backend: &str, words: &Words) -> (Option<FileLine>, Option<LineException>) {
        let rail_key = match RailKey::parse(self.reference) {
            Ok(rail_key) => rail_key,
            Err(error) => return (None, Some(self.exception("unknown_reference", error.to_string()))),
        };
        let amount = Currency::parse(self.currency).and_then(|currency| Money::parse(self.amount, currency));
        let amount = match amount {
            Ok(amount) => amount,
            Err(error) => return (None, Some(self.exception("unreadable_amount", error.to_string()))),
        };
        let Some(meaning) = words.meaning(self.status) else {
            return (
                None,
                Some(self.exception("unknown_status", "the settings do not know the status word".to_owned())),
            );
        };
        let code = self.code.to_uppercase();
        let (news, reason, exception) = match meaning {
            Meaning::Paid => (News::Paid, None, None),
            Meaning::Pending => (News::Accepted, None, None),
            Meaning::Returned => (News::Returned, None, None),
            Meaning::Refused => match verdict(&code) {
                Verdict::Refused(reason) => (News::Refused, Some(reason), None),
                Verdict::PaidBefore => {
                    let detail = "refused as a duplicate: find out at the bank whether it was paid before".to_owned();
                    (News::Unknown, None, Some(self.exception("refused_as_duplicate", detail)))
                }
            },
        };
        let message = match (code.is_empty(), self.text.is_empty()) {
            (true, true) => String::new(),
            _ => cut(format!("{backend}:{code} {}", self.text).trim_end(), TEXT_CHARS_MAX),
        };
        let rail_reference = (!self.bank_reference.is_empty()).then(|| cut(self.bank_reference, REFERENCE_CHARS_MAX));
        let line = FileLine { line_no: self.number, rail_key, news, amount, reason, message, rail_reference };
        (Some(line), exception)
    }

    fn exception(&self, kind: &'static str, detail: String) -> LineException {
        LineException {
            line_no: self.number,
            kind,
            detail,
            payment_ref: cut(self.reference, REFERENCE_CHARS_MAX),
            instruction: None,
        }
    }
}

/// The first characters of a text of the bank, without what Postgres cannot store.
fn cut(text: &str, chars: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(chars).collect()
}

#[cfg(test)]
mod tests {
    use gctb_domain::{BatchNo, ReasonCode, Seq};

    use super::*;

    const HEAD: &str = "payment_ref,status,reason_code,reason_text,bank_reference,processed_at,amount,currency\n";

    fn words() -> Words {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Words::new(&WordSettings {
            paid: list(&["ACSC"]),
            pending: list(&["PDNG"]),
            refused: list(&["RJCT"]),
            returned: list(&["RTRN"]),
        })
    }

    fn key() -> String {
        RailKey::new(BatchNo(7), Seq(3), 1).expect("fits").to_string()
    }

    #[test]
    fn each_line_says_one_thing_and_a_wrong_one_stops_only_itself() {
        let body = format!(
            "{HEAD}{k},ACSC,,,BR-1,2026-07-02T10:00:00Z,10.50,KES\n{k},rjct,AC04,\"Account, closed\",,,10.50,KES\n\
             {k},PDNG,,,,,10.50,KES\n{k},RTRN,AC06,,BR-2,,10.50,KES\n{k},RJCT,DU04,,,,10.50,KES\n\
             NOTAKEY,ACSC,,,,,10.50,KES\n{k},ACSC,,,,,ten,KES\n{k},WHAT,,,,,10.50,KES\n#TRAILER,8,84.00\n",
            k = key()
        );
        let response = parse(body.as_bytes(), "file", &words()).expect("the structure is right");
        let said: Vec<(Option<News>, Option<ReasonCode>, Option<&str>)> = response
            .lines
            .iter()
            .map(|(_, line, exception)| {
                (
                    line.as_ref().map(|l| l.news),
                    line.as_ref().and_then(|l| l.reason),
                    exception.as_ref().map(|e| e.kind),
                )
            })
            .collect();
        let expected = [
            (Some(News::Paid), None, None),
            (Some(News::Refused), Some(ReasonCode::PayeeFaInvalid), None),
            (Some(News::Accepted), None, None),
            (Some(News::Returned), None, None),
            (Some(News::Unknown), None, Some("refused_as_duplicate")),
            (None, None, Some("unknown_reference")),
            (None, None, Some("unreadable_amount")),
            (None, None, Some("unknown_status")),
        ];
        assert_eq!(said, expected);
        let refused = response.lines[1].1.as_ref().expect("read");
        assert_eq!(refused.message, "file:AC04 Account, closed");
    }

    #[test]
    fn a_file_of_the_wrong_structure_is_set_aside_with_the_line() {
        let k = key();
        let table = [
            (String::new(), 1, "the trailer is missing"),
            ("a,b,c\n".to_owned(), 1, "the header is not the one that was agreed"),
            (format!("{HEAD}{k},ACSC\n"), 2, "the line does not have eight columns"),
            (format!("{HEAD}{k},ACSC,,,,,1.00,KES\n"), 3, "the trailer is missing"),
            (
                format!("{HEAD}{k},ACSC,,,,,1.00,KES\n#TRAILER,1,2.00\n"),
                3,
                "the trailer has another sum than the lines",
            ),
            (format!("{HEAD}#TRAILER,1,0\n"), 2, "the trailer counts another number of lines than there are"),
            (format!("{HEAD}#TRAILER,0,0\n{k},ACSC,,,,,1.00,KES\n"), 3, "a line follows the trailer"),
        ];
        for (body, line, reason) in table {
            let error = parse(body.as_bytes(), "file", &words()).expect_err("wrong structure");
            assert_eq!(error, WrongStructure { line, reason: reason.to_owned() }, "{body}");
        }
        assert!(parse(b"\xff\xfe", "file", &words()).is_err());
    }
}
