//! The floor of a whole payment: what its statements cost when psql alone runs them, over one connection.
//!
//! The rows are those of the warm-up, as intake stored them. The steps, their order, their locks and their commits are the
//! bridge's: a batch in one commit, everything else 500 instructions at a time. What differs makes the floor lower: the
//! ledger is filled from the instructions and the projection from the ledger, so nothing crosses the connection but COPY, and
//! messages are blanks of the size that real ones have.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::end_to_end::wal_bytes;
use crate::error::BenchError;
use crate::psql::Psql;
use crate::stack::{Stack, quoted};
use crate::thousandths::Thousandths;
use crate::usage::{Meter, Usages};

/// The database that it runs in, made anew for each run.
const NAME: &str = "bench_payment_floor";
/// Instructions of a chunk, and of a commit.
const CHUNK: u32 = 500;
/// Rows of one COPY at intake.
const COPY_ROWS: u32 = 10_000;
/// Lines of a payment file.
const FILE_LINES: u32 = 10_000;

/// A stored instruction as it was when it came in.
const AS_IT_CAME: &str = "batch_id, seq, request_id, ref_hash, request_timestamp, from_fa, to_fa, amount, currency, amount_text,
    scheduled_at, scheduled_text, payer_name, payee_name, purpose, note, instruction, locale, 1::smallint, 1::smallint, 0,
    NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, updated_at";

/// Bytes of what an instruction chunk and a status chunk carry for one instruction, from the columns that they are made of.
const MESSAGE_BYTES: &str =
    "SELECT avg(length(request_id) + length(from_fa) + length(to_fa) + length(currency) + length(payee_name)
        + length(note) + length(purpose) + length(locale) + 24)::integer || ' ' ||
       avg(length(resolved_fa) + length(backend) + length(file) + coalesce(length(rail_reference), 0) + 24)::integer
    FROM payment_instructions;";

/// The rows, and how large messages about them are.
#[derive(Debug)]
pub(crate) struct PaymentFloor {
    files: Vec<PathBuf>,
    batches: Vec<(String, u32)>,
    rows: u32,
    instruction_bytes: u32,
    status_bytes: u32,
}

/// What one run came to.
#[derive(Clone, Debug)]
pub(crate) struct FloorRun {
    took: Duration,
    /// What Postgres used.
    pub(crate) used: Usages,
    /// Bytes that Postgres wrote ahead.
    pub(crate) wal_bytes: u64,
}

impl FloorRun {
    /// Instructions per second.
    pub(crate) fn rate(&self, rows: u32) -> Result<Thousandths, BenchError> {
        Thousandths::per_second(rows.into(), self.took).ok_or(BenchError::TooFew("the floor of a payment"))
    }
}

impl PaymentFloor {
    /// Exports the `rows` instructions that the database holds.
    pub(crate) fn export(stack: &Stack, database: &Psql, rows: u32) -> Result<Self, BenchError> {
        let folder = stack.make_folder("payments")?;
        let mut session = database.session()?;
        let listed = session
            .ask("list the batches", "SELECT batch_id || ' ' || instruction_count FROM batches ORDER BY batch_no;")?;
        let batch =
            |line: &String| line.split_once(' ').and_then(|(id, count)| Some((id.to_owned(), count.parse().ok()?)));
        let batches: Vec<(String, u32)> = listed.iter().filter_map(batch).collect();
        let mut files = Vec::new();
        for (batch, count) in &batches {
            for first in (0..*count).step_by(COPY_ROWS as usize) {
                let file = folder.join(format!("{batch}-{first}"));
                let script = format!(
                    "\\copy (SELECT {} FROM payment_instructions WHERE batch_id = '{batch}' AND seq >= {first} AND seq < {} ORDER BY seq) TO {} (FORMAT binary)",
                    AS_IT_CAME.replace('\n', " "),
                    first + COPY_ROWS,
                    quoted(&file)
                );
                session.ask("export the paid instructions", &script)?;
                files.push(file);
            }
        }
        const DOING: &str = "measure messages";
        let answer = session.ask(DOING, MESSAGE_BYTES)?.join("");
        let sizes =
            answer.split_once(' ').and_then(|(first, second)| Some((first.parse().ok()?, second.parse().ok()?)));
        let (instruction_bytes, status_bytes) = sizes.ok_or(BenchError::Answer { doing: DOING.to_owned(), answer })?;
        Ok(Self { files, batches, rows, instruction_bytes, status_bytes })
    }

    /// How many instructions a run pays.
    pub(crate) const fn rows(&self) -> u32 {
        self.rows
    }

    /// Pays all of them in a new database.
    pub(crate) fn measure(&self, stack: &Stack) -> Result<FloorRun, BenchError> {
        const DOING: &str = "pay with nothing but SQL";
        let database = stack.migrated(NAME)?;
        database.value("write everything to the disk", "CHECKPOINT;")?;
        let mut session = database.session()?;
        let meter = Meter::of_postgres(stack);
        let script = self.script();
        let (used, wal) = (meter.read()?, wal_bytes(&database)?);
        let began = Instant::now();
        session.ask(DOING, &script)?;
        let took = began.elapsed();
        let run = FloorRun { took, used: meter.since(&used)?, wal_bytes: wal_bytes(&database)?.saturating_sub(wal) };
        drop(session);
        let paid =
            database.number("count what was paid", "SELECT count(*) FROM payment_instructions WHERE status = 5;")?;
        stack.psql.drop_database(NAME)?;
        if paid != u64::from(self.rows) {
            return Err(BenchError::Incomplete {
                about: "the floor of a payment",
                got: paid,
                wanted: self.rows.into(),
            });
        }
        Ok(run)
    }

    /// Every statement of all payments, in the order in which the bridge runs them.
    fn script(&self) -> String {
        let mut script = String::from("\\o /dev/null\n");
        let mut files = self.files.iter();
        for (number, (batch, count)) in self.batches.iter().enumerate() {
            let copies = count.div_ceil(COPY_ROWS) as usize;
            self.take_in(&mut script, batch, number + 1, *count, files.by_ref().take(copies));
        }
        for (batch, count) in &self.batches {
            for first in (0..*count).step_by(CHUNK as usize) {
                if first % FILE_LINES == 0 {
                    open_file(&mut script, batch, first);
                }
                self.claim(&mut script, batch, first);
                fold(&mut script, batch, first);
            }
        }
        render_files(&mut script);
        for (batch, count) in &self.batches {
            for first in (0..*count).step_by(CHUNK as usize) {
                self.settle(&mut script, batch, first);
                fold(&mut script, batch, first);
            }
        }
        script.push_str("\\o\n");
        script
    }

    /// One commit: the batch, its instructions, and the messages that tell of them, which go once they are sent.
    fn take_in<'a>(
        &self,
        script: &mut String,
        batch: &str,
        number: usize,
        count: u32,
        files: impl Iterator<Item = &'a PathBuf>,
    ) {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            script,
            "BEGIN;
             INSERT INTO batches (batch_id, batch_no, sender_id, transaction_id, message_id, digest, digest_version,
                                  request_timestamp, received_at, instruction_count, in_flight)
             VALUES ('{batch}', {number}, 'floor', '{batch}', '{batch}', '', 1, now(), now(), {count}, {count});
             INSERT INTO batch_controls (batch_id) VALUES ('{batch}');
             INSERT INTO batch_sweeps (batch_id, due_at, last_emitted_at) VALUES ('{batch}', now() + interval '1 minute', now());
             INSERT INTO batch_totals VALUES ('{batch}', 'KES', 1, {count}, 0);"
        );
        for file in files {
            let _ = writeln!(script, "\\copy payment_instructions FROM {} (FORMAT binary)", quoted(file));
        }
        let chunks = count.div_ceil(CHUNK);
        let _ = writeln!(
            script,
            "INSERT INTO outbox (id, kind, batch_id, topic, key, schema, payload, due_at)
             SELECT gen_random_uuid(), 1, '{batch}', 'gctb.batches', '{batch}:' || n || ':0', 'floor', {payload}, now() + interval '5 s'
             FROM generate_series(1, {chunks}) AS n;
             COMMIT;
             DELETE FROM outbox WHERE kind = 1;",
            payload = blank(self.instruction_bytes)
        );
    }

    /// One commit: the ledger rows with their place in a file, and the message about them.
    fn claim(&self, script: &mut String, batch: &str, first: u32) {
        let next = first + CHUNK;
        let _ = writeln!(
            script,
            "BEGIN;
             SELECT state, now() FROM batch_controls WHERE batch_id = '{batch}' FOR SHARE;
             SELECT file_id, name FROM outgoing_files WHERE name = '{file}' AND state = 1 FOR SHARE;
             INSERT INTO payment_ledger (batch_id, batch_no, backend, version, state, attempt, seq, from_fa, resolved_fa, amount,
                                         currency, payee_name, narrative, file_id, file)
             SELECT p.batch_id, b.batch_no, 'file', 1, 3, 1, p.seq, p.from_fa, p.to_fa, p.amount, p.currency, p.payee_name, p.note,
                    f.file_id, f.name
             FROM payment_instructions p, batches b, outgoing_files f
             WHERE p.batch_id = '{batch}' AND p.seq >= {first} AND p.seq < {next} AND b.batch_id = '{batch}' AND f.name = '{file}'
             ON CONFLICT DO NOTHING;",
            file = file_of(batch, first)
        );
        self.tell(script, batch);
        script.push_str("COMMIT;\n");
    }

    /// One commit: what the bank said, and the message about it.
    fn settle(&self, script: &mut String, batch: &str, first: u32) {
        let next = first + CHUNK;
        let _ = writeln!(
            script,
            "BEGIN;
             SELECT batch_id, seq, version, state, amount, currency FROM payment_ledger
             WHERE batch_id = '{batch}' AND seq >= {first} AND seq < {next} ORDER BY seq FOR NO KEY UPDATE;
             UPDATE payment_ledger SET version = version + 1, state = 7, rail_reference = 'SIMBANK-' || file_id || '-' || seq,
                    message = 'ACSC', changed_at = now()
             WHERE batch_id = '{batch}' AND seq >= {first} AND seq < {next};
             UPDATE outgoing_files SET answered_count = answered_count + {CHUNK} WHERE name = '{file}';",
            file = file_of(batch, first)
        );
        self.tell(script, batch);
        script.push_str("COMMIT;\n");
    }

    fn tell(&self, script: &mut String, batch: &str) {
        let _ = writeln!(
            script,
            "INSERT INTO outbox (id, kind, batch_id, topic, key, schema, payload, due_at)
             VALUES (gen_random_uuid(), 2, '{batch}', 'gctb.status', '{batch}', 'floor', {payload}, now() + interval '5 s');",
            payload = blank(self.status_bytes)
        );
    }
}

/// One commit: the projection follows the ledger, the totals move by what changed, the message has done its work.
fn fold(script: &mut String, batch: &str, first: u32) {
    let next = first + CHUNK;
    let _ = writeln!(
        script,
        "BEGIN;
         SELECT in_flight, totals_version, now() FROM batches WHERE batch_id = '{batch}' FOR NO KEY UPDATE;
         WITH changed AS (
             UPDATE payment_instructions p
             SET prev_status = p.status, status = CASE l.state WHEN 7 THEN 5 ELSE 3 END, version = l.version, backend = l.backend,
                 resolved_fa = l.resolved_fa, file = l.file, rail_reference = l.rail_reference, error_code = l.reason_code,
                 error_msg = l.message, updated_at = l.changed_at
             FROM payment_ledger l
             WHERE p.batch_id = '{batch}' AND p.seq >= {first} AND p.seq < {next}
               AND l.batch_id = '{batch}' AND l.seq >= {first} AND l.seq < {next} AND l.seq = p.seq AND p.version < l.version
             RETURNING p.currency, p.amount, p.prev_status, p.status),
         moved AS (
             SELECT currency, status, count(*) AS instructions, sum(amount) AS amount FROM changed GROUP BY 1, 2
             UNION ALL
             SELECT currency, prev_status, -count(*), -sum(amount) FROM changed GROUP BY 1, 2)
         INSERT INTO batch_totals AS t (batch_id, currency, status, instructions, amount_minor)
         SELECT '{batch}', currency, status, instructions, amount FROM moved
         ON CONFLICT (batch_id, currency, status) DO UPDATE
         SET instructions = t.instructions + excluded.instructions, amount_minor = t.amount_minor + excluded.amount_minor;
         UPDATE batches SET in_flight = (SELECT coalesce(sum(instructions), 0) FROM batch_totals
                                         WHERE batch_id = '{batch}' AND status < 5) WHERE batch_id = '{batch}';
         DELETE FROM outbox WHERE id = ANY (SELECT id FROM outbox WHERE kind = 2);
         COMMIT;"
    );
}

fn open_file(script: &mut String, batch: &str, first: u32) {
    let _ = writeln!(
        script,
        "INSERT INTO outgoing_files (name, backend, payer_fa, currency, close_due_at)
         VALUES ('{}', 'file', 'floor', 'KES', now() + interval '30 s');",
        file_of(batch, first)
    );
}

/// Every file is counted by its close, and read once to be rendered.
fn render_files(script: &mut String) {
    script.push_str(
        "UPDATE outgoing_files f SET state = 4, execution_date = now()::date, line_count = l.lines, amount_minor = l.amount
         FROM (SELECT file_id, count(*) AS lines, sum(amount) AS amount FROM payment_ledger GROUP BY 1) l
         WHERE l.file_id = f.file_id;
         \\set FETCH_COUNT 1000\n
         SELECT batch_no, seq, attempt, from_fa, resolved_fa, amount, currency, payee_name, narrative FROM payment_ledger
         WHERE file_id IS NOT NULL ORDER BY file_id, batch_id, seq;
         \\unset FETCH_COUNT\n",
    );
}

/// The name of the file that this instruction goes into.
fn file_of(batch: &str, first: u32) -> String {
    format!("{batch}-{}", first / FILE_LINES)
}

/// A message of nothing, for a chunk of instructions of so many bytes each.
fn blank(bytes_each: u32) -> String {
    format!("convert_to(repeat('.', {}), 'UTF8')", bytes_each * CHUNK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_is_copied_claimed_and_settled_and_folded_twice() {
        let floor = PaymentFloor {
            files: (0..3).map(|n| PathBuf::from(format!("file-{n}"))).collect(),
            batches: vec![("a".to_owned(), 20_000), ("b".to_owned(), 1_000)],
            rows: 21_000,
            instruction_bytes: 150,
            status_bytes: 50,
        };
        let script = floor.script();
        let count = |text: &str| script.matches(text).count();
        assert_eq!((count("\\copy payment_instructions FROM 'file-"), count("INSERT INTO outgoing_files")), (3, 3));
        assert_eq!(
            (count("INSERT INTO payment_ledger"), count("UPDATE payment_ledger"), count("WITH changed")),
            (42, 42, 84)
        );
        assert_eq!(count("BEGIN;"), count("COMMIT;"));
    }
}
