//! The rails that are called, as a system test deploys them: their backends' settings in a hurry, and payees of their own kind.

mod book;
mod faults;
mod mirror;
mod payees;
pub mod trial;
mod verdict;

pub use book::Book;
pub use mirror::{Mirror, Mirrors};
pub use payees::Payee;
pub use verdict::{Verdict, judge};

use crate::http;
use crate::service::{Service, Settings, settings};
use crate::system::{System, World};

/// What nobody can guess in the path of callbacks.
pub const CALLBACK_TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The passwords and keys that the backends are given.
pub const PASSWORDS: [&str; 3] = ["demo-password#1", "demo-password", "demo-consumer-secret"];

/// A rail that is called, with the profile of its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rail {
    /// simple-mpesa.
    Simple,
    /// M-Pesa's Daraja.
    Daraja,
    /// Mojaloop through an SDK scheme adapter.
    Mojaloop,
}

impl Rail {
    /// All.
    pub const ALL: [Self; 3] = [Self::Simple, Self::Daraja, Self::Mojaloop];

    /// The name of its backend.
    pub const fn backend(self) -> &'static str {
        match self {
            Self::Simple | Self::Daraja => "mpesa",
            Self::Mojaloop => "mojaloop",
        }
    }

    /// The process that pays over it.
    pub const fn service(self) -> Service {
        match self {
            Self::Simple | Self::Daraja => Service::BackendMpesa,
            Self::Mojaloop => Service::BackendMojaloop,
        }
    }

    /// A second replica of it.
    pub const fn twin(self) -> Service {
        match self {
            Self::Simple | Self::Daraja => Service::BackendMpesaTwin,
            Self::Mojaloop => Service::BackendMojaloopTwin,
        }
    }

    /// What the simulator calls it.
    pub const fn book(self) -> &'static str {
        match self {
            Self::Simple => "simple-mpesa",
            Self::Daraja => "mpesa",
            Self::Mojaloop => "mojaloop",
        }
    }

    /// The address of a payee that nobody else has, below a million.
    pub fn address(self, number: u64) -> String {
        match self {
            Self::Simple => format!("email:payee{number}@people.example"),
            // None of the simulator's reserved numbers ends so.
            Self::Daraja | Self::Mojaloop => format!("phone:+2547{number:06}77"),
        }
    }

    /// The account of [`Rail::address`] as the book writes it.
    pub fn account(self, number: u64) -> String {
        match self {
            Self::Simple => format!("payee{number}@people.example"),
            Self::Daraja => format!("2547{number:06}77"),
            Self::Mojaloop => format!("MSISDN:2547{number:06}77"),
        }
    }

    /// The setting that says where the rail is.
    pub const fn url_setting(self) -> &'static str {
        match self {
            Self::Simple => "mpesa.simple.base_url",
            Self::Daraja => "mpesa.daraja.base_url",
            Self::Mojaloop => "adapter.url",
        }
    }

    /// What its backend's operator has confirmed: by which code Daraja says that it does not know a payment.
    pub(crate) fn file(self) -> Option<String> {
        let not_found = "[mpesa.daraja]\nquery_not_found_codes = [\"2032\"]\n";
        (self == Self::Daraja).then(|| not_found.to_owned())
    }

    pub(crate) fn settings(self, service: Service, world: &World) -> Settings {
        let simulator = format!("http://{}", world.address(Service::Simulator));
        let mut all = settings([
            ("backend.name", self.backend()),
            ("consumer.poll_max_messages", "2"),
            ("rail.lanes", "3"),
            ("rail.concurrency", "192"),
            ("rail.lease", if self == Self::Mojaloop { "9s" } else { "8s" }),
            ("rail.settle", "500ms"),
            ("rail.retry_after", "200ms"),
            ("rail.ask_after", "300ms"),
            ("rail.ask_after_max", "2s"),
            ("rail.asks_max", "30"),
            ("rail.look_every", "100ms"),
            ("rail.pause_min", "100ms"),
            ("rail.pause_max", "500ms"),
            ("rail.try_again_after_no_funds", "1s"),
        ]);
        match self {
            Self::Simple | Self::Daraja => {
                all.extend(settings([
                    ("mpesa.require_https", "false"),
                    ("mpesa.profile", if self == Self::Simple { "simple" } else { "daraja" }),
                    ("mpesa.connect_timeout", "200ms"),
                    ("mpesa.token_timeout", "600ms"),
                    ("mpesa.call_timeout", "2s"),
                    ("mpesa.token_retry_pause", "100ms"),
                    ("mpesa.slow_down", "100ms"),
                    ("mpesa.slow_down_max", "500ms"),
                    ("mpesa.idle_connections_max", "256"),
                    ("mpesa.simple.base_url", &simulator),
                    ("mpesa.simple.agent_email", "agent@demo.example"),
                    ("mpesa.simple.agent_password", "demo-password"),
                ]));
                if self == Self::Daraja {
                    all.extend(daraja(service, world, &simulator));
                }
            }
            Self::Mojaloop => all.extend(settings([
                ("adapter.url", &simulator),
                ("adapter.connect_timeout", "200ms"),
                ("adapter.call_deadline", "1500ms"),
                ("adapter.slow_down_max", "500ms"),
                ("payer.id_value", "1212121212"),
                ("payer.display_name", "Government Treasury Bank"),
            ])),
        }
        all
    }
}

/// The simulator makes its key at its start; its certificate is fetched as an operator does from the portal.
fn daraja(service: Service, world: &World, simulator: &str) -> Settings {
    let certificate = world.folder("mpesa.pem");
    // Not there while the rail is away; then the one that was fetched before counts.
    if let Ok(page) = http::page(&format!("{simulator}/control/mpesa/certificate")) {
        std::fs::write(&certificate, page).expect("the certificate is kept");
    }
    let listener = world.callbacks(service);
    settings([
        ("mpesa.daraja.base_url", simulator),
        ("mpesa.daraja.consumer_key", "demo-consumer-key"),
        ("mpesa.daraja.consumer_secret", "demo-consumer-secret"),
        ("mpesa.daraja.initiator_name", "testapi"),
        ("mpesa.daraja.initiator_password", "demo-password#1"),
        ("mpesa.daraja.certificate_file", &certificate),
        ("mpesa.daraja.short_code", "600992"),
        ("mpesa.daraja.callback_url", &format!("http://{listener}/mpesa")),
        ("mpesa.daraja.callback_token", CALLBACK_TOKEN),
        ("mpesa.daraja.listener.bind", &listener),
    ])
}

impl System {
    /// Where a backend takes callbacks: the path that its rail is told, up to what names their kind.
    pub fn callback_url(&self, service: Service) -> String {
        format!("http://{}/mpesa/{CALLBACK_TOKEN}", self.world().callbacks(service))
    }
}
