//! Measures the bridge from outside, floor beside ours, on servers that were started for it.
//!
//! It starts the release programs with their default settings, speaks HTTP to them and SQL through psql, and reads /proc. It
//! shares no code with the bridge: what it believes about money comes from the tables and from the books of the simulated rails.

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
mod rails;
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

pub use args::{Args, Selection, Size};
pub use error::BenchError;

use args::Plan;
use curve::Curve;
use figures::Figures;
use ingest::Ingest;
use machine::Machine;
use stack::Stack;

/// Runs the measurements that are asked for, prints the table, and writes the figures and the chart.
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
    let (ingest, curve) = match &args.only {
        Selection::All => measure_all(&stack, &plan, &mut figures)?,
        Selection::Rails(_) | Selection::RailFloors => {
            rails::measure(&stack, &plan, &args.only, &mut figures)?;
            (Vec::new(), Curve::default())
        }
    };
    figures.take_peaks(&stack);
    let text = report::text(&machine, &ingest, &figures);
    std::io::stdout().write_all(text.as_bytes()).map_err(|source| BenchError::Write { what: "the table", source })?;
    write_file(&args.json, "the figures", &figures.json()?)?;
    say(&format!("wrote {}", args.json.display()));
    if args.only == Selection::All {
        write_file(&args.svg, "the chart", &chart::svg(&machine, &figures, &curve))?;
        say(&format!("wrote {}", args.svg.display()));
    }
    Ok(())
}

/// The order matters: end to end and the rails come first, while the topics hold nothing that consumers of a later measurement
/// would take for their own; each measurement has a database of its own.
fn measure_all(stack: &Stack, plan: &Plan, figures: &mut Figures) -> Result<(Vec<Ingest>, Curve), BenchError> {
    let curve = end_to_end::measure(stack, plan, figures)?;
    rails::measure(stack, plan, &Selection::All, figures)?;
    let ingest = ingest::measure(stack, plan, figures)?;
    status::measure(stack, plan, figures)?;
    Ok((ingest, curve))
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
