//! The threads of a service: when one ends in error all are asked to end, and nobody waits for ever.

use std::error::Error;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::shutdown::Shutdown;

/// The running threads of a service.
#[derive(Debug)]
pub struct Workers {
    shutdown: Shutdown,
    ended: Receiver<Ended>,
    tell: Sender<Ended>,
    running: Vec<String>,
}

#[derive(Debug)]
struct Ended {
    name: String,
    result: Result<(), WorkerError>,
}

/// Why a worker did not end well.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It could not be started.
    #[error("could not start the thread {name:?}")]
    Start {
        /// The worker.
        name: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// It ended in error.
    #[error("the thread {name:?} ended in error")]
    Failed {
        /// The worker.
        name: String,
        /// Its error.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// It panicked; the panic's own words are on standard error.
    #[error("the thread {name:?} panicked")]
    Panicked {
        /// The worker.
        name: String,
    },
    /// It did not end in time.
    #[error("after {deadline:?} these threads had not ended: {}", names.join(", "))]
    Late {
        /// How long they had.
        deadline: Duration,
        /// Which.
        names: Vec<String>,
    },
}

/// Tells that a worker ended, also where it panics.
struct Farewell {
    name: String,
    tell: Sender<Ended>,
    shutdown: Shutdown,
    result: Option<Result<(), WorkerError>>,
}

impl Farewell {
    fn say(mut self, result: Result<(), WorkerError>) {
        self.result = Some(result);
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| Err(WorkerError::Panicked { name: self.name.clone() }));
        if let Err(error) = &result {
            tracing::error!(worker = %self.name, error = %crate::chain(error), "a worker ended in error; the service stops");
        }
        self.shutdown.request();
        // Nobody listens any more where the service is past its deadline.
        let _ = self.tell.send(Ended { name: self.name.clone(), result });
    }
}

impl Workers {
    /// No workers yet. `shutdown` is requested as soon as one of them ends, for whatever reason.
    pub fn new(shutdown: &Shutdown) -> Self {
        let (tell, ended) = mpsc::channel();
        Self { shutdown: shutdown.clone(), ended, tell, running: Vec::new() }
    }

    /// Starts a thread that runs `work` until the shutdown is requested.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn spawn<E>(
        &mut self,
        name: impl Into<String>,
        work: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) -> Result<(), WorkerError>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let name = name.into();
        let farewell =
            Farewell { name: name.clone(), tell: self.tell.clone(), shutdown: self.shutdown.clone(), result: None };
        let run = move || {
            let failed = |cause: E| WorkerError::Failed { name: farewell.name.clone(), cause: cause.into() };
            let result = work().map_err(failed);
            farewell.say(result);
        };
        let started = thread::Builder::new().name(name.clone()).spawn(run);
        started.map_err(|cause| WorkerError::Start { name: name.clone(), cause })?;
        self.running.push(name);
        Ok(())
    }

    /// Waits until the shutdown is requested, then at most `deadline` for the workers to end.
    ///
    /// # Errors
    /// The first worker that failed, or those that did not end in time.
    pub fn join(mut self, deadline: Duration) -> Result<(), WorkerError> {
        self.shutdown.wait();
        let until = Instant::now() + deadline;
        let mut first_error = None;
        while !self.running.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(ended) = self.ended.recv_timeout(left) else {
                let late = WorkerError::Late { deadline, names: self.running };
                return Err(first_error.unwrap_or(late));
            };
            self.running.retain(|name| *name != ended.name);
            first_error = first_error.or(ended.result.err());
        }
        first_error.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_one_worker_fails_the_others_are_asked_to_end_and_its_error_is_told() {
        let shutdown = Shutdown::new();
        let mut workers = Workers::new(&shutdown);
        let patient = shutdown.clone();
        let wait = move || {
            patient.wait();
            Ok::<(), std::io::Error>(())
        };
        workers.spawn("patient", wait).expect("a thread");
        workers.spawn("broken", || Err(std::io::Error::other("the rail is gone"))).expect("a thread");
        let error = workers.join(Duration::from_secs(60)).expect_err("a worker failed");
        assert_eq!(crate::chain(&error), "the thread \"broken\" ended in error: the rail is gone");
    }

    #[test]
    fn a_worker_that_does_not_end_is_named_and_not_waited_for() {
        let shutdown = Shutdown::new();
        let mut workers = Workers::new(&shutdown);
        let (release, held) = mpsc::channel::<()>();
        let hang = move || {
            let _ = held.recv();
            Ok::<(), std::io::Error>(())
        };
        workers.spawn("hanging", hang).expect("a thread");
        shutdown.request();
        let error = workers.join(Duration::ZERO).expect_err("it hangs");
        assert!(matches!(error, WorkerError::Late { ref names, .. } if names == &["hanging"]), "{error}");
        drop(release);
    }
}
