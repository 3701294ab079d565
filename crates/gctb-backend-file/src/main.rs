//! The `gctb-backend-file` service.

use gctb_backend_file::{IDENTITY, run};
use gctb_runtime::{Shutdown, Telemetry, settings};

fn main() -> anyhow::Result<()> {
    let settings: gctb_backend_file::settings::Settings = settings::load_or_exit(&IDENTITY);
    let telemetry = Telemetry::start(&IDENTITY, &settings.telemetry)?;
    let ended = run(settings, &telemetry, &Shutdown::on_signals()?);
    telemetry.shutdown();
    ended
}
