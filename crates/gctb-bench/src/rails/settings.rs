//! How the backends and the mapper are set up for the simulated rails: every name of a setting stands here.
//!
//! Beyond addresses and credentials one thing is not the default: as many calls may be under way as in the floor.

use std::path::{Path, PathBuf};

use super::IN_FLIGHT;
use super::scenario::Rail;
use super::simulator::Asking;
use crate::error::BenchError;
use crate::service::{Special, free_address};
use crate::stack::Stack;

/// What the simulator knows by default; docs/simulator.md lists it.
pub(super) const SIMPLE_AGENT: &str = "agent@demo.example";
pub(super) const SIMPLE_PASSWORD: &str = "demo-password";
pub(super) const CONSUMER_KEY: &str = "demo-consumer-key";
pub(super) const CONSUMER_SECRET: &str = "demo-consumer-secret";
pub(super) const INITIATOR: &str = "testapi";
pub(super) const INITIATOR_PASSWORD: &str = "demo-password#1";
pub(super) const SHORT_CODE: &str = "600992";

/// Nobody needs to guess it on a loopback address, and it must be as long as a real one.
const CALLBACK_TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Routes by the form of the address, as in the comments of the mapper's default settings.
const ROUTES: &str = r#"
backends = ["mpesa", "mojaloop"]

[[route]]
pattern = "mpesa$"
backend = "mpesa"

[[route]]
pattern = "bank_acc$"
backend = "mojaloop"
"#;

/// The mapper that routes to the called rails. No id is sent, so that the mapper's own rail is never called.
pub(super) fn of_mapper(stack: &Stack) -> Result<Special, BenchError> {
    let file = stack.make_folder("rails")?.join("mapper.toml");
    std::fs::write(&file, ROUTES).map_err(|source| BenchError::Write { what: "the mapper's routes", source })?;
    let settings = vec![("MAPPER__URL", "http://127.0.0.1:9/mapper/sync/resolve".to_owned())];
    Ok(Special { settings, config: Some(file) })
}

/// The backend that pays over `rail`, which the simulator at `base` plays. `folder` is where its certificate may lie.
pub(super) fn of_backend(rail: Rail, base: &str, folder: &Path) -> Result<Special, BenchError> {
    let mut settings = vec![("RAIL__CONCURRENCY", IN_FLIGHT.to_string())];
    match rail {
        Rail::Simple => {
            settings.extend(of_mpesa("simple"));
            settings.extend([
                ("MPESA__SIMPLE__BASE_URL", base.to_owned()),
                ("MPESA__SIMPLE__AGENT_EMAIL", SIMPLE_AGENT.to_owned()),
                ("MPESA__SIMPLE__AGENT_PASSWORD", SIMPLE_PASSWORD.to_owned()),
            ]);
        }
        Rail::Daraja => {
            settings.extend(of_mpesa("daraja"));
            settings.extend(of_daraja(base, &certificate(base, folder)?)?);
        }
        Rail::Mojaloop => settings.extend([
            ("ADAPTER__URL", base.to_owned()),
            ("ADAPTER__IDLE_CONNECTIONS_MAX", IN_FLIGHT.to_string()),
            ("PAYER__ID_VALUE", "1212121212".to_owned()),
            ("PAYER__DISPLAY_NAME", "Government Treasury Bank".to_owned()),
        ]),
    }
    Ok(Special { settings, config: None })
}

/// What both profiles need.
fn of_mpesa(profile: &str) -> [(&'static str, String); 3] {
    [
        ("MPESA__PROFILE", profile.to_owned()),
        ("MPESA__REQUIRE_HTTPS", "false".to_owned()),
        ("MPESA__IDLE_CONNECTIONS_MAX", IN_FLIGHT.to_string()),
    ]
}

fn of_daraja(base: &str, certificate: &Path) -> Result<[(&'static str, String); 10], BenchError> {
    let listener = free_address().map_err(|source| BenchError::Listen { source })?;
    Ok([
        ("MPESA__DARAJA__BASE_URL", base.to_owned()),
        ("MPESA__DARAJA__CONSUMER_KEY", CONSUMER_KEY.to_owned()),
        ("MPESA__DARAJA__CONSUMER_SECRET", CONSUMER_SECRET.to_owned()),
        ("MPESA__DARAJA__INITIATOR_NAME", INITIATOR.to_owned()),
        ("MPESA__DARAJA__INITIATOR_PASSWORD", INITIATOR_PASSWORD.to_owned()),
        ("MPESA__DARAJA__CERTIFICATE_FILE", certificate.display().to_string()),
        ("MPESA__DARAJA__SHORT_CODE", SHORT_CODE.to_owned()),
        ("MPESA__DARAJA__CALLBACK_URL", format!("http://{listener}/mpesa")),
        ("MPESA__DARAJA__CALLBACK_TOKEN", CALLBACK_TOKEN.to_owned()),
        ("MPESA__DARAJA__LISTENER__BIND", listener),
    ])
}

/// The certificate of the simulated M-Pesa, in a file.
fn certificate(base: &str, folder: &Path) -> Result<PathBuf, BenchError> {
    let file = folder.join("mpesa.pem");
    let text = Asking::about(Rail::Daraja, base)?.certificate()?;
    std::fs::write(&file, text).map_err(|source| BenchError::Write { what: "the certificate of M-Pesa", source })?;
    Ok(file)
}
