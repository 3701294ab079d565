//! Where everything of the bench's own stack is. It must not know what is measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::args::Args;
use crate::error::BenchError;
use crate::psql::Psql;

/// The payment backends of all measurements: each has a topic.
const BACKENDS: &str = "file,mpesa,mojaloop";

/// Servers, programs and folders.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    /// Postgres, on the database that the stack was made with.
    pub(crate) psql: Psql,
    /// Kafka's address.
    pub(crate) kafka: String,
    /// Postgres' first process: the parent of all its others.
    pub(crate) postgres_pid: u32,
    /// Kafka's process.
    pub(crate) kafka_pid: u32,
    programs: PathBuf,
    work: PathBuf,
}

impl Stack {
    pub(crate) fn new(args: &Args) -> Self {
        Self {
            psql: Psql::new(&args.psql, &args.database_url),
            kafka: args.kafka.clone(),
            postgres_pid: args.postgres_pid,
            kafka_pid: args.kafka_pid,
            programs: args.programs.clone(),
            work: args.work.clone(),
        }
    }

    /// A program of the bridge.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// A file or folder of this run.
    pub(crate) fn work(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    /// Makes a folder of this run, with those above it.
    pub(crate) fn make_folder(&self, name: &str) -> Result<PathBuf, BenchError> {
        let folder = self.work(name);
        std::fs::create_dir_all(&folder).map_err(|source| BenchError::Write { what: "a folder of the run", source })?;
        Ok(folder)
    }

    /// The same for a folder that may be there from an earlier measurement, and shall hold nothing.
    pub(crate) fn make_empty_folder(&self, name: &str) -> Result<PathBuf, BenchError> {
        match std::fs::remove_dir_all(self.work(name)) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(BenchError::Write { what: "an empty folder of the run", source })
            }
            Ok(()) | Err(_) => self.make_folder(name),
        }
    }

    /// Makes a database of this name with the tables of the bridge.
    pub(crate) fn migrated(&self, name: &str) -> Result<Psql, BenchError> {
        let database = self.psql.make_database(name)?;
        self.gctb(&database, &["migrate"])?;
        Ok(database)
    }

    /// Declares the bridge's topics in Kafka.
    pub(crate) fn apply_topics(&self) -> Result<(), BenchError> {
        self.gctb(&self.psql, &["topics", "apply"])
    }

    fn gctb(&self, database: &Psql, words: &[&str]) -> Result<(), BenchError> {
        let program = self.program("gctb");
        let run = Command::new(&program)
            .args(words)
            .env("GCTB_CLI__DATABASE__URL", database.url())
            .env("GCTB_CLI__KAFKA__BROKERS", &self.kafka)
            .env("GCTB_CLI__BACKENDS", BACKENDS)
            .output();
        let output = run.map_err(|source| BenchError::Start { program, source })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(BenchError::Failed { program: "gctb".to_owned(), doing: words.join(" "), said })
    }
}

/// A path as psql's \copy wants it.
pub(crate) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "''"))
}
