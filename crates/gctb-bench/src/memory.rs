//! How much memory Postgres takes at most: sampled, since it is many processes that share most of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::usage::{children, status_kib};

const INTERVAL: Duration = Duration::from_millis(250);

/// Looks until it is dropped.
#[derive(Debug)]
pub(crate) struct PostgresMemory {
    peak_kib: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PostgresMemory {
    /// Begins to look at the family of this first process.
    pub(crate) fn watch(postgres_pid: u32) -> Self {
        let (peak_kib, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (peak, end) = (Arc::clone(&peak_kib), Arc::clone(&ended));
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                peak.fetch_max(family_kib(postgres_pid), Ordering::Relaxed);
                thread::park_timeout(INTERVAL);
            }
        });
        Self { peak_kib, ended, thread: Some(thread) }
    }

    /// The most that was seen, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        self.peak_kib.load(Ordering::Relaxed)
    }
}

impl Drop for PostgresMemory {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It only reads; had it panicked, its last sample would still stand.
            let _ = thread.join();
        }
    }
}

/// What each process has alone, and once what they share: the most that any one of them has touched of it.
fn family_kib(postgres_pid: u32) -> u64 {
    let mut family = children(postgres_pid).unwrap_or_default();
    family.push(postgres_pid);
    let of_each = |field: &'static str| family.iter().filter_map(move |pid| status_kib(*pid, field));
    of_each("RssAnon").sum::<u64>() + of_each("RssShmem").max().unwrap_or(0)
}
