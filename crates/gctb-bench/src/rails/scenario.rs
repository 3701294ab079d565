//! What is measured: three ways to pay, each with a rail that answers at once and one that takes 50 ms.

use std::fmt;

use crate::message::Payees;
use crate::service::Service;

/// A rail that is called, as one profile of a backend calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rail {
    /// simple-mpesa: one call.
    Simple,
    /// Daraja: a call, and a callback that must be answered.
    Daraja,
    /// The Mojaloop SDK: two calls, the second by what the first one answered.
    Mojaloop,
}

impl Rail {
    /// Its name in the simulator's documents and paths.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple-mpesa",
            Self::Daraja => "mpesa",
            Self::Mojaloop => "mojaloop",
        }
    }

    /// The backend that pays over it.
    pub(super) const fn backend(self) -> Service {
        match self {
            Self::Simple | Self::Daraja => Service::BackendMpesa,
            Self::Mojaloop => Service::BackendMojaloop,
        }
    }

    /// People whose addresses this rail takes.
    pub(super) const fn payees(self) -> Payees {
        match self {
            Self::Simple => Payees::Emails,
            Self::Daraja => Payees::Phones,
            Self::Mojaloop => Payees::AccountsInWholeUnits,
        }
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    /// The rail.
    pub(crate) rail: Rail,
    /// How long the rail takes for each answer, in milliseconds.
    pub(crate) delay_ms: u32,
    name: &'static str,
    limit: &'static str,
}

impl Scenario {
    /// All, in the order in which they are measured.
    pub(crate) const ALL: [Self; 6] = [
        Self { rail: Rail::Simple, delay_ms: 0, name: "rail_mpesa_simple_0ms", limit: "both cores are used up" },
        Self {
            rail: Rail::Simple,
            delay_ms: 50,
            name: "rail_mpesa_simple_50ms",
            limit: "800 calls under way, and lanes that wait for a commit between two windows",
        },
        Self { rail: Rail::Daraja, delay_ms: 0, name: "rail_mpesa_daraja_0ms", limit: "both cores are used up" },
        Self { rail: Rail::Daraja, delay_ms: 50, name: "rail_mpesa_daraja_50ms", limit: "both cores are used up" },
        Self { rail: Rail::Mojaloop, delay_ms: 0, name: "rail_mojaloop_sdk_0ms", limit: "both cores are used up" },
        Self {
            rail: Rail::Mojaloop,
            delay_ms: 50,
            name: "rail_mojaloop_sdk_50ms",
            limit: "800 calls under way, two in turn for each payment",
        },
    ];

    /// As it stands in the figures.
    pub(crate) const fn name(self) -> &'static str {
        self.name
    }

    /// What stops it from being faster, as a profile showed and docs/performance.md explains; written here by hand. Empty where
    /// nobody has looked yet.
    pub(crate) const fn limit(self) -> &'static str {
        self.limit
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_rail_and_its_delay() {
        for scenario in Scenario::ALL {
            let backend = scenario.rail.backend().name().trim_start_matches("gctb-backend-");
            assert!(scenario.name().starts_with(&format!("rail_{backend}_")), "{scenario}");
            assert!(scenario.name().ends_with(&format!("_{}ms", scenario.delay_ms)), "{scenario}");
        }
    }
}
