//! Response files: what the bank says about a payment file, truly or as a fault asks for.
//!
//! A response is a pure function of the archived file, its delivery and the fault, so that a bank that crashed writes
//! the same one. Columns: [`COLUMNS`], then `#TRAILER,<count>,<sum of the amounts of all lines>`. It must not know
//! where files lie.

use chrono::SecondsFormat;

use super::book::Taken;
use super::decision::{self, Decision, Reason};
use super::money;
use super::payment_file::{PaymentFile, TRAILER};
use crate::faults::Respond;

/// The header row. A response of the wrong structure leaves out the last two.
pub(crate) const COLUMNS: [&str; 8] =
    ["payment_ref", "status", "reason_code", "reason_text", "bank_reference", "processed_at", "amount", "currency"];

/// Paid.
const PAID: &str = "ACSC";
/// Not paid.
const REJECTED: &str = "RJCT";
/// Paid earlier, and the money came back.
const RETURNED: &str = "RTRN";

/// Which lines of a delivery have got no true answer yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    Nothing,
    EverySecond,
    Marked,
    Everything,
}

impl Respond {
    /// Whether lines are left that `POST /bank/respond-rest` would answer.
    pub(crate) fn owes_something(self) -> bool {
        self.owed() != Owed::Nothing
    }

    fn owed(self) -> Owed {
        match self {
            Self::All
            | Self::DuplicateLines
            | Self::PaidThenRejected
            | Self::RejectedThenPaid
            | Self::ReturnAfterPaid => Owed::Nothing,
            Self::Half => Owed::EverySecond,
            Self::WrongAmount | Self::WrongCurrency | Self::UnknownRef => Owed::Marked,
            Self::None | Self::BadStructure => Owed::Everything,
        }
    }
}

impl Owed {
    fn covers(self, index: usize) -> bool {
        match self {
            Self::Nothing => false,
            Self::EverySecond => index % 2 == 1,
            Self::Marked => is_marked(index),
            Self::Everything => true,
        }
    }
}

/// Lines that a fault touches: the first and every tenth after it.
fn is_marked(index: usize) -> bool {
    index.is_multiple_of(10)
}

/// The bank's reference for a line: the same however often the response is written, and never used twice.
pub(crate) fn bank_reference(delivery: u64, line_no: u64) -> String {
    format!("SIM{delivery:07}-{line_no:06}")
}

/// The response files to a delivery, in the order in which they must appear; none at all is possible.
pub(crate) fn answer(taken: &Taken, file: &PaymentFile, respond: Respond) -> Vec<Vec<u8>> {
    let truth = || Sheet::truth(taken, file);
    match respond {
        Respond::All => vec![truth()],
        Respond::None => vec![],
        Respond::Half => vec![truth().keeping(|index, _| !Owed::EverySecond.covers(index))],
        Respond::WrongAmount => vec![truth().marking(|row| row.minor += 1)],
        Respond::WrongCurrency => {
            vec![truth().marking(|row| row.currency = if row.currency == "USD" { "KES" } else { "USD" }.to_owned())]
        }
        Respond::UnknownRef => vec![truth().marking(|row| row.payment_ref = format!("UNKNOWN-{}", row.bank_reference))],
        Respond::DuplicateLines => vec![truth().doubled()],
        Respond::BadStructure => return vec![truth().without_structure()],
        Respond::PaidThenRejected => vec![truth(), second(truth(), |row| row.refuse(REJECTED, decision::UNSPECIFIED))],
        Respond::ReturnAfterPaid => {
            vec![truth(), second(truth(), |row| row.refuse(RETURNED, decision::ACCOUNT_CLOSED))]
        }
        Respond::RejectedThenPaid => {
            let first = truth().marking(|row| {
                if row.status == PAID {
                    row.refuse(REJECTED, decision::UNSPECIFIED);
                }
            });
            vec![first, second(truth(), |_| {})]
        }
    }
    .into_iter()
    .filter(|sheet| !sheet.rows.is_empty())
    .map(|sheet| sheet.render())
    .collect()
}

/// The true answer to what an earlier response owed, and how many lines it has.
pub(crate) fn rest(taken: &Taken, file: &PaymentFile, respond: Respond) -> Option<(Vec<u8>, usize)> {
    let sheet = Sheet::truth(taken, file).keeping(|index, _| respond.owed().covers(index));
    (!sheet.rows.is_empty()).then(|| (sheet.render(), sheet.rows.len()))
}

/// The second file of a contradiction: the marked lines that were paid, with other words.
fn second(truth: Sheet, change: impl Fn(&mut Row)) -> Sheet {
    let mut sheet = truth.keeping(|index, row| is_marked(index) && row.status == PAID);
    sheet.rows.iter_mut().for_each(change);
    sheet
}

struct Row {
    payment_ref: String,
    status: &'static str,
    reason: Option<Reason>,
    bank_reference: String,
    minor: i128,
    currency: String,
}

impl Row {
    fn refuse(&mut self, status: &'static str, reason: Reason) {
        self.status = status;
        self.reason = Some(reason);
    }
}

/// The lines of one response file.
struct Sheet {
    decimals: usize,
    processed_at: String,
    rows: Vec<Row>,
}

impl Sheet {
    fn truth(taken: &Taken, file: &PaymentFile) -> Self {
        let row = |line: &super::payment_file::PaymentLine| {
            let (status, reason) = match decision::decide(line, file.decimals, taken.reject_percent) {
                Decision::Pay => (PAID, None),
                Decision::Reject(reason) => (REJECTED, Some(reason)),
            };
            Row {
                payment_ref: line.payment_ref.clone(),
                status,
                reason,
                bank_reference: bank_reference(taken.delivery, line.line_no),
                minor: line.minor,
                currency: file.currency.clone(),
            }
        };
        Self {
            decimals: file.decimals,
            processed_at: taken.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            rows: file.payments.iter().map(row).collect(),
        }
    }

    fn keeping(mut self, wanted: impl Fn(usize, &Row) -> bool) -> Self {
        self.rows =
            self.rows.into_iter().enumerate().filter(|(index, row)| wanted(*index, row)).map(|(_, row)| row).collect();
        self
    }

    fn marking(mut self, change: impl Fn(&mut Row)) -> Self {
        self.rows.iter_mut().enumerate().filter(|(index, _)| is_marked(*index)).for_each(|(_, row)| change(row));
        self
    }

    fn doubled(mut self) -> Self {
        let twice = |row: Row| {
            let copy = Row {
                payment_ref: row.payment_ref.clone(),
                bank_reference: row.bank_reference.clone(),
                currency: row.currency.clone(),
                ..row
            };
            [row, copy]
        };
        self.rows = self.rows.into_iter().flat_map(twice).collect();
        self
    }

    fn render(&self) -> Vec<u8> {
        let mut text = self.table(COLUMNS.len());
        let sum = self.rows.iter().map(|row| row.minor).sum();
        let count = self.rows.len().to_string();
        text.extend(format!("{TRAILER},{count},{}\n", money::format(sum, self.decimals)).into_bytes());
        text
    }

    fn without_structure(&self) -> Vec<u8> {
        self.table(COLUMNS.len() - 2)
    }

    /// The header and the lines, with only the first `columns` of each.
    fn table(&self, columns: usize) -> Vec<u8> {
        let mut writer = csv::Writer::from_writer(Vec::with_capacity(self.rows.len() * 100 + 200));
        let mut write = |cells: [&str; COLUMNS.len()]| {
            // A Vec takes all that is written to it, and every record has the same number of cells.
            writer
                .write_record(cells.iter().take(columns))
                .expect("writing records of one length into memory cannot fail");
        };
        write(COLUMNS);
        for row in &self.rows {
            let (code, text) = row.reason.map_or(("", ""), |reason| (reason.code, reason.text));
            let amount = money::format(row.minor, self.decimals);
            write([
                &row.payment_ref,
                row.status,
                code,
                text,
                &row.bank_reference,
                &self.processed_at,
                &amount,
                &row.currency,
            ]);
        }
        writer.into_inner().expect("flushing into memory cannot fail")
    }
}
