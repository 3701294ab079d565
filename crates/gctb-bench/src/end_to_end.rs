//! End to end: from the first byte of the first POST to the last instruction that the bank paid and the projection tells.

use std::thread;
use std::time::{Duration, Instant};

use crate::args::Plan;
use crate::curve::Curve;
use crate::equation::{self, Expected};
use crate::error::BenchError;
use crate::figures::Figures;
use crate::ingest::wait_for_empty_outbox;
use crate::memory::PostgresMemory;
use crate::message::{Message, Messages};
use crate::payment_floor::{FloorRun, PaymentFloor};
use crate::psql::{Psql, Session};
use crate::say;
use crate::sender::{Sent, send};
use crate::service::{Running, Service};
use crate::stack::Stack;
use crate::statistics::Sample;
use crate::thousandths::Thousandths;
use crate::usage::{Meter, sum};

/// Connections that the POSTs come over.
const CONNECTIONS: usize = 4;
/// How often it is counted what has ended.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);
/// How long nothing may end before the run is given up. A payment file may wait for half a minute for more rows.
const PATIENCE: Duration = Duration::from_secs(180);
/// PAID, FAILED, CANCELLED and RETURNED.
pub(crate) const COUNT_ENDED: &str =
    "SELECT coalesce(sum(instructions), 0) FROM batch_totals WHERE status IN (5, 6, 7, 8);";

/// Measures the way of all instructions, between two measurements of what its statements cost in psql alone.
pub(crate) fn measure(stack: &Stack, plan: &Plan, figures: &mut Figures) -> Result<Curve, BenchError> {
    const NAME: &str = "bench_end_to_end";
    let database = stack.migrated(NAME)?;
    stack.apply_topics()?;
    for folder in ["bank/outgoing", "bank/incoming"] {
        stack.make_folder(folder)?;
    }
    let running = Running::start(stack, database.url(), &Service::PAYING_BY_FILE)?;
    let mut bench = Bench { stack, database, running, messages: Messages::default(), expected: Expected::default() };

    say(&format!("end to end: warming up with {} instructions", plan.end_to_end_warm_up));
    bench.pay(plan.end_to_end_warm_up, plan.end_to_end_post)?;
    let floor = PaymentFloor::export(stack, &bench.database, plan.end_to_end_warm_up)?;
    let before = floor.measure(stack)?;
    let curve = bench.measure(plan, figures, &floor, before)?;
    let words = equation::check(&bench.database, &bench.running.url(Service::Simulator), bench.expected)?;
    say(&format!("end to end: {words}"));
    bench.running.stop()?;
    stack.psql.drop_database(NAME)?;
    Ok(curve)
}

struct Bench<'a> {
    stack: &'a Stack,
    database: Psql,
    running: Running,
    messages: Messages,
    expected: Expected,
}

/// What paying some instructions came to.
struct Paid {
    sent: Sent,
    curve: Curve,
}

impl Bench<'_> {
    fn measure(
        &mut self,
        plan: &Plan,
        figures: &mut Figures,
        floor: &PaymentFloor,
        before: FloorRun,
    ) -> Result<Curve, BenchError> {
        let memory = PostgresMemory::watch(self.stack.postgres_pid);
        let meter = Meter::of(self.stack, &self.running);
        self.database.value("write everything to the disk", "CHECKPOINT;")?;
        let (used, wal) = (meter.read()?, wal_bytes(&self.database)?);
        let Paid { sent, curve } = self.pay(plan.end_to_end, plan.end_to_end_post)?;
        let (used, wal) = (meter.since(&used)?, wal_bytes(&self.database)?.saturating_sub(wal));
        figures.note_peaks(&self.running, memory.peak_kib());
        let after = floor.measure(self.stack)?;

        let rows = floor.rows();
        let floor_rate = before.rate(rows)?.mean(after.rate(rows)?);
        let (rate, steady) = (curve.rate()?, curve.steady_rate()?);
        figures.add("end_to_end_file", "instructions/s", rate, Some(floor_rate));
        figures.add("end_to_end_file_steady", "instructions/s", steady, Some(floor_rate));
        figures.add("end_to_end_acknowledged_s", "s", seconds(sent.took), None);
        figures.add("end_to_end_took_s", "s", seconds(curve.took()?), None);
        let per_instruction =
            |bytes: u64, rows: u32| Thousandths::quotient(bytes.into(), rows.into()).unwrap_or_default();
        let wal_floor = per_instruction(before.wal_bytes, rows).mean(per_instruction(after.wal_bytes, rows));
        figures.add("wal_bytes_per_instruction", "bytes", per_instruction(wal, plan.end_to_end), Some(wal_floor));
        let floor_used = sum(&before.used, &after.used);
        figures.add_usages("", (&used, plan.end_to_end), Some((&floor_used, 2 * rows)));
        say(&format!(
            "end to end: {} instructions/s, steady {}; SQL alone {} before and {} after; acknowledged after {} s (turned away {} times, broken off {}), all ended after {} s",
            rate.for_people(),
            steady.for_people(),
            before.rate(rows)?.for_people(),
            after.rate(rows)?.for_people(),
            seconds(sent.took).for_people(),
            sent.turned_away,
            sent.broken_off,
            seconds(curve.took()?).for_people()
        ));
        Ok(curve)
    }

    /// Posts `instructions` and returns when all of them have ended and no news of them is on its way.
    fn pay(&mut self, instructions: u32, post: u32) -> Result<Paid, BenchError> {
        let messages = self.messages.make(instructions, post);
        let ended_before = self.expected.instructions;
        self.expected.instructions += u64::from(instructions);
        self.expected.minor += messages.iter().map(|message| message.minor).sum::<u64>();
        let url = format!("{}/disburse/sync/disburse", self.running.url(Service::Api));
        let mut counting = Counting { session: self.database.session()?, ended_before, all: instructions.into() };
        let (sent, samples) = thread::scope(|scope| {
            let sending = scope.spawn(|| post_all(&url, messages));
            let samples = counting.until_all_ended(&mut self.running);
            let sent = sending.join().unwrap_or(Err(BenchError::Client));
            // A sender that failed is the reason why not everything ended.
            sent.and_then(|sent| Ok((sent, samples?)))
        })?;
        wait_for_empty_outbox(&self.database, PATIENCE)?;
        let since_first_byte =
            |(at, count): (Instant, u64)| Sample { at: at.saturating_duration_since(sent.began), count };
        let curve = Curve { samples: samples.into_iter().map(since_first_byte).collect(), all: instructions.into() };
        Ok(Paid { sent, curve })
    }
}

/// Sends all messages over the connections of one sender.
pub(crate) fn post_all(url: &str, messages: Vec<Message>) -> Result<Sent, BenchError> {
    send(url, messages, CONNECTIONS)
}

/// Counts what has ended, over a connection of its own.
struct Counting {
    session: Session,
    ended_before: u64,
    all: u64,
}

impl Counting {
    fn until_all_ended(&mut self, running: &mut Running) -> Result<Vec<(Instant, u64)>, BenchError> {
        let mut samples: Vec<(Instant, u64)> = Vec::new();
        let mut moved_at = Instant::now();
        loop {
            let asked_at = Instant::now();
            let count = self.count()?;
            if samples.last().is_none_or(|(_, before)| count > *before) {
                moved_at = asked_at;
            }
            samples.push((asked_at, count));
            if count >= self.all {
                return Ok(samples);
            }
            running.must_run()?;
            if moved_at.elapsed() > PATIENCE {
                return Err(BenchError::Stuck { ended: count, all: self.all, patience: PATIENCE });
            }
            thread::sleep(SAMPLE_INTERVAL.saturating_sub(asked_at.elapsed()));
        }
    }

    fn count(&mut self) -> Result<u64, BenchError> {
        const DOING: &str = "count what has ended";
        let answer = self.session.ask(DOING, COUNT_ENDED)?.join(" ");
        let count = answer.parse::<u64>().map_err(|_| BenchError::Answer { doing: DOING.to_owned(), answer })?;
        Ok(count.saturating_sub(self.ended_before))
    }
}

/// How much Postgres has ever written ahead, over all databases.
pub(crate) fn wal_bytes(database: &Psql) -> Result<u64, BenchError> {
    database.number("tell how much it has logged", "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint;")
}

fn seconds(time: Duration) -> Thousandths {
    Thousandths::quotient(time.as_micros(), 1_000_000).unwrap_or_default()
}
