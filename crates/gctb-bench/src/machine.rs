//! What was measured, and on what: figures without this mean nothing.

use std::fs;
use std::thread::available_parallelism;

use crate::args::Args;
use crate::error::BenchError;
use crate::service::settings_given;
use crate::stack::Stack;

/// Settings of Postgres that figures depend on. The first three decide whether it keeps what it confirms.
const POSTGRES: [&str; 7] = [
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "shared_buffers",
    "max_wal_size",
    "wal_compression",
    "server_version",
];

/// The machine, the servers and the build.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    cores: usize,
    cpu: String,
    kernel: String,
    memory_gib: u64,
    postgres: Vec<(&'static str, String)>,
    kafka: String,
    commit: String,
    size: String,
    settings: Vec<(String, String)>,
    at: String,
}

impl Machine {
    pub(crate) fn look(stack: &Stack, args: &Args) -> Result<Self, BenchError> {
        let shows: String = POSTGRES.iter().map(|setting| format!("SHOW {setting};\n")).collect();
        let values = stack.psql.value("tell its settings", &shows)?;
        Ok(Self {
            cores: available_parallelism().map_or(1, usize::from),
            cpu: line_of("/proc/cpuinfo", "model name"),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            memory_gib: line_of("/proc/meminfo", "MemTotal")
                .split_whitespace()
                .next()
                .and_then(|kib| kib.parse::<u64>().ok())
                .map_or(0, |kib| kib.div_ceil(1024 * 1024)),
            postgres: POSTGRES.into_iter().zip(values.lines().map(str::to_owned)).collect(),
            kafka: args.kafka_version.clone(),
            commit: args.commit.clone(),
            size: args.size.to_string(),
            settings: settings_given(),
            at: chrono::Utc::now().format("%Y-%m-%d %H:%M UTC").to_string(),
        })
    }

    fn postgres(&self, setting: &str) -> &str {
        let found = self.postgres.iter().find(|(name, _)| *name == setting);
        found.map_or("unknown", |(_, value)| value)
    }

    /// Figures of a database that may forget would be about something else.
    pub(crate) fn must_be_durable(&self) -> Result<(), BenchError> {
        for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
            if self.postgres(setting) != "on" {
                return Err(BenchError::NotDurable { setting, value: self.postgres(setting).to_owned() });
            }
        }
        Ok(())
    }

    pub(crate) fn in_one_line(&self) -> String {
        format!(
            "{} cores of {}, Linux {}, PostgreSQL {}, Kafka {}, commit {}",
            self.cores,
            self.cpu,
            self.kernel,
            self.version(),
            self.kafka,
            self.commit
        )
    }

    fn version(&self) -> &str {
        self.postgres("server_version").split(' ').next().unwrap_or_default()
    }

    /// One fact per line, for the table.
    pub(crate) fn lines(&self) -> Vec<String> {
        let setting = |name: &str| format!("{name} {}", self.postgres(name));
        let settings: Vec<String> = POSTGRES[..6].iter().map(|name| setting(name)).collect();
        let mut lines = vec![
            format!("measured {} by `make bench`, {} sizes, commit {}", self.at, self.size, self.commit),
            format!(
                "{} cores ({}), {} GiB of memory, Linux {}; everything on this one machine",
                self.cores, self.cpu, self.memory_gib, self.kernel
            ),
            format!("PostgreSQL {} ({}), Apache Kafka {}", self.version(), settings.join(", "), self.kafka),
        ];
        if self.settings.is_empty() {
            lines.push("services with their default settings".to_owned());
        }
        lines.extend(self.settings.iter().map(|(key, value)| format!("not the default: {key}={value}")));
        lines
    }

    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self {
            cores: 2,
            cpu: "A <CPU> & more".to_owned(),
            kernel: "6.1".to_owned(),
            memory_gib: 24,
            postgres: POSTGRES
                .into_iter()
                .zip(["on", "on", "on", "1GB", "4GB", "lz4", "15.18 (Debian)"].map(str::to_owned))
                .collect(),
            kafka: "4.4.0".to_owned(),
            commit: "abc1234".to_owned(),
            size: "short".to_owned(),
            settings: Vec::new(),
            at: "2026-11-23 04:00 UTC".to_owned(),
        }
    }
}

/// What stands behind the first line that begins with `key`.
fn line_of(path: &str, key: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_once(':').map_or("unknown", |(_, value)| value.trim()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_may_forget_is_not_measured() {
        let mut machine = Machine::example();
        assert!(machine.must_be_durable().is_ok());
        for (at, setting) in POSTGRES.iter().enumerate().take(3) {
            let kept = std::mem::replace(&mut machine.postgres[at].1, "off".to_owned());
            assert!(machine.must_be_durable().is_err(), "{setting}");
            machine.postgres[at].1 = kept;
        }
    }
}
