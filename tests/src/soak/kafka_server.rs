//! Kafka's own process, where it is the soak's: it can be frozen, which no proxy can do, since Kafka tells its clients where
//! to reach it.

use std::process::Command;

/// Names the process id of the Kafka that this soak may freeze; without it, nobody freezes any.
const VARIABLE: &str = "GCTB_SOAK_KAFKA_PID";

/// Kafka's process. It is thawed when this is dropped.
#[derive(Debug)]
pub(super) struct KafkaServer {
    pid: Option<u32>,
    is_frozen: bool,
}

impl KafkaServer {
    /// The one of the environment.
    pub(super) fn of_the_environment() -> Self {
        let pid = std::env::var(VARIABLE).ok().and_then(|pid| pid.parse().ok());
        Self { pid, is_frozen: false }
    }

    /// Stops it, and says whether it could be.
    pub(super) fn freeze(&mut self) -> bool {
        self.is_frozen |= self.signal("STOP");
        self.is_frozen
    }

    /// Lets it go on.
    pub(super) fn thaw(&mut self) {
        if self.is_frozen {
            self.is_frozen = !self.signal("CONT");
        }
    }

    fn signal(&self, name: &str) -> bool {
        let Some(pid) = self.pid else { return false };
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
        sent.is_ok_and(|status| status.success())
    }
}

impl Drop for KafkaServer {
    fn drop(&mut self) {
        self.thaw();
    }
}
