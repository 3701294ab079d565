//! The command line, and how much is measured in each size. It must not know how anything is measured.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, ValueEnum};

use crate::rails::Scenario;

/// Measures the bridge on a stack that deploy/local/bench.sh has started.
#[derive(Clone, Debug, Parser)]
#[command(name = "gctb-bench", version, about)]
pub struct Args {
    /// How much to measure
    #[arg(long, value_enum, default_value_t = Size::Short)]
    pub size: Size,

    /// What to measure: all; rail, the called rails alone, or as much of the name of one as tells it; rail-floors, the HTTP
    /// calls with no bridge around them
    #[arg(long, default_value = "all", value_name = "NAME")]
    pub only: Selection,

    /// Folder with the release programs of the bridge
    #[arg(long, value_name = "DIR")]
    pub programs: PathBuf,

    /// The psql of the server's own version
    #[arg(long, value_name = "FILE")]
    pub psql: PathBuf,

    /// Postgres, of which databases are made and dropped
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: String,

    /// Kafka
    #[arg(long, env = "KAFKA", value_name = "HOST:PORT")]
    pub kafka: String,

    /// Process id of Postgres' first process
    #[arg(long, value_name = "PID")]
    pub postgres_pid: u32,

    /// Process id of Kafka
    #[arg(long, value_name = "PID")]
    pub kafka_pid: u32,

    /// Version of Kafka, for the table
    #[arg(long, value_name = "TEXT")]
    pub kafka_version: String,

    /// Commit that is measured, for the table
    #[arg(long, value_name = "TEXT")]
    pub commit: String,

    /// Folder for logs, payment files and rows on their way
    #[arg(long, value_name = "DIR")]
    pub work: PathBuf,

    /// Where the figures go
    #[arg(long, value_name = "FILE")]
    pub json: PathBuf,

    /// Where the chart goes
    #[arg(long, value_name = "FILE")]
    pub svg: PathBuf,
}

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Size {
    /// A try of the bench itself: its figures mean nothing
    Smoke,
    /// Some minutes
    Short,
    /// What the design asks for
    Full,
}

/// What to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Everything.
    All,
    /// Payments over the rails that are called, where the name of the scenario begins so.
    Rails(String),
    /// The floors under all of those payments alone: what the machine and the simulator give.
    RailFloors,
}

impl FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "rail-floors" => Ok(Self::RailFloors),
            name if name.starts_with("rail")
                && Scenario::ALL.iter().any(|scenario| scenario.name().starts_with(name)) =>
            {
                Ok(Self::Rails(name.to_owned()))
            }
            _ => Err("expected all, rail, rail-floors or the beginning of a name such as rail_mpesa".to_owned()),
        }
    }
}

impl Selection {
    /// Whether this scenario is measured.
    pub(crate) fn has(&self, scenario: Scenario) -> bool {
        match self {
            Self::All | Self::RailFloors => true,
            Self::Rails(name) => scenario.name().starts_with(name.as_str()),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smoke => "smoke",
            Self::Short => "short",
            Self::Full => "full",
        })
    }
}

/// What a size comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Instructions that go through everything before the clock starts; also the rows of the payment floor.
    pub(crate) end_to_end_warm_up: u32,
    /// Instructions of the end to end measurement.
    pub(crate) end_to_end: u32,
    /// Disbursements of one of its POSTs, at most the bridge's limit of 100,000.
    pub(crate) end_to_end_post: u32,
    /// Payments over each called rail.
    pub(crate) rail_payments: u32,
    /// Rows of each ingest measurement.
    pub(crate) ingest_rows: u32,
    /// Disbursements of one POST, and rows of one COPY beside it, smallest first.
    pub(crate) ingest_posts: [u32; 3],
    /// Batches of 10,000 rows in each of the twelve months.
    pub(crate) status_batches_per_month: u32,
    /// Requests of each kind.
    pub(crate) status_requests: u32,
}

impl Size {
    pub(crate) const fn plan(self) -> Plan {
        match self {
            Self::Smoke => Plan {
                end_to_end_warm_up: 10_000,
                end_to_end: 20_000,
                end_to_end_post: 10_000,
                rail_payments: 2_000,
                ingest_rows: 20_000,
                ingest_posts: [1_000, 10_000, 20_000],
                status_batches_per_month: 1,
                status_requests: 20,
            },
            Self::Short => Plan {
                end_to_end_warm_up: 100_000,
                end_to_end: 200_000,
                end_to_end_post: 100_000,
                rail_payments: 40_000,
                ingest_rows: 400_000,
                ingest_posts: [1_000, 10_000, 100_000],
                status_batches_per_month: 9,
                status_requests: 200,
            },
            Self::Full => Plan {
                end_to_end_warm_up: 100_000,
                end_to_end: 1_000_000,
                end_to_end_post: 100_000,
                rail_payments: 200_000,
                ingest_rows: 400_000,
                ingest_posts: [1_000, 10_000, 100_000],
                status_batches_per_month: 84,
                status_requests: 400,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rail_is_chosen_by_the_beginning_of_its_name() {
        let chosen = |name: &str| {
            let selection: Selection = name.parse().expect("a selection");
            Scenario::ALL.into_iter().filter(|scenario| selection.has(*scenario)).count()
        };
        assert_eq!(["all", "rail", "rail_mpesa", "rail_mojaloop_sdk_50ms"].map(chosen), [6, 6, 4, 1]);
        for wrong in ["", "rails", "end_to_end"] {
            assert!(wrong.parse::<Selection>().is_err(), "{wrong}");
        }
    }
}
