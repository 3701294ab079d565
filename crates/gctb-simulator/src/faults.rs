//! The switches that make the mapper and the bank misbehave, as `PUT /control/…` sets them while the simulator runs.
//!
//! A switch only says what is wanted. What each does lies with the mapper and with the bank's response.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which release of the OpenG2P mapper is played; they answer the same question in different words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// The release of 2023: an id that is found has the reason `succ.id.active`.
    Spar23,
    /// Release 1.1: an id that is found has no reason, one that is not is `succ.fa.not_linked_to_id` without its id.
    Spar1,
}

/// How the mapper behaves as a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MapperMode {
    /// Answers as it should.
    Normal,
    /// Answers every call with 503.
    Down,
    /// Answers every call with 500.
    Error,
    /// Answers as it should after `delay_ms`, and after [`MapperControls::SLOW`] at the earliest.
    Slow,
    /// Answers 200 with JSON that breaks off.
    Garbage,
    /// Answers 200 with a web page, as a proxy's login does.
    Html,
    /// Leaves the last item out of its answer.
    WrongCount,
    /// Gives the last answer that it gave as it should, whatever is asked, as a cache between the parties does; before the
    /// first one, 503.
    Stale,
}

/// The mapper's switches.
#[derive(Debug, Clone)]
pub(crate) struct MapperControls {
    pub(crate) mode: MapperMode,
    pub(crate) variant: Variant,
    pub(crate) delay_ms: u64,
    /// Goes into every derived account: another salt is a mapper that answers differently the second time.
    pub(crate) salt: String,
    /// Answers fixed by id: a financial address, or `None` for an id that is not found.
    pub(crate) overrides: HashMap<String, Option<String>>,
}

impl MapperControls {
    /// How slow the mode `slow` is at least: longer than a client that expects a quick answer should wait.
    pub(crate) const SLOW: Duration = Duration::from_secs(5);

    pub(crate) fn new(variant: Variant) -> Self {
        Self { mode: MapperMode::Normal, variant, delay_ms: 0, salt: String::new(), overrides: HashMap::new() }
    }

    pub(crate) fn delay(&self) -> Duration {
        let asked = Duration::from_millis(self.delay_ms);
        if self.mode == MapperMode::Slow { asked.max(Self::SLOW) } else { asked }
    }

    pub(crate) fn change(&mut self, change: MapperChange) {
        let MapperChange { mode, variant, delay_ms, salt, overrides } = change;
        self.mode = mode.unwrap_or(self.mode);
        self.variant = variant.unwrap_or(self.variant);
        self.delay_ms = delay_ms.unwrap_or(self.delay_ms);
        if let Some(salt) = salt {
            self.salt = salt;
        }
        if let Some(overrides) = overrides {
            self.overrides = overrides;
        }
    }
}

/// The body of `PUT /control/mapper`. What is left out stays as it is; `overrides` replaces all earlier ones.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MapperChange {
    mode: Option<MapperMode>,
    variant: Option<Variant>,
    delay_ms: Option<u64>,
    salt: Option<String>,
    overrides: Option<HashMap<String, Option<String>>>,
}

/// What the bank says about a file that it has paid. Payments are made in the same way under each of them; only the
/// words differ. A *marked* line is the first of a file and every tenth after it; the others are answered truly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Respond {
    /// The truth about every line.
    All,
    /// The truth about the first, third, fifth… line; the others are owed.
    Half,
    /// No response file; every line is owed.
    None,
    /// Marked lines carry one minor unit too much; the truth about them is owed.
    WrongAmount,
    /// Marked lines carry another currency; the truth about them is owed.
    WrongCurrency,
    /// Marked lines carry a reference that nobody sent; the truth about them is owed.
    UnknownRef,
    /// A response file without its last columns and without a trailer; every line is owed.
    BadStructure,
    /// Every line twice.
    DuplicateLines,
    /// A second file that rejects the marked lines that were paid, after the first said so.
    PaidThenRejected,
    /// Marked lines that were paid are rejected first; a second file says that they were paid.
    RejectedThenPaid,
    /// A second file that returns the marked lines that were paid.
    ReturnAfterPaid,
}

/// The bank's switches.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BankControls {
    /// A paused bank neither takes files nor answers them.
    pub(crate) paused: bool,
    /// Time from paying a file to answering it, in milliseconds.
    pub(crate) delay_ms: u64,
    pub(crate) respond: Respond,
}

impl BankControls {
    pub(crate) fn new(delay: Duration) -> Self {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        Self { paused: false, delay_ms, respond: Respond::All }
    }

    pub(crate) fn change(&mut self, change: BankChange) {
        let BankChange { paused, delay_ms, respond } = change;
        self.paused = paused.unwrap_or(self.paused);
        self.delay_ms = delay_ms.unwrap_or(self.delay_ms);
        self.respond = respond.unwrap_or(self.respond);
    }
}

/// The body of `PUT /control/bank`. What is left out stays as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BankChange {
    paused: Option<bool>,
    delay_ms: Option<u64>,
    respond: Option<Respond>,
}

#[cfg(test)]
impl BankChange {
    /// A change of what the bank answers.
    pub(crate) fn respond(respond: Respond) -> Self {
        Self { respond: Some(respond), ..Self::default() }
    }

    /// A change that stops or restarts the bank's work.
    pub(crate) fn paused(paused: bool) -> Self {
        Self { paused: Some(paused), ..Self::default() }
    }
}
