//! One more replica of a service, beside the one that a [`System`] keeps: in the same consumer groups, under a
//! name, a log and an admin address of its own. It is killed when it is dropped.

use std::path::PathBuf;

use gctb_testkit::eventually_within;

use crate::http;
use crate::http::sum_of_metric;
use crate::process::{Process, free_port, program};
use crate::service::Service;
use crate::system::{PATIENCE, System};

/// Lines of its log that are shown when a test fails.
const LOG_TAIL: usize = 25;

/// A replica that runs.
#[derive(Debug)]
pub struct Replica {
    name: String,
    process: Process,
    admin: String,
    log: PathBuf,
}

impl System {
    /// Starts one more replica of a consumer under a name and an admin address of its own. It ends with what is returned.
    pub fn start_replica(&self, service: Service, name: &str) -> Process {
        self.start_one_more(service, name, &format!("127.0.0.1:{}", free_port()), &[], &[])
    }

    /// The same as a [`Replica`], with more settings and more environment variables.
    pub fn replica(&self, service: Service, name: &str, settings: &[(&str, &str)], more: &[(&str, &str)]) -> Replica {
        let admin = format!("127.0.0.1:{}", free_port());
        let process = self.start_one_more(service, name, &admin, settings, more);
        Replica { name: name.to_owned(), process, admin, log: self.path(&format!("{name}.log")) }
    }

    fn start_one_more(
        &self,
        service: Service,
        name: &str,
        admin: &str,
        settings: &[(&str, &str)],
        more: &[(&str, &str)],
    ) -> Process {
        let mut environment = service.environment(&self.world(), &self.options);
        let prefix = service.program().to_uppercase().replace('-', "_");
        let variable = |(key, value): &(&str, &str)| {
            (format!("{prefix}__{}", key.to_uppercase().replace('.', "__")), (*value).to_owned())
        };
        environment.push(variable(&("admin.bind", admin)));
        environment.extend(settings.iter().map(variable));
        environment.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let args = self.settings_file(service, name);
        Process::start(&program(service.program()), &args, &environment, &self.path(&format!("{name}.log")))
    }
}

impl Replica {
    /// The name that it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// How often it was given partitions, by its log.
    pub fn assignments(&self) -> usize {
        self.log().matches("partitions assigned").count()
    }

    /// How many messages of a topic it has handled since its start; 0 while it does not answer.
    pub fn messages_handled(&self, topic: &str) -> u64 {
        let page = http::page(&format!("http://{}/metrics", self.admin)).unwrap_or_default();
        sum_of_metric(&page, "gctb_consumer_messages_total", &[&format!("topic=\"{topic}\"")])
    }

    /// Returns when it says that it can work.
    ///
    /// # Panics
    /// Where it takes too long.
    pub fn wait_until_ready(&self) {
        let url = format!("http://{}/readyz", self.admin);
        eventually_within(PATIENCE, &format!("{} to be ready", self.name), || http::page(&url).ok());
    }

    /// Returns when it has said that this crash point is armed, which is the first that it says.
    ///
    /// # Panics
    /// Where it does not: it was built without crash points.
    pub fn wait_until_armed(&self, point: &str) {
        let armed = format!("crash point {point} armed");
        let what = format!("{} to be armed, which takes --features gctb-runtime/crash-points", self.name);
        eventually_within(PATIENCE, &what, || self.log().contains(&armed).then_some(()));
    }

    /// Whether it stands still at this crash point, at which it was to freeze.
    pub fn is_frozen_at(&self, point: &str) -> bool {
        self.log().contains(&format!("crash point {point} reached")) && self.process.is_stopped()
    }

    /// Lets it go on from where it froze.
    pub fn resume(&self) {
        self.process.signal("CONT");
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.has_ended().is_none()
    }

    /// Ends it at once.
    pub fn kill_9(mut self) {
        self.process.end();
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// Where it ends with an error.
    pub fn stop(mut self) {
        let how = self.process.ask_to_end();
        assert!(how.ends_with(" 0"), "{} was asked to end: {how}", self.name);
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LOG_TAIL)..];
            eprintln!("--- the last lines of {}\n{}", self.name, tail.join("\n"));
        }
    }
}
