//! How the outbox is emptied.

use std::time::Duration;

use gctb_runtime::settings::duration;
use serde::Deserialize;

/// The settings group `outbox`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutboxSettings {
    /// Most bytes of committed messages that wait in memory to be published; the relay takes what does not fit.
    pub queue_bytes_max: usize,
    /// How often the relay looks for rows that are due.
    #[serde(with = "duration")]
    pub relay_interval: Duration,
    /// Most rows that the relay takes at once; a row is at most 0.6 MB.
    pub relay_rows_max: u32,
    /// How long the relay waits for a status chunk to be folded before it sends it again; doubles each time, at most 1 h.
    #[serde(with = "duration")]
    pub resend_after: Duration,
}

impl OutboxSettings {
    /// `resend_after` as Postgres counts it.
    pub(crate) fn resend_seconds(&self) -> u32 {
        u32::try_from(self.resend_after.as_secs()).unwrap_or(u32::MAX).max(1)
    }
}
