//! The command `gctb` dies while it records an operator's word about payments of which nobody knows the end.
//!
//! simple-mpesa cannot be asked, so each payment that its backend had in hand when it died waits for a person. The harness plays
//! that person: it looks into the rail's book and says what it saw.

use std::process::{Command, Output};

use serde_json::Value;

use super::Doomed;
use crate::batch::Batch;
use crate::crash_points::{COMMAND, VARIABLE};
use crate::equation::{account_of, assert_all_ended, book};
use crate::process::program;
use crate::rails::Rail;
use crate::service::Service;

/// Payments of a batch. Those that the backend had in hand when it died wait for a person, one at least; the others are paid.
const PAYMENTS: usize = 8;

/// What `gctb` prints, below its other words, where a word is not taken.
const REFUSED: &str = "nothing was done";

impl Doomed {
    /// [`Doomed::start`] with the rail whose interrupted calls are an operator's.
    pub fn start_for_an_operator(test: &str) -> Option<Self> {
        Self::deploy(test, Service::BackendMpesa, Some(Rail::Simple))
    }

    /// Lets the backend die at `left_at` with a window in hand, and the command at `point` (`name:nth`) when it records the
    /// operator's word about the first of its payments. The operator, who saw no answer, says it once more.
    ///
    /// # Panics
    /// Where it did not die there, a word counts twice or not at all, or anything of the equation does not hold.
    pub fn command_dies_at(&mut self, point: &str, left_at: &str) {
        eprintln!("{COMMAND} dies at {point}, about payments that were left at {left_at}");
        self.system.kill_9(self.victim);
        let items = (0..PAYMENTS).map(|_| self.payable(Rail::Simple)).collect();
        self.system.submit(Batch::of(items));
        self.dies_on_the_way_at(left_at);
        self.end_leases();
        self.system.start_service(self.victim);
        self.system.execute("UPDATE outbox SET due_at = now()");
        let in_hand = "SELECT count(*)::text AS value FROM payment_instructions WHERE status NOT IN (4, 5)";
        self.system.wait_for_value("every payment to be paid or to wait for a person", in_hand, "0");
        let words: Vec<Vec<String>> = self.unknown().iter().map(|payment| self.word_about(payment)).collect();
        let recorded = self.recorded();
        for (n, word) in words.iter().enumerate() {
            if n == 0 {
                self.dies_as_it_says(word, point);
                let again = self.gctb_with(word, None);
                let said = String::from_utf8_lossy(&again.stderr).into_owned();
                let was_taken = point.contains(".after");
                assert_eq!(again.status.success(), !was_taken, "the word said once more, after {point}: {said}");
                assert!(!was_taken || said.contains(REFUSED), "why it is not taken twice: {said}");
            } else {
                self.system.gctb(&word.iter().map(String::as_str).collect::<Vec<_>>());
            }
        }
        assert_eq!(self.recorded() - recorded, words.len(), "each word stands in the audit log once");
        self.system.execute("UPDATE outbox SET due_at = now()");
        self.system.wait_until_finished();
        assert_all_ended(&self.system);
    }

    /// The payments that wait for a person, as `gctb` lists them.
    fn unknown(&self) -> Vec<Value> {
        let listed = self.system.gctb(&["payments", "unknown", "--json"]);
        let payments: Vec<Value> =
            listed.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
        assert!(!payments.is_empty(), "somebody waits for a person: {listed}");
        payments
    }

    /// What the operator types when the book has been looked at.
    fn word_about(&self, payment: &Value) -> Vec<String> {
        let text = |field: &str| payment[field].as_str().expect("it is listed").to_owned();
        let items = self.system.sent.iter().flat_map(|sent| &sent.batch.items);
        let item = items.into_iter().find(|item| item.reference_id == text("reference")).expect("it was sent");
        let account = account_of(Rail::Simple, &item.payee_fa);
        let is_paid = book(&self.system).iter().any(|payment| payment.account == account);
        let word = if is_paid { "--paid" } else { "--not-paid" };
        ["payments", "resolve", &text("key"), word, "--evidence", "looked into the book"].map(str::to_owned).to_vec()
    }

    fn dies_as_it_says(&self, word: &[String], point: &str) {
        let died = self.gctb_with(word, Some(point));
        let said = String::from_utf8_lossy(&died.stderr).into_owned();
        let name = point.split(':').next().unwrap_or_default();
        let says = |word: &str| said.lines().any(|line| line == format!("crash point {name} {word}"));
        assert!(says("armed") && says("reached"), "{COMMAND} did not come to {point}: {said}");
        assert!(died.status.to_string().contains("SIGABRT"), "{COMMAND} died of something else: {}", died.status);
    }

    fn gctb_with(&self, args: &[String], point: Option<&str>) -> Output {
        let mut command = Command::new(program(COMMAND));
        command.args(args).env("GCTB_CLI__DATABASE__URL", self.system.database.url());
        if let Some(point) = point {
            command.env(VARIABLE, point);
        }
        command.output().expect("gctb runs")
    }

    /// How many words of operators the audit log has.
    fn recorded(&self) -> usize {
        let sql = "SELECT count(*)::text AS value FROM operator_actions WHERE action LIKE 'payments resolve%'";
        self.system.database.value(sql).parse().expect("a count")
    }
}
