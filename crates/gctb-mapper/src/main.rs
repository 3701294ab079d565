//! The binary `gctb-mapper`.

use gctb_mapper::{IDENTITY, Settings, run};
use gctb_runtime::{Shutdown, settings};

fn main() -> anyhow::Result<()> {
    run(&settings::load_or_exit::<Settings>(&IDENTITY), &Shutdown::on_signals()?)
}
