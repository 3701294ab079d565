//! The ID account mapper: answers G2P Connect resolve requests as the OpenG2P mapper SPAR does.
//!
//! What it says about a person follows from the text of the id alone ([`directory`]), so that a test can choose the
//! answer by choosing the id. It must not know HTTP.

mod directory;
mod message;
mod resolve;

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::faults::{MapperChange, MapperControls, MapperMode, Variant};
pub(crate) use message::BadRequest;

/// What the mapper sends back, apart from how HTTP carries it.
pub(crate) enum Reply {
    /// 200 with this JSON.
    Answer(Vec<u8>),
    /// 400: the request is not one.
    Refused(BadRequest),
    /// 503.
    Down,
    /// 500.
    Error,
    /// 200 with this web page where JSON was expected.
    Page(&'static str),
}

/// The mapper with its switches and counters.
pub(crate) struct Mapper {
    state: Mutex<State>,
}

struct State {
    controls: MapperControls,
    counters: Counters,
    /// The last answer that was given as it should be.
    last: Option<Vec<u8>>,
}

/// What the mapper has been asked so far. Calls that it did not understand, or answered while down, are calls too.
#[derive(Debug, Default, Clone, Serialize)]
struct Counters {
    calls: u64,
    items: u64,
    last_call_items: usize,
    last_call_distinct_ids: usize,
}

/// The body of `GET /control/mapper`.
#[derive(Debug, Serialize)]
pub(crate) struct MapperView {
    mode: MapperMode,
    variant: Variant,
    delay_ms: u64,
    salt: String,
    overrides: usize,
    #[serde(flatten)]
    counters: Counters,
}

const TRUNCATED_JSON: &[u8] = br#"{"signature":"","header":{"action":"resolve","status":"succ","total_co"#;
const LOGIN_PAGE: &str = "<!doctype html><title>Sign in</title><p>Please sign in to continue.</p>";

impl Mapper {
    pub(crate) fn new(variant: Variant) -> Self {
        let state = State { controls: MapperControls::new(variant), counters: Counters::default(), last: None };
        Self { state: Mutex::new(state) }
    }

    /// How long the server waits before it answers.
    pub(crate) fn delay(&self) -> Duration {
        self.state().controls.delay()
    }

    pub(crate) fn change(&self, change: MapperChange) {
        self.state().controls.change(change);
    }

    pub(crate) fn view(&self) -> MapperView {
        let state = self.state();
        let MapperControls { mode, variant, delay_ms, salt, overrides } = &state.controls;
        MapperView {
            mode: *mode,
            variant: *variant,
            delay_ms: *delay_ms,
            salt: salt.clone(),
            overrides: overrides.len(),
            counters: state.counters.clone(),
        }
    }

    /// Answers one resolve request.
    pub(crate) fn resolve(&self, body: &[u8], now: DateTime<Utc>) -> Reply {
        let parsed = message::Request::parse(body);
        let controls = self.count(parsed.as_ref().ok());
        let request = match (controls.mode, parsed) {
            (MapperMode::Down, _) => return Reply::Down,
            (MapperMode::Error, _) => return Reply::Error,
            (MapperMode::Stale, _) => return self.state().last.clone().map_or(Reply::Down, Reply::Answer),
            (MapperMode::Garbage, _) => return Reply::Answer(TRUNCATED_JSON.to_vec()),
            (MapperMode::Html, _) => return Reply::Page(LOGIN_PAGE),
            (MapperMode::Normal | MapperMode::Slow | MapperMode::WrongCount, Err(refusal)) => {
                return Reply::Refused(refusal);
            }
            (MapperMode::Normal | MapperMode::Slow | MapperMode::WrongCount, Ok(request)) => request,
        };
        let mut answers = resolve::answer_all(&request.items, &controls, now);
        let totals = message::Totals::of(&request.items, &answers);
        if controls.mode == MapperMode::WrongCount {
            answers.pop();
        }
        let answer = message::render(&request, &answers, totals, now);
        if controls.mode == MapperMode::Normal {
            self.state().last = Some(answer.clone());
        }
        Reply::Answer(answer)
    }

    fn count(&self, request: Option<&message::Request>) -> MapperControls {
        let mut state = self.state();
        state.counters.calls += 1;
        if let Some(request) = request {
            let ids: HashSet<&str> = request.items.iter().filter_map(|item| item.id.as_deref()).collect();
            state.counters.items += u64::try_from(request.items.len()).unwrap_or(u64::MAX);
            state.counters.last_call_items = request.items.len();
            state.counters.last_call_distinct_ids = ids.len();
        }
        state.controls.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is a whole assignment, so what a panicking thread left is still consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request(items: Value) -> Value {
        json!({"signature": "", "header": {"message_id": "m-1", "message_ts": "2026-07-01T08:30:00.000Z", "action": "resolve",
               "sender_id": "bridge", "total_count": 1},
               "message": {"transaction_id": "t-1", "resolve_request": items}})
    }

    fn item(reference: &str, id: &str) -> Value {
        json!({"reference_id": reference, "timestamp": "2026-07-01T08:30:00.000Z", "id": id, "scope": "details"})
    }

    fn ask(mapper: &Mapper, request: &Value) -> Value {
        match mapper.resolve(request.to_string().as_bytes(), Utc::now()) {
            Reply::Answer(body) => serde_json::from_slice(&body).expect("JSON"),
            Reply::Refused(_) | Reply::Down | Reply::Error | Reply::Page(_) => panic!("expected an answer"),
        }
    }

    fn answer_for(mapper: &Mapper, id: &str) -> Value {
        ask(mapper, &request(json!([item("r-1", id)])))["message"]["resolve_response"][0].clone()
    }

    fn set(mapper: &Mapper, change: Value) {
        mapper.change(serde_json::from_value(change).expect("a change"));
    }

    #[test]
    fn each_kind_of_id_has_its_answer() {
        let mapper = Mapper::new(Variant::Spar23);
        let table = [
            ("token:ABC123@nationalId", "succ", json!("succ.id.active"), true),
            ("token:CLOSED-1@nationalId", "succ", json!("succ.id.active"), true),
            ("token:INACTIVE1@nationalId", "succ", json!("succ.id.inactive"), true),
            ("token:BADFA1@nationalId", "succ", json!("succ.id.active"), true),
            ("token:NOTFOUND1@nationalId", "succ", json!("succ.id.not_found"), false),
            ("token:NOLINK1@nationalId", "succ", json!("succ.fa.not_linked_to_id"), false),
            ("token:RJCT1@nationalId", "rjct", json!("rjct.id.invalid"), false),
            ("token:PDNG1@nationalId", "pdng", Value::Null, false),
            ("vid:54321@elsewhere", "succ", json!("succ.id.not_found"), false),
        ];
        for (id, status, code, has_fa) in table {
            let answer = answer_for(&mapper, id);
            assert_eq!((&answer["status"], &answer["status_reason_code"]), (&json!(status), &code), "{id}");
            assert_eq!(answer["fa"].is_string(), has_fa, "{id}");
            assert_eq!(answer["id"], json!(id));
        }
    }

    #[test]
    fn the_same_id_always_has_the_same_account_until_the_salt_changes() {
        let mapper = Mapper::new(Variant::Spar23);
        let first = answer_for(&mapper, "token:ABC123@nationalId")["fa"].clone();
        assert_eq!(answer_for(&mapper, "token:ABC123@nationalId")["fa"], first);
        set(&mapper, json!({"salt": "another day"}));
        assert_ne!(answer_for(&mapper, "token:ABC123@nationalId")["fa"], first);
    }

    #[test]
    fn the_later_release_gives_no_reason_for_what_it_finds() {
        let mapper = Mapper::new(Variant::Spar1);
        let found = answer_for(&mapper, "token:ABC123@nationalId");
        assert!(found["status_reason_code"].is_null() && found["fa"].is_string());
        let missing = answer_for(&mapper, "token:NOTFOUND1@nationalId");
        assert_eq!(missing["status_reason_code"], "succ.fa.not_linked_to_id");
        assert!(missing["id"].is_null());
    }

    #[test]
    fn failures_come_first_and_items_without_id_and_fa_are_dropped() {
        let nothing = json!({"reference_id": "r-0", "timestamp": "2026-07-01T08:30:00Z"});
        let items = json!([
            item("r-1", "token:A@nationalId"),
            nothing,
            item("r-2", "token:NOTFOUND@nationalId"),
            item("r-3", "token:B@nationalId")
        ]);
        let answer = ask(&Mapper::new(Variant::Spar23), &request(items));
        let order: Vec<_> = answer["message"]["resolve_response"]
            .as_array()
            .expect("list")
            .iter()
            .map(|a| a["reference_id"].clone())
            .collect();
        assert_eq!(order, ["r-2", "r-1", "r-3"]);
        assert_eq!((&answer["header"]["total_count"], &answer["header"]["completed_count"]), (&json!(4), &json!(3)));
    }

    #[test]
    fn without_the_scope_details_there_is_no_address() {
        let mut asked = item("r-1", "token:A@nationalId");
        asked["scope"] = json!("yes_no");
        let answer = ask(&Mapper::new(Variant::Spar23), &request(json!([asked])));
        assert!(answer["message"]["resolve_response"][0]["fa"].is_null());
    }

    #[test]
    fn a_message_of_which_every_item_is_rejected_is_rejected() {
        let answer = ask(&Mapper::new(Variant::Spar23), &request(json!([item("r-1", "token:RJCT@nationalId")])));
        assert_eq!(answer["header"]["status"], "rjct");
        assert_eq!(answer["header"]["status_reason_code"], "rjct.errors.too_many");
    }

    #[test]
    fn what_is_not_a_resolve_request_is_refused() {
        let mut other_action = request(json!([]));
        other_action["header"]["action"] = json!("link");
        let mut unsigned = request(json!([]));
        unsigned.as_object_mut().expect("object").remove("signature");
        let no_reference = request(json!([{"timestamp": "2026-07-01T08:30:00Z", "id": "token:A@nationalId"}]));
        for body in [other_action.to_string(), unsigned.to_string(), no_reference.to_string(), "{".to_owned()] {
            let reply = Mapper::new(Variant::Spar23).resolve(body.as_bytes(), Utc::now());
            assert!(matches!(reply, Reply::Refused(_)), "should be refused: {body}");
        }
    }

    #[test]
    fn an_override_decides_before_the_rules() {
        let mapper = Mapper::new(Variant::Spar23);
        set(
            &mapper,
            json!({"overrides": {"token:x@nationalId": "account:1@a.b.bank_acc", "token:y@nationalId": null}}),
        );
        assert_eq!(answer_for(&mapper, "token:x@nationalId")["fa"], "account:1@a.b.bank_acc");
        assert_eq!(answer_for(&mapper, "token:y@nationalId")["status_reason_code"], "succ.id.not_found");
    }

    #[test]
    fn the_fault_modes_answer_with_faults() {
        let mapper = Mapper::new(Variant::Spar23);
        let body = request(json!([item("r-1", "token:A@nationalId"), item("r-2", "token:B@nationalId")])).to_string();
        set(&mapper, json!({"mode": "down"}));
        assert!(matches!(mapper.resolve(body.as_bytes(), Utc::now()), Reply::Down));
        set(&mapper, json!({"mode": "error"}));
        assert!(matches!(mapper.resolve(body.as_bytes(), Utc::now()), Reply::Error));
        set(&mapper, json!({"mode": "html"}));
        assert!(matches!(mapper.resolve(body.as_bytes(), Utc::now()), Reply::Page(_)));
        set(&mapper, json!({"mode": "garbage"}));
        let Reply::Answer(garbage) = mapper.resolve(body.as_bytes(), Utc::now()) else {
            panic!("garbage is sent with 200")
        };
        assert!(serde_json::from_slice::<Value>(&garbage).is_err());
        set(&mapper, json!({"mode": "wrong_count"}));
        let Reply::Answer(short) = mapper.resolve(body.as_bytes(), Utc::now()) else { panic!("expected an answer") };
        let short: Value = serde_json::from_slice(&short).expect("JSON");
        assert_eq!(short["message"]["resolve_response"].as_array().map(Vec::len), Some(1));
        assert_eq!(short["header"]["total_count"], 2);
    }

    #[test]
    fn a_stale_answer_is_the_last_good_one_whatever_is_asked() {
        let mapper = Mapper::new(Variant::Spar23);
        let body = |reference| request(json!([item(reference, "token:A@nationalId")]));
        set(&mapper, json!({"mode": "stale"}));
        assert!(matches!(mapper.resolve(body("r-1").to_string().as_bytes(), Utc::now()), Reply::Down));
        set(&mapper, json!({"mode": "normal"}));
        let good = ask(&mapper, &body("r-1"));
        set(&mapper, json!({"mode": "stale"}));
        assert_eq!(ask(&mapper, &body("r-2")), good);
    }

    #[test]
    fn the_counters_show_whether_ids_were_deduplicated() {
        let mapper = Mapper::new(Variant::Spar23);
        ask(&mapper, &request(json!([item("r-1", "token:A@nationalId"), item("r-2", "token:A@nationalId")])));
        let view = serde_json::to_value(mapper.view()).expect("JSON");
        assert_eq!(
            (&view["calls"], &view["items"], &view["last_call_distinct_ids"]),
            (&json!(1), &json!(2), &json!(1))
        );
    }
}
