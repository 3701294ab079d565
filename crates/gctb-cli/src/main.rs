//! The `gctb` binary: hands its arguments and environment to the library and ends with the code that comes back.

use std::process::ExitCode;

fn main() -> ExitCode {
    gctb_runtime::settings::arm_crash_point_or_exit("gctb");
    let environment =
        std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    gctb_cli::run(std::env::args_os(), environment.collect(), &mut std::io::stdout().lock())
}
