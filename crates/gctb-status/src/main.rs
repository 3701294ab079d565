//! The binary `gctb-status`.

use gctb_runtime::{Shutdown, settings};
use gctb_status::{IDENTITY, Settings, run};

fn main() -> anyhow::Result<()> {
    run(&settings::load_or_exit::<Settings>(&IDENTITY), &Shutdown::on_signals()?)
}
