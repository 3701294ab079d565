//! What the backends of called rails tell about people, while their rails answer refusals, nonsense, and errors that repeat what they
//! were sent.

use gctb_events::{Event, PaymentChunk};
use gctb_system_tests::equation::account_of;
use gctb_system_tests::news::unknown_batch;
use gctb_system_tests::rails::{Book, CALLBACK_TOKEN, Mirror, Mirrors, PASSWORDS, Payee, Rail};
use gctb_system_tests::secrets::{Secrets, Told};
use gctb_system_tests::system::PATIENCE;
use gctb_system_tests::traces::Traces;
use gctb_system_tests::{Batch, Item, Options, Service, System, http};
use gctb_testkit::eventually_within;
use serde_json::{Value, json};

/// The number of the first payee: no two of them begin alike.
const FIRST_PAYEE: u64 = 417_000;
/// What every payee gets who can be paid, so that it is known where it stands.
const AMOUNT: &str = "241373.00";
/// What is no protobuf, with people in it.
const GARBAGE: &[u8] = b"Nyambura Secret of +254741700177 is no protobuf";
/// A payment of which nothing can be read, as protobuf has it: field, length 0.
const BAD_PAYMENT: [u8; 2] = [0x2a, 0x00];

/// Payments that are at an end, or a person's.
const OPEN: &str = "SELECT count(*)::text AS value FROM payment_instructions i
    LEFT JOIN payment_ledger l USING (batch_id, seq)
    LEFT JOIN ledger_work w ON w.work_id = l.work_id AND w.kind = 5
    WHERE coalesce(l.state, 0) NOT IN (1, 2, 7, 8) AND w.work_id IS NULL";

/// Words about payments and rails that people read: senders, operators, the next version of a row.
const WORDS: [(&str, &str); 5] = [
    (
        "the ledger",
        "SELECT concat_ws(' | ', message, evidence, evidence_reason, past_attempts, reason_code) AS value FROM payment_ledger",
    ),
    ("the control of a rail", "SELECT reason AS value FROM rail_controls"),
    ("an exception", "SELECT concat_ws(' | ', kind, detail, rail_key) AS value FROM rail_exceptions"),
    ("a conflict", "SELECT concat_ws(' | ', detail, rail_reference) AS value FROM ledger_conflicts"),
    ("the projection", "SELECT concat_ws(' | ', error_code, error_msg) AS value FROM payment_instructions"),
];

#[test]
fn i9_nothing_that_a_called_rail_says_or_repeats_appears_in_any_log_metric_page_trace_or_reason() {
    let test = "i9_nothing_that_a_called_rail_says_or_repeats_appears_in_any_log_metric_page_trace_or_reason";
    for rail in Rail::ALL {
        let Some(stage) = Stage::set(test, rail) else { return };
        eprintln!("{rail:?}");
        stage.play();
    }
}

struct Stage {
    rail: Rail,
    system: System,
    mirror: Mirror,
    traces: Traces,
    told: Told,
    payees: Vec<Payee>,
}

impl Stage {
    fn set(test: &str, rail: Rail) -> Option<Self> {
        let traces = Traces::receive();
        let options = Options { rail: Some(rail), route_to: rail.backend(), log_filter: "debug", ..Options::default() };
        let mut system = System::prepare(test, System::trace_to(options, &traces))?;
        let simulator = system.url(Service::Simulator, "");
        let mirror = Mirror::before(simulator.trim_start_matches("http://").to_owned());
        let settings = [
            (rail.url_setting(), mirror.url()),
            ("rail.asks_max", "3".to_owned()),
            ("rail.attempts_max", "2".to_owned()),
            ("rail.ask_after_max", "500ms".to_owned()),
            // So that each fault meets a payment of its own.
            ("rail.failures_max", "1000".to_owned()),
        ];
        system.options.settings.extend(settings.map(|(key, value)| (rail.service(), key.to_owned(), value)));
        system.start_all();
        Some(Self { rail, system, mirror, traces, told: Told::default(), payees: Vec::new() })
    }

    fn services(&self) -> [Service; 4] {
        [Service::Api, Service::Mapper, self.rail.service(), Service::Status]
    }

    fn play(mut self) {
        self.rail_refuses_and_breaks();
        self.rail_repeats_what_it_is_sent();
        if self.rail == Rail::Daraja {
            self.callbacks_that_nobody_believes();
        }
        self.poison();
        self.rail_knows_nobody();
        self.look();
        let secrets = self.secrets();
        self.told.assert_keeps(&secrets);
        eprintln!("{} secrets, searched in {:?}", secrets.count(), self.told.places());
    }

    /// So many more payees, among them some whom the rail refuses by its own word and some whom it is not asked about.
    fn submit(&mut self, count: u64) -> Vec<Payee> {
        let from = FIRST_PAYEE + self.payees.len() as u64;
        let mut payees = self.rail.payees(from, count);
        for payee in payees.iter_mut().filter(|payee| payee.is_payable) {
            payee.item.amount = AMOUNT.to_owned();
        }
        self.payees.extend(payees.iter().cloned());
        self.system.submit(Batch::of(payees.iter().map(|payee| payee.item.clone()).collect::<Vec<Item>>()));
        payees
    }

    /// Waits until nothing is open any more. An operator tries a rail that is held, whose reason is taken up before.
    fn rest(&mut self) {
        let held = "SELECT count(*)::text AS value FROM rail_controls WHERE state = 3 AND resume_at IS NULL";
        eventually_within(PATIENCE, "everything to be at its end or a person's", || {
            if self.system.database.value(held) != "0" {
                self.take_up_reasons();
                let probe = ["rail", "probe", self.rail.backend(), "--evidence", "it is a test's"];
                // It may be open again by now.
                let _ = self.system.try_gctb(&probe);
            }
            (self.system.database.value(OPEN) == "0").then_some(())
        });
        self.take_up_reasons();
    }

    fn take_up_reasons(&mut self) {
        let (what, sql) = WORDS[1];
        self.told.rows(&self.system, what, sql);
        self.told.pages(&self.system, &[self.rail.service()]);
    }

    /// Each fault of the simulator at each call of a payment, once.
    fn rail_refuses_and_breaks(&mut self) {
        let count = 60;
        let numbers = FIRST_PAYEE..FIRST_PAYEE + count;
        // Those who can be paid; the others are refused anyway.
        let mut accounts = self
            .rail
            .payees(numbers.start, count)
            .into_iter()
            .filter(|payee| payee.is_payable)
            .map(|payee| payee.account);
        let stages: &[&str] = match self.rail {
            Rail::Simple | Rail::Daraja => &["submit"],
            Rail::Mojaloop => &["prepare", "commit"],
        };
        let mut rules = Vec::new();
        let mut add = |stage: &str, fault: &Value| {
            let account = accounts.next().expect("a payee for each fault");
            let rule = json!({ "rail": self.rail.book(), "stage": stage, "match": { "account": account }, "nth": 1,
                "fault": fault });
            rules.push(rule);
        };
        for stage in stages {
            of_a_call().iter().for_each(|fault| add(stage, fault));
        }
        if self.rail == Rail::Daraja {
            of_a_callback().iter().for_each(|fault| add("callback", fault));
        }
        let mut faults = self.rail.healthy();
        faults["rules"] = json!(rules);
        if self.rail != Rail::Simple {
            let asked = |fault: &str| json!({ "rail": self.rail.book(), "stage": "inquire", "per_million": 200_000, "fault": fault });
            faults["chances"] = json!(["html_after", "html_before", "malformed_json", "wrong_types"].map(asked));
        }
        self.set_faults(&faults);
        self.submit(count);
        self.rest();
        self.set_faults(&self.rail.healthy());
        assert!(Book::of(&self.system).sum().0 > 20, "most are paid all the same");
    }

    fn set_faults(&self, faults: &Value) {
        http::put(&self.system.url(Service::Simulator, "/control/faults"), faults);
    }

    /// Errors of every shape with the request in them, for each kind of call.
    fn rail_repeats_what_it_is_sent(&mut self) {
        self.mirror.set(Mirrors::EveryOther);
        let deadline = std::time::Instant::now() + PATIENCE;
        while !self.mirror.has_shown_all() {
            assert!(std::time::Instant::now() < deadline, "calls: {:?}", self.mirror.calls());
            self.submit(40);
            self.rest();
        }
        self.mirror.set(Mirrors::Nothing);
    }

    /// Callbacks that are no JSON, about nobody, about another amount or payee, on paths of nobody; each says who the payee is.
    fn callbacks_that_nobody_believes(&mut self) {
        let (_, book) = http::get(&self.system.url(Service::Simulator, "/rails/mpesa/book?limit=1"));
        let (key, account) =
            (book[0]["key"].as_str().expect("a key"), book[0]["account"].as_str().expect("an account"));
        let payee = self.payees.iter().find(|payee| payee.account == account).expect("one of ours");
        let name = payee.item.payee_name.as_str();
        let words = format!("{name} of {account}");
        let kept = "SELECT count(*)::text AS value FROM rail_exceptions";
        let before: u64 = self.system.database.value(kept).parse().expect("a count");

        let result = |originator: &str, code: &str, amount: &str, payee: &str| {
            json!({ "Result": { "ResultType": 0, "ResultCode": code, "ResultDesc": words, "OriginatorConversationID": originator,
                "ConversationID": words, "TransactionID": words, "ResultParameters": { "ResultParameter": [
                    { "Key": "TransactionAmount", "Value": amount }, { "Key": "TransactionReceipt", "Value": words },
                    { "Key": "TransactionStatus", "Value": words },
                    { "Key": "ReceiverPartyPublicName", "Value": format!("{payee} - {name}") },
                ] } } })
            .to_string()
        };
        let right = result(key, "0", "241373", account);
        let bodies = [
            right[..right.len() / 2].to_owned(),
            format!("\0{words}"),
            json!({ "Result": words }).to_string(),
            words.clone(),
            "x".repeat(70_000) + &words,
            result(&words, "0", "241373", account),
            result(&format!("gctb-{account}"), "0", "241373", account),
            result(key, "0", "1", account),
            result(key, "0", &words, account),
            result(key, "0", "241373", "254700000001"),
            result(key, account, "241373", account),
            result(key, &words, "241373", account),
            result(key, "2001", "241373", account),
        ];
        let url = self.system.callback_url(self.rail.service());
        let rail_key = key.trim_start_matches("gctb-");
        let paths = [
            "/payment/result".to_owned(),
            "/payment/timeout".to_owned(),
            format!("/status/{rail_key}/1-n/result"),
            format!("/status/{account}/1-n/result"),
            "/balance/result".to_owned(),
            format!("/payment/{account}?to={account}"),
        ];
        for path in paths {
            for body in &bodies {
                // Refused or taken: what counts is what is told of it.
                let _ = http::post(&format!("{url}{path}"), body, &[("x-payee", account)]);
            }
        }
        let elsewhere = url.replace(CALLBACK_TOKEN, account) + "/payment/result";
        let _ = http::post(&elsewhere, &right, &[]);
        let kept: u64 = self.system.database.value(kept).parse().expect("a count");
        assert!(kept > before + 5, "what is not believed is kept for a person: {kept} now, {before} before");
        self.rest();
    }

    /// Messages on the payments topic that nobody can read, torn, half good, and about a batch that is not here.
    fn poison(&mut self) {
        let topic = self.rail.service().topic();
        let good = self.system.kafka.messages(topic).swap_remove(0).payload;
        let mut unknown = PaymentChunk::decode(&good).expect("our own").event;
        unknown.batch_id = unknown_batch();
        for message in [
            GARBAGE.to_vec(),
            good[..good.len() - 1].to_vec(),
            [&good, BAD_PAYMENT.as_slice()].concat(),
            unknown.encode(),
        ] {
            self.system.kafka.produce_bytes(topic, "poison", message);
        }
        let dead = format!("{topic}.dead");
        eventually_within(PATIENCE, "dead letters", || (self.system.kafka.count(&dead) >= 4).then_some(()));
    }

    /// Each call is refused as if the caller were nobody, with the request repeated. The rail is held, and says why.
    fn rail_knows_nobody(&mut self) {
        self.mirror.set(Mirrors::All);
        self.submit(10);
        let stopped = "SELECT count(*)::text AS value FROM rail_controls WHERE state = 3";
        let waits = "SELECT count(*)::text AS value FROM payment_ledger WHERE state = 5";
        eventually_within(PATIENCE, "the rail to be held, or payments to wait for a person", || {
            let value = |sql: &str| self.system.database.value(sql) != "0";
            (value(stopped) || (self.rail == Rail::Simple && value(waits))).then_some(())
        });
        self.take_up_reasons();
    }

    fn look(&mut self) {
        let services = self.services();
        for (what, sql) in WORDS {
            self.told.rows(&self.system, what, sql);
        }
        self.told.status_words(&self.system);
        self.told.dead_letters(&self.system, self.rail.service().topic());
        self.told.pages(&self.system, &services);
        self.told.logs(&self.system, &services);
        self.told.traces(&self.traces, &services);
    }

    fn secrets(&self) -> Secrets {
        let mut secrets = Secrets::sent_by(&self.system);
        secrets.add_amount(AMOUNT);
        for payee in &self.payees {
            secrets.add(&account_of(self.rail, &payee.item.payee_fa));
        }
        for text in PASSWORDS.iter().chain(&[CALLBACK_TOKEN, "254741700177"]) {
            secrets.add(text);
        }
        assert!(secrets.count() > 300, "there is something to look for");
        secrets
    }
}

/// Faults of every call that leave an answer, or none.
fn of_a_call() -> Vec<Value> {
    vec![
        json!("close_before"),
        json!("close_after"),
        json!({ "error_before": { "status": 503 } }),
        json!({ "error_after": { "status": 500 } }),
        json!("html_before"),
        json!("html_after"),
        json!("malformed_json"),
        json!("wrong_types"),
        json!({ "rate_limited": { "style": "spike_arrest" } }),
        json!({ "rate_limited": { "style": "http429" } }),
    ]
}

fn of_a_callback() -> Vec<Value> {
    vec![
        json!("callback_lost"),
        json!("callback_duplicated"),
        json!("malformed_json"),
        json!("wrong_types"),
        json!({ "timeout_callback": { "paid": true } }),
        json!({ "timeout_callback": { "paid": false } }),
    ]
}
