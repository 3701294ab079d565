//! A Postgres of one test's own, which may be stopped, killed and crowded without harm to other tests.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use gctb_testkit::{eventually_within, skipped};
use tempfile::TempDir;

use crate::process::{Process, free_port};
use crate::system::PATIENCE;

/// Enough for the services and the test, and few enough to be used up.
const CONNECTIONS_MAX: usize = 60;

/// A running Postgres of a test. It ends with the test.
#[derive(Debug)]
pub struct OwnPostgres {
    process: Option<Process>,
    postgres: PathBuf,
    as_user: Vec<String>,
    port: u16,
    folder: TempDir,
}

/// A connection that does nothing but exist.
#[derive(Debug)]
pub struct IdleConnection {
    _stream: TcpStream,
}

impl OwnPostgres {
    /// Makes a database cluster and starts its server. None, and the test counted as skipped, where none is installed.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start(test: &str) -> Option<Self> {
        let Some((postgres, as_user)) = installed() else {
            skipped(test, "no Postgres is installed that the test could stop");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("gctb-postgres-").tempdir().expect("a folder");
        let mut own = Self { process: None, postgres, as_user, port: free_port(), folder };
        own.make();
        own.start_again();
        Some(own)
    }

    /// How to reach it, as a user who may create databases.
    pub fn url(&self) -> String {
        format!("postgres://gctb@127.0.0.1:{}/postgres", self.port)
    }

    /// Stops it as an operator does: connections are ended, what is committed is written.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.signal("INT");
        eventually_within(PATIENCE, "Postgres to stop", || process.has_ended());
    }

    /// Ends it at once. What it had written survives in the kernel; nothing else does.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill_9(&mut self) {
        self.process.take().expect("it runs").kill_9();
    }

    /// Starts it again on the same port and data, and returns when it takes connections.
    ///
    /// # Panics
    /// Where it does not.
    pub fn start_again(&mut self) {
        eventually_within(PATIENCE, "Postgres to take connections", || {
            // After a kill its children may hold its memory for a moment, and it ends again.
            if self.process.as_mut().is_none_or(|process| process.has_ended().is_some()) {
                self.process = Some(self.launch());
            }
            self.connect("postgres").ok()
        });
    }

    /// Takes every connection that is left.
    pub fn crowd(&self) -> Vec<IdleConnection> {
        (0..CONNECTIONS_MAX).map_while(|_| self.connect("postgres").ok()).collect()
    }

    fn connect(&self, database: &str) -> io::Result<IdleConnection> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let words = format!("user\0gctb\0database\0{database}\0application_name\0gctb-test\0\0");
        let length = u32::try_from(8 + words.len()).unwrap_or(0);
        // Protocol 3.0: length, version, words.
        stream.write_all(&[&length.to_be_bytes(), &196_608_u32.to_be_bytes(), words.as_bytes()].concat())?;
        loop {
            let mut head = [0; 5];
            stream.read_exact(&mut head)?;
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
            io::copy(&mut (&stream).take(u64::from(length.saturating_sub(4))), &mut io::sink())?;
            match head[0] {
                b'Z' => return Ok(IdleConnection { _stream: stream }),
                b'E' => return Err(io::Error::other("Postgres refuses the connection")),
                _ => {}
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn make(&self) {
        let data = self.data();
        fs::create_dir(&data).expect("a folder");
        // Postgres' user must be able to enter, and to own what is in there; whoever else runs this is that user.
        let folder = self.folder.path().display();
        let give = format!("test $(id -u) -ne 0 || {{ chmod 711 {folder} && chown postgres: {0}; }}", data.display());
        run(Command::new("sh").args(["-c", &give]));
        let initdb = self.postgres.with_file_name("initdb");
        let words = ["--username", "gctb", "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"];
        let command = [
            &[initdb.display().to_string(), "--pgdata".to_owned(), data.display().to_string()],
            &words.map(str::to_owned)[..],
        ]
        .concat();
        run(Command::new("bash").args(self.in_the_root(&command)));
    }

    fn launch(&self) -> Process {
        let port = format!("port={}", self.port);
        let connections = format!("max_connections={CONNECTIONS_MAX}");
        // What it holds is worth nothing after a power failure; a process that dies loses nothing by it.
        let settings = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            &port,
            &connections,
            "fsync=off",
            "full_page_writes=off",
            "shared_buffers=64MB",
            "timezone=UTC",
        ];
        let mut command = vec![self.postgres.display().to_string(), "-D".to_owned(), self.data().display().to_string()];
        command.extend(settings.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]));
        let log = self.folder.path().join("postgres.log");
        Process::start(Path::new("bash"), &self.in_the_root(&command), &[], &log)
    }

    /// The arguments of a bash that becomes this command, in a folder that every user can enter.
    fn in_the_root(&self, command: &[String]) -> Vec<String> {
        let exec = ["-c", "cd / && exec \"$@\"", "bash"].map(str::to_owned);
        [&exec[..], &self.as_user, command].concat()
    }
}

/// The server's program, and the words in front of a command that make it run as a user whom Postgres accepts.
fn installed() -> Option<(PathBuf, Vec<String>)> {
    let script = "source deploy/local/lib.sh; source \"$LOCAL_DIR/postgres.sh\"; postgres_bin; printf '\\n'; printf '%s\\n' \"${POSTGRES_USER_COMMAND[@]}\"";
    let output = Command::new("bash").args(["-c", script]).current_dir(clone()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines();
    let programs = lines.next().filter(|line| !line.is_empty())?;
    let as_user = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
    Some((Path::new(programs).join("postgres"), as_user))
}

/// The clone that the tests were built from.
pub(crate) fn clone() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn run(command: &mut Command) {
    let output = command.output().expect("it can be started");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}
