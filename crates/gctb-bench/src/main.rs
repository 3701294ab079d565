//! The binary `gctb-bench`, started by deploy/local/bench.sh.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match gctb_bench::run(&gctb_bench::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gctb-bench: {}", gctb_bench::in_words(&error));
            ExitCode::FAILURE
        }
    }
}
