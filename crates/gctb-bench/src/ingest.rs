//! Ingest: rows per second to the 200, with the consumers stopped, beside psql's binary COPY of the same rows.

use std::time::{Duration, Instant};

use crate::args::Plan;
use crate::copy_floor::CopyFloor;
use crate::error::BenchError;
use crate::figures::Figures;
use crate::memory::PostgresMemory;
use crate::message::Messages;
use crate::psql::Psql;
use crate::say;
use crate::sender::{Sent, send};
use crate::service::{Running, Service};
use crate::stack::Stack;
use crate::statistics::percentile;
use crate::thousandths::Thousandths;
use crate::usage::{Meter, Usages, sum};

/// How many clients send at once, in turn.
const CLIENTS: [usize; 2] = [1, 4];
/// How long the API may take to publish what it has stored.
const DRAIN_PATIENCE: Duration = Duration::from_secs(300);

/// One measurement, for the table.
#[derive(Clone, Debug)]
pub(crate) struct Ingest {
    /// As it stands in the figures.
    pub(crate) name: String,
    pub(crate) posts: usize,
    pub(crate) p50: Thousandths,
    pub(crate) p99: Thousandths,
    /// How often a POST had to be sent again.
    pub(crate) sent_again: u32,
}

/// Measures POSTs of every size by one and by four clients, each between two measurements of its floor.
pub(crate) fn measure(stack: &Stack, plan: &Plan, figures: &mut Figures) -> Result<Vec<Ingest>, BenchError> {
    const NAME: &str = "bench_ingest";
    let database = stack.migrated(NAME)?;
    let running = Running::start(stack, database.url(), &[Service::Api])?;
    let memory = PostgresMemory::watch(stack.postgres_pid);
    let mut bench =
        Bench { stack, plan, database, running, messages: Messages::default(), used: Usages::new(), rows: 0 };
    let floor = bench.warm_up()?;
    let mut all = Vec::new();
    for size in plan.ingest_posts {
        for clients in CLIENTS {
            all.push(bench.measure(size, clients, &floor, figures)?);
        }
    }
    figures.add_usages("ingest_", (&bench.used, bench.rows), None);
    figures.note_peaks(&bench.running, memory.peak_kib());
    bench.running.stop()?;
    stack.psql.drop_database(NAME)?;
    Ok(all)
}

struct Bench<'a> {
    stack: &'a Stack,
    plan: &'a Plan,
    database: Psql,
    running: Running,
    messages: Messages,
    used: Usages,
    rows: u32,
}

impl Bench<'_> {
    fn url(&self) -> String {
        format!("{}/disburse/sync/disburse", self.running.url(Service::Api))
    }

    /// Warms everything up, and keeps the rows for the floor.
    fn warm_up(&mut self) -> Result<CopyFloor, BenchError> {
        let (rows, [.., largest]) = (self.plan.ingest_rows, self.plan.ingest_posts);
        say(&format!("ingest: warming up with {rows} rows, which the floor copies later"));
        send(&self.url(), self.messages.make(rows, largest), 1)?;
        self.drain()?;
        CopyFloor::export(self.stack, &self.database, rows, largest, self.plan.ingest_posts)
    }

    fn measure(
        &mut self,
        size: u32,
        clients: usize,
        floor: &CopyFloor,
        figures: &mut Figures,
    ) -> Result<Ingest, BenchError> {
        let name = format!("ingest_{}k_x{clients}", size / 1000);
        let before = floor.measure(size, clients)?;
        let sent = self.post(size, clients)?;
        let after = floor.measure(size, clients)?;
        let few = || BenchError::TooFew("ingest");
        let rate = Thousandths::per_second(self.plan.ingest_rows.into(), sent.took).ok_or_else(few)?;
        let floor = before.mean(after);
        let at = |percent| percentile(&sent.latencies, percent).map(Thousandths::millis).ok_or_else(few);
        let (p50, p99) = (at(50)?, at(99)?);
        figures.add(&name, "rows/s", rate, Some(floor));
        figures.add(format!("{name}_p50_ms"), "ms", p50, None);
        figures.add(format!("{name}_p99_ms"), "ms", p99, None);
        say(&format!(
            "{name}: {} rows/s; COPY {} before and {} after; p50 {} ms, p99 {} ms; turned away {} times, broken off {}",
            rate.for_people(),
            before.for_people(),
            after.for_people(),
            p50.for_people(),
            p99.for_people(),
            sent.turned_away,
            sent.broken_off
        ));
        Ok(Ingest { name, posts: sent.latencies.len(), p50, p99, sent_again: sent.turned_away + sent.broken_off })
    }

    /// Posts the rows of one measurement into empty tables, as the floor begins with an empty one.
    fn post(&mut self, size: u32, clients: usize) -> Result<Sent, BenchError> {
        let messages = self.messages.make(self.plan.ingest_rows, size);
        let empty = "TRUNCATE payment_instructions, payment_ledger, batches, batch_controls, batch_totals, batch_sweeps;\nCHECKPOINT;";
        self.database.value("empty the tables", empty)?;
        let meter = Meter::of(self.stack, &self.running);
        let before = meter.read()?;
        let sent = send(&self.url(), messages, clients)?;
        let stored = self.database.number("count the stored rows", "SELECT count(*) FROM payment_instructions;")?;
        if stored != u64::from(self.plan.ingest_rows) {
            return Err(BenchError::Incomplete {
                about: "what was posted",
                got: stored,
                wanted: self.plan.ingest_rows.into(),
            });
        }
        self.drain()?;
        self.used = sum(&self.used, &meter.since(&before)?);
        self.rows += self.plan.ingest_rows;
        Ok(sent)
    }

    /// Returns when everything stored is in Kafka, so that no measurement pays for the one before it.
    fn drain(&self) -> Result<(), BenchError> {
        wait_for_empty_outbox(&self.database, DRAIN_PATIENCE)
    }
}

/// Returns when no message waits in the outbox.
pub(crate) fn wait_for_empty_outbox(database: &Psql, patience: Duration) -> Result<(), BenchError> {
    let mut session = database.session()?;
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if session.ask("count what waits in the outbox", "SELECT count(*) FROM outbox;")? == ["0"] {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(BenchError::NotEmpty { what: "the outbox", within: patience })
}
