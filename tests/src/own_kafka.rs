//! A Kafka of one test's own, which may be stopped, killed and emptied without harm to other tests.
//!
//! Services reach it through a [`Proxy`], whose address it advertises; the test itself reaches it directly.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gctb_testkit::{eventually_within, skipped};
use tempfile::TempDir;

use crate::own_postgres::clone;
use crate::process::{Process, free_port};
use crate::proxy::Proxy;
use crate::system::PATIENCE;

/// What a broker says when it is complete.
const STARTED: &str = "Kafka Server started";

/// A running Kafka of a test. It ends with the test.
#[derive(Debug)]
pub struct OwnKafka {
    process: Option<Process>,
    java: Vec<String>,
    /// The line between the services and the broker.
    pub line: Proxy,
    direct: u16,
    folder: TempDir,
    starts: u32,
}

impl OwnKafka {
    /// Formats and starts a broker. None, and the test counted as skipped, where Kafka's jars are not in the cache: `make test`
    /// fetches them unless it is given a Kafka that exists.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start(test: &str) -> Option<Self> {
        let Some(java) = installed() else {
            skipped(test, "Kafka's jars are not in the cache; `make test` without KAFKA=… fetches them");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("gctb-kafka-").tempdir().expect("a folder");
        let (through_the_line, direct, controller) = (free_port(), free_port(), free_port());
        let line = Proxy::to(format!("127.0.0.1:{through_the_line}"));
        let settings = settings(through_the_line, direct, controller, &line, folder.path());
        fs::write(folder.path().join("server.properties"), settings).expect("a settings file");
        let mut own = Self { process: None, java, line, direct, folder, starts: 0 };
        own.format();
        own.start_again();
        Some(own)
    }

    /// What services are told: the line.
    pub fn brokers(&self) -> String {
        self.line.address().to_string()
    }

    /// What the test itself uses, whatever the line does.
    pub fn direct(&self) -> String {
        format!("127.0.0.1:{}", self.direct)
    }

    /// Stops it as an operator does.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn stop(&mut self) {
        self.process.take().expect("it runs").terminate();
    }

    /// Ends it at once.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill_9(&mut self) {
        self.process.take().expect("it runs").kill_9();
    }

    /// Starts it again with the data that it has, and returns when it is complete.
    ///
    /// # Panics
    /// Where it ends instead.
    pub fn start_again(&mut self) {
        self.starts += 1;
        let log = self.folder.path().join(format!("kafka-{}.log", self.starts));
        let process =
            self.process.insert(Process::start(Path::new("java"), &self.command(&["kafka.Kafka"]), &[], &log));
        eventually_within(PATIENCE, "Kafka to start", || {
            let says = fs::read_to_string(&log).unwrap_or_default();
            if let Some(how) = process.has_ended() {
                panic!("Kafka ended at its start: {how}\n{says}");
            }
            says.contains(STARTED).then_some(())
        });
    }

    fn format(&self) {
        let words = ["kafka.tools.StorageTool", "format", "--cluster-id", "AAAAAAAAAAAAAAAAAAAAAA", "--config"];
        let output = Command::new("java").args(self.command(&words)).output().expect("java runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn command(&self, words: &[&str]) -> Vec<String> {
        let settings = self.folder.path().join("server.properties").display().to_string();
        let words = words.iter().map(|word| (*word).to_owned());
        self.java.iter().cloned().chain(words).chain([settings]).collect()
    }
}

/// The settings of the local stack, with a second way in, and a clock that lets records expire within a second.
fn settings(through_the_line: u16, direct: u16, controller: u16, line: &Proxy, folder: &Path) -> String {
    let template = fs::read_to_string(clone().join("deploy/local/kafka/server.properties")).expect("the template");
    let data = folder.join("data").display().to_string();
    let text = template.replace("@DATA@", &data).replace("@CONTROLLER_PORT@", &controller.to_string());
    let replaced = ["listeners=", "advertised.listeners=", "listener.security.protocol.map="];
    let kept = text.lines().filter(|line| !replaced.iter().any(|key| line.starts_with(key)));
    let advertised = line.address();
    let own = format!(
        "listeners=BROKER://127.0.0.1:{through_the_line},DIRECT://127.0.0.1:{direct},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=BROKER://{advertised},DIRECT://127.0.0.1:{direct}
listener.security.protocol.map=BROKER:PLAINTEXT,DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.retention.check.interval.ms=300
log.initial.task.delay.ms=300
log.segment.delete.delay.ms=100
"
    );
    let own = own.replace("inter.broker.listener.name=BROKER", "");
    let text: Vec<&str> = kept.collect();
    format!(
        "{}\n{own}",
        text.join("\n").replace("inter.broker.listener.name=BROKER", "inter.broker.listener.name=DIRECT")
    )
}

/// The words after `java` that have Kafka's classes at hand.
fn installed() -> Option<Vec<String>> {
    let script = "source deploy/local/lib.sh; source \"$LOCAL_DIR/process.sh\"; source \"$LOCAL_DIR/kafka.sh\"
        command -v java >/dev/null && has_jars && kafka_java -Xms64m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1";
    let output = Command::new("bash").args(["-c", script]).current_dir(clone()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    // The first word is java itself.
    let words: Vec<String> = text.split('\0').filter(|word| !word.is_empty()).skip(1).map(str::to_owned).collect();
    (!words.is_empty()).then_some(words)
}

/// The folder where the broker keeps its records, for a test that looks.
impl OwnKafka {
    /// Where its logs and data lie.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_path_buf()
    }
}
