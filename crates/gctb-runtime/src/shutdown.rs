//! One wish to end, seen by every thread and task of a process.
//!
//! It only says that the end is wanted. Who finishes what, and by when, is each worker's own business.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The wish to end. Clones share it.
#[derive(Clone, Debug)]
pub struct Shutdown {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    requested: Mutex<bool>,
    changed: Condvar,
    for_tasks: watch::Sender<bool>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// A wish that nobody has made yet.
    pub fn new() -> Self {
        let shared =
            Shared { requested: Mutex::new(false), changed: Condvar::new(), for_tasks: watch::Sender::new(false) };
        Self { shared: Arc::new(shared) }
    }

    /// A wish that SIGTERM and SIGINT make. A second signal ends the process at once, with status 130.
    ///
    /// # Errors
    /// Where the handlers cannot be installed.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut terminate, mut interrupt) = {
            let _inside = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        let on_signal = shutdown.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                for already in [false, true] {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                    if already {
                        std::process::exit(130);
                    }
                    tracing::info!("shutdown requested by a signal; a second one ends the process at once");
                    on_signal.request();
                }
            });
        })?;
        Ok(shutdown)
    }

    /// Asks everybody to end. Asking twice changes nothing.
    pub fn request(&self) {
        *self.lock() = true;
        self.shared.changed.notify_all();
        self.shared.for_tasks.send_replace(true);
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        *self.lock()
    }

    /// For threads: waits until somebody asks or `timeout` has passed, and says whether somebody asked.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut requested = self.lock();
        while !*requested {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            requested = match self.shared.changed.wait_timeout(requested, left) {
                Ok((guard, _)) => guard,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        true
    }

    /// For threads: waits until somebody asks.
    pub fn wait(&self) {
        while !self.wait_timeout(Duration::from_secs(3600)) {}
    }

    /// For tasks: resolves when somebody asks.
    pub async fn requested(&self) {
        // The sender lives as long as `self`, so that waiting for it cannot fail.
        let _ = self.shared.for_tasks.subscribe().wait_for(|requested| *requested).await;
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.shared.requested.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_wakes_threads_and_tasks_and_stays() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.is_requested());
        assert!(!shutdown.wait_timeout(Duration::ZERO));
        let waiting = shutdown.clone();
        let thread = std::thread::spawn(move || waiting.wait_timeout(Duration::from_secs(60)));
        shutdown.request();
        assert!(thread.join().expect("the thread ends"));
        crate::block_on::block_on(shutdown.requested());
        assert!(shutdown.is_requested());
    }
}
