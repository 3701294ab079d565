//! openapi.json describes what really happens: every route is in it, and every example works.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::stage::{Answer, SPEC_SENDER, Stage};
use crate::docs::OPENAPI as DOCUMENT;
use crate::routes::{DISBURSE, DOCS, OPENAPI, STATUS};

fn document() -> Value {
    serde_json::from_str(DOCUMENT).expect("openapi.json is JSON")
}

fn examples(document: &Value, path: &str) -> Vec<Value> {
    let examples = &document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"];
    examples.as_object().expect("examples").values().map(|example| example["value"].clone()).collect()
}

/// The keys of an answer at every depth, by path; list items share one path.
fn shape(value: &Value, path: &str, keys: &mut BTreeSet<String>) {
    if let Some(object) = value.as_object() {
        for (key, value) in object {
            let path = format!("{path}.{key}");
            keys.insert(path.clone());
            shape(value, &path, keys);
        }
    }
    for value in value.as_array().into_iter().flatten() {
        shape(value, path, keys);
    }
}

fn is_documented(document: &Value, path: &str, answer: &Answer) {
    let responses = &document["paths"][path]["post"]["responses"];
    let response = &responses[answer.status.as_str()];
    assert!(response.is_object(), "{path} answers {}, which openapi.json does not know", answer.status);
    let mut documented = BTreeSet::new();
    for example in response["content"]["application/json"]["examples"].as_object().expect("examples").values() {
        shape(&example["value"], "", &mut documented);
    }
    let mut real = BTreeSet::new();
    shape(&answer.json(), "", &mut real);
    let unknown: Vec<&String> = real.difference(&documented).collect();
    assert!(unknown.is_empty(), "{path} answers keys that no example of {} shows: {unknown:?}", answer.status);
}

#[actix_web::test]
async fn every_route_is_described_and_every_description_has_a_route() {
    let described: BTreeSet<String> = document()["paths"].as_object().expect("paths").keys().cloned().collect();
    // The last three are gctb-runtime's, under test there.
    let routes = [DISBURSE, STATUS, OPENAPI, DOCS, "/healthz", "/readyz", "/metrics"].map(str::to_owned);
    assert_eq!(described, BTreeSet::from(routes));
    let stage = Stage::without_database(&[]);
    for path in [DISBURSE, STATUS] {
        assert_eq!(stage.post(path, &json!({})).await.status, 400, "{path}");
        assert_eq!(stage.get(path).await.status, 405, "{path}");
    }
    for path in [OPENAPI, DOCS] {
        assert_eq!(stage.get(path).await.status, 200, "{path}");
    }
}

#[actix_web::test]
async fn every_example_works_and_is_answered_as_described() {
    let Some(stage) = Stage::with_database("every_example_works_and_is_answered_as_described") else { return };
    let document = document();
    for path in [DISBURSE, STATUS] {
        for mut example in examples(&document, path) {
            // The examples' sender is answered in both modes.
            for sender in ["gov.example.org", SPEC_SENDER] {
                example["header"]["sender_id"] = json!(sender);
                let answer = stage.post(path, &example).await;
                assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.bytes));
                is_documented(&document, path, &answer);
            }
        }
        let wrong = stage.post(path, &json!({"header": []})).await;
        is_documented(&document, path, &wrong);
    }
    let mut changed = examples(&document, DISBURSE).remove(0);
    changed["header"]["sender_id"] = json!("gov.example.org");
    changed["header"]["message_id"] = json!("another");
    changed["message"]["disbursements"][0]["amount"] = json!("1.00");
    let refused = stage.post(DISBURSE, &changed).await;
    assert_eq!(refused.status, 409);
    is_documented(&document, DISBURSE, &refused);
    for path in [DISBURSE, STATUS] {
        let mut refused = examples(&document, path).remove(0);
        refused["header"]["sender_id"] = json!("gov.example.org");
        refused["header"]["version"] = json!("2.0.0");
        let refused = stage.post(path, &refused).await;
        assert_eq!(refused.status, 422);
        is_documented(&document, path, &refused);
    }
}

#[actix_web::test]
async fn the_documentation_works_without_the_internet() {
    let stage = Stage::without_database(&[]);
    assert_eq!(stage.get("/docs").await.status, 308);
    let page = String::from_utf8(stage.get(DOCS).await.bytes).expect("text");
    assert!(page.contains("swagger-ui-bundle.js"));
    assert!(!page.contains("http://") && !page.contains("https://"), "the page loads nothing from elsewhere");
    assert_eq!(stage.get("/docs/swagger-ui-bundle.js").await.status, 200);
    let initializer = String::from_utf8(stage.get("/docs/swagger-initializer.js").await.bytes).expect("text");
    assert!(initializer.contains(OPENAPI));
    assert_eq!(stage.get(OPENAPI).await.json()["openapi"], "3.1.0");
}
