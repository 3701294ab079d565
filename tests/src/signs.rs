//! What services say about themselves while something is wrong: health pages, metrics, log lines. Tests of outages ask for
//! these signs while the outage lasts.

use gctb_testkit::eventually_within;
use serde_json::Value;

use crate::batch::Batch;
use crate::http;
use crate::service::Service;
use crate::system::{PATIENCE, Sent, System};

impl System {
    /// What `/readyz` answers: the HTTP status and the report.
    pub fn readiness(&self, service: Service) -> (u16, Value) {
        http::get(&self.url(service, "/readyz"))
    }

    /// Returns when `/readyz` names the component as failing, in a sentence with these words, and the metric of the same name
    /// says so too; with the HTTP status that the page had.
    pub fn wait_until_failing(&self, service: Service, component: &str, words: &str) -> u16 {
        let what = format!("{} to say that {component:?} fails: {words:?}", service.name());
        let label = format!("component=\"{component}\"");
        eventually_within(PATIENCE, &what, || {
            let (status, report) = self.readiness(service);
            let says = report["failing"][component].as_str()?.contains(words);
            (says && self.metric(service, "gctb_component_failing", &[&label]) == 1).then_some(status)
        })
    }

    /// Returns when `/readyz` and `/healthz` find nothing wrong.
    pub fn wait_until_well(&self, service: Service) {
        let what = format!("{} to find nothing wrong", service.name());
        eventually_within(PATIENCE, &what, || {
            let (status, report) = self.readiness(service);
            let is_well = status == 200 && report["failing"].as_object().is_some_and(serde_json::Map::is_empty);
            (is_well && http::page(&self.url(service, "/healthz")).is_ok()).then_some(())
        });
    }

    /// Returns when every service that runs finds nothing wrong.
    pub fn wait_until_all_are_well(&self) {
        for service in self.services() {
            if service != Service::Simulator {
                self.wait_until_well(service);
            }
        }
    }

    /// Submits a batch to an API that may have no database: until it is taken it must be refused with 503, however often it is
    /// sent, and nothing acknowledged.
    ///
    /// # Panics
    /// Where it is answered otherwise.
    pub fn submit_until_taken(&mut self, batch: Batch) -> Sent {
        let answer = eventually_within(PATIENCE, "a batch to be taken", || match self.post(&batch, &[]) {
            Ok((200, answer)) => Some(answer),
            Ok((503, _)) | Err(_) => None,
            Ok((status, answer)) => panic!("{status}: {answer}"),
        });
        self.remember(batch, &answer)
    }

    /// Returns when the metric has reached this value.
    pub fn wait_for_metric(&self, service: Service, name: &str, words: &[&str], at_least: u64) {
        let what = format!("{name} {words:?} of {} to reach {at_least}", service.name());
        eventually_within(PATIENCE, &what, || (self.metric(service, name, words) >= at_least).then_some(()));
    }

    /// Returns when the service has logged these words.
    pub fn wait_for_log(&self, service: Service, words: &str) {
        let what = format!("{} to log {words:?}", service.name());
        eventually_within(PATIENCE, &what, || self.log(service).contains(words).then_some(()));
    }

    /// Returns when every batch is finished, with the sweeper looking now instead of a minute after the intake.
    pub fn sweep_until_finished(&self) {
        for sent in &self.sent {
            let all = sent.batch.items.len() as u64;
            eventually_within(PATIENCE, "a batch of which nothing is in flight, with the sweeper's help", || {
                if self.completed(sent) == Some(all) {
                    return Some(());
                }
                let soon = "UPDATE batch_sweeps SET due_at = now() WHERE due_at > now() + interval '5 seconds'";
                self.execute(soon);
                None
            });
        }
    }
}
