//! One running program: its log file, and signals by its id alone.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A program that a test started. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `program` with this environment and nothing of ours but PATH; its output goes to the end of `log`.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start(program: &Path, args: &[String], environment: &[(String, String)], log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).expect("a log file");
        let child = Command::new(program)
            .args(args)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            // Spans are wanted now; the exporter's own rhythm is five seconds.
            .env("OTEL_BSP_SCHEDULE_DELAY", "200")
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn();
        let child = child.unwrap_or_else(|error| panic!("could not start {}: {error}", program.display()));
        Self { child }
    }

    /// Whether it has ended, and how.
    pub fn has_ended(&mut self) -> Option<String> {
        self.child.try_wait().expect("its state can be asked for").map(|status| status.to_string())
    }

    /// Ends it at once, as a power cut or the kernel's memory killer would.
    pub fn kill_9(mut self) {
        self.end();
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(mut self) -> String {
        self.signal("TERM");
        self.child.wait().expect("its end can be waited for").to_string()
    }

    /// Sends a signal by its name without SIG.
    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &command]).status().expect("a shell");
        assert!(sent.success(), "{command}");
    }

    fn end(&mut self) {
        // It fails only where the process ended by itself: then there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// The program `name` of the same build as the running test.
///
/// # Panics
/// Where it has not been built.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let folder = test.ancestors().nth(2).expect("target/PROFILE");
    let program = folder.join(name);
    assert!(program.exists(), "{} is missing: cargo build --workspace --bins", program.display());
    program
}
