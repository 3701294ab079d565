//! What the handlers work with. All of it comes in as arguments, the clock too.

use std::time::Duration;

use chrono::{DateTime, Utc};
use gctb_connect::answer::To;
use gctb_connect::disburse::Rules;
use gctb_connect::status::Limits;
use gctb_db::Db;
use gctb_outbox::Outbox;

use crate::body::BodyLimits;
use crate::budget::ByteBudget;
use crate::metrics::Metrics;
use crate::settings::{SenderSettings, Settings, UnusableSetting};

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) db: Db,
    pub(crate) outbox: Outbox,
    pub(crate) metrics: Metrics,
    pub(crate) clock: fn() -> DateTime<Utc>,
    pub(crate) rules: Rules,
    pub(crate) limits: Limits,
    pub(crate) senders: SenderSettings,
    pub(crate) bridge_id: String,
    pub(crate) schedule_bucket: Duration,
    /// Limits of disburse messages.
    pub(crate) bodies: BodyLimits,
    /// Limits of status messages, which never wait for a batch.
    pub(crate) questions: BodyLimits,
    pub(crate) answer_timeout: Duration,
    pub(crate) retry_after: Duration,
}

impl World {
    /// Checks the settings and puts the parts together.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub(crate) fn new(
        settings: &Settings,
        db: Db,
        outbox: Outbox,
        metrics: Metrics,
        clock: fn() -> DateTime<Utc>,
    ) -> Result<Self, UnusableSetting> {
        let limits = |one_bytes_max, all_bytes_max| BodyLimits {
            one_bytes_max,
            budget: ByteBudget::new(all_bytes_max),
            room_wait: settings.http.room_wait,
            timeout: settings.http.body_timeout,
        };
        let bodies = limits(settings.http.body_bytes_max, settings.http.bodies_in_flight_bytes_max);
        let questions = limits(settings.status.body_bytes_max, settings.status.bodies_in_flight_bytes_max);
        metrics.watch_bodies(bodies.budget.clone());
        Ok(Self {
            rules: settings.rules()?,
            limits: settings.limits()?,
            senders: settings.senders.clone(),
            bridge_id: settings.bridge.id.clone(),
            schedule_bucket: settings.intake.schedule_bucket,
            retry_after: settings.http.retry_after,
            db,
            outbox,
            metrics,
            clock,
            bodies,
            questions,
            answer_timeout: settings.http.answer_timeout,
        })
    }

    /// Addresses an answer to a sender, in the sender's dialect.
    pub(crate) fn to<'a>(&'a self, message_id: &'a str, sender_id: &'a str, at: DateTime<Utc>) -> To<'a> {
        To { mode: self.senders.mode_of(sender_id), message_id, sender_id, bridge_id: &self.bridge_id, at }
    }
}
