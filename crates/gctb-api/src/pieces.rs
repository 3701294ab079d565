//! A large answer in pieces: each is written when the one before it is on its way, so that no answer is in memory as a whole.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::rt;
use actix_web::rt::time::{Instant, sleep_until};
use actix_web::web::{self, Bytes};
use futures_util::stream::{self, Stream, StreamExt};
use gctb_db::DbError;

/// About the size of a piece. An answer that is not larger is written at once and sent with its length.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

/// Whether an answer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is more to write.
    More,
    /// That was all.
    Done,
}

/// What an answer is written from. It blocks.
pub(crate) trait Pieces: Send {
    /// Appends to `out` until it has about `bytes`, or all is written.
    ///
    /// # Errors
    /// Where the database cannot be used: the answer breaks off, and the sender sees that it did.
    fn write(&mut self, out: &mut Vec<u8>, bytes: usize) -> Result<Progress, DbError>;
}

/// Why an answer broke off after its first piece. The sender does not take half an answer for a whole one: it is sent in chunks,
/// and the last one is missing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokenOff {
    /// Whoever does not read must not keep the memory.
    #[error("the answer was not read within {limit:?}")]
    NotRead { limit: Duration },
    /// The database cannot be used any more.
    #[error("the answer could not be read from the database to its end")]
    Database(#[from] DbError),
    /// The thread that wrote it panicked.
    #[error("the answer could not be written to its end")]
    Interrupted,
}

/// What is left to write, until it is written or the time is over.
type Slot = Arc<Mutex<Option<Box<dyn Pieces>>>>;

/// The answer that begins with `first`. What `rest` holds is given back after `limit`, read or not.
pub(crate) fn stream(
    first: Vec<u8>,
    rest: Box<dyn Pieces>,
    limit: Duration,
) -> impl Stream<Item = Result<Bytes, BrokenOff>> {
    let deadline = Instant::now() + limit;
    let slot: Slot = Arc::new(Mutex::new(Some(rest)));
    let left = Arc::downgrade(&slot);
    // A sender that reads nothing asks for no further piece either, so somebody else has to look at the clock.
    rt::spawn(async move {
        sleep_until(deadline).await;
        if let Some(slot) = left.upgrade() {
            drop(take(&slot));
        }
    });
    let rest = stream::unfold(Some(slot), move |slot| async move {
        let slot = slot?;
        match next(&slot, deadline, limit).await {
            Ok((piece, Progress::More)) => Some((Ok(piece), Some(slot))),
            Ok((piece, Progress::Done)) => Some((Ok(piece), None)),
            Err(error) => {
                tracing::warn!(error = %gctb_runtime::chain(&error), "an answer broke off");
                Some((Err(error), None))
            }
        }
    });
    stream::once(async { Ok(Bytes::from(first)) }).chain(rest)
}

async fn next(slot: &Slot, deadline: Instant, limit: Duration) -> Result<(Bytes, Progress), BrokenOff> {
    let mut pieces = take(slot).ok_or(BrokenOff::NotRead { limit })?;
    let written = web::block(move || {
        let mut piece = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 4);
        pieces.write(&mut piece, PIECE_BYTES).map(|progress| (piece, progress, pieces))
    });
    let (piece, progress, pieces) = written.await.map_err(|_| BrokenOff::Interrupted)??;
    if Instant::now() < deadline {
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(pieces);
    }
    Ok((Bytes::from(piece), progress))
}

fn take(slot: &Slot) -> Option<Box<dyn Pieces>> {
    // The lock is held for a moment only, and never while anything can panic.
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts down, one byte per piece; whoever shares `_alive` can tell when it is dropped.
    struct CountDown {
        left: u8,
        _alive: Arc<()>,
    }

    impl Pieces for CountDown {
        fn write(&mut self, out: &mut Vec<u8>, _bytes: usize) -> Result<Progress, DbError> {
            self.left -= 1;
            out.push(self.left);
            Ok(if self.left == 0 { Progress::Done } else { Progress::More })
        }
    }

    #[actix_web::test]
    async fn an_answer_is_its_pieces_in_their_order() {
        let alive = Arc::new(());
        let answer =
            stream(vec![9], Box::new(CountDown { left: 3, _alive: Arc::clone(&alive) }), Duration::from_secs(60));
        let pieces: Vec<Bytes> = answer.map(|piece| piece.expect("written")).collect().await;
        assert_eq!(pieces.concat(), [9, 2, 1, 0]);
        assert_eq!(Arc::strong_count(&alive), 1, "nothing is kept of it");
    }

    #[actix_web::test]
    async fn i10_an_answer_that_nobody_reads_gives_its_memory_back_and_breaks_off() {
        let alive = Arc::new(());
        let answer =
            stream(vec![9], Box::new(CountDown { left: 3, _alive: Arc::clone(&alive) }), Duration::from_millis(10));
        let mut answer = std::pin::pin!(answer);
        assert!(matches!(answer.next().await, Some(Ok(_))));
        while Arc::strong_count(&alive) > 1 {
            rt::task::yield_now().await;
        }
        assert!(matches!(answer.next().await, Some(Err(BrokenOff::NotRead { .. }))));
        assert!(answer.next().await.is_none());
    }
}
