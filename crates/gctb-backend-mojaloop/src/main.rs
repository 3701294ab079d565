//! The `gctb-backend-mojaloop` service.

use gctb_backend_mojaloop::{IDENTITY, Settings, run};
use gctb_runtime::{Shutdown, Telemetry, settings};

fn main() -> anyhow::Result<()> {
    let settings: Settings = settings::load_or_exit(&IDENTITY);
    let telemetry = Telemetry::start(&IDENTITY, &settings.telemetry)?;
    let ended = run(settings, &telemetry, &Shutdown::on_signals()?);
    telemetry.shutdown();
    ended
}
