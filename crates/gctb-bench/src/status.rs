//! Status over HTTP: a page of a batch, references of the newest month, references of all months; beside the same in SQL alone.

use std::time::{Duration, Instant};

use reqwest::blocking::Client;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::args::Plan;
use crate::error::BenchError;
use crate::figures::Figures;
use crate::memory::PostgresMemory;
use crate::message::SENDER;
use crate::random::Random;
use crate::say;
use crate::sender::client;
use crate::service::{Running, Service};
use crate::stack::Stack;
use crate::statistics::percentile;
use crate::status_floor::StatusFloor;
use crate::status_rows::{BATCH_ROWS, MONTHS, Place, fill};
use crate::thousandths::Thousandths;

/// Disbursements that one question is about.
const ASKED: u32 = 1_000;

/// What is asked.
#[derive(Clone, Copy, Debug)]
enum Question {
    Page,
    NewestMonth,
    AllMonths,
}

impl Question {
    const ALL: [Self; 3] = [Self::Page, Self::NewestMonth, Self::AllMonths];

    const fn name(self) -> &'static str {
        match self {
            Self::Page => "status_page",
            Self::NewestMonth => "status_refs_new",
            Self::AllMonths => "status_refs_all",
        }
    }

    /// What one request asks about: the first place of a page, or every place of a list.
    fn places(self, random: &mut Random, batches: u32) -> Vec<Place> {
        let months = match self {
            Self::Page => {
                let place = Place::random(random, 0..MONTHS, batches);
                let page = random.below(BATCH_ROWS / ASKED);
                return vec![Place { seq: page * ASKED, ..place }];
            }
            Self::NewestMonth => MONTHS - 1..MONTHS,
            Self::AllMonths => 0..MONTHS,
        };
        let mut places: Vec<Place> = Vec::with_capacity(ASKED as usize);
        let mut taken = std::collections::HashSet::new();
        while places.len() < ASKED as usize {
            let place = Place::random(random, months.clone(), batches);
            if taken.insert(place.reference()) {
                places.push(place);
            }
        }
        places
    }

    fn request(self, places: &[Place]) -> Value {
        let (attribute, value, page) = match (self, places) {
            (Self::Page, [first, ..]) => {
                let page = json!({ "page_size": ASKED, "page_number": first.seq / ASKED + 1 });
                ("transaction_id", json!(first.transaction()), page)
            }
            (Self::Page | Self::NewestMonth | Self::AllMonths, places) => {
                let references: Vec<String> = places.iter().map(|place| place.reference()).collect();
                ("reference_id_list", json!(references), Value::Null)
            }
        };
        message(attribute, &value, &page)
    }
}

fn message(attribute: &str, value: &Value, page: &Value) -> Value {
    let mut asked = json!({
        "reference_id": Uuid::new_v4().to_string(),
        "txn_type": "disburse",
        "attribute_type": attribute,
        "attribute_value": value,
        "locale": "eng",
    });
    if !page.is_null() {
        asked["pagination"] = page.clone();
    }
    json!({
        "signature": "",
        "header": {
            "version": "1.0.0",
            "message_id": Uuid::new_v4().to_string(),
            "message_ts": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            "action": "status",
            "sender_id": SENDER,
            "receiver_id": "pymts.example.org",
            "total_count": 1,
            "is_msg_encrypted": false,
        },
        "message": { "transaction_id": Uuid::new_v4().to_string(), "txnstatus_request": asked },
    })
}

/// Fills twelve months and asks each question over and over, between two halves of its floor.
pub(crate) fn measure(stack: &Stack, plan: &Plan, figures: &mut Figures) -> Result<(), BenchError> {
    const NAME: &str = "bench_status";
    let database = stack.migrated(NAME)?;
    let batches = plan.status_batches_per_month;
    let rows = fill(&database, batches)?;
    figures.add("status_rows", "rows", Thousandths::whole(rows), None);
    let running = Running::start(stack, database.url(), &[Service::Api])?;
    let memory = PostgresMemory::watch(stack.postgres_pid);
    let asker = Asker { client: client(1)?, url: format!("{}/disburse/sync/txn/status", running.url(Service::Api)) };
    let mut floor = StatusFloor::on(&database)?;
    for question in Question::ALL {
        let mut random = Random::from_seed(4);
        let mut some = |count: u32| (0..count).map(|_| question.places(&mut random, batches)).collect::<Vec<_>>();
        let (warm_up, first_half, ours, second_half) = (
            some(plan.status_requests / 4),
            some(plan.status_requests / 2),
            some(plan.status_requests),
            some(plan.status_requests / 2),
        );
        for places in &warm_up {
            asker.ask(question, places)?;
            ask_floor(&mut floor, question, places)?;
        }
        let mut alone = times(&first_half, |places| ask_floor(&mut floor, question, places))?;
        let bridge = times(&ours, |places| asker.ask(question, places))?;
        alone.extend(times(&second_half, |places| ask_floor(&mut floor, question, places))?);
        report(question, &bridge, &alone, figures)?;
    }
    figures.note_peaks(&running, memory.peak_kib());
    drop(floor);
    running.stop()?;
    stack.psql.drop_database(NAME)
}

fn times(
    asked: &[Vec<Place>],
    mut ask: impl FnMut(&[Place]) -> Result<Duration, BenchError>,
) -> Result<Vec<Duration>, BenchError> {
    asked.iter().map(|places| ask(places)).collect()
}

fn ask_floor(floor: &mut StatusFloor, question: Question, places: &[Place]) -> Result<Duration, BenchError> {
    match (question, places) {
        (Question::Page, [first, ..]) => floor.page(*first, ASKED),
        (Question::Page | Question::NewestMonth | Question::AllMonths, places) => floor.references(places),
    }
}

fn report(question: Question, ours: &[Duration], alone: &[Duration], figures: &mut Figures) -> Result<(), BenchError> {
    let few = || BenchError::TooFew("status");
    let mut words = format!("{}:", question.name());
    for percent in [50, 99] {
        let value = percentile(ours, percent).map(Thousandths::millis).ok_or_else(few)?;
        let floor = percentile(alone, percent).map(Thousandths::millis).ok_or_else(few)?;
        figures.add(format!("{}_p{percent}_ms", question.name()), "ms", value, Some(floor));
        words += &format!(" p{percent} {} ms (SQL alone {} ms)", value.for_people(), floor.for_people());
    }
    say(&words);
    Ok(())
}

/// A sender that asks, over one connection.
struct Asker {
    client: Client,
    url: String,
}

impl Asker {
    /// Asks once, and looks whether the answer is whole; from the first byte of the request to the last of the answer.
    fn ask(&self, question: Question, places: &[Place]) -> Result<Duration, BenchError> {
        let failed = |source| BenchError::Http { doing: format!("ask for {}", question.name()), source };
        let body = serde_json::to_vec(&question.request(places))?;
        let began = Instant::now();
        let answer =
            self.client.post(&self.url).header("content-type", "application/json").body(body).send().map_err(failed)?;
        let status = answer.status().as_u16();
        let bytes = answer.bytes().map_err(failed)?;
        let took = began.elapsed();
        if status != 200 {
            return Err(BenchError::Refused { doing: question.name().to_owned(), status });
        }
        let got = items_in(&serde_json::from_slice(&bytes)?);
        if got == u64::from(ASKED) {
            Ok(took)
        } else {
            Err(BenchError::Incomplete { about: question.name(), got, wanted: ASKED.into() })
        }
    }
}

/// How many disbursements an answer tells about.
fn items_in(answer: &Value) -> u64 {
    let items = &answer["message"]["txnstatus_response"]["txn_status"];
    items.as_array().map_or(0, |items| items.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_each_reference_once_and_a_page_begins_at_a_page() {
        let mut random = Random::from_seed(7);
        for question in Question::ALL {
            let places = question.places(&mut random, 1);
            let request = question.request(&places);
            let asked = &request["message"]["txnstatus_request"];
            match question {
                Question::Page => {
                    assert_eq!(places[0].seq % ASKED, 0);
                    assert_eq!(asked["pagination"]["page_number"], places[0].seq / ASKED + 1);
                }
                Question::NewestMonth | Question::AllMonths => {
                    let references = asked["attribute_value"].as_array().expect("a list");
                    let distinct: std::collections::HashSet<_> = references.iter().map(ToString::to_string).collect();
                    assert_eq!(distinct.len(), ASKED as usize);
                    assert!(asked.get("pagination").is_none());
                }
            }
        }
    }
}
