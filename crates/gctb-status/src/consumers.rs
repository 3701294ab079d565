//! Whether the services that an instruction passes on its way have read past its emission.
//!
//! A hint that keeps the sweeper from flooding a slow rail with repeats, and never a proof: whether anybody decided stands
//! in the ledger alone. A wrong yes costs one repeat that changes nothing; a wrong no costs time, so no "no" may last for ever
//! unless a service is visibly late.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use gctb_db::DueSweep;
use gctb_domain::{BackendName, BatchId};
use gctb_events::Topic;
use gctb_runtime::{KafkaSettings, Positions, PositionsError};

use crate::settings::SweepSettings;

/// How long it is remembered when the mapper was seen past an emission: bounds the memory, and costs only a new look.
const MEMORY: TimeDelta = TimeDelta::days(1);

/// One consumer group, and the topic that it reads.
struct Reader {
    group: String,
    topic: String,
}

/// The consumers on an instruction's way.
pub(crate) struct Consumers {
    positions: Positions,
    settle: TimeDelta,
    lost_position_grace: TimeDelta,
    mapper: Reader,
    backends: Vec<Reader>,
    /// Per batch: the emission that is meant, and when the mapper was first seen past it. What the mapper sent on because of
    /// the emission was sent before that time, so that the backends are measured against it.
    mapped: HashMap<BatchId, (DateTime<Utc>, DateTime<Utc>)>,
}

impl Consumers {
    pub(crate) fn new(
        kafka: &KafkaSettings,
        settings: &SweepSettings,
        backends: &[BackendName],
    ) -> Result<Self, PositionsError> {
        let backend =
            |name: &BackendName| Reader { group: settings.group_of(name), topic: Topic::Payments(name.clone()).name() };
        Ok(Self {
            positions: Positions::new(kafka)?,
            // A longer time than a calendar has is as good as none.
            settle: TimeDelta::from_std(settings.settle).unwrap_or(TimeDelta::MAX),
            lost_position_grace: TimeDelta::from_std(settings.lost_position_grace).unwrap_or(TimeDelta::MAX),
            mapper: Reader { group: settings.mapper_group.clone(), topic: Topic::Batches.name() },
            backends: backends.iter().map(backend).collect(),
            mapped: HashMap::new(),
        })
    }

    /// Whether the mapper has read past the last emission of a batch, and every backend past what the mapper made of it.
    ///
    /// # Errors
    /// Where Kafka does not answer.
    pub(crate) fn have_passed(&mut self, sweep: &DueSweep, now: DateTime<Utc>) -> Result<bool, PositionsError> {
        self.mapped.retain(|_, (_, seen_at)| now.signed_duration_since(*seen_at) < MEMORY);
        let Some(mapped_at) = self.mapped_at(sweep, now)? else { return Ok(false) };
        for backend in &self.backends {
            if !self.has_passed(backend, mapped_at, now)? {
                return Ok(false);
            }
        }
        self.mapped.remove(&sweep.batch_id);
        Ok(true)
    }

    fn mapped_at(&mut self, sweep: &DueSweep, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, PositionsError> {
        if let Some((emission, seen_at)) = self.mapped.get(&sweep.batch_id)
            && *emission == sweep.last_emitted_at
        {
            return Ok(Some(*seen_at));
        }
        let emitted = sweep.last_emitted_at.checked_add_signed(self.settle).unwrap_or(DateTime::<Utc>::MAX_UTC);
        if !self.has_passed(&self.mapper, emitted, now)? {
            return Ok(None);
        }
        self.mapped.insert(sweep.batch_id, (sweep.last_emitted_at, now));
        Ok(Some(now))
    }

    /// Whether a group has read what its topic got before `since`.
    ///
    /// A topic that is gone, and a group without a position in one, would say no for ever: the topic was deleted or made
    /// again, the position expired, or the service is not deployed. After the grace such a partition counts as read. A group
    /// that has a position and is behind it is only slow, and is waited for as long as it takes.
    fn has_passed(&self, reader: &Reader, since: DateTime<Utc>, now: DateTime<Utc>) -> Result<bool, PositionsError> {
        let Reader { group, topic } = reader;
        let since_ms = since.timestamp_millis();
        let graced = now.signed_duration_since(since) > self.lost_position_grace;
        let asked = if graced {
            self.known_are_past(group, topic, since_ms)
        } else {
            self.positions.group_has_passed(group, topic, since_ms)
        };
        match asked {
            Err(PositionsError::NoTopic { .. }) => Ok(graced),
            asked => asked,
        }
    }

    fn known_are_past(&self, group: &str, topic: &str, since_ms: i64) -> Result<bool, PositionsError> {
        let targets = self.positions.offsets_for_time(topic, since_ms)?;
        let committed = self.positions.committed(group, topic)?;
        let position = |partition: &i32| committed.get(partition).copied().flatten();
        Ok(targets.iter().all(|(partition, target)| position(partition).is_none_or(|position| position >= *target)))
    }
}
