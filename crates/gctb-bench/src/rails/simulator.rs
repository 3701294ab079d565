//! The simulator of one measurement: it is started with the rail's delay, and asked what was really paid.

use std::collections::BTreeMap;

use reqwest::blocking::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::scenario::{Rail, Scenario};
use crate::error::BenchError;
use crate::sender::client;
use crate::service::{Running, Service, Special};
use crate::stack::Stack;

/// Starts a simulator whose books are empty. `part` tells the folders of one scenario apart.
pub(super) fn start(stack: &Stack, scenario: Scenario, part: &str) -> Result<Running, BenchError> {
    let folder = stack.make_empty_folder(&format!("rails/{scenario}/{part}"))?;
    let plan = folder.join("faults.json");
    let text = json!({ scenario.rail.name(): {"answer_delay_ms": scenario.delay_ms} }).to_string();
    std::fs::write(&plan, text).map_err(|source| BenchError::Write { what: "the simulator's knobs", source })?;
    let path = |name: &str| folder.join(name).display().to_string();
    let settings = vec![
        ("BANK_ROOT", path("bank")),
        ("BOOK", path("bank-book")),
        ("RAIL_BOOKS", path("books")),
        ("FAULTS", plan.display().to_string()),
    ];
    let mut running = Running::nothing();
    running.add(stack, "", Service::Simulator, &Special { settings, config: None })?;
    running.wait_until_ready()?;
    Ok(running)
}

/// The rail's book in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Book {
    /// Payments made.
    pub(super) payments: u64,
    /// Their sums in minor units.
    pub(super) amount_minor: BTreeMap<String, u128>,
    /// Payees who were paid.
    pub(super) accounts: u64,
    /// Keys, or payees where the rail has no key, paid more than once.
    pub(super) paid_twice: u64,
    /// Payees paid more than once.
    pub(super) accounts_paid_twice: u64,
}

#[derive(Deserialize)]
struct Payments {
    payments: u64,
}

#[derive(Deserialize)]
struct Callbacks {
    callbacks_delivered: u64,
    callbacks_failed: u64,
}

/// Asks one simulator about one rail, over a connection of its own.
#[derive(Debug)]
pub(super) struct Asking {
    client: Client,
    base: String,
    rail: Rail,
}

impl Asking {
    pub(super) fn about(rail: Rail, base: &str) -> Result<Self, BenchError> {
        Ok(Self { client: client(1)?, base: base.to_owned(), rail })
    }

    /// How many payments are done. Where the rail calls back, one that was made is half done until that call was answered: a
    /// rail that pays first and calls back later would otherwise seem to do either in no time.
    pub(super) fn done(&self) -> Result<u64, BenchError> {
        let Payments { payments } = self.get(&format!("rails/{}/summary", self.rail.name()))?;
        match self.rail {
            Rail::Simple | Rail::Mojaloop => Ok(payments),
            Rail::Daraja => {
                let Callbacks { callbacks_delivered, callbacks_failed } = self.get("control/mpesa")?;
                match callbacks_failed {
                    0 => Ok(u64::midpoint(payments, callbacks_delivered)),
                    failed => Err(BenchError::Callbacks { failed }),
                }
            }
        }
    }

    pub(super) fn book(&self) -> Result<Book, BenchError> {
        self.get(&format!("rails/{}/summary", self.rail.name()))
    }

    /// The certificate for which M-Pesa wants the initiator's password encrypted, as PEM.
    pub(super) fn certificate(&self) -> Result<String, BenchError> {
        let answer = self.client.get(format!("{}/control/mpesa/certificate", self.base)).send();
        let text = answer.and_then(|answer| answer.error_for_status()?.text());
        text.map_err(|source| BenchError::Http { doing: "fetch the certificate of M-Pesa".to_owned(), source })
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, BenchError> {
        let answer = self.client.get(format!("{}/{path}", self.base)).send();
        let read = answer.and_then(|answer| answer.error_for_status()?.json());
        read.map_err(|source| BenchError::Http { doing: format!("ask the simulator for {path}"), source })
    }
}
