//! The loop itself: polls, hands over, waits, stores. Only this file moves offsets.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use gctb_events::Topic;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::backoff::Backoff;
use super::context::{Assigned, LoopContext};
use super::dead;
use super::group::Group;
use super::meters::Meters;
use super::{DeadEntry, HandleError, Handled, Handler, IDLE_WAIT, LoopError, LoopWorld};
use crate::health::{Component, Heartbeat};
use crate::replay::RawMessage;
use crate::{Fate, client};

/// How often the loop looks for the end of a back-off and of the process.
const BACKOFF_POLL: Duration = Duration::from_millis(50);

pub(super) fn run<H: Handler>(topic: &Topic, world: &LoopWorld, handler: H) -> Result<(), LoopError> {
    let mut consuming = Consuming::start(topic, world, handler)?;
    let result = consuming.until_shutdown();
    consuming.close();
    result
}

struct Consuming<'a, H: Handler> {
    topic: String,
    dead_topic: String,
    group_name: String,
    world: &'a LoopWorld,
    handler: H,
    consumer: BaseConsumer<LoopContext>,
    assigned: Assigned,
    meters: Meters,
    work: Component,
    heartbeat: Heartbeat,
    /// Messages that came while the partitions were being paused: next in line.
    early: VecDeque<RawMessage>,
    paused: bool,
    dead_in_a_row: u32,
    /// How many partitions the handler knows of.
    told_assigned: Option<usize>,
}

/// Why one attempt at a group came to nothing.
enum Failed {
    NotDone,
    Again(Box<dyn std::error::Error + Send + Sync>),
    Stop(LoopError),
}

/// Whether a wait came to its end or was cut short.
#[derive(PartialEq, Eq)]
enum Waited {
    ToTheEnd,
    ShutdownRequested,
}

impl<'a, H: Handler> Consuming<'a, H> {
    fn start(topic: &Topic, world: &'a LoopWorld, handler: H) -> Result<Self, LoopError> {
        let name = topic.name();
        let group_name = world.kafka.group_of(world.service);
        let assigned = Assigned::default();
        let connection = world.health.component(format!("kafka {name}"));
        connection.failing("has not yet joined the consumer group");
        let work = world.health.component(format!("work on {name}"));
        work.ok();
        let context = LoopContext::new(&name, &assigned, connection);
        let consumer = connect(&name, &group_name, world, context)?;
        // A handler may take all of the poll interval; only beyond that is the loop stuck.
        let limit = world.kafka.max_poll_interval + Duration::from_secs(60);
        Ok(Self {
            dead_topic: topic.dead().name(),
            meters: Meters::new(&world.meter, &name, &assigned),
            heartbeat: world.health.heartbeat(format!("consume {name}"), limit),
            topic: name,
            group_name,
            world,
            handler,
            consumer,
            assigned,
            work,
            early: VecDeque::new(),
            paused: false,
            dead_in_a_row: 0,
            told_assigned: None,
        })
    }

    fn until_shutdown(&mut self) -> Result<(), LoopError> {
        while !self.world.shutdown.is_requested() {
            self.heartbeat.beat();
            let polled = self.gather()?;
            if polled.is_empty() {
                self.handler.idle();
                continue;
            }
            let group = Group::decode(&self.topic, polled);
            self.meters.in_flight(group.len());
            self.handle_until_done(group)?;
            self.meters.in_flight(0);
        }
        Ok(())
    }

    /// The next messages: up to the limits of number, size and waiting time. Empty where none came.
    fn gather(&mut self) -> Result<Vec<RawMessage>, LoopError> {
        let settings = &self.world.consumer;
        let (max, bytes_max, wait) = (settings.poll_max_messages.max(1), settings.poll_max_bytes, settings.poll_wait);
        let mut polled: Vec<RawMessage> = Vec::new();
        let mut bytes = 0;
        let mut until = None;
        while polled.len() < max && bytes < bytes_max {
            let timeout = until.map_or(IDLE_WAIT, |until: Instant| until.saturating_duration_since(Instant::now()));
            let next = match self.early.pop_front() {
                Some(early) => Some(early),
                None => self.poll(timeout)?,
            };
            let revoked = self.assigned.take_revoked();
            if !revoked.is_empty() {
                polled.retain(|message| !revoked.contains(&message.partition));
                self.early.retain(|message| !revoked.contains(&message.partition));
            }
            match next {
                Some(message) => {
                    bytes += message.payload.len();
                    polled.push(message);
                    until = until.or_else(|| Some(Instant::now() + wait));
                }
                // librdkafka may come back early to tell of an event.
                None if until.is_some_and(|until| Instant::now() < until) => {}
                None => break,
            }
        }
        Ok(polled)
    }

    fn poll(&self, timeout: Duration) -> Result<Option<RawMessage>, LoopError> {
        match self.consumer.poll(timeout) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(RawMessage::of(&message))),
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                Err(LoopError::Kafka { topic: self.topic.clone(), reason: code.to_string() })
            }
            Some(Err(error)) => {
                self.consumer.context().trouble(&error);
                Ok(None)
            }
        }
    }

    /// Handles the group, again and again while a dependency is down, and stores its offsets. A shutdown meanwhile
    /// leaves the group to whoever gets its partitions next.
    fn handle_until_done(&mut self, mut group: Group<H::Event>) -> Result<(), LoopError> {
        let settings = self.world.consumer.clone();
        let mut backoff = Backoff::new(settings.retry_backoff_min, settings.retry_backoff_max);
        while group.len() > 0 {
            self.tell_assigned();
            let cause = match self.attempt(&group) {
                Ok(()) => {
                    fail::fail_point!("offset.store.before");
                    self.store_offsets(&group);
                    fail::fail_point!("offset.store.after");
                    break;
                }
                Err(Failed::NotDone) => {
                    backoff = Backoff::new(settings.retry_backoff_min, settings.retry_backoff_max);
                    self.works();
                    if self.wait_while_polling(Duration::ZERO, &mut group)? == Waited::ShutdownRequested {
                        return Ok(());
                    }
                    continue;
                }
                Err(Failed::Again(cause)) => cause,
                Err(Failed::Stop(error)) => return Err(error),
            };
            self.meters.retry();
            let trouble = crate::chain(cause.as_ref());
            if self.work.failing(format!("waits and tries again: {trouble}")) {
                tracing::warn!(topic = %self.topic, error = %trouble, "work waits; the same messages are handled again");
            }
            if self.wait_while_polling(backoff.next(), &mut group)? == Waited::ShutdownRequested {
                return Ok(());
            }
        }
        self.works();
        self.resume();
        Ok(())
    }

    fn works(&self) {
        if self.work.ok() {
            tracing::info!(topic = %self.topic, "work goes on");
        }
    }

    fn tell_assigned(&mut self) {
        let count = self.assigned.count();
        if self.told_assigned != Some(count) {
            self.told_assigned = Some(count);
            self.handler.assigned(count);
        }
    }

    /// Handle, then await the delivery of all that follows. Nothing is stored here.
    fn attempt(&mut self, group: &Group<H::Event>) -> Result<(), Failed> {
        let span = group.span.clone();
        let _entered = span.enter();
        let handled = self.call_handler(group)?;
        let dead: Vec<&DeadEntry> = group.dead.iter().chain(&handled.dead).collect();
        let dead_in_a_row = self.check_dead(group, &dead, &handled)?;
        let letter = |entry: &&DeadEntry| {
            let (key, headers) = group.letterhead(&entry.origin);
            dead::letter(&self.dead_topic, &self.group_name, key, &headers, entry)
        };
        let mut outgoing = handled.outgoing;
        outgoing.extend(dead.iter().map(letter));
        if !dead.is_empty() {
            fail::fail_point!("dead_letter.send.before");
        }
        self.world.producer.send_all(&outgoing).map_err(|cause| match cause.class() {
            Fate::Retry => Failed::Again(Box::new(cause)),
            Fate::Stop => Failed::Stop(LoopError::Produce { topic: self.topic.clone(), cause }),
        })?;
        if let Some(first) = dead.first() {
            fail::fail_point!("dead_letter.send.after");
            // The reasons travel with the letters: they may quote what does not belong in a log.
            tracing::warn!(topic = %self.topic, entries = dead.len(), first = %first.origin, "entries went to the dead-letter topic");
        }
        self.dead_in_a_row = dead_in_a_row;
        self.meters.handled(group.len(), dead.len(), &handled.outcomes);
        Ok(())
    }

    fn call_handler(&mut self, group: &Group<H::Event>) -> Result<Handled, Failed> {
        if group.incoming.is_empty() {
            return Ok(Handled::default());
        }
        let began = Instant::now();
        let handled = self.handler.handle(&group.incoming);
        self.meters.handler_took(began.elapsed());
        handled.map_err(|error| match error {
            HandleError::Retry(cause) => Failed::Again(cause),
            HandleError::Again => Failed::NotDone,
            HandleError::Stop(cause) => Failed::Stop(LoopError::Handler { topic: self.topic.clone(), cause }),
        })
    }

    fn check_dead(&self, group: &Group<H::Event>, dead: &[&DeadEntry], handled: &Handled) -> Result<u32, Failed> {
        let max = self.world.consumer.dead_letters_in_a_row_max;
        let handled_any = handled.outcomes.iter().any(|(_, count)| *count > 0);
        dead::row_after(self.dead_in_a_row, &group.fates(dead, handled_any), max)
            .map_err(|in_a_row| Failed::Stop(LoopError::TooManyDead { topic: self.topic.clone(), in_a_row, max }))
    }

    /// Only marks them: librdkafka commits what is marked every second, and the end of the loop does.
    fn store_offsets(&self, group: &Group<H::Event>) {
        let mut offsets = TopicPartitionList::new();
        for (partition, next) in group.next_offsets() {
            // It fails for offsets that librdkafka reserves, all below zero.
            let _ = offsets.add_partition_offset(&self.topic, partition, Offset::Offset(next));
        }
        if let Err(error) = self.consumer.store_offsets(&offsets) {
            // The partitions went to another replica while the group was handled: it gets the messages again.
            tracing::debug!(topic = %self.topic, error = %error, "offsets of revoked partitions were not stored");
        }
    }

    /// Lets time pass without leaving the consumer group: polls, with the partitions paused.
    fn wait_while_polling(&mut self, duration: Duration, group: &mut Group<H::Event>) -> Result<Waited, LoopError> {
        let until = Instant::now() + duration;
        if !self.paused {
            self.pause();
        }
        // At least once, so that partitions can come and go however short the wait is.
        loop {
            if self.world.shutdown.is_requested() {
                return Ok(Waited::ShutdownRequested);
            }
            self.heartbeat.beat();
            let left = until.saturating_duration_since(Instant::now());
            let next = self.poll(left.min(BACKOFF_POLL))?;
            let revoked = self.assigned.take_revoked();
            if !revoked.is_empty() {
                group.drop_revoked(&revoked);
                self.early.retain(|message| !revoked.contains(&message.partition));
            }
            // Newly assigned partitions are not paused. What came before they are is kept for later, never lost.
            self.early.extend(next);
            if self.assigned.take_grew() {
                self.pause();
            }
            if Instant::now() >= until {
                return Ok(Waited::ToTheEnd);
            }
        }
    }

    fn pause(&mut self) {
        self.paused = true;
        self.assigned.take_grew();
        let paused = self.consumer.assignment().and_then(|assignment| self.consumer.pause(&assignment));
        if let Err(error) = paused {
            tracing::debug!(topic = %self.topic, error = %error, "partitions could not be paused; messages are kept");
        }
    }

    /// All that is assigned, not what was paused: partitions may have come and gone meanwhile.
    fn resume(&mut self) {
        if !std::mem::take(&mut self.paused) {
            return;
        }
        let resumed = self.consumer.assignment().and_then(|assignment| self.consumer.resume(&assignment));
        if let Err(error) = resumed {
            tracing::warn!(topic = %self.topic, error = %error, "partitions could not be resumed");
        }
    }

    /// Commits what is stored and leaves the group, on a thread of its own: librdkafka has been seen to hang here, and a
    /// process that hangs at its end is worse than messages that come again.
    fn close(self) {
        let (topic, deadline) = (self.topic, self.world.consumer.shutdown_deadline);
        let consumer = self.consumer;
        let (tell, closed) = mpsc::channel();
        let close = move || {
            let committed = consumer.commit_consumer_state(CommitMode::Sync);
            drop(consumer);
            let _ = tell.send(committed);
        };
        if std::thread::Builder::new().name("close consumer".to_owned()).spawn(close).is_err() {
            return;
        }
        match closed.recv_timeout(deadline) {
            Ok(Ok(())) => tracing::info!(topic = %topic, "the consumer is closed"),
            Ok(Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset))) => {
                tracing::info!(topic = %topic, "the consumer is closed; nothing was left to commit");
            }
            Ok(Err(error)) => {
                tracing::warn!(topic = %topic, error = %error, "the last offsets were not committed; messages will come again");
            }
            Err(_) => tracing::warn!(topic = %topic, ?deadline, "the consumer did not close in time; left behind"),
        }
    }
}

fn connect(
    topic: &str,
    group: &str,
    world: &LoopWorld,
    context: LoopContext,
) -> Result<BaseConsumer<LoopContext>, LoopError> {
    let create = |reason| LoopError::Create { topic: topic.to_owned(), reason };
    let queue_kib = (world.kafka.consumer_queue_bytes_max / 1024).max(1024);
    let consumer: BaseConsumer<LoopContext> = client::config(&world.kafka, world.service)
        .set("group.id", group)
        .set("session.timeout.ms", client::milliseconds(world.kafka.session_timeout))
        .set("max.poll.interval.ms", client::milliseconds(world.kafka.max_poll_interval))
        // Replicas come and go without stopping the others.
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        .set("fetch.wait.max.ms", "100")
        // As it travels: lz4 makes five times as much of it in memory, beside the queue.
        .set("fetch.max.bytes", "2097152")
        .set("queued.min.messages", "1000")
        .set("queued.max.messages.kbytes", queue_kib.to_string())
        .set("statistics.interval.ms", "2000")
        .create_with_context(context)
        .map_err(|error| create(client::creation_error(&error)))?;
    consumer.subscribe(&[topic]).map_err(|error| create(error.to_string()))?;
    Ok(consumer)
}
