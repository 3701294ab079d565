//! What is missing or makes no sense is named at the start.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use gctb_backend::PaymentBackend;
use gctb_db::{Db, DbOptions, Holder};
use gctb_runtime::{Health, Shutdown, Workers};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::metrics::noop::NoopMeterProvider;

use super::stage::{defaults, holder};
use crate::callbacks::{CallbackWorld, Callbacks};
use crate::daraja::Daraja;
use crate::funds::Funds;
use crate::settings::MpesaSettings;
use crate::testing::NOW;

/// Why it does not start with these settings.
fn refusal(change: impl FnOnce(&mut MpesaSettings)) -> String {
    let (mut settings, _certificate) = defaults("http://127.0.0.1:9");
    let rail = Arc::new(Daraja::new(&settings, NOW).expect("good settings"));
    change(&mut settings);
    let db = Db::new(&DbOptions {
        url: "postgres://nobody@127.0.0.1:1/nothing".to_owned().into(),
        pool_size: 1,
        connect_timeout: Duration::from_millis(50),
        statement_timeout: Duration::from_secs(1),
        silence_timeout: Duration::from_secs(1),
        transaction_idle_timeout: Duration::from_secs(1),
        application_name: "gctb-test".to_owned(),
    });
    let holder: Holder = holder(rail.kind());
    let funds = Arc::new(Funds::new(&settings.daraja));
    let shutdown = Shutdown::new();
    let world = CallbackWorld::new(rail, db, holder, funds);
    let meter = NoopMeterProvider::new().meter("test");
    let started = Callbacks::start(&settings, world, &Health::new(), &meter, &shutdown, &mut Workers::new(&shutdown));
    shutdown.request();
    started.expect_err("it does not start").to_string()
}

#[test]
fn what_keeps_the_listener_from_starting_is_named() {
    let named = refusal(|settings| settings.require_https = true);
    assert_eq!(named, "the setting mpesa.daraja.listener.allowed_networks is required by this profile");
    for (text, setting) in [
        ("", "mpesa.daraja.listener.allowed_networks must name at least one network"),
        ("everywhere", "mpesa.daraja.listener.allowed_networks must be networks"),
    ] {
        let named = refusal(|settings| settings.daraja.listener.allowed_networks = Some(text.to_owned()));
        assert!(named.contains(setting), "{named}");
    }
    let named = refusal(|settings| settings.daraja.listener.trusted_proxies = "10.0.0.0/99".to_owned());
    assert!(named.contains("mpesa.daraja.listener.trusted_proxies"), "{named}");
    let named = refusal(|settings| settings.daraja.listener.queue_max = 0);
    assert!(named.contains("mpesa.daraja.listener.queue_max must be at least 1"), "{named}");
    let named = refusal(|settings| settings.daraja.listener.body_timeout = Duration::ZERO);
    assert!(named.contains("mpesa.daraja.listener.body_timeout"), "{named}");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let named = refusal(|settings| settings.daraja.listener.bind.clone_from(&address));
    assert!(named.contains("mpesa.daraja.listener.bind") && named.contains(&address), "{named}");
}
