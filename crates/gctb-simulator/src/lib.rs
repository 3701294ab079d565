//! Plays the parties around the bridge, over real HTTP and real files: an ID account mapper, a bank, M-Pesa, Mojaloop.
//!
//! It is for demos and tests, and it is a judge: the book of a rail is what a test believes when it asks whether somebody
//! was paid twice. So it shares no code with the bridge, forgives nothing, and keeps its books safe through its own
//! crashes.
//!
//! The rails that are called (Daraja, simple-mpesa, the Mojaloop SDK), their books and their faults are described in
//! docs/simulator.md.
//!
//! # The mapper
//!
//! `POST /mapper/sync/resolve` answers as OpenG2P's SPAR does. The text of the id chooses the answer, always the same:
//!
//! | id | answer |
//! |---|---|
//! | `token:<sub>@nationalId` | `succ`, `succ.id.active`, `account:<10 digits from the hash of sub>@branch1.bank1.bank_acc` |
//! | … with a sub that starts with `NOTFOUND` | `succ`, `succ.id.not_found`, no address |
//! | … `INACTIVE` | `succ`, `succ.id.inactive`, with an address |
//! | … `NOLINK` | `succ`, `succ.fa.not_linked_to_id`, no address |
//! | … `RJCT` | `rjct`, `rjct.id.invalid` |
//! | … `PDNG` | `pdng` |
//! | … `BADFA` | `succ`, with an address of an unknown form |
//! | … `CLOSED`, `BLOCKED` | found, with an account into which the bank does not pay (AC04, AC06) |
//! | any other | `succ`, `succ.id.not_found` |
//!
//! Failures come first in the answer, items with neither id nor address are dropped, and without the scope `details`
//! no address is given. With the variant `spar1`, what is found has no reason code, and what is not is
//! `succ.fa.not_linked_to_id` without its id.
//!
//! `PUT /control/mapper` takes `{"mode": "normal|down|error|slow|garbage|html|wrong_count|stale",
//! "variant": "spar23|spar1", "delay_ms": 0, "salt": "", "overrides": {"token:x@nationalId": "account:…"}}`; what is left
//! out stays, an override of `null` is an id that is not found. `GET /control/mapper` shows the switches and counts calls
//! and items.
//!
//! # The bank
//!
//! It takes payment files from `outgoing/`, checks each one whole, and pays or rejects line by line:
//!
//! | beneficiary account, digits only | answer |
//! |---|---|
//! | ends in 0001, 0003, 0004, 0006, 0404 | RJCT with AC01, MS03, AC04, AC06, BE23 |
//! | amount zero; above 250,000 | RJCT with AM01; AM02 |
//! | one of the `--reject-percent` accounts | RJCT with MS03 |
//! | any other | ACSC: paid, and in the book |
//!
//! A file whose structure, count or sum is wrong goes to `outgoing/refused/` and nothing of it is paid; one that is
//! good goes to `outgoing/archive/` and is answered in `incoming/<name>.response.csv`. **A file that comes twice is
//! paid twice**: the summary then shows `paid_twice`.
//!
//! `PUT /control/bank` takes `{"paused": false, "delay_ms": 500, "respond": "all"}`, where `respond` is one of `all`,
//! `half`, `none`, `wrong_amount`, `wrong_currency`, `unknown_ref`, `bad_structure`, `duplicate_lines`,
//! `paid_then_rejected`, `rejected_then_paid`, `return_after_paid`. The contradictions and the return come in a second
//! file right after the first. `POST /bank/respond-rest` answers truly what was left out or spoilt.
//!
//! `GET /bank/summary` counts and sums the book, `GET /bank/book?offset=&limit=` shows it, and
//! `GET /bank/book/{payment_ref}` shows what was paid under one reference.

mod bank;
mod daraja;
mod faults;
mod http;
mod mapper;
mod mojaloop;
mod rail_book;
mod rail_faults;
mod rail_http;
mod rail_ids;
mod rail_settings;
mod rails;
mod settings;
mod simple_mpesa;
#[cfg(feature = "testing")]
pub mod testing;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpServer, web};
use thiserror::Error;

use bank::{Bank, Clerk};
use daraja::Poster;
use faults::BankControls;
use mapper::Mapper;
use rails::Rails;

pub use bank::BankError;
pub use faults::Variant;
pub use rail_book::RailError;
pub use rail_settings::{MpesaSettings, RailSettings, Secret, SimpleMpesaSettings};
pub use settings::Settings;

/// Why the simulator did not start, or stopped.
#[derive(Debug, Error)]
pub enum SimulatorError {
    /// It has no authentication and controls that break things: it is reachable from elsewhere only where that is asked for.
    #[error("refusing to bind to {0}: others reach it; give --open if that is wanted")]
    NotLoopback(SocketAddr),
    /// The address is taken, or not this machine's.
    #[error("could not bind to {addr}")]
    Bind {
        /// The address that was asked for.
        addr: SocketAddr,
        /// Why it was refused.
        #[source]
        source: io::Error,
    },
    /// The HTTP server or the bank's thread could not run.
    #[error("could not run the simulator's servers")]
    Serve(#[source] io::Error),
    /// The bank could not open its book or go on.
    #[error("the bank cannot work")]
    Bank(#[source] BankError),
    /// A rail could not open its book, or what else it needs.
    #[error("a rail cannot work")]
    Rail(#[source] RailError),
}

/// How long requests in hand may take after the simulator was told to stop.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);
const HTTP_WORKERS: usize = 2;

/// Runs the simulator until `shutdown` completes, then finishes what is in hand.
///
/// # Errors
/// When it cannot start, or when the bank can no longer write its book.
pub async fn run(settings: Settings, shutdown: impl Future<Output = ()>) -> Result<(), SimulatorError> {
    Simulator::open(&settings)?.run(shutdown).await
}

/// A simulator that holds its address and its book, and does not work yet.
pub struct Simulator {
    listener: TcpListener,
    addr: SocketAddr,
    bank: Arc<Bank>,
    mapper: Arc<Mapper>,
    rails: Arc<Rails>,
    poster: Poster,
    poll: Duration,
}

impl Simulator {
    /// Binds the address, opens the book and recovers what a crash left.
    ///
    /// # Errors
    /// For an address that others reach without leave, or that is not free, directories that cannot be made, or a book
    /// that another process holds or that is damaged.
    pub fn open(settings: &Settings) -> Result<Self, SimulatorError> {
        if !settings.open && !settings.bind.ip().is_loopback() {
            return Err(SimulatorError::NotLoopback(settings.bind));
        }
        let binding = |source| SimulatorError::Bind { addr: settings.bind, source };
        let listener = TcpListener::bind(settings.bind).map_err(binding)?;
        let addr = listener.local_addr().map_err(binding)?;
        let controls = BankControls::new(settings.bank_delay);
        let bank = Bank::open(&settings.bank_root, &settings.book, controls, settings.reject_percent)
            .map_err(SimulatorError::Bank)?;
        let mapper = Arc::new(Mapper::new(settings.mapper_variant));
        let rails = Arc::new(Rails::open(&settings.rails, &settings.book).map_err(SimulatorError::Rail)?);
        let poster = Poster::new(settings.rails.callbacks_in_flight).map_err(SimulatorError::Rail)?;
        Ok(Self { listener, addr, bank: Arc::new(bank), mapper, rails, poster, poll: settings.bank_poll })
    }

    /// The address it serves, with the port that it got if port 0 was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves and works until `shutdown` completes.
    ///
    /// # Errors
    /// When the servers cannot run, or the bank can no longer write its book.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), SimulatorError> {
        let Self { listener, addr, bank, mapper, rails, poster, poll } = self;
        let mut clerk = Clerk::start(Arc::clone(&bank), poll).map_err(SimulatorError::Serve)?;
        tokio::spawn(daraja::resume(Arc::clone(&rails), poster.clone()));
        let (bank, mapper, rails) = (web::Data::from(bank), web::Data::from(mapper), web::Data::from(rails));
        let app = move || {
            let poster = web::Data::new(poster.with_own_connections());
            App::new()
                .app_data(bank.clone())
                .app_data(mapper.clone())
                .app_data(rails.clone())
                .app_data(poster)
                .configure(http::routes)
        };
        let server = HttpServer::new(app)
            .workers(HTTP_WORKERS)
            .disable_signals()
            .shutdown_timeout(SHUTDOWN_LIMIT.as_secs())
            .listen(listener)
            .map_err(SimulatorError::Serve)?
            .run();
        let handle = server.handle();
        let mut serving = tokio::spawn(server);
        tracing::info!(%addr, "the simulator is ready");
        tokio::select! {
            () = shutdown => {}
            failure = clerk.left() => {
                handle.stop(true).await;
                return failure.map_err(SimulatorError::Bank);
            }
            ended = &mut serving => return ended.unwrap_or_else(|panic| Err(io::Error::other(panic))).map_err(SimulatorError::Serve),
        }
        handle.stop(true).await;
        clerk.dismiss().await.map_err(SimulatorError::Bank)?;
        tracing::info!("the simulator has stopped");
        Ok(())
    }
}
