//! The payment file: which instruction it can carry, and its bytes.
//!
//! Layout version 1 is the CSV of docs/protocols.md, "Bank files": UTF-8, RFC 4180, a header row, amounts as plain
//! decimals with exactly the currency's digits, a trailer with count and sum. The bytes come from ledger rows alone and
//! are the same each time. Nothing is neutralised here: a payment file is read by a bank, not by a spreadsheet.

use gctb_db::{OutgoingFile, PaymentLine};
use gctb_domain::{AddressParts, FaKind, FaStrategies, FinancialAddress, ReasonCode};
use sha2::{Digest, Sha256};

use crate::settings::ColumnSettings;

/// Which layout [`Layout::render`] writes.
pub const LAYOUT_VERSION: i16 = 1;

/// Longest account that the layout carries, in characters: an e-mail wallet's; ISO 20022 allows banks 34.
const ACCOUNT_CHARS_MAX: usize = 64;

const HEADER: [&str; 12] = [
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

/// Knows how addresses become columns.
#[derive(Clone, Debug)]
pub struct Layout {
    strategies: FaStrategies,
    columns: ColumnSettings,
}

/// The payee's columns of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Payee {
    account: String,
    bank: String,
    branch: String,
}

/// Bytes of a payment file, and their hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The file.
    pub bytes: Vec<u8>,
    /// SHA-256 of it.
    pub sha256: Vec<u8>,
}

/// Why a file cannot be rendered. Such a file is never put; an operator must look.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The ledger has another number of lines than the close counted.
    #[error("the ledger has {found} lines for a file that was closed with {closed}")]
    Count {
        /// Lines found.
        found: usize,
        /// Lines counted by the close.
        closed: i32,
    },
    /// The ledger has another sum than the close found.
    #[error("the ledger's lines have another sum than the file was closed with")]
    Sum,
    /// A closed file has no execution date, or lines of another currency.
    #[error("the file's row lacks {what}")]
    Incomplete {
        /// What.
        what: &'static str,
    },
    /// An address that was carried when it was claimed is not any more: the settings have changed.
    #[error("line {line} has an address that the settings no longer take apart")]
    Address {
        /// The line.
        line: usize,
    },
    /// The CSV writer failed.
    #[error("could not write the file's lines")]
    Write(#[source] csv::Error),
}

impl Layout {
    /// A layout that takes addresses apart by `strategies`.
    pub const fn new(strategies: FaStrategies, columns: ColumnSettings) -> Self {
        Self { strategies, columns }
    }

    /// Whether a file can debit this payer.
    pub fn carries_payer(&self, payer: &FinancialAddress) -> bool {
        self.debit_account(payer).is_some()
    }

    /// Says why an instruction cannot be a line of its payer's file, if so. What passes here, and whose payer
    /// [`Layout::carries_payer`], can be rendered.
    pub fn refusal(&self, payee: &FinancialAddress, texts: [&str; 2]) -> Option<(ReasonCode, &'static str)> {
        if self.payee(payee).is_none() {
            return Some((ReasonCode::PayeeFaInvalid, "a payment file cannot carry the payee's address"));
        }
        let unprintable = texts.iter().any(|text| text.chars().any(char::is_control));
        unprintable.then_some((ReasonCode::DisbursementInvalid, "a payment file cannot carry control characters"))
    }

    /// The bytes of a closed file.
    ///
    /// # Errors
    /// [`RenderError`] where the ledger and the file's row do not agree, or the settings have changed.
    pub fn render(&self, file: &OutgoingFile, lines: &[PaymentLine]) -> Result<Rendered, RenderError> {
        let sum: i128 = lines.iter().map(|line| i128::from(line.amount.minor())).sum();
        if usize::try_from(file.line_count).ok() != Some(lines.len()) {
            return Err(RenderError::Count { found: lines.len(), closed: file.line_count });
        }
        if sum != file.amount_minor || lines.iter().any(|line| line.amount.currency().code() != file.currency) {
            return Err(RenderError::Sum);
        }
        let date = file.execution_date.ok_or(RenderError::Incomplete { what: "its execution date" })?.to_string();
        let payer = FinancialAddress::parse(&file.payer_fa).ok();
        let debit_account = payer
            .and_then(|payer| self.debit_account(&payer))
            .ok_or(RenderError::Incomplete { what: "an account to debit" })?;
        let batch_ref = file.name.strip_suffix(".csv").unwrap_or(&file.name);
        let mut csv = csv::WriterBuilder::new().flexible(true).from_writer(Vec::with_capacity(lines.len() * 160));
        csv.write_record(HEADER).map_err(RenderError::Write)?;
        for (line, line_no) in lines.iter().zip(1_usize..) {
            let payee = FinancialAddress::parse(&line.resolved_fa).ok().and_then(|payee| self.payee(&payee));
            let payee = payee.ok_or(RenderError::Address { line: line_no })?;
            csv.write_record([
                batch_ref,
                &line_no.to_string(),
                &line.rail_key.to_string(),
                &debit_account,
                &line.payee_name,
                &payee.account,
                &payee.bank,
                &payee.branch,
                &line.amount.to_string(),
                line.amount.currency().code(),
                &date,
                &line.narrative,
            ])
            .map_err(RenderError::Write)?;
        }
        let total = decimal(sum, lines.first().map_or(0, |line| line.amount.currency().exponent()));
        csv.write_record(["#TRAILER", &lines.len().to_string(), &total]).map_err(RenderError::Write)?;
        let bytes = csv.into_inner().map_err(|error| RenderError::Write(error.into_error().into()))?;
        let sha256 = Sha256::digest(&bytes).to_vec();
        Ok(Rendered { bytes, sha256 })
    }

    fn payee(&self, address: &FinancialAddress) -> Option<Payee> {
        let parts = self.parts(address)?;
        let account = first_of(&parts, &self.columns.beneficiary_account).filter(|account| is_account(account))?;
        let optional = |names: &[String]| first_of(&parts, names).unwrap_or_default().to_owned();
        let (bank, branch) = (optional(&self.columns.bank_code), optional(&self.columns.branch_code));
        Some(Payee { account: account.to_owned(), bank, branch })
    }

    fn debit_account(&self, address: &FinancialAddress) -> Option<String> {
        let parts = self.parts(address)?;
        first_of(&parts, &self.columns.debit_account).filter(|account| is_account(account)).map(str::to_owned)
    }

    /// The parts of an address, if it is a place that can be paid.
    fn parts<'a>(&'a self, address: &'a FinancialAddress) -> Option<AddressParts<'a>> {
        let (strategy, parts) = self.strategies.parts(address)?;
        match strategy.kind() {
            FaKind::Address => Some(parts),
            FaKind::Id => None,
        }
    }
}

/// The first of the named parts that an address has.
fn first_of<'a>(parts: &AddressParts<'a>, names: &[String]) -> Option<&'a str> {
    names.iter().find_map(|name| parts.get(name.as_str()).copied())
}

fn is_account(account: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_' | '.' | '@' | '/');
    !account.is_empty() && account.len() <= ACCOUNT_CHARS_MAX && account.chars().all(allowed)
}

/// A sum in minor units as a plain decimal. Sums outgrow `Money`, which ends at an i64.
pub(crate) fn decimal(minor: i128, exponent: u32) -> String {
    let scale = 10_i128.pow(exponent);
    match exponent as usize {
        0 => minor.to_string(),
        digits => format!("{}.{:0digits$}", minor / scale, (minor % scale).unsigned_abs()),
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use gctb_db::FileState;
    use gctb_domain::{BatchNo, Currency, Money, RailKey, Seq, default_strategies};

    use super::*;

    fn layout() -> Layout {
        let parts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let columns = ColumnSettings {
            beneficiary_account: parts(&["account_no", "phone", "email"]),
            bank_code: parts(&["bank", "wallet"]),
            branch_code: parts(&["branch"]),
            debit_account: parts(&["account_no", "phone"]),
        };
        Layout::new(FaStrategies::compile(&default_strategies()).expect("compile"), columns)
    }

    fn line(seq: i32, fa: &str, name: &str, minor: i64) -> PaymentLine {
        PaymentLine {
            rail_key: RailKey::new(BatchNo(17), Seq(seq), 1).expect("fits"),
            resolved_fa: fa.to_owned(),
            payee_name: name.to_owned(),
            amount: Money::from_minor(minor, Currency::parse("KES").expect("KES")).expect("positive"),
            narrative: "Farmer relief".to_owned(),
        }
    }

    fn file(lines: &[PaymentLine]) -> OutgoingFile {
        OutgoingFile {
            file_id: 1,
            name: "gctb_file_20260701_000001.csv".to_owned(),
            payer_fa: "account:1212121212@treasury.cbk.bank_acc".to_owned(),
            currency: "KES".to_owned(),
            state: FileState::Closed,
            execution_date: NaiveDate::from_ymd_opt(2026, 7, 2),
            line_count: i32::try_from(lines.len()).expect("few"),
            amount_minor: lines.iter().map(|line| i128::from(line.amount.minor())).sum(),
            sha256: None,
            answered_count: 0,
            dispatched_at: None,
            delivering_at: None,
            needs_operator_since: None,
        }
    }

    #[test]
    fn a_file_is_written_as_the_bank_reads_it_and_the_same_each_time() {
        let lines = [
            line(0, "account:0094373447@indigo.dfsp2.bank_acc", "Doe, \"Jane\"", 100_050),
            line(1, "phone:+254700000001", "=SUM(A1)", 5),
        ];
        let rendered = layout().render(&file(&lines), &lines).expect("renders");
        let text = String::from_utf8(rendered.bytes.clone()).expect("UTF-8");
        let expected = "batch_ref,line_no,payment_ref,debit_account,beneficiary_name,beneficiary_account,bank_code,branch_code,amount,currency,execution_date,narrative\n\
            gctb_file_20260701_000001,1,000002400015,1212121212,\"Doe, \"\"Jane\"\"\",0094373447,dfsp2,indigo,1000.50,KES,2026-07-02,Farmer relief\n\
            gctb_file_20260701_000001,2,00000240011V,1212121212,=SUM(A1),+254700000001,,,0.05,KES,2026-07-02,Farmer relief\n\
            #TRAILER,2,1000.55\n";
        let keys: Vec<String> = lines.iter().map(|line| line.rail_key.to_string()).collect();
        let expected = expected.replace("000002400015", &keys[0]).replace("00000240011V", &keys[1]);
        assert_eq!(text, expected);
        assert_eq!(layout().render(&file(&lines), &lines).expect("renders again"), rendered);
    }

    #[test]
    fn a_file_that_does_not_match_its_row_is_never_rendered() {
        let lines = [line(0, "phone:+254700000001", "", 100), line(1, "phone:+254700000002", "", 200)];
        let mut other_sum = file(&lines);
        other_sum.amount_minor += 1;
        assert!(matches!(layout().render(&other_sum, &lines), Err(RenderError::Sum)));
        assert!(matches!(layout().render(&file(&lines), &lines[..1]), Err(RenderError::Count { found: 1, closed: 2 })));
        let unknown = [line(0, "voucher:1@x", "", 100)];
        assert!(matches!(layout().render(&file(&unknown), &unknown), Err(RenderError::Address { line: 1 })));
    }

    #[test]
    fn what_the_layout_cannot_carry_is_refused_by_name() {
        let fa = |text: &str| FinancialAddress::parse(text).expect(text);
        let payer = fa("account:1212121212@treasury.cbk.bank_acc");
        let code = |payee: &str, note: &str| layout().refusal(&fa(payee), ["Jane", note]).map(|(code, _)| code);
        assert_eq!(code("phone:+254700000001", ""), None);
        assert_eq!(code("token:ABC@nationalId", ""), Some(ReasonCode::PayeeFaInvalid));
        assert_eq!(code("account_no:1 2@BIC", ""), Some(ReasonCode::PayeeFaInvalid));
        assert_eq!(code("phone:+254700000001", "a\nb"), Some(ReasonCode::DisbursementInvalid));
        assert!(layout().carries_payer(&payer));
        assert!(!layout().carries_payer(&fa("voucher:1@x")));
    }

    #[test]
    fn i6_sums_are_decimals_of_the_currency_and_never_rounded() {
        assert_eq!(decimal(i128::from(i64::MAX) * 2, 2), "184467440737095516.14");
        assert_eq!((decimal(5, 2), decimal(5, 0), decimal(5, 3)), ("0.05".into(), "5".into(), "0.005".into()));
        let amount = line(0, "phone:+254700000001", "", 123_456).amount;
        assert_eq!(decimal(i128::from(amount.minor()), amount.currency().exponent()), amount.to_string());
    }
}
