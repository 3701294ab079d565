//! The floor of ingest: psql copies the same rows, in binary, into an equal table.
//!
//! The rows are those that the bridge itself stored from the warm-up messages, the table has the columns, indexes, constraints
//! and fillfactor of the month's partition, and each COPY is a transaction with the rows of one POST.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::error::BenchError;
use crate::psql::Psql;
use crate::stack::{Stack, quoted};
use crate::thousandths::Thousandths;

/// A table like the partition that holds the stored rows.
const EQUAL_TABLE: &str = "DO $$
DECLARE
    partition regclass := (SELECT tableoid FROM payment_instructions LIMIT 1);
    options text := (SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = partition);
BEGIN
    EXECUTE format('CREATE TABLE bench_floor (LIKE %s INCLUDING ALL) WITH (%s)', partition, options);
END
$$;";

/// The rows of one measurement, a file for each COPY.
#[derive(Debug)]
pub(crate) struct CopyFloor {
    database: Psql,
    /// Files by the rows that each has.
    files: Vec<(u32, Vec<PathBuf>)>,
    rows: u32,
}

impl CopyFloor {
    /// Exports the rows that are stored, `rows` in batches of `posted` each, in files of every one of `sizes`; and makes the
    /// equal table.
    pub(crate) fn export(
        stack: &Stack,
        database: &Psql,
        rows: u32,
        posted: u32,
        sizes: [u32; 3],
    ) -> Result<Self, BenchError> {
        let folder = stack.make_folder("copy")?;
        let mut session = database.session()?;
        session.ask("make an equal table", EQUAL_TABLE)?;
        let batches = session.ask("list the batches", "SELECT batch_id FROM batches ORDER BY batch_no;")?;
        let mut files = Vec::new();
        for size in sizes {
            let mut of_size = Vec::new();
            for (number, batch) in batches.iter().enumerate() {
                for first in (0..posted).step_by(size as usize) {
                    let file = folder.join(format!("{size}-{number}-{first}"));
                    let script = format!(
                        "\\copy (SELECT * FROM payment_instructions WHERE batch_id = '{batch}' AND seq >= {first} AND seq < {} ORDER BY seq) TO {} (FORMAT binary)",
                        first + size,
                        quoted(&file)
                    );
                    session.ask("export stored rows", &script)?;
                    of_size.push(file);
                }
            }
            files.push((size, of_size));
        }
        Ok(Self { database: database.clone(), files, rows })
    }

    /// Copies all rows over so many connections at once, `size` in each COPY; rows per second.
    pub(crate) fn measure(&self, size: u32, connections: usize) -> Result<Thousandths, BenchError> {
        const DOING: &str = "copy rows into the equal table";
        self.database.value("empty the equal table", "TRUNCATE bench_floor;\nCHECKPOINT;")?;
        let files =
            self.files.iter().find(|(of, _)| *of == size).map(|(_, files)| files.as_slice()).unwrap_or_default();
        let copy = |file: &PathBuf| format!("\\copy bench_floor FROM {} (FORMAT binary)\n", quoted(file));
        let mut sessions = Vec::new();
        for number in 0..connections {
            let script: String = files.iter().skip(number).step_by(connections).map(copy).collect();
            sessions.push((self.database.session()?, script));
        }
        let began = Instant::now();
        for (session, script) in &mut sessions {
            session.begin(DOING, script)?;
        }
        for (session, _) in &mut sessions {
            session.finish(DOING)?;
        }
        let took: Duration = began.elapsed();
        drop(sessions);
        let stored = self.database.number("count the copied rows", "SELECT count(*) FROM bench_floor;")?;
        if stored != u64::from(self.rows) {
            return Err(BenchError::Incomplete { about: "the equal table", got: stored, wanted: self.rows.into() });
        }
        Thousandths::per_second(stored, took).ok_or(BenchError::TooFew("the floor of ingest"))
    }
}
