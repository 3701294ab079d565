//! People's data as a test sent it, and the search for it in all that a bridge tells (invariant I9).
//!
//! What is searched are bytes: a place need not be understood to be searched. Addresses, names and references that a message or a
//! table has to carry are no such place; the words beside them are.

use std::collections::{BTreeMap, BTreeSet};

use gctb_events::{Event, StatusChunk};
use gctb_testkit::eventually_within;

use crate::batch::Item;
use crate::http;
use crate::service::Service;
use crate::system::{PATIENCE, System};
use crate::traces::{Traces, contains};

/// Characters from which on a text may belong to one person alone.
const PERSONAL_CHARS_MIN: usize = 8;
/// The digits of a phone number that stand in each of its written forms: +254…, 254…, 07….
const NATIONAL_DIGITS: usize = 9;
/// Places that are named where something is found.
const FOUND_SHOWN_MAX: usize = 10;

/// What must be found nowhere.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    texts: BTreeSet<String>,
    /// Numbers that count only where they stand alone, since other numbers may hold them.
    numbers: BTreeSet<String>,
}

impl Secrets {
    /// All that the batches of a system say about people, with their names in part and their numbers in every form.
    pub fn sent_by(system: &System) -> Self {
        let mut secrets = Self::default();
        secrets.add("Nyambura");
        for item in system.sent.iter().flat_map(|sent| &sent.batch.items) {
            secrets.add_item(item);
        }
        secrets
    }

    fn add_item(&mut self, item: &Item) {
        let surname = item.payee_name.rsplit(' ').next().unwrap_or_default();
        let account = item.payee_fa.split_once(':').map_or("", |(_, account)| account);
        let local_part = account.split_once('@').map_or("", |(local_part, _)| local_part);
        // A word without a digit may be anybody's, and the rail's own.
        let local_part = if local_part.bytes().any(|byte| byte.is_ascii_digit()) { local_part } else { "" };
        for text in [&item.payee_name, surname, &item.payee_fa, account, local_part, &item.reference_id] {
            self.add(text);
        }
        let digits = item.payee_fa.split(|c: char| !c.is_ascii_digit()).max_by_key(|part| part.len());
        let digits = digits.filter(|digits| digits.len() >= PERSONAL_CHARS_MIN).unwrap_or_default();
        self.add(digits);
        if item.payee_fa.starts_with("phone:") {
            self.add(&digits[digits.len().saturating_sub(NATIONAL_DIGITS)..]);
        }
    }

    /// One more text. What is too short to mean anybody is left out.
    pub fn add(&mut self, text: &str) {
        let is_telling = text.chars().count() >= PERSONAL_CHARS_MIN || text == "Nyambura";
        if is_telling {
            self.texts.insert(text.to_owned());
        }
    }

    /// An amount that nobody else gets, in the forms in which it is sent and kept.
    pub fn add_amount(&mut self, amount: &str) {
        let (whole, cents) = amount.split_once('.').unwrap_or((amount, "00"));
        self.numbers.extend([whole.to_owned(), format!("{whole}{cents}")]);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.texts.len() + self.numbers.len()
    }

    /// The lines that have one of them.
    fn found_in<'a>(&self, text: &'a str) -> BTreeSet<&'a str> {
        let texts = self.texts.iter().filter_map(|secret| text.find(secret.as_str()));
        let numbers = self.numbers.iter().filter_map(|number| stands_alone(text, number));
        texts.chain(numbers).map(|at| line_at(text, at)).collect()
    }
}

/// Where a number stands that is not part of a longer one or of a fraction.
fn stands_alone(text: &str, number: &str) -> Option<usize> {
    let is_part = |c: char| c.is_ascii_alphanumeric();
    text.match_indices(number).map(|(at, _)| at).find(|at| {
        let (before, behind) = (text[..*at].chars().next_back(), text[at + number.len()..].chars().next());
        !before.is_some_and(|c| is_part(c) || c == '.') && !behind.is_some_and(is_part)
    })
}

fn line_at(text: &str, at: usize) -> &str {
    let begin = text[..at].rfind('\n').map_or(0, |end| end + 1);
    text[begin..].lines().next().unwrap_or_default()
}

/// What a bridge has told, with the place of each piece.
#[derive(Debug, Default)]
pub struct Told {
    pieces: Vec<(String, Vec<u8>)>,
}

impl Told {
    /// Takes the pages of these services up as they are now.
    ///
    /// # Panics
    /// Where one says nothing.
    pub fn pages(&mut self, system: &System, services: &[Service]) {
        for service in services {
            for path in ["/metrics", "/readyz", "/healthz"] {
                let page = http::page(&system.url(*service, path)).unwrap_or_else(|says| says);
                assert!(!page.is_empty(), "{path} of {} says something", service.name());
                self.add(format!("{path} of {}", service.name()), page);
            }
        }
    }

    /// Takes all up that these services have logged since their start.
    ///
    /// # Panics
    /// Where one has logged nothing.
    pub fn logs(&mut self, system: &System, services: &[Service]) {
        for service in services {
            let log = system.log(*service);
            assert!(!log.is_empty(), "{} has logged", service.name());
            self.add(format!("the log of {}", service.name()), log);
        }
    }

    /// Takes every trace up, when there are some of each of these services.
    ///
    /// # Panics
    /// Where a service sends none.
    pub fn traces(&mut self, traces: &Traces, services: &[Service]) {
        for service in services {
            let name = service.program().as_bytes();
            eventually_within(PATIENCE, "spans of each service", || {
                traces.bodies().iter().any(|body| contains(body, name)).then_some(())
            });
        }
        self.pieces.extend(traces.bodies().into_iter().map(|body| ("a trace".to_owned(), body)));
    }

    /// Takes the one column, called `value`, of a query up.
    pub fn rows(&mut self, system: &System, what: &str, sql: &str) {
        for row in system.database.values(sql) {
            self.add(what.to_owned(), row);
        }
    }

    /// Takes the headers of a topic's dead letters up: why, and where from. The letter itself is what came.
    pub fn dead_letters(&mut self, system: &System, topic: &str) {
        for letter in system.kafka.messages(&format!("{topic}.dead")) {
            self.add(format!("a dead letter of {topic}"), format!("{:?} {:?}", letter.headers, letter.key));
        }
    }

    /// Takes the words of all status events up. The address beside them is what the projection shows.
    pub fn status_words(&mut self, system: &System) {
        for message in system.kafka.messages(Service::Status.topic()) {
            let entries = StatusChunk::decode(&message.payload).map(|decoded| decoded.event.entries);
            for entry in entries.into_iter().flatten() {
                self.add("a status event".to_owned(), entry.message);
            }
        }
    }

    fn add(&mut self, place: String, text: String) {
        self.pieces.push((place, text.into_bytes()));
    }

    /// How many pieces came from each place.
    pub fn places(&self) -> BTreeMap<&str, usize> {
        let mut places = BTreeMap::new();
        for (place, _) in &self.pieces {
            *places.entry(place.as_str()).or_default() += 1;
        }
        places
    }

    /// Fails where any of the secrets was told.
    ///
    /// # Panics
    /// Then, with the places and lines.
    pub fn assert_keeps(&self, secrets: &Secrets) {
        let mut found = BTreeSet::new();
        for (place, bytes) in &self.pieces {
            let text = String::from_utf8_lossy(bytes);
            found.extend(secrets.found_in(&text).into_iter().map(|line| format!("{place}: {line}")));
        }
        let shown: Vec<&str> = found.iter().take(FOUND_SHOWN_MAX).map(String::as_str).collect();
        assert!(found.is_empty(), "people's data, in {} places:\n{}", found.len(), shown.join("\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_each_of_its_forms_and_a_number_only_alone() {
        let mut secrets = Secrets::default();
        secrets.add_item(&Item::to_address("phone:+254741700177".to_owned(), "241373.00"));
        secrets.add_amount("241373.00");
        for told in [
            "sent to +254741700177",
            "x=254741700177,",
            "0741700177",
            "a Nyambura Secret",
            "241373",
            "amount=241373.00 KES",
            r#"{"minor":24137300}"#,
        ] {
            let mut secrets = secrets.clone();
            secrets.add("Nyambura");
            assert_eq!(secrets.found_in(&format!("first\n{told}\nlast")), BTreeSet::from([told]), "{told}");
        }
        for kept in ["0.241373", "12413730", "2413731", "a241373b", "254741700178", "nothing"] {
            assert!(secrets.found_in(kept).is_empty(), "{kept}");
        }
    }
}
