//! The example messages under docs/examples are what these tests say they are.
//!
//! `disburse-1000.json` is made by the generator beside this file. Where the two differ, the test shows it; run it
//! with `GCTB_WRITE_EXAMPLES=1` to write the file anew.

mod example_batch;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples").join(name)
}

fn read(name: &str) -> Value {
    serde_json::from_slice(&fs::read(example(name)).expect(name)).expect("is JSON")
}

fn disbursements(message: &Value) -> &[Value] {
    message["message"]["disbursements"].as_array().expect("has disbursements")
}

fn text<'a>(item: &'a Value, field: &str) -> &'a str {
    item[field].as_str().unwrap_or_default()
}

#[test]
fn the_large_example_is_what_its_generator_makes() {
    let made = example_batch::message();
    if std::env::var_os("GCTB_WRITE_EXAMPLES").is_some() {
        fs::write(example("disburse-1000.json"), &made).expect("the example can be written");
    }
    let kept = fs::read_to_string(example("disburse-1000.json")).expect("the example exists");
    let first_difference = made.lines().zip(kept.lines()).position(|(made, kept)| made != kept);
    assert_eq!(first_difference, None, "the line (from 0) where file and generator differ first");
    assert_eq!(made.len(), kept.len());
}

#[test]
fn the_large_example_has_a_thousand_disbursements_in_the_proportions_that_its_readme_gives() {
    let message = read("disburse-1000.json");
    let items = disbursements(&message);
    let count = |wanted: &dyn Fn(&Value) -> bool| items.iter().filter(|item| wanted(item)).count();
    let purposes: BTreeSet<_> = items.iter().map(|item| text(item, "purpose")).collect();
    assert_eq!(items.len(), 1000);
    assert_eq!(message["header"]["total_count"], 1000);
    assert_eq!(purposes.len(), 4);
    assert_eq!(count(&|item| text(item, "scheduled_timestamp").starts_with('+')), 40);
    assert!((400..=440).contains(&count(&|item| text(item, "payee_fa").starts_with("token:"))));
    for form in ["account:", "account_no:", "iban:", "phone:", "email:"] {
        assert!(count(&|item| text(item, "payee_fa").starts_with(form)) >= 20, "{form}");
    }
}

#[test]
fn the_large_example_has_several_of_every_kind_of_bad_disbursement() {
    let mut kinds = BTreeMap::<_, usize>::new();
    for position in 0..example_batch::DISBURSEMENTS {
        if let Some(flaw) = example_batch::flaw_at(position) {
            *kinds.entry(format!("{flaw:?}")).or_default() += 1;
        }
    }
    let readme = fs::read_to_string(example("README.md")).expect("the readme exists");
    assert!(
        readme.contains(&format!("in {} ways", kinds.len())),
        "the readme gives another number than {}",
        kinds.len()
    );
    assert!(kinds.values().all(|count| *count >= 3), "{kinds:?}");
}

#[test]
fn only_the_bearers_of_a_duplicated_reference_share_it() {
    let message = read("disburse-1000.json");
    let mut bearers = BTreeMap::<_, usize>::new();
    for item in disbursements(&message) {
        *bearers.entry(text(item, "reference_id")).or_default() += 1;
    }
    assert!(bearers.iter().all(|(reference, count)| *count == if reference.contains("twice") { 2 } else { 1 }));
}

#[test]
fn the_small_examples_are_messages_that_belong_together() {
    let (disburse, status) = (read("disburse-small.json"), read("status.json"));
    assert_eq!(disbursements(&disburse).len(), 3);
    let request = &status["message"]["txnstatus_request"];
    assert_eq!(request["attribute_type"], "transaction_id");
    assert_eq!(request["attribute_value"], disburse["message"]["transaction_id"]);
    assert_eq!(status["header"]["sender_id"], disburse["header"]["sender_id"]);
}
