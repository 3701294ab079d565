//! `gctb simulate`: a fresh batch from a template, its whole way, and the proof by the bank's own book.
//!
//! The order matters: the book is looked at before the first batch is sent and after the last instruction has ended,
//! so that what it gained in between is what this run was paid.

mod book;
mod equation;
mod fill;
mod template;

use std::io::Write;
use std::time::Duration;

use chrono::Utc;
use uuid::Uuid;

use self::book::Bank;
use self::equation::Equation;
use self::fill::{Batch, Filling};
use self::template::Template;
use crate::Finding;
use crate::args::SimulateArgs;
use crate::breakdown::{Breakdown, Tally};
use crate::bridge::{BatchName, Bridge, wait_for_end};
use crate::error::CliError;
use crate::http::Http;
use crate::progress::Progress;
use crate::submit::read_message;

/// Submits, waits, compares, and prints the table and the equation.
pub(crate) async fn run(args: SimulateArgs, out: &mut dyn Write) -> Result<Finding, CliError> {
    let template = Template::read(&args.file, &read_message(&args.file)?)?;
    let count = args.count.unwrap_or_else(|| template.disbursements());
    let http = Http::new()?;
    let bridge = Bridge::at(&args.api.url, http.clone());
    let bank = Bank::at(&args.simulator_url, http);

    let before = bank.summary().await?;
    let (batches, sent) = submit(&bridge, &template, count).await?;
    announce(&batches, out)?;
    let ended = wait_for_end(&bridge, &batches, args.deadline).await?;
    let told = counted(&bridge, &batches).await?;
    let gained = bank.gained_since(&before).await?;

    writeln!(out, "{told}\n")?;
    let equation = Equation { sent, told, gained };
    conclude(&equation, (!ended).then_some(args.deadline), out)
}

/// Sends `count` disbursements in batches, and says what was sent.
async fn submit(bridge: &Bridge, template: &Template, count: u64) -> Result<(Vec<BatchName>, Tally), CliError> {
    let mut progress = Progress::start("disbursements submitted", count);
    let (mut batches, mut sent) = (Vec::new(), Tally::default());
    let mut filling = Filling::new(template, count, first_number());
    while let Some(Batch { transaction, message }) = filling.next_batch(Uuid::new_v4(), Utc::now(), &mut sent) {
        bridge.submit(serde_json::to_vec(&message).map_err(CliError::Encode)?).await?;
        batches.push(BatchName { sender: template.sender().to_owned(), transaction: transaction.to_string() });
        progress.at(sent.count, count);
    }
    Ok((batches, sent))
}

/// A random start keeps the beneficiaries of two runs apart.
fn first_number() -> u64 {
    Uuid::new_v4().as_u64_pair().0
}

fn announce(batches: &[BatchName], out: &mut dyn Write) -> Result<(), CliError> {
    for batch in batches {
        writeln!(out, "submitted the batch with transaction_id {}", batch.transaction)?;
    }
    writeln!(out)?;
    Ok(())
}

async fn counted(bridge: &Bridge, batches: &[BatchName]) -> Result<Breakdown, CliError> {
    let mut all = Breakdown::default();
    for batch in batches {
        all.add_all(&bridge.breakdown(batch).await?);
    }
    Ok(all)
}

/// Prints what disagrees (standard error), what needs a word, and last the equation.
fn conclude(equation: &Equation, waited_in_vain: Option<Duration>, out: &mut dyn Write) -> Result<Finding, CliError> {
    let disagreements = equation.disagreements();
    if let Some(deadline) = waited_in_vain {
        eprintln!("gctb: gave up waiting after {} s; `gctb status TXN --watch` waits on.", deadline.as_secs());
    }
    for disagreement in &disagreements {
        eprintln!("gctb: the demo's equation does not hold: {disagreement}.");
    }
    for remark in equation.remarks() {
        writeln!(out, "{remark}")?;
    }
    writeln!(out, "{equation}")?;
    Ok(if disagreements.is_empty() { Finding::Good } else { Finding::Bad })
}
