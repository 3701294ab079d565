//! A batch counted by status and reason, with exact sums, for people as a table and for machines as JSON.
//!
//! It keeps no reference, name or address.

use std::collections::BTreeMap;
use std::fmt;

use comfy_table::Cell;
use gctb_domain::{Currency, Money};
use serde::Serialize;

use crate::sums::Sums;
use crate::table;

/// A status in the words of G2P Connect, in the order in which people want to see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StatusWord {
    Succ,
    Rjct,
    Pdng,
    Rcvd,
}

impl StatusWord {
    /// Reads the word on the wire.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "succ" => Some(Self::Succ),
            "rjct" => Some(Self::Rjct),
            "pdng" => Some(Self::Pdng),
            "rcvd" => Some(Self::Rcvd),
            _ => None,
        }
    }

    /// Whether nothing more is to come.
    pub(crate) const fn is_final(self) -> bool {
        match self {
            Self::Succ | Self::Rjct => true,
            Self::Pdng | Self::Rcvd => false,
        }
    }
}

impl fmt::Display for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Succ => "succ (paid)",
            Self::Rjct => "rjct (failed)",
            Self::Pdng => "pdng (under way)",
            Self::Rcvd => "rcvd (received)",
        })
    }
}

/// How many, and how much.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    /// Instructions.
    pub(crate) count: u64,
    /// Their sums, over those whose amount and currency parse.
    pub(crate) sums: Sums,
    /// Those of them whose amount or currency does not parse, and which no sum holds.
    pub(crate) without_amount: u64,
}

impl Tally {
    /// Counts one instruction by its amount and currency as text.
    pub(crate) fn count(&mut self, amount: Option<&str>, currency: Option<&str>) {
        self.count += 1;
        let money = currency
            .and_then(|code| Currency::parse(code).ok())
            .zip(amount)
            .and_then(|(currency, amount)| Money::parse(amount, currency).ok());
        match money {
            Some(money) => self.sums.add(money),
            None => self.without_amount += 1,
        }
    }

    /// Counts one instruction by its amount in minor units, where it has one.
    pub(crate) fn count_minor(&mut self, minor: Option<i64>, currency: &str) {
        self.count += 1;
        let counted = minor.is_some_and(|minor| self.sums.add_minor_total(currency, i128::from(minor)));
        self.without_amount += u64::from(!counted);
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.without_amount += other.without_amount;
        self.sums.add_all(&other.sums);
    }
}

/// Tallies by status and reason code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Breakdown(BTreeMap<(StatusWord, String), Tally>);

/// One line of a breakdown, as JSON has it.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    status: StatusWord,
    reason: &'a str,
    #[serde(flatten)]
    tally: &'a Tally,
}

impl Breakdown {
    /// Counts one instruction.
    pub(crate) fn count(
        &mut self,
        status: StatusWord,
        reason: Option<&str>,
        amount: Option<&str>,
        currency: Option<&str>,
    ) {
        self.0.entry((status, reason.unwrap_or_default().to_owned())).or_default().count(amount, currency);
    }

    /// Adds every tally of `other`.
    pub(crate) fn add_all(&mut self, other: &Self) {
        for (key, tally) in &other.0 {
            self.0.entry(key.clone()).or_default().add(tally);
        }
    }

    /// The tally over everything that `wanted` accepts.
    pub(crate) fn tally(&self, wanted: impl Fn(StatusWord) -> bool) -> Tally {
        let mut total = Tally::default();
        self.0.iter().filter(|((status, _), _)| wanted(*status)).for_each(|(_, tally)| total.add(tally));
        total
    }

    /// The tally over everything.
    pub(crate) fn total(&self) -> Tally {
        self.tally(|_| true)
    }

    /// The lines, finished ones first.
    pub(crate) fn lines(&self) -> Vec<Line<'_>> {
        self.0.iter().map(|((status, reason), tally)| Line { status: *status, reason, tally }).collect()
    }
}

/// The table for people. The last row is the total.
impl fmt::Display for Breakdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = table::with_header(["status", "reason", "count", "sum", "without a readable amount"]);
        for ((status, reason), tally) in &self.0 {
            table.add_row(row(&status.to_string(), reason, tally));
        }
        table.add_row(row("total", "", &self.total()));
        write!(f, "{table}")
    }
}

fn row(status: &str, reason: &str, tally: &Tally) -> [Cell; 5] {
    let without = if tally.without_amount == 0 { String::new() } else { tally.without_amount.to_string() };
    [
        Cell::new(status),
        Cell::new(reason),
        table::number(tally.count.to_string()),
        table::number(tally.sums.to_string()),
        table::number(without),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breakdown() -> Breakdown {
        let mut breakdown = Breakdown::default();
        breakdown.count(StatusWord::Succ, None, Some("10.50"), Some("KES"));
        breakdown.count(StatusWord::Succ, None, Some("1000.0"), Some("KES"));
        breakdown.count(StatusWord::Rjct, Some("rjct.amount.invalid"), Some("-5.00"), Some("KES"));
        breakdown.count(StatusWord::Rjct, Some("rjct.payee_fa.invalid"), Some("7.25"), Some("KES"));
        breakdown.count(StatusWord::Pdng, None, Some("3.00"), Some("KES"));
        breakdown
    }

    #[test]
    fn the_table_counts_by_status_and_reason_and_sums_exactly() {
        let table = breakdown().to_string();
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>().join("|");
        let lines: Vec<_> = table.lines().map(cells).filter(|line| !line.contains("---")).collect();
        assert_eq!(
            lines,
            [
                "|status|reason|count|sum|without a readable amount|",
                "|succ (paid)||2|KES 1010.50||",
                "|rjct (failed)|rjct.amount.invalid|1||1|",
                "|rjct (failed)|rjct.payee_fa.invalid|1|KES 7.25||",
                "|pdng (under way)||1|KES 3.00||",
                "|total||5|KES 1020.75|1|",
            ]
        );
    }

    #[test]
    fn a_tally_over_the_final_ones_leaves_out_what_is_under_way() {
        let tally = breakdown().tally(StatusWord::is_final);
        assert_eq!((tally.count, tally.without_amount, tally.sums.to_string()), (4, 1, "KES 1017.75".into()));
    }

    #[test]
    fn machines_get_the_same_numbers_as_text() {
        let json = serde_json::to_string(&breakdown().lines()[0]).expect("serialises");
        assert_eq!(json, r#"{"status":"succ","reason":"","count":2,"sums":{"KES":"1010.50"},"without_amount":0}"#);
    }
}
