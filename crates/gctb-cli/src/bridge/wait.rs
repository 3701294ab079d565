//! Waiting until every instruction of some batches has ended, or a deadline.

use std::time::Duration;

use tokio::time::Instant;

use super::{BatchName, Bridge};
use crate::error::CliError;
use crate::progress::Progress;

/// Pause between two looks at a batch. A look costs the bridge one row and one total.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Waits until all instructions of `batches` have ended, and says whether they have within `limit`.
pub(crate) async fn wait_for_end(bridge: &Bridge, batches: &[BatchName], limit: Duration) -> Result<bool, CliError> {
    let deadline = Instant::now() + limit;
    let mut progress = Progress::start("instructions ended", 0);
    loop {
        let (mut done, mut total) = (0, 0);
        for batch in batches {
            let (completed, of) = bridge.how_far(batch).await?;
            done += completed;
            total += of;
        }
        progress.at(done, total);
        if done >= total {
            return Ok(true);
        }
        if Instant::now() + LOOK_EVERY > deadline {
            return Ok(false);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
