//! The worker that reads the bank's response files.
//!
//! A file is read when listings show it unchanged for long enough, registered by the hash of its content, and recorded stretch by
//! stretch; where a process dies in the middle the next one goes on with the line after the last commit.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use gctb_db::{Db, DbError, IncomingFile, IncomingState, OutboxRow, Registration, SettleOutcome};
use gctb_domain::BackendName;
use gctb_runtime::{Component, Health, Heartbeat, Shutdown, chain};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};
use sha2::{Digest, Sha256};

use crate::response::{self, Response, Words};
use crate::settings::StoreSettings;
use crate::store::{Listed, Store, StoreError};

/// Lines of one commit.
const STRETCH: usize = 5_000;
/// How long an empty file must have been unchanged: a bank may make a file before it writes it.
const EMPTY_SETTLE: Duration = Duration::from_secs(60);
/// Longest silence of the worker before it counts as stuck.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// Reads what the bank answers.
pub struct Answers<P> {
    backend: BackendName,
    db: Db,
    publish: P,
    store: Store,
    words: Words,
    settings: StoreSettings,
    /// What the last listing showed, and since when: a file is read once it has been the same for long enough.
    seen: HashMap<Listed, Instant>,
    folder: Component,
    heartbeat: Heartbeat,
    lines: Counter<u64>,
    files: Counter<u64>,
}

/// Why a response file is not recorded yet.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Postgres cannot be used.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl<P: Fn(Vec<OutboxRow>)> Answers<P> {
    /// A worker for the answers to the files of `backend`. `publish` sends rows that are committed, soon.
    #[expect(clippy::too_many_arguments, reason = "the world comes in as arguments, once, from run()")]
    pub fn new(
        backend: BackendName,
        db: Db,
        publish: P,
        store: Store,
        words: Words,
        settings: StoreSettings,
        health: &Health,
        meter: &Meter,
    ) -> Self {
        Self {
            backend,
            db,
            publish,
            store,
            words,
            settings,
            seen: HashMap::new(),
            folder: health.component("incoming folder"),
            heartbeat: health.heartbeat("answers", SILENCE_MAX),
            lines: meter
                .u64_counter("gctb_response_lines")
                .with_description("Lines of response files by outcome")
                .build(),
            files: meter.u64_counter("gctb_response_files").with_description("Response files by outcome").build(),
        }
    }

    /// Works until the shutdown is requested.
    pub fn run(&mut self, shutdown: &Shutdown) {
        while !shutdown.wait_timeout(self.settings.poll) {
            self.heartbeat.beat();
            match self.round(shutdown) {
                Ok(()) => {
                    self.folder.ok();
                }
                Err(error) => {
                    if self.folder.failing(error.to_string()) {
                        tracing::warn!(error = %chain(&error), "response files wait");
                    }
                }
            }
        }
    }

    /// One listing: reads the files that are unchanged since the last one.
    ///
    /// # Errors
    /// Of the last file that could not be recorded; the others are.
    pub fn round(&mut self, shutdown: &Shutdown) -> Result<(), AnswerError> {
        let now = Instant::now();
        let listed: HashMap<Listed, Instant> = self
            .store
            .list_incoming()?
            .into_iter()
            .map(|file| {
                let since = self.seen.get(&file).copied().unwrap_or(now);
                (file, since)
            })
            .collect();
        let long_enough = |file: &Listed| match file.size {
            0 => EMPTY_SETTLE.max(self.settings.settle),
            _ => self.settings.settle,
        };
        let settled = |file: &Listed, since: Instant| self.seen.contains_key(file) && now - since >= long_enough(file);
        let mut stable: Vec<&Listed> =
            listed.iter().filter(|(file, since)| settled(file, **since)).map(|(file, _)| file).collect();
        // In the order in which the bank wrote them, as far as times tell; what comes in another order ends alike.
        stable.sort_by(|a, b| (a.modified, &a.name).cmp(&(b.modified, &b.name)));
        let mut result = Ok(());
        for file in stable {
            if shutdown.is_requested() {
                break;
            }
            // One file that cannot be moved or read does not hold up the others.
            if let Err(error) = self.read(file, shutdown) {
                result = Err(error);
            }
        }
        self.seen = listed;
        result
    }

    fn read(&self, listed: &Listed, shutdown: &Shutdown) -> Result<(), AnswerError> {
        self.heartbeat.beat();
        if listed.size > self.settings.response_bytes_max {
            return self.set_aside_unread(listed);
        }
        let Some(bytes) = self.store.read_incoming(&listed.name)? else { return Ok(()) };
        let sha256 = Sha256::digest(&bytes);
        let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        let file = match self.db.register_incoming(&self.backend, &listed.name, &sha256, size)? {
            Registration::New(file) | Registration::Known(file) => file,
        };
        match file.state {
            IncomingState::Processed => Ok(self.store.file_away(&listed.name)?),
            IncomingState::SetAside => Ok(self.store.set_file_aside(&listed.name)?),
            IncomingState::New => match response::parse(&bytes, self.backend.as_str(), &self.words) {
                Ok(response) => self.record(&listed.name, &file, &response, shutdown),
                Err(problem) => {
                    let line_no = i32::try_from(problem.line).unwrap_or(i32::MAX);
                    self.db.set_incoming_aside(file.incoming_id, line_no, &problem.to_string())?;
                    tracing::error!(file = %listed.name, line = problem.line, reason = %problem.reason, "a response file has the wrong structure; set aside whole");
                    self.count_file("set_aside");
                    Ok(self.store.set_file_aside(&listed.name)?)
                }
            },
        }
    }

    /// A file that is too large to be read is known by its name, size and time instead of its content.
    fn set_aside_unread(&self, listed: &Listed) -> Result<(), AnswerError> {
        let Listed { name, size, modified } = listed;
        tracing::error!(file = %name, bytes = size, "a response file is larger than store.response_bytes_max; set aside unread");
        let known_by = Sha256::digest(format!("unread {name} {size} {modified:?}"));
        let bytes = i64::try_from(*size).unwrap_or(i64::MAX);
        let (Registration::New(file) | Registration::Known(file)) =
            self.db.register_incoming(&self.backend, name, &known_by, bytes)?;
        let problem = format!("it has {size} bytes and was not read (setting store.response_bytes_max)");
        self.db.set_incoming_aside(file.incoming_id, 0, &problem)?;
        self.count_file("too_large");
        Ok(self.store.set_file_aside(name)?)
    }

    fn record(
        &self,
        name: &str,
        file: &IncomingFile,
        response: &Response,
        shutdown: &Shutdown,
    ) -> Result<(), AnswerError> {
        let total = i32::try_from(response.lines.len()).unwrap_or(i32::MAX);
        let mut done = file.lines_done;
        let remaining =
            usize::try_from(done).map_or(&response.lines[..0], |done| response.lines.get(done..).unwrap_or_default());
        for stretch in remaining.chunks(STRETCH) {
            if shutdown.is_requested() {
                return Ok(());
            }
            self.heartbeat.beat();
            let lines: Vec<_> = stretch.iter().filter_map(|(_, line, _)| line.clone()).collect();
            let unreadable: Vec<_> = stretch.iter().filter_map(|(_, _, exception)| exception.clone()).collect();
            let after = done + i32::try_from(stretch.len()).unwrap_or(0);
            let outcome = self.db.settle_lines(&self.backend, file.incoming_id, &lines, unreadable, done, after)?;
            self.tell(name, &outcome);
            (self.publish)(outcome.outbox);
            done = after;
        }
        if !self.db.finish_incoming(file.incoming_id, total)? {
            // Another replica is at it; the next listing shows what became of the file.
            return Ok(());
        }
        self.count_file("processed");
        tracing::info!(file = %name, lines = total, "response file recorded");
        Ok(self.store.file_away(name)?)
    }

    fn tell(&self, name: &str, outcome: &SettleOutcome) {
        let counts = [
            ("recorded", outcome.recorded),
            ("already_known", outcome.already_known),
            ("exception", outcome.exceptions),
            ("conflict", outcome.conflicts),
        ];
        for (outcome, count) in counts {
            self.lines.add(u64::try_from(count).unwrap_or(0), &[KeyValue::new("outcome", outcome)]);
        }
        if outcome.exceptions > 0 {
            tracing::warn!(file = %name, lines = outcome.exceptions, "lines of a response file could not be believed: gctb exceptions list");
        }
        if outcome.conflicts > 0 {
            tracing::error!(file = %name, conflicts = outcome.conflicts, "the bank contradicts a final answer; this is real money: gctb conflicts list");
        }
    }

    fn count_file(&self, outcome: &'static str) {
        self.files.add(1, &[KeyValue::new("outcome", outcome)]);
    }
}
