//! Whether the services that an instruction passes on its way have read past its emission.
//!
//! A hint that keeps the sweeper from flooding a slow mapper or rail with repeats, and never a proof: whether anybody decided
//! stands in the ledger alone. A wrong yes costs one repeat that changes nothing; a wrong no costs time, so no "no" may last
//! for ever unless a service is visibly late.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use gctb_db::DueSweep;
use gctb_domain::{BackendName, BatchId};
use gctb_events::Topic;
use gctb_runtime::{KafkaSettings, Positions, PositionsError};

use crate::settings::SweepSettings;

/// How long it is remembered how far an emission was seen to have come: bounds the memory, and costs only a new look.
const MEMORY: TimeDelta = TimeDelta::days(1);

/// How many graces a group without a position is given while it has members.
const MEMBERS_GRACES: i32 = 10;

/// One consumer group, and the topic that it reads.
struct Reader {
    group: String,
    topic: String,
}

/// How far an emission was seen to have come.
#[derive(Clone, Copy)]
struct Progress {
    emission: DateTime<Utc>,
    /// How many stations have passed it on.
    stations: usize,
    /// A time by which everything that they passed on had been sent: the next station is measured against it.
    since: DateTime<Utc>,
}

/// The consumers on an instruction's way.
pub(crate) struct Consumers {
    positions: Positions,
    settle: TimeDelta,
    lost_position_grace: TimeDelta,
    members_grace: TimeDelta,
    /// In order: the router, the resolver, and the backends, which are one station. What an instruction does not need to pass
    /// is passed all the same, by whoever is behind it in the topic.
    stations: Vec<Vec<Reader>>,
    progress: HashMap<BatchId, Progress>,
}

impl Consumers {
    pub(crate) fn new(
        kafka: &KafkaSettings,
        settings: &SweepSettings,
        backends: &[BackendName],
    ) -> Result<Self, PositionsError> {
        let router = Reader { group: settings.mapper_group.clone(), topic: Topic::Batches.name() };
        let resolver = Reader { group: settings.resolver_group.clone(), topic: Topic::Resolve.name() };
        let backend =
            |name: &BackendName| Reader { group: settings.group_of(name), topic: Topic::Payments(name.clone()).name() };
        let lost_position_grace = TimeDelta::from_std(settings.lost_position_grace).unwrap_or(TimeDelta::MAX);
        Ok(Self {
            positions: Positions::new(kafka)?,
            // A longer time than a calendar has is as good as none.
            settle: TimeDelta::from_std(settings.settle).unwrap_or(TimeDelta::MAX),
            lost_position_grace,
            members_grace: lost_position_grace.checked_mul(MEMBERS_GRACES).unwrap_or(TimeDelta::MAX),
            stations: vec![vec![router], vec![resolver], backends.iter().map(backend).collect()],
            progress: HashMap::new(),
        })
    }

    /// Whether the router has read past the last emission of a batch, the resolver past what the router made of it, and every
    /// backend past what both made of it.
    ///
    /// # Errors
    /// Where Kafka does not answer.
    pub(crate) fn have_passed(&mut self, sweep: &DueSweep, now: DateTime<Utc>) -> Result<bool, PositionsError> {
        self.progress.retain(|_, progress| now.signed_duration_since(progress.since) < MEMORY);
        let mut progress = self.progress_of(sweep);
        while let Some(readers) = self.stations.get(progress.stations) {
            for reader in readers {
                if !self.has_passed(reader, progress.since, now)? {
                    return Ok(false);
                }
            }
            // What the station sent on because of the emission was sent before now.
            progress = Progress { stations: progress.stations + 1, since: now, ..progress };
            self.progress.insert(sweep.batch_id, progress);
        }
        self.progress.remove(&sweep.batch_id);
        Ok(true)
    }

    /// How far the last emission of a batch was seen to have come.
    fn progress_of(&self, sweep: &DueSweep) -> Progress {
        let emission = sweep.last_emitted_at;
        let seen = self.progress.get(&sweep.batch_id).filter(|seen| seen.emission == emission);
        let since = || emission.checked_add_signed(self.settle).unwrap_or(DateTime::<Utc>::MAX_UTC);
        seen.copied().unwrap_or_else(|| Progress { emission, stations: 0, since: since() })
    }

    /// Whether a group has read what its topic got before `since`.
    ///
    /// A topic that is gone, and a group without a position in one, would say no for ever: the topic was deleted or made
    /// again, the position expired, or the service is not deployed. After the grace such a partition counts as read. A group
    /// with members is probably still at its first message, and is given [`MEMBERS_GRACES`] times as long; but a member of a
    /// topic that was made again may stand behind its end and never commit, so that even this ends. A group that has a
    /// position and is behind it is only slow, and is waited for as long as it takes.
    fn has_passed(&self, reader: &Reader, since: DateTime<Utc>, now: DateTime<Utc>) -> Result<bool, PositionsError> {
        let Reader { group, topic } = reader;
        let graced = now.signed_duration_since(since) > self.lost_position_grace;
        match self.positions.unread(group, topic, since.timestamp_millis()) {
            Err(PositionsError::NoTopic { .. }) => Ok(graced),
            Err(error) => Err(error),
            Ok(unread) if unread.is_empty() => Ok(true),
            Ok(unread) => {
                let nowhere = unread.values().all(Option::is_none);
                let members_graced = now.signed_duration_since(since) > self.members_grace;
                Ok(graced && nowhere && (members_graced || self.positions.members(group)? == 0))
            }
        }
    }
}
