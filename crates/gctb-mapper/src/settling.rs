//! What both loops do with what they decided: write refusals, send messages, and remember what of a group is left.
//!
//! It knows nothing of how a decision was come to.

use gctb_db::{Db, DbError, OutboxRow, Rejection};
use gctb_domain::FinancialAddress;
use gctb_events::{InstructionChunk, Outgoing};
use gctb_runtime::{Fate, HandleError, Handled, Incoming, ProduceError};

use crate::ask::AskError;
use crate::progress::{Progress, Tally};
use crate::refuse::Refuser;

/// Takes rows that were committed, to publish them soon.
pub type Publish = Box<dyn Fn(Vec<OutboxRow>) + Send>;

/// Sends messages and returns when they are delivered.
pub type Deliver = Box<dyn Fn(&[Outgoing]) -> Result<(), ProduceError> + Send>;

/// Where decisions go. Each loop has its own.
pub struct Exits {
    /// Where refusals are written.
    pub db: Db,
    /// Publishes rows that a refusal has committed.
    pub publish: Publish,
    /// Sends messages at once and awaits their delivery, for those that the rest of their group must not hold up.
    pub send: Deliver,
}

/// Why a group is handled again.
#[derive(Debug, thiserror::Error)]
pub enum StillWaiting {
    /// The mapper did not answer about some ids.
    #[error("{waiting} instructions wait for the ID account mapper")]
    Mapper {
        /// How many.
        waiting: usize,
        /// Why.
        #[source]
        cause: AskError,
    },
    /// The mapper answered that it has not decided yet, or left ids out of its answer.
    #[error("{waiting} instructions wait for the ID account mapper, which has not decided about their ids")]
    Undecided {
        /// How many.
        waiting: usize,
    },
    /// Refusals could not be written.
    #[error("{waiting} instructions wait to be refused")]
    Database {
        /// How many.
        waiting: usize,
        /// Why.
        #[source]
        cause: DbError,
    },
}

/// One polled group on its way out.
pub(crate) struct Settling {
    refuser: Refuser,
    send: Deliver,
    progress: Progress,
    /// Why refusals wait in this round; one wait for a connection in a round is enough.
    not_refused: Option<DbError>,
}

impl Settling {
    pub(crate) fn new(exits: Exits) -> Self {
        let Exits { db, publish, send } = exits;
        Self { refuser: Refuser { db, publish }, send, progress: Progress::default(), not_refused: None }
    }

    /// Begins a round with these messages, which may be those of the round before.
    pub(crate) fn begin(&mut self, polled: &[Incoming<InstructionChunk>]) {
        self.progress.keep_only(polled);
        self.not_refused = None;
    }

    /// The positions of the instructions of a message that are not settled.
    pub(crate) fn left(&self, incoming: &Incoming<InstructionChunk>) -> Vec<usize> {
        self.progress.left(incoming)
    }

    /// Settles what was decided of a message: counts it, and writes its refusals, where Postgres lets us. The positions
    /// `waiting` are left for later.
    pub(crate) fn settle(
        &mut self,
        incoming: &Incoming<InstructionChunk>,
        refusals: Vec<(usize, Rejection)>,
        mut waiting: Vec<usize>,
        tally: Tally,
    ) {
        self.progress.count(tally);
        let (positions, rejections): (Vec<usize>, Vec<Rejection>) = refusals.into_iter().unzip();
        if self.not_refused.is_none() {
            self.not_refused = self.refuse(incoming, &rejections).err();
        }
        if self.not_refused.is_some() {
            waiting.extend(positions);
        }
        self.progress.set_left(incoming, waiting);
    }

    fn refuse(&mut self, incoming: &Incoming<InstructionChunk>, rejections: &[Rejection]) -> Result<(), DbError> {
        if rejections.is_empty() {
            return Ok(());
        }
        let refused = self.refuser.refuse(incoming, rejections)?;
        let (rejected, already_known) = (refused.inserted as u64, refused.already_known as u64);
        self.progress.count(Tally { rejected, already_known, ..Tally::default() });
        self.progress.add_dead(refused.dead);
        Ok(())
    }

    /// Sends what the rest of its group must not hold up. If that fails, all of it is done once more.
    pub(crate) fn send_ahead(&mut self, messages: &[Outgoing]) -> Result<(), HandleError> {
        if messages.is_empty() {
            return Ok(());
        }
        (self.send)(messages).map_err(|cause| {
            self.progress = Progress::default();
            match cause.class() {
                Fate::Retry => HandleError::Retry(Box::new(cause)),
                Fate::Stop => HandleError::Stop(Box::new(cause)),
            }
        })
    }

    /// Notes that the mapper did not decide about an id, and says how often that was.
    pub(crate) fn asked_in_vain(&mut self, id: &FinancialAddress) -> u32 {
        self.progress.asked_in_vain(id)
    }

    /// Ends the round: hands over `ready` where nothing is left, else sends it and says what the rest waits for.
    pub(crate) fn end(&mut self, ready: Vec<Outgoing>, not_answered: Option<AskError>) -> Result<Handled, HandleError> {
        let waiting = self.progress.waiting();
        if waiting == 0 {
            return Ok(self.progress.finish(ready));
        }
        self.send_ahead(&ready)?;
        Err(HandleError::Retry(Box::new(match (self.not_refused.take(), not_answered) {
            (Some(cause), _) => StillWaiting::Database { waiting, cause },
            (None, Some(cause)) => StillWaiting::Mapper { waiting, cause },
            (None, None) => StillWaiting::Undecided { waiting },
        })))
    }
}
