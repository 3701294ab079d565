//! SQL through psql, the floor's own tool: single scripts, and sessions that stay open. It must not know what is measured.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::error::BenchError;
use crate::service::bound_to_us;

/// Comes back from psql when it has done all that was written before it.
const MARK: &str = "-- gctb-bench: done --";

/// psql, and the database that it opens.
#[derive(Clone, Debug)]
pub(crate) struct Psql {
    program: PathBuf,
    url: String,
}

impl Psql {
    pub(crate) fn new(program: &Path, url: &str) -> Self {
        Self { program: program.to_owned(), url: url.to_owned() }
    }

    /// Where it connects to.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The same for another database of the server.
    pub(crate) fn on_database(&self, name: &str) -> Self {
        let server = self.url.rsplit_once('/').map_or(self.url.as_str(), |(server, _)| server);
        Self { program: self.program.clone(), url: format!("{server}/{name}") }
    }

    /// Makes an empty database of this name, dropping one that is there.
    pub(crate) fn make_database(&self, name: &str) -> Result<Self, BenchError> {
        self.drop_database(name)?;
        self.value("make a database", &format!("CREATE DATABASE {name};"))?;
        Ok(self.on_database(name))
    }

    pub(crate) fn drop_database(&self, name: &str) -> Result<(), BenchError> {
        self.value("drop a database", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE);")).map(drop)
    }

    /// Runs a script in a session of its own; what it prints.
    pub(crate) fn value(&self, doing: &str, script: &str) -> Result<String, BenchError> {
        let lines = self.session()?.ask(doing, script)?;
        Ok(lines.join("\n"))
    }

    /// Runs a script whose only value is a whole number.
    pub(crate) fn number(&self, doing: &str, script: &str) -> Result<u64, BenchError> {
        let answer = self.value(doing, script)?;
        answer.trim().parse().map_err(|_| BenchError::Answer { doing: doing.to_owned(), answer })
    }

    /// Opens a session that is connected when this returns.
    pub(crate) fn session(&self) -> Result<Session, BenchError> {
        let mut command = bound_to_us(&self.program);
        command
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1", &self.url])
            .env("LC_ALL", "C")
            .env("PGOPTIONS", "-c client_min_messages=warning");
        Session::open(command, &self.program)
    }
}

/// A psql that waits for what it shall do.
#[derive(Debug)]
pub(crate) struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn open(mut command: Command, program: &Path) -> Result<Self, BenchError> {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.map_err(|source| BenchError::Start { program: program.to_owned(), source })?;
        let lost = || BenchError::Start { program: program.to_owned(), source: std::io::ErrorKind::BrokenPipe.into() };
        let input = child.stdin.take().ok_or_else(lost)?;
        let output = BufReader::new(child.stdout.take().ok_or_else(lost)?);
        let mut session = Self { child, input, output };
        session.ask("connect", "SELECT 1;")?;
        Ok(session)
    }

    /// Runs a script; the lines that it prints.
    pub(crate) fn ask(&mut self, doing: &str, script: &str) -> Result<Vec<String>, BenchError> {
        self.begin(doing, script)?;
        self.finish(doing)
    }

    /// Hands a script over without waiting for its end.
    pub(crate) fn begin(&mut self, doing: &str, script: &str) -> Result<(), BenchError> {
        let written = writeln!(self.input, "{script}\n\\echo '{MARK}'").and_then(|()| self.input.flush());
        written.map_err(|source| match self.last_words() {
            words if words.is_empty() => BenchError::Pipe { doing: doing.to_owned(), source },
            words => failed(doing, words),
        })
    }

    /// Waits for the end of the script that was handed over.
    pub(crate) fn finish(&mut self, doing: &str) -> Result<Vec<String>, BenchError> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line);
            match read.map_err(|source| BenchError::Pipe { doing: doing.to_owned(), source })? {
                0 => return Err(failed(doing, self.last_words())),
                _ if line.trim_end() == MARK => return Ok(lines),
                _ => lines.push(line.trim_end().to_owned()),
            }
        }
    }

    /// Prints nothing of results from now on, only how long each statement took.
    pub(crate) fn only_times(&mut self) -> Result<(), BenchError> {
        self.ask("show times only", "\\o /dev/null\n\\timing on").map(drop)
    }

    /// How long all statements of a script took together, as psql measured them. After [`Session::only_times`].
    pub(crate) fn time(&mut self, doing: &str, script: &str) -> Result<Duration, BenchError> {
        let lines = self.ask(doing, script)?;
        lines.iter().map(|line| time_of(doing, line)).sum()
    }

    fn last_words(&mut self) -> String {
        let mut words = String::new();
        // It ends after its first error, and its last words end with it.
        if let Some(errors) = &mut self.child.stderr {
            let _ = errors.read_to_string(&mut words);
        }
        words.trim().replace('\n', " ")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It fails only where psql has ended by itself: then there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn failed(doing: &str, said: String) -> BenchError {
    BenchError::Failed { program: "psql".to_owned(), doing: doing.to_owned(), said }
}

/// Reads `Time: 12.345 ms` or `Time: 1234.567 ms (00:01.235)`.
fn time_of(doing: &str, line: &str) -> Result<Duration, BenchError> {
    let unreadable = || BenchError::Answer { doing: doing.to_owned(), answer: line.to_owned() };
    let millis = line.strip_prefix("Time: ").and_then(|rest| rest.split_once(" ms")).ok_or_else(unreadable)?.0;
    let (whole, thousandths) = millis.split_once('.').unwrap_or((millis, "0"));
    let whole: u64 = whole.parse().map_err(|_| unreadable())?;
    let micros: u64 = format!("{thousandths:0<3}").parse().map_err(|_| unreadable())?;
    Ok(Duration::from_millis(whole) + Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_psql_are_read_to_the_microsecond() {
        for (line, micros) in
            [("Time: 0.345 ms", 345), ("Time: 12.040 ms", 12_040), ("Time: 61234.567 ms (01:01.235)", 61_234_567)]
        {
            assert_eq!(time_of("test", line).expect("readable"), Duration::from_micros(micros), "{line}");
        }
        assert!(time_of("test", "SELECT 1").is_err());
    }

    #[test]
    fn another_database_is_on_the_same_server() {
        let psql = Psql::new(Path::new("psql"), "postgres://gctb@127.0.0.1:25432/gctb").on_database("other");
        assert_eq!(psql.url(), "postgres://gctb@127.0.0.1:25432/other");
    }
}
