//! The binary `gctb-api`.

use gctb_api::{IDENTITY, Settings, run};
use gctb_runtime::{Shutdown, settings};

/// Gives the memory of large bodies back, which glibc's allocator would keep (docs/performance.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> anyhow::Result<()> {
    run(&settings::load_or_exit::<Settings>(&IDENTITY), &Shutdown::on_signals()?)
}
