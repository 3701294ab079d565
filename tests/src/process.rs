//! One running program: its log file, and signals by its id alone.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

static NEXT_PORT: AtomicU32 = AtomicU32::new(0);

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

    /// Waits until it has ended by itself, and says how; None where it still runs after `patience`.
    pub fn ended_within(&mut self, patience: Duration) -> Option<String> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(how) = self.has_ended() {
                return Some(how);
            }
            if Instant::now() >= deadline {
                return None;
            }
            // The pause between two looks.
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Ends it at once, as a power cut or the kernel's memory killer would.
    pub fn kill_9(mut self) {
        self.end();
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(mut self) -> String {
        self.ask_to_end()
    }

    pub(crate) fn ask_to_end(&mut self) -> String {
        self.signal("TERM");
        self.child.wait().expect("its end can be waited for").to_string()
    }

    /// Whether it stands still, after SIGSTOP.
    pub fn is_stopped(&self) -> bool {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        // Behind the program's name, which stands in brackets.
        state.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    }

    /// Sends a signal by its name without SIG.
    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &command]).status().expect("a shell");
        assert!(sent.success(), "{command}");
    }

    pub(crate) fn end(&mut self) {
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

/// The program `name` of the same build as the running test or program.
///
/// # Panics
/// Where it has not been built.
pub fn program(name: &str) -> PathBuf {
    let running = std::env::current_exe().expect("the running program's own path");
    // Programs lie in target/PROFILE, tests one folder below it.
    let places = running.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let found = places.into_iter().find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: cargo build --workspace --bins"))
}

/// A port that nobody listens on, below those that the kernel gives to outgoing connections, so that it is still free when a
/// service is started again.
pub(crate) fn free_port() -> u16 {
    loop {
        let next = NEXT_PORT.fetch_add(1, Ordering::Relaxed) + std::process::id() * 97;
        let port = u16::try_from(20_000 + next % 12_000).expect("below 32000");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
