//! Measures the bridge from outside, floor beside ours, on servers that were started for it.
//!
//! It starts the release programs with their default settings, speaks HTTP to them and SQL through psql, and reads /proc. It
//! shares no code with the bridge: what it believes about money comes from the tables and from the simulated bank's own book.

mod args;
mod chart;
mod copy_floor;
mod curve;
mod end_to_end;
mod equation;
mod error;
mod figures;
mod ingest;
mod machine;
mod memory;
mod message;
mod payment_floor;
mod psql;
mod random;
mod report;
mod sender;
mod service;
mod stack;
mod statistics;
mod status;
mod status_floor;
mod status_rows;
mod thousandths;
mod usage;

use std::error::Error;
use std::io::Write;

pub use args::{Args, Size};
pub use error::BenchError;

use figures::Figures;
use machine::Machine;
use stack::Stack;

/// Runs every measurement, prints the table, and writes the figures and the chart.
///
/// The order matters: end to end comes first, while the topics hold nothing that consumers of a later measurement would take
/// for their own; each measurement has a database of its own.
///
/// # Errors
/// Where a server, a program or a statement fails, and where money was lost or paid twice.
pub fn run(args: &Args) -> Result<(), BenchError> {
    let stack = Stack::new(args);
    let machine = Machine::look(&stack, args)?;
    machine.must_be_durable()?;
    let plan = args.size.plan();
    say(&format!("{} sizes on {}", args.size, machine.in_one_line()));
    let mut figures = Figures::default();
    let curve = end_to_end::measure(&stack, &plan, &mut figures)?;
    let ingest = ingest::measure(&stack, &plan, &mut figures)?;
    status::measure(&stack, &plan, &mut figures)?;
    figures.take_peaks(&stack);
    let text = report::text(&machine, &ingest, &figures);
    std::io::stdout().write_all(text.as_bytes()).map_err(|source| BenchError::Write { what: "the table", source })?;
    write_file(&args.json, "the figures", &figures.json()?)?;
    write_file(&args.svg, "the chart", &chart::svg(&machine, &figures, &curve))?;
    say(&format!("wrote {} and {}", args.json.display(), args.svg.display()));
    Ok(())
}

/// An error and its causes as one line.
pub fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words += &format!(": {error}");
        cause = error.source();
    }
    words
}

/// Progress, for whoever watches. The table alone goes to standard output.
fn say(text: &str) {
    eprintln!("bench: {text}");
}

fn write_file(path: &std::path::Path, what: &'static str, text: &str) -> Result<(), BenchError> {
    std::fs::write(path, text).map_err(|source| BenchError::Write { what, source })
}
