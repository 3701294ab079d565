//! The plan of faults: what it takes, what it refuses, and that its dice fall the same way each time.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::json;

use super::plan::{Chance, ForcedState, MojaloopKnobs, MpesaKnobs, RateLimit, Rule, SimpleMpesaKnobs};
use super::*;

fn plan(json: &serde_json::Value) -> Result<FaultPlan, String> {
    FaultPlan::read(json.to_string().as_bytes())
}

fn call(key: &str) -> Call<'_> {
    Call { key, account: "254700001234", amount_minor: Some(1000) }
}

#[test]
fn a_rule_gives_its_fault_to_the_call_that_it_names_and_to_no_other() {
    let plan =
        plan(&json!({"rules": [{"rail": "mpesa", "stage": "submit", "match": {"key": "k1", "amount_minor": 1000},
        "nth": 2, "fault": "close_after"}]}))
        .expect("good");
    let faults = Faults::new(plan);
    let decide = |stage, key| faults.decide(Rail::Mpesa, stage, call(key));
    assert_eq!(decide(Stage::Submit, "k1"), None);
    assert_eq!(decide(Stage::Submit, "k2"), None);
    assert_eq!(decide(Stage::Inquire, "k1"), None);
    assert_eq!(decide(Stage::Submit, "k1"), Some(Fault::CloseAfter));
    assert_eq!(decide(Stage::Submit, "k1"), None);
    let view = json!(faults.view());
    assert_eq!(view["given"], json!([{"rail": "mpesa", "stage": "submit", "fault": "close_after", "times": 1}]));
}

#[test]
fn the_same_seed_gives_the_same_faults_and_another_seed_others() {
    let faults_of = |seed: u64| {
        let plan = plan(&json!({"seed": seed, "chances": [
            {"rail": "mojaloop", "stage": "commit", "per_million": 100_000, "fault": {"delay": {"ms": 5}}},
            {"rail": "mojaloop", "stage": "commit", "per_million": 200_000, "fault": "hang_after"}]}))
        .expect("good");
        let faults = Faults::new(plan);
        (0..1000).map(|n| faults.decide(Rail::Mojaloop, Stage::Commit, call(&n.to_string()))).collect::<Vec<_>>()
    };
    let first = faults_of(7);
    assert_eq!(first, faults_of(7));
    assert_ne!(first, faults_of(8));
    let given = |fault: &Fault| first.iter().flatten().filter(|given| *given == fault).count();
    assert!((60..140).contains(&given(&Fault::Delay { ms: 5 })), "a tenth, about");
    assert!((130..230).contains(&given(&Fault::HangAfter)), "a fifth of the rest, about");
}

#[test]
fn a_plan_that_cannot_be_played_is_refused_with_its_place() {
    for (bad, why) in [
        (json!({"sed": 1}), "unknown field `sed`"),
        (
            json!({"rules": [{"rail": "mpesa", "stage": "commit", "fault": "hang_after"}]}),
            "rules[0].stage: mpesa has no stage commit",
        ),
        (json!({"rules": [{"rail": "mpesa", "stage": "submit", "fault": "callback_lost"}]}), "cannot happen at submit"),
        (
            json!({"rules": [{"rail": "mpesa", "stage": "submit", "nth": 0, "fault": "hang_after"}]}),
            "nth counts from 1",
        ),
        (
            json!({"rules": [{"rail": "mpesa", "stage": "submit", "fault": {"error_before": {"status": 200}}}]}),
            "500 to 599",
        ),
        (
            json!({"rules": [{"rail": "mpesa", "stage": "submit", "fault": {"delay": {"ms": 600_001}}}]}),
            "longest delay",
        ),
        (
            json!({"chances": [{"rail": "mpesa", "stage": "submit", "per_million": 1_000_001, "fault": "hang_after"}]}),
            "a million at most",
        ),
        (json!({"mojaloop": {"answer_delay_ms": 600_001}}), "longest delay"),
        (json!({"rules": [{"rail": "mojaloop", "stage": "commit", "fault": "expired_token"}]}), "cannot happen"),
    ] {
        let refusal = plan(&bad).expect_err("should be refused");
        assert!(refusal.contains(why), "{refusal}");
    }
}

#[test]
fn what_is_wrong_in_a_file_is_named_by_its_knob_and_line() {
    for (file, why) in [
        (
            "{\"seed\": 7,\n \"mpesa\": {\n  \"callback_delay_ms\": \"50\"}}",
            "mpesa.callback_delay_ms: invalid type: string \"50\", expected u64 at line 3",
        ),
        ("{\n \"mojalop\": {}}", "mojalop: unknown field `mojalop`, expected one of"),
        (
            "{\"seed\": 7,\n \"rules\": [\n  {\"rail\": \"mpesa\",\n   \"stage\": \"prepare\", \"fault\": \"hang_after\"}]}",
            "rules[0].stage: mpesa has no stage prepare at line 4",
        ),
        (
            "{\"chances\": [\n {\"rail\": \"mpesa\", \"stage\": \"submit\", \"per_million\": 1, \"fault\": \"close\"}]}",
            "chances[0].fault: unknown variant `close`",
        ),
        (
            "{\n\n\"simple-mpesa\": {\"answer_delay_ms\": 600001}}",
            "simple-mpesa.answer_delay_ms: the longest delay is 600000 ms at line 3",
        ),
        ("{\"seed\": 7}\n{}", "trailing characters at line 2"),
    ] {
        let refusal = FaultPlan::read(file.as_bytes()).expect_err("should be refused");
        assert!(refusal.starts_with(why), "{refusal}");
    }
}

#[test]
fn codes_change_their_type_and_nothing_else_does() {
    let turned =
        answer::wrong_types(r#"{"Result":{"ResultCode":0,"ResultDesc":"1"},"expires_in":"3599","statusCode":"3204"}"#);
    assert_eq!(turned, r#"{"Result":{"ResultCode":"0","ResultDesc":"1"},"expires_in":3599,"statusCode":3204}"#);
    assert_eq!(answer::broken_off("{\"a\":1234}"), "{\"a\":1");
}

/// The names that serde would take where it meets one that it does not know.
fn names<T: DeserializeOwned>(json: &str) -> BTreeSet<String> {
    let Err(error) = serde_json::from_str::<T>(json) else { panic!("{json} should not be known") };
    let error = error.to_string();
    let expected = error.split_once("expected").expect("a list of names").1;
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_document_lists_every_knob_and_no_other() {
    let unknown_field = r#"{"?": 0}"#;
    let unknown_variant = r#""?""#;
    let known: BTreeSet<_> = [
        names::<FaultPlan>(unknown_field),
        names::<Rule>(unknown_field),
        names::<Chance>(unknown_field),
        names::<plan::Match>(unknown_field),
        names::<MpesaKnobs>(unknown_field),
        names::<SimpleMpesaKnobs>(unknown_field),
        names::<MojaloopKnobs>(unknown_field),
        names::<Rail>(unknown_variant),
        names::<Stage>(unknown_variant),
        names::<Fault>(unknown_variant),
        names::<Fault>(r#"{"timeout_callback": {"?": 0}}"#),
        names::<RateLimit>(unknown_variant),
        names::<ForcedState>(unknown_variant),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert!(known.contains("timeout_callback") && known.contains("result_after_ms") && known.contains("seed"));

    let listed: BTreeSet<_> = rows_of_the_document().into_iter().map(|(name, _)| name.to_owned()).collect();
    let of_faults: BTreeSet<_> = ["ms", "status", "style", "state"].map(str::to_owned).into();
    let known: BTreeSet<_> = known.union(&of_faults).cloned().collect();
    assert_eq!(listed, known, "left: docs/simulator.md; right: the type");
}

/// Name and further cells of each row in the tables of the section about knobs.
fn rows_of_the_document() -> Vec<(&'static str, &'static str)> {
    let document = include_str!("../../../../docs/simulator.md");
    let knobs = document.split_once("## Every knob").expect("the section").1;
    let knobs = knobs.split_once("\n## ").map_or(knobs, |(section, _)| section);
    knobs.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |")).collect()
}

#[test]
fn every_example_of_the_document_is_taken_somewhere() {
    let rails = ["mpesa", "simple-mpesa", "mojaloop"];
    let stages = names::<Stage>(r#""?""#);
    let fault_fits = |fault: &str| {
        let rule =
            |rail, stage| format!(r#"{{"rules": [{{"rail": "{rail}", "stage": "{stage}", "fault": {fault}}}]}}"#);
        rails.iter().any(|rail| stages.iter().any(|stage| FaultPlan::read(rule(rail, stage).as_bytes()).is_ok()))
    };
    let knob_fits = |knob: &str| {
        let of_rail = |rail: &&str| FaultPlan::read(format!(r#"{{"{rail}": {{{knob}}}}}"#).as_bytes()).is_ok();
        FaultPlan::read(format!("{{{knob}}}").as_bytes()).is_ok() || rails.iter().any(of_rail)
    };
    let rule_fits = |knob: &str| {
        let rule = json!({"rail": "mpesa", "stage": "submit", "fault": "hang_after"}).to_string();
        let mut rule: serde_json::Map<_, _> = serde_json::from_str(&rule).expect("an object");
        let knob: serde_json::Map<_, _> = serde_json::from_str(&format!("{{{knob}}}")).expect("an example is JSON");
        let in_match = json!({"rules": [{"rail": "mpesa", "stage": "submit", "match": knob, "fault": "hang_after"}]});
        rule.extend(knob);
        [json!({"rules": [rule]}), json!({"chances": [rule]}), in_match].iter().any(|document| plan(document).is_ok())
    };
    // Fields of faults are shown as they stand in one, whose own example shows it whole.
    let in_a_fault = ["ms", "status", "style", "state", "paid", "result_after_ms"];
    for (name, cells) in rows_of_the_document() {
        let example = cells.rsplit("| ").next().and_then(|cell| cell.split('`').nth(1)).unwrap_or_default();
        let taken = match example {
            _ if stages.contains(name) || in_a_fault.contains(&name) => true,
            _ if !example.contains("\":") || example.starts_with('{') => fault_fits(example),
            _ => knob_fits(example) || rule_fits(example),
        };
        assert!(taken, "{name}: {example}");
    }
}
