//! What processes used: CPU time and bytes written, from /proc.
//!
//! Postgres is a family: the kernel adds what an ended child used to its parent, so the first process with its ended children
//! and the children that live are all of it, at any moment.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::BenchError;
use crate::service::Running;
use crate::stack::Stack;
use crate::thousandths::Thousandths;

/// The kernel counts CPU time in hundredths of a second on every machine that the bridge is built for (USER_HZ).
const TICK: Duration = Duration::from_millis(10);

/// What a process used since it began, or between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// CPU time, user and system.
    pub(crate) cpu: Duration,
    /// Bytes that it caused to be written to the disk.
    pub(crate) written: u64,
}

/// What each process used, by name.
pub(crate) type Usages = BTreeMap<&'static str, Usage>;

/// What two measurements used together.
pub(crate) fn sum(one: &Usages, other: &Usages) -> Usages {
    let mut sum = one.clone();
    for (name, usage) in other {
        let total = sum.entry(name).or_default();
        total.cpu += usage.cpu;
        total.written += usage.written;
    }
    sum
}

/// CPU time of a process for each of so many payments, in microseconds.
pub(crate) fn each_us(usages: &Usages, name: &str, payments: u64) -> Thousandths {
    let cpu = usages.get(name).map(|usage| usage.cpu).unwrap_or_default();
    Thousandths::quotient(cpu.as_micros(), payments.into()).unwrap_or_default()
}

/// The processes that are looked at.
#[derive(Debug)]
pub(crate) struct Meter {
    alone: Vec<(&'static str, u32)>,
    postgres_pid: u32,
}

impl Meter {
    /// The programs that run, the bench itself, Kafka and Postgres.
    pub(crate) fn of(stack: &Stack, running: &Running) -> Self {
        let mut alone: Vec<(&'static str, u32)> = running.processes().collect();
        alone.push(("kafka", stack.kafka_pid));
        alone.push(("bench", std::process::id()));
        Self { alone, postgres_pid: stack.postgres_pid }
    }

    /// Postgres alone.
    pub(crate) const fn of_postgres(stack: &Stack) -> Self {
        Self { alone: Vec::new(), postgres_pid: stack.postgres_pid }
    }

    /// What each has used until now.
    pub(crate) fn read(&self) -> Result<Usages, BenchError> {
        let mut usages = Usages::new();
        for (name, pid) in &self.alone {
            usages.insert(name, of_process(*pid, false)?);
        }
        let mut postgres = of_process(self.postgres_pid, true)?;
        for child in children(self.postgres_pid)? {
            // A child that has ended since is counted at its parent at the next look.
            if let Ok(usage) = of_process(child, false) {
                postgres.cpu += usage.cpu;
                postgres.written += usage.written;
            }
        }
        usages.insert("postgres", postgres);
        Ok(usages)
    }

    /// What each has used since an earlier look.
    pub(crate) fn since(&self, before: &Usages) -> Result<Usages, BenchError> {
        let less = |(name, now): (&'static str, Usage)| {
            let then = before.get(name).copied().unwrap_or_default();
            let cpu = now.cpu.saturating_sub(then.cpu);
            (name, Usage { cpu, written: now.written.saturating_sub(then.written) })
        };
        Ok(self.read()?.into_iter().map(less).collect())
    }
}

/// The processes that this one started and that live.
pub(crate) fn children(pid: u32) -> Result<Vec<u32>, BenchError> {
    let text = proc_file(pid, &format!("task/{pid}/children"))?;
    Ok(text.split_whitespace().filter_map(|child| child.parse().ok()).collect())
}

/// A field in kB of /proc/PID/status, in KiB; None where the process has none such or has ended.
pub(crate) fn status_kib(pid: u32, field: &str) -> Option<u64> {
    field_of(&proc_file(pid, "status").ok()?, field)
}

fn field_of(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

fn of_process(pid: u32, with_ended_children: bool) -> Result<Usage, BenchError> {
    let ticks = ticks_of(&proc_file(pid, "stat")?, with_ended_children);
    let written = field_of(&proc_file(pid, "io")?, "write_bytes").unwrap_or(0);
    Ok(Usage { cpu: TICK * ticks, written })
}

/// utime and stime, and those of the children that have ended. The name, in parentheses, may itself contain anything.
fn ticks_of(stat: &str, with_ended_children: bool) -> u32 {
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let count = if with_ended_children { 4 } else { 2 };
    after_name.split_whitespace().skip(11).take(count).filter_map(|ticks| ticks.parse::<u32>().ok()).sum()
}

fn proc_file(pid: u32, name: &str) -> Result<String, BenchError> {
    let path = PathBuf::from(format!("/proc/{pid}/{name}"));
    fs::read_to_string(&path).map_err(|source| BenchError::Proc { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "42 (odd) name) S 1 42 42 0 -1 4194560 100 200 0 0 11 22 300 4000 20 0 1 0 5";
        assert_eq!(ticks_of(stat, false), 33);
        assert_eq!(ticks_of(stat, true), 4333);
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let io = "rchar: 1\nwrite_bytes: 4096\ncancelled_write_bytes: 5\n";
        assert_eq!(field_of(io, "write_bytes"), Some(4096));
        assert_eq!(field_of("VmHWM:\t   1234 kB\n", "VmHWM"), Some(1234));
        assert_eq!(field_of(io, "write"), None);
    }

    #[test]
    fn our_own_process_can_be_measured() {
        let pid = std::process::id();
        assert!(status_kib(pid, "VmHWM").is_some_and(|kib| kib > 100));
        assert!(of_process(pid, true).is_ok());
    }
}
