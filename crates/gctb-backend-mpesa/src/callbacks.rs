//! The listener for Daraja's callbacks: each is committed to the ledger before it is answered.
//!
//! Daraja neither signs callbacks nor repeats them. So they come to a path that nobody can guess, from networks that are named,
//! and are compared with what was ordered; what is not believed moves nothing and is kept for a person; and what is lost is
//! asked about by the ledger's own timers. What follows from the news is the ledger's to decide, not the listener's.

mod committer;
mod door;
mod kept;
mod meters;
mod networks;
mod numbers;
mod outcome;
mod server;
#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use gctb_db::{Db, Holder, OutboxRow};
use gctb_runtime::{Health, Shutdown, WorkerError, Workers};
use opentelemetry::metrics::Meter;

use self::committer::{Committer, Heard, Publish, SILENCE_MAX};
use self::door::Door;
use self::kept::Allowance;
use self::meters::Meters;
use self::networks::Networks;
use self::numbers::BatchNumbers;
use self::server::{Desk, serve};
use crate::daraja::{Daraja, PaymentNews};
use crate::funds::Funds;
use crate::settings::{ListenerSettings, MpesaSettings};
use crate::setup::{SetupError, usable};

/// The running listener. Its threads end with the shutdown.
#[derive(Debug)]
pub struct Callbacks {
    address: SocketAddr,
}

/// What the listener works with.
pub struct CallbackWorld {
    rail: Arc<Daraja>,
    db: Db,
    holder: Holder,
    funds: Arc<Funds>,
    publish: Box<Publish>,
    heard: Box<Heard>,
}

impl CallbackWorld {
    /// For callbacks about what `holder` and its replicas have sent over `rail`.
    pub fn new(rail: Arc<Daraja>, db: Db, holder: Holder, funds: Arc<Funds>) -> Self {
        Self { rail, db, holder, funds, publish: Box::new(|_| {}), heard: Box::new(|_| {}) }
    }

    /// `publish` is given the outbox rows of each commit, to send them soon; what it leaves is the relay's.
    #[must_use]
    pub fn publishing(mut self, publish: impl Fn(Vec<OutboxRow>) + Send + Sync + 'static) -> Self {
        self.publish = Box::new(publish);
        self
    }

    /// `heard` is given all news after their commit. Daraja says by callback alone that it pays, that there are no funds, or that
    /// it does not take our credentials.
    #[must_use]
    pub fn telling(mut self, heard: impl Fn(&PaymentNews) + Send + Sync + 'static) -> Self {
        self.heard = Box::new(heard);
        self
    }
}

/// Why callbacks are not taken.
#[derive(Debug, thiserror::Error)]
pub enum CallbacksError {
    /// A setting is missing or makes no sense.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Somebody else has the port, or the address is not ours.
    #[error("could not listen on {bind:?} (setting mpesa.daraja.listener.bind)")]
    Bind {
        /// What the settings say.
        bind: String,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// The system gives no thread.
    #[error("could not start to take callbacks")]
    Start(#[from] WorkerError),
}

impl Callbacks {
    /// Takes callbacks until the shutdown. The health component `callbacks` fails while nothing can be committed.
    ///
    /// # Errors
    /// What is missing or makes no sense, by the name of its setting; where the address cannot be had.
    pub fn start(
        settings: &MpesaSettings,
        world: CallbackWorld,
        health: &Health,
        meter: &Meter,
        shutdown: &Shutdown,
        workers: &mut Workers,
    ) -> Result<Self, CallbacksError> {
        let listener = &settings.daraja.listener;
        check_limits(listener)?;
        let (allowed, proxies) = networks(settings)?;
        let door = Door::new(&settings.daraja)?;
        let bound = |cause| CallbacksError::Bind { bind: listener.bind.clone(), cause };
        let socket = TcpListener::bind(&listener.bind).map_err(bound)?;
        let address = socket.local_addr().map_err(bound)?;
        let (queue, waiting) = sync_channel(listener.queue_max);
        let CallbackWorld { rail, db, holder, funds, publish, heard } = world;
        let meters = Meters::new(meter);
        let desk = Desk {
            rail: Arc::clone(&rail),
            funds,
            door,
            allowed,
            proxies,
            queue,
            meters: meters.clone(),
            body_bytes_max: settings.answer_bytes_max,
            body_timeout: listener.body_timeout,
            answer_timeout: listener.answer_timeout,
        };
        let mut committer = Committer {
            rail,
            db,
            holder,
            publish,
            heard,
            numbers: BatchNumbers::new(listener.batches_known_max),
            allowance: Allowance::new(listener.exceptions_per_minute_max, Instant::now()),
            meters,
            component: health.component("callbacks"),
            heartbeat: health.heartbeat("callbacks", SILENCE_MAX),
            settings: listener.clone(),
        };
        // It ends when the server has, since nobody can send it anything then: what was taken is committed and answered.
        workers.spawn("callbacks", move || {
            committer.run(&waiting);
            Ok::<(), std::io::Error>(())
        })?;
        let (settings, stop) = (listener.clone(), shutdown.clone());
        workers.spawn("callback listener", move || serve(socket, &settings, desk, stop))?;
        tracing::info!(%address, "callbacks are taken");
        Ok(Self { address })
    }

    /// Where they are taken, with the port that was given where the settings ask for port 0.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// From where callbacks come, and which proxies are believed.
fn networks(settings: &MpesaSettings) -> Result<(Networks, Networks), SetupError> {
    const ALLOWED: &str = "mpesa.daraja.listener.allowed_networks";
    let listener = &settings.daraja.listener;
    let proxies = Networks::parse(&listener.trusted_proxies, "mpesa.daraja.listener.trusted_proxies")?;
    let allowed = match &listener.allowed_networks {
        Some(text) => Networks::parse(text, ALLOWED)?,
        None if settings.require_https => return Err(SetupError::Missing { setting: ALLOWED }),
        None => Networks::loopback(),
    };
    usable(!allowed.is_empty(), ALLOWED, "must name at least one network")?;
    Ok((allowed, proxies))
}

fn check_limits(listener: &ListenerSettings) -> Result<(), SetupError> {
    for (is_some, setting) in [
        (listener.workers > 0, "mpesa.daraja.listener.workers"),
        (listener.connections_max > 0, "mpesa.daraja.listener.connections_max"),
        (listener.queue_max > 0, "mpesa.daraja.listener.queue_max"),
        (listener.group_max > 0, "mpesa.daraja.listener.group_max"),
        (listener.commit_tries > 0, "mpesa.daraja.listener.commit_tries"),
        (listener.batches_known_max > 0, "mpesa.daraja.listener.batches_known_max"),
    ] {
        usable(is_some, setting, "must be at least 1")?;
    }
    for (time, setting) in [
        (listener.head_timeout, "mpesa.daraja.listener.head_timeout"),
        (listener.body_timeout, "mpesa.daraja.listener.body_timeout"),
        (listener.answer_timeout, "mpesa.daraja.listener.answer_timeout"),
        (listener.retry_pause, "mpesa.daraja.listener.retry_pause"),
    ] {
        usable(!time.is_zero(), setting, "must be more than nothing")?;
    }
    Ok(())
}
