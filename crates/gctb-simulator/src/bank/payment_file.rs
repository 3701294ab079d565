//! Payment file layout, version 1: what the bank accepts, and the name of every reason to refuse a file.
//!
//! A file is UTF-8 without byte order mark, RFC 4180, with LF or CRLF: the header row [`COLUMNS`], one record per
//! payment, and last `#TRAILER,<count>,<sum>`. It has one currency, and every amount and the sum have that
//! currency's decimals. `batch_ref` is the file's name without `.csv`; `line_no` counts from 1.
//!
//! A file is taken whole or refused whole. What the bank thinks of a single payment is not decided here.

use csv::{ReaderBuilder, StringRecord};
use thiserror::Error;

use super::money;

/// The header row, exactly.
pub(crate) const COLUMNS: [&str; 12] = [
    "batch_ref",
    "line_no",
    "payment_ref",
    "debit_account",
    "beneficiary_name",
    "beneficiary_account",
    "bank_code",
    "branch_code",
    "amount",
    "currency",
    "execution_date",
    "narrative",
];

/// The first cell of the last record.
pub(crate) const TRAILER: &str = "#TRAILER";

/// Why a whole file is refused. Lines are counted as a text editor does, and no cell is repeated.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum Refusal {
    #[error("the file's name does not end in .csv")]
    Name,
    #[error("the file is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the file starts with a byte order mark")]
    ByteOrderMark,
    #[error("line {line} is not UTF-8")]
    NotUtf8 { line: u64 },
    #[error("the header row is not that of layout version 1")]
    Header,
    #[error("the last record is not a trailer")]
    NoTrailer,
    #[error("line {line} is a trailer but not the last record")]
    EarlyTrailer { line: u64 },
    #[error("the trailer is not `#TRAILER,<count>,<sum>`")]
    Trailer,
    #[error("the file has no payments")]
    NoPayments,
    #[error("line {line} has {found} cells where {} belong", COLUMNS.len())]
    CellCount { line: u64, found: usize },
    #[error("line {line}: batch_ref is not the file's name")]
    BatchRef { line: u64 },
    #[error("line {line}: line_no does not follow")]
    LineNumber { line: u64 },
    #[error("line {line}: {column} is empty")]
    Empty { line: u64, column: &'static str },
    #[error("line {line}: currency is not three capital letters")]
    Currency { line: u64 },
    #[error("line {line} has another currency than the first payment")]
    MixedCurrencies { line: u64 },
    #[error("line {line}: amount does not have the form of its currency")]
    Amount { line: u64 },
    #[error("line {line}: execution_date is not YYYY-MM-DD")]
    ExecutionDate { line: u64 },
    #[error("the trailer's count is not the number of payments")]
    Count,
    #[error("the trailer's sum is not the sum of the amounts")]
    Sum,
}

/// A payment file that passed every check.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PaymentFile {
    pub(crate) currency: String,
    /// Decimals of every amount in the file.
    pub(crate) decimals: usize,
    pub(crate) payments: Vec<PaymentLine>,
}

/// One payment that the bank is asked to make.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PaymentLine {
    pub(crate) line_no: u64,
    pub(crate) payment_ref: String,
    pub(crate) debit_account: String,
    pub(crate) beneficiary_account: String,
    /// In minor units; zero is possible, and is the bank's to reject.
    pub(crate) minor: i128,
}

/// Reads and checks a whole file named `name`.
pub(crate) fn parse(name: &str, bytes: &[u8]) -> Result<PaymentFile, Refusal> {
    let batch_ref = name.strip_suffix(".csv").ok_or(Refusal::Name)?;
    // The CSV reader would skip the mark in silence.
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(Refusal::ByteOrderMark);
    }
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut record = StringRecord::new();
    if next(&mut reader, &mut record)?.is_none() || !record.iter().eq(COLUMNS) {
        return Err(Refusal::Header);
    }
    let mut payments = Payments::default();
    while let Some(line) = next(&mut reader, &mut record)? {
        if record.get(0) == Some(TRAILER) {
            let file = payments.close(&record)?;
            return if next(&mut reader, &mut record)?.is_some() {
                Err(Refusal::EarlyTrailer { line })
            } else {
                Ok(file)
            };
        }
        payments.add(batch_ref, line, &record)?;
    }
    Err(Refusal::NoTrailer)
}

/// Reads the next record and gives the line on which it starts.
fn next(reader: &mut csv::Reader<&[u8]>, record: &mut StringRecord) -> Result<Option<u64>, Refusal> {
    let start = reader.position().line();
    match reader.read_record(record) {
        Ok(true) => Ok(Some(record.position().map_or(start, csv::Position::line))),
        Ok(false) => Ok(None),
        // The bytes are in memory and records may have any length, so only the text's encoding can be wrong.
        Err(_) => Err(Refusal::NotUtf8 { line: start }),
    }
}

/// The payments read so far. The currency is that of the first.
#[derive(Default)]
struct Payments {
    currency: Option<(String, usize)>,
    lines: Vec<PaymentLine>,
    sum: i128,
}

impl Payments {
    fn add(&mut self, batch_ref: &str, line: u64, record: &StringRecord) -> Result<(), Refusal> {
        if record.len() != COLUMNS.len() {
            return Err(Refusal::CellCount { line, found: record.len() });
        }
        let expected_no = u64::try_from(self.lines.len()).unwrap_or(u64::MAX).saturating_add(1);
        if &record[0] != batch_ref {
            return Err(Refusal::BatchRef { line });
        }
        if record[1] != expected_no.to_string() {
            return Err(Refusal::LineNumber { line });
        }
        for column in [2, 3, 5] {
            if record[column].is_empty() {
                return Err(Refusal::Empty { line, column: COLUMNS[column] });
            }
        }
        if !is_iso_date(&record[10]) {
            return Err(Refusal::ExecutionDate { line });
        }
        let decimals = self.decimals(line, &record[9])?;
        let minor = money::parse(&record[8], decimals).ok_or(Refusal::Amount { line })?;
        self.sum += minor;
        self.lines.push(PaymentLine {
            line_no: expected_no,
            payment_ref: record[2].to_owned(),
            debit_account: record[3].to_owned(),
            beneficiary_account: record[5].to_owned(),
            minor,
        });
        Ok(())
    }

    fn decimals(&mut self, line: u64, currency: &str) -> Result<usize, Refusal> {
        match &self.currency {
            Some((known, decimals)) if known == currency => Ok(*decimals),
            Some(_) => Err(Refusal::MixedCurrencies { line }),
            None => {
                let decimals = money::decimals_of(currency).ok_or(Refusal::Currency { line })?;
                self.currency = Some((currency.to_owned(), decimals));
                Ok(decimals)
            }
        }
    }

    fn close(self, trailer: &StringRecord) -> Result<PaymentFile, Refusal> {
        let (currency, decimals) = self.currency.ok_or(Refusal::NoPayments)?;
        if trailer.len() != 3 {
            return Err(Refusal::Trailer);
        }
        let sum = money::parse(&trailer[2], decimals).ok_or(Refusal::Trailer)?;
        let count: usize = trailer[1].parse().map_err(|_| Refusal::Trailer)?;
        match () {
            () if count != self.lines.len() => Err(Refusal::Count),
            () if sum != self.sum => Err(Refusal::Sum),
            () => Ok(PaymentFile { currency, decimals, payments: self.lines }),
        }
    }
}

fn is_iso_date(text: &str) -> bool {
    text.len() == 10 && chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "batch_ref,line_no,payment_ref,debit_account,beneficiary_name,beneficiary_account,bank_code,branch_code,amount,currency,execution_date,narrative";
    const FIRST: &str =
        "b1,1,P1,100,\"Doe, Jane\",+254700000123,bank1,branch1,10.50,KES,2026-07-01,\"says \"\"hi\"\"\"";
    const SECOND: &str = "b1,2,P2,100,,0099,,,0.05,KES,2026-07-01,";

    fn file(rows: &[&str]) -> String {
        rows.iter().flat_map(|row| [*row, "\n"]).collect()
    }

    fn refusal(rows: &[&str]) -> Refusal {
        parse("b1.csv", file(rows).as_bytes()).expect_err("should be refused")
    }

    #[test]
    fn a_good_file_is_read_with_either_line_ending() {
        let text = file(&[HEADER, FIRST, SECOND, "#TRAILER,2,10.55"]);
        let unix = parse("b1.csv", text.as_bytes()).expect("good");
        assert_eq!(unix.payments.iter().map(|line| line.minor).collect::<Vec<_>>(), [1050, 5]);
        assert_eq!(unix.payments[0].beneficiary_account, "+254700000123");
        assert_eq!(unix.payments[1].beneficiary_account, "0099", "leading zeros stay");
        assert_eq!(parse("b1.csv", text.replace('\n', "\r\n").as_bytes()), Ok(unix));
        assert!(parse("b1.csv", text.trim_end().as_bytes()).is_ok(), "the last line may lack its end");
    }

    #[test]
    fn a_currency_without_decimals_has_amounts_and_a_sum_without_a_point() {
        let line = "b1,1,P1,100,,7,,,1500,UGX,2026-07-01,";
        assert!(parse("b1.csv", file(&[HEADER, line, "#TRAILER,1,1500"]).as_bytes()).is_ok());
        assert_eq!(refusal(&[HEADER, line, "#TRAILER,1,1500.00"]), Refusal::Trailer);
    }

    #[test]
    fn every_kind_of_bad_file_has_its_own_refusal() {
        let with = |from: &str, to: &str| FIRST.replacen(from, to, 1);
        let one = "#TRAILER,1,10.50";
        let table: Vec<(Vec<&str>, Refusal)> = vec![
            (vec![], Refusal::Header),
            (vec!["batch_ref,line_no", FIRST, one], Refusal::Header),
            (vec![HEADER, FIRST], Refusal::NoTrailer),
            (vec![HEADER, FIRST, one, SECOND], Refusal::EarlyTrailer { line: 3 }),
            (vec![HEADER, FIRST, "#TRAILER,1"], Refusal::Trailer),
            (vec![HEADER, FIRST, "#TRAILER,one,10.50"], Refusal::Trailer),
            (vec![HEADER, FIRST, "#TRAILER,1,10.5"], Refusal::Trailer),
            (vec![HEADER, "#TRAILER,0,0.00"], Refusal::NoPayments),
            (vec![HEADER, FIRST, "#TRAILER,2,10.50"], Refusal::Count),
            (vec![HEADER, FIRST, "#TRAILER,1,10.51"], Refusal::Sum),
            (vec![HEADER, "b1,1,P1", one], Refusal::CellCount { line: 2, found: 3 }),
            (vec![HEADER, FIRST, FIRST, one], Refusal::LineNumber { line: 3 }),
        ];
        for (rows, expected) in table {
            assert_eq!(refusal(&rows), expected);
        }
        for (from, to, expected) in [
            ("b1", "b2", Refusal::BatchRef { line: 2 }),
            ("P1", "", Refusal::Empty { line: 2, column: "payment_ref" }),
            ("100", "", Refusal::Empty { line: 2, column: "debit_account" }),
            ("+254700000123", "", Refusal::Empty { line: 2, column: "beneficiary_account" }),
            ("10.50", "-10.50", Refusal::Amount { line: 2 }),
            ("10.50", "10.505", Refusal::Amount { line: 2 }),
            ("KES", "kes", Refusal::Currency { line: 2 }),
            ("2026-07-01", "01.07.2026", Refusal::ExecutionDate { line: 2 }),
            ("2026-07-01", "2026-02-30", Refusal::ExecutionDate { line: 2 }),
        ] {
            assert_eq!(refusal(&[HEADER, &with(from, to), one]), expected, "{from} -> {to}");
        }
        assert_eq!(refusal(&[HEADER, FIRST, &SECOND.replace("KES", "USD"), one]), Refusal::MixedCurrencies { line: 3 });
    }

    #[test]
    fn bytes_that_are_not_plain_utf8_are_refused() {
        let good = file(&[HEADER, FIRST, "#TRAILER,1,10.50"]);
        let marked = [b"\xef\xbb\xbf", good.as_bytes()].concat();
        assert_eq!(parse("b1.csv", &marked), Err(Refusal::ByteOrderMark));
        let latin: Vec<u8> = good.bytes().map(|byte| if byte == b'J' { 0xe9 } else { byte }).collect();
        assert_eq!(parse("b1.csv", &latin), Err(Refusal::NotUtf8 { line: 2 }));
        assert_eq!(parse("b1.txt", good.as_bytes()), Err(Refusal::Name));
    }
}
