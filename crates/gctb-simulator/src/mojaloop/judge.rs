//! What the scheme says about a payee: the last four characters of `idValue` choose the answer where they are reserved.
//!
//! It must not know the book or the form of an answer.

use serde::{Deserialize, Serialize};

use super::fspiop::Code;

/// At which of its three calls to the scheme the SDK meets the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum At {
    Party,
    Quote,
    Transfer,
}

/// What the switch knows of a transfer for which it was asked to move money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Switch {
    /// It never heard of it: nothing was paid.
    Unknown,
    Committed,
    /// Reserved when it answered, committed when it is asked: paid.
    ReservedThenCommitted,
    /// Reserved when it answered, aborted when it is asked: not paid.
    ReservedThenAborted,
    /// Aborted: not paid.
    Aborted,
}

impl Switch {
    pub(super) fn paid(self) -> bool {
        match self {
            Self::Committed | Self::ReservedThenCommitted => true,
            Self::Unknown | Self::ReservedThenAborted | Self::Aborted => false,
        }
    }
}

/// What a reserved payee leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) at: At,
    /// `None`: the SDK says COMPLETED.
    pub(super) error: Option<Code>,
    pub(super) switch: Switch,
}

/// The reserved endings: docs/simulator.md has the same table.
pub(super) fn fate(id_value: &str) -> Option<Fate> {
    let party = |code| Some(Fate { at: At::Party, error: Some(Code(code)), switch: Switch::Unknown });
    let quote = |code| Some(Fate { at: At::Quote, error: Some(Code(code)), switch: Switch::Unknown });
    let transfer = |code, switch| Some(Fate { at: At::Transfer, error: Some(Code(code)), switch });
    let said = |switch| Some(Fate { at: At::Transfer, error: None, switch });
    match id_value.get(id_value.len().saturating_sub(4)..).unwrap_or_default() {
        "0101" => party(1001),
        "0107" => party(5107),
        "0200" => party(3200),
        "0203" => party(3203),
        "0204" => party(3204),
        "0206" => party(2006),
        "0504" => party(Code::TIME_OUT.0),
        "0420" => quote(4200),
        "0503" => quote(5103),
        "0506" => quote(5106),
        "0520" => quote(5200),
        "0530" => quote(5300),
        "0540" => quote(5400),
        "0505" => quote(Code::TIME_OUT.0),
        "0303" => transfer(3303, Switch::Aborted),
        "0401" => transfer(4001, Switch::Aborted),
        "0501" => transfer(5001, Switch::Aborted),
        "0514" => transfer(5104, Switch::Aborted),
        "0515" => transfer(5105, Switch::Aborted),
        "0223" => transfer(2003, Switch::Unknown),
        "0221" => transfer(2001, Switch::Committed),
        "0507" => transfer(Code::TIME_OUT.0, Switch::Unknown),
        "0508" => transfer(Code::TIME_OUT.0, Switch::Committed),
        "0509" => transfer(Code::TIME_OUT.0, Switch::Aborted),
        "0601" => said(Switch::ReservedThenCommitted),
        "0602" => said(Switch::Aborted),
        "0603" => said(Switch::ReservedThenAborted),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserved_numbers_are_those_of_the_document() {
        let document = include_str!("../../../../docs/simulator.md");
        let section = document.split_once("| idValue ends in |").expect("the table").1;
        let rows = section.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("| `"));
        let mut documented = 0;
        for row in rows {
            let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_end_matches('`')).collect();
            let Fate { at, error, switch } = fate(&format!("25470000{}", cells[0])).expect("reserved");
            let stage = match at {
                At::Party => "party",
                At::Quote => "quote",
                At::Transfer => "transfer",
            };
            let (at_once, later) = match switch {
                Switch::Unknown => ("", "3208"),
                Switch::Committed => ("COMMITTED", "COMMITTED"),
                Switch::ReservedThenCommitted => ("RESERVED", "COMMITTED"),
                Switch::ReservedThenAborted => ("RESERVED", "ABORTED"),
                Switch::Aborted => ("ABORTED", "ABORTED"),
            };
            let said = error.map_or_else(|| at_once.to_owned(), |code| code.0.to_string());
            let paid = if switch.paid() { "yes" } else { "no" };
            assert_eq!([stage, said.as_str(), paid, later], cells[1..5], "{row}");
            documented += 1;
        }
        let endings = (0..10_000).filter(|ending| fate(&format!("25470000{ending:04}")).is_some());
        assert_eq!(endings.count(), documented, "every reserved number is in the table");
    }
}
