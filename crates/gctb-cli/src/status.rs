//! `gctb status`: what became of a batch, at once or after waiting for its end.

use std::io::Write;

use serde_json::json;

use crate::Finding;
use crate::args::StatusArgs;
use crate::breakdown::{Breakdown, StatusWord};
use crate::bridge::{BatchName, Bridge, wait_for_end};
use crate::error::CliError;
use crate::http::Http;

/// Prints the batch by status and reason. Exit code 1 where --watch waited in vain.
pub(crate) async fn run(args: StatusArgs, out: &mut dyn Write) -> Result<Finding, CliError> {
    let bridge = Bridge::at(&args.api.url, Http::new()?);
    let batch = BatchName { sender: args.sender, transaction: args.transaction };
    let in_time = match args.watch {
        true => wait_for_end(&bridge, std::slice::from_ref(&batch), args.deadline).await?,
        false => true,
    };
    let counted = bridge.breakdown(&batch).await?;
    print(&batch.transaction, &counted, args.json, out)?;
    if in_time {
        return Ok(Finding::Good);
    }
    eprintln!("gctb: the batch had not ended after {} s; watch it longer with --deadline.", args.deadline.as_secs());
    Ok(Finding::Bad)
}

fn print(transaction: &str, counted: &Breakdown, as_json: bool, out: &mut dyn Write) -> Result<(), CliError> {
    let (total, ended) = (counted.total().count, counted.tally(StatusWord::is_final).count);
    if as_json {
        let lines = counted.lines();
        writeln!(out, "{}", json!({ "transaction_id": transaction, "total": total, "ended": ended, "lines": lines }))?;
    } else {
        writeln!(out, "transaction_id {transaction}: {ended} of {total} instructions ended\n\n{counted}")?;
    }
    Ok(())
}
