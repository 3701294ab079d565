//! `gctb simulate`: a fresh batch from a template, its whole way, and the proof by the rails' own books.
//!
//! The order matters: the books are looked at before the first batch is sent and after the last instruction has ended,
//! so that what they gained in between is what this run was paid.

mod book;
pub(crate) mod books;
mod equation;
mod faults;
mod fill;
mod paid_by;
mod template;

use std::io::Write;
use std::time::Duration;

use chrono::Utc;
use uuid::Uuid;

use self::books::Books;
use self::equation::Equation;
use self::faults::Faults;
use self::fill::{Batch, Filling};
use self::paid_by::paid_by;
use self::template::Template;
use crate::Finding;
use crate::args::SimulateArgs;
use crate::args::operator::DatabaseArgs;
use crate::breakdown::{Breakdown, Tally};
use crate::bridge::{BatchName, Bridge, wait_for_end};
use crate::error::CliError;
use crate::http::Http;
use crate::operator::reach;
use crate::progress::Progress;
use crate::submit::read_message;

/// Submits, waits, compares, and prints the table and the equation.
pub(crate) async fn run(args: SimulateArgs, out: &mut dyn Write) -> Result<Finding, CliError> {
    let template = Template::read(&args.file, &read_message(&args.file)?)?;
    let http = Http::new()?;
    let faults = match &args.faults {
        Some(file) => Some(Faults::begin(file, &args.simulator_url, http.clone()).await?),
        None => None,
    };
    let finding = pay(&args, &template, &http, out).await;
    // The simulator behaves again, whatever became of the batch.
    if let Some(faults) = faults {
        faults.end(out).await?;
    }
    let (equation, waited_in_vain) = finding?;
    conclude(&equation, waited_in_vain, out)
}

/// Submits, waits and reads all sides. Beside them, how long was waited in vain.
async fn pay(
    args: &SimulateArgs,
    template: &Template,
    http: &Http,
    out: &mut dyn Write,
) -> Result<(Equation, Option<Duration>), CliError> {
    let count = args.count.unwrap_or_else(|| template.disbursements());
    let bridge = Bridge::at(&args.api.url, http.clone());
    let books = Books::at(&args.simulator_url, &args.books, http);

    let before = books.summaries().await?;
    let (batches, sent) = submit(&bridge, template, count).await?;
    announce(&batches, out)?;
    let ended = wait_for_end(&bridge, &batches, args.deadline).await?;
    let told = counted(&bridge, &batches).await?;
    let database = args.database_url.clone();
    let paid_by = database.map(|url| paid_by(&reach::database(&DatabaseArgs { url }), &batches)).transpose()?;
    let gained = books.gained_since(&before).await?;

    writeln!(out, "{told}\n")?;
    Ok((Equation { sent, told, paid_by, gained }, (!ended).then_some(args.deadline)))
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
