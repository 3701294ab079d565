//! What an operator can choose about the rails when starting the simulator. What can change while it runs lies in
//! [`crate::rail_faults::plan`].
//!
//! It must not know how a setting is used.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser};

/// A text that is not printed: people put the credentials of a sandbox here.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// The rails that are called: M-Pesa (Daraja), simple-mpesa, the Mojaloop SDK.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Rails that are called")]
pub struct RailSettings {
    /// Directory of the rails' books and of the M-Pesa certificate; by default the name of the bank's book with .rails
    #[arg(long, env = "GCTB_SIMULATOR__RAIL_BOOKS", value_name = "DIR")]
    pub rail_books: Option<PathBuf>,

    /// What goes wrong on the rails, as JSON: every knob is in docs/simulator.md, PUT /control/faults takes the same
    #[arg(long, env = "GCTB_SIMULATOR__FAULTS", value_name = "FILE")]
    pub faults: Option<PathBuf>,

    /// How many M-Pesa callbacks are sent at the same time
    #[arg(long, env = "GCTB_SIMULATOR__CALLBACKS_IN_FLIGHT", default_value_t = 256, value_parser = in_flight, value_name = "N")]
    pub callbacks_in_flight: usize,

    /// Daraja's settings.
    #[command(flatten)]
    pub mpesa: MpesaSettings,

    /// Those of simple-mpesa.
    #[command(flatten)]
    pub simple_mpesa: SimpleMpesaSettings,
}

/// Whom Daraja knows, and what it has.
#[derive(Debug, Clone, Args)]
pub struct MpesaSettings {
    /// Consumer key of the one application that Daraja knows
    #[arg(
        id = "mpesa_consumer_key",
        long = "mpesa-consumer-key",
        env = "GCTB_SIMULATOR__MPESA_CONSUMER_KEY",
        hide_env_values = true,
        default_value = "demo-consumer-key",
        value_name = "TEXT"
    )]
    pub consumer_key: Secret,

    /// Its consumer secret
    #[arg(
        id = "mpesa_consumer_secret",
        long = "mpesa-consumer-secret",
        env = "GCTB_SIMULATOR__MPESA_CONSUMER_SECRET",
        hide_env_values = true,
        default_value = "demo-consumer-secret",
        value_name = "TEXT"
    )]
    pub consumer_secret: Secret,

    /// Name of the initiator who may pay and ask
    #[arg(
        id = "mpesa_initiator",
        long = "mpesa-initiator",
        env = "GCTB_SIMULATOR__MPESA_INITIATOR",
        default_value = "testapi",
        value_name = "NAME"
    )]
    pub initiator: String,

    /// His password, which requests carry encrypted for the certificate of GET /control/mpesa/certificate
    #[arg(
        id = "mpesa_initiator_password",
        long = "mpesa-initiator-password",
        env = "GCTB_SIMULATOR__MPESA_INITIATOR_PASSWORD",
        hide_env_values = true,
        default_value = "demo-password#1",
        value_name = "TEXT"
    )]
    pub initiator_password: Secret,

    /// The organisation's short code, PartyA of every request
    #[arg(
        id = "mpesa_short_code",
        long = "mpesa-short-code",
        env = "GCTB_SIMULATOR__MPESA_SHORT_CODE",
        default_value = "600992",
        value_name = "DIGITS"
    )]
    pub short_code: String,

    /// Funds of the utility account before the first payment of the book, in minor units of KES
    #[arg(
        id = "mpesa_funds",
        long = "mpesa-funds",
        env = "GCTB_SIMULATOR__MPESA_FUNDS",
        default_value_t = 900_000_000_000_000,
        value_name = "MINOR"
    )]
    pub funds: u64,
}

/// Whom simple-mpesa knows, and what he has.
#[derive(Debug, Clone, Args)]
pub struct SimpleMpesaSettings {
    /// E-mail of the one agent that simple-mpesa knows
    #[arg(
        id = "simple_mpesa_agent",
        long = "simple-mpesa-agent",
        env = "GCTB_SIMULATOR__SIMPLE_MPESA_AGENT",
        default_value = "agent@demo.example",
        value_name = "EMAIL"
    )]
    pub agent: String,

    /// The agent's password
    #[arg(
        id = "simple_mpesa_password",
        long = "simple-mpesa-password",
        env = "GCTB_SIMULATOR__SIMPLE_MPESA_PASSWORD",
        hide_env_values = true,
        default_value = "demo-password",
        value_name = "TEXT"
    )]
    pub password: Secret,

    /// The key that signs simple-mpesa's tokens
    #[arg(
        id = "simple_mpesa_secret",
        long = "simple-mpesa-secret",
        env = "GCTB_SIMULATOR__SIMPLE_MPESA_SECRET",
        hide_env_values = true,
        default_value = "demo-secret",
        value_name = "TEXT"
    )]
    pub secret: Secret,

    /// The agent's float before the first payment of the book, in minor units of KES
    #[arg(
        id = "simple_mpesa_float",
        long = "simple-mpesa-float",
        env = "GCTB_SIMULATOR__SIMPLE_MPESA_FLOAT",
        default_value_t = 900_000_000_000_000,
        value_name = "MINOR"
    )]
    pub float: u64,
}

/// A bound that lets something through and does not use up the machine's files.
fn in_flight(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=10_000) => Ok(number),
        _ => Err("expected a number from 1 to 10000".to_owned()),
    }
}

impl Default for RailSettings {
    /// What the command line's defaults are.
    fn default() -> Self {
        #[derive(Parser)]
        struct Alone {
            #[command(flatten)]
            rails: RailSettings,
        }
        Alone::parse_from(["gctb-simulator"]).rails
    }
}
