//! What a sender learns about its disbursements, and what it does not about others'.

use serde_json::{Value, json};

use super::stage::{SPEC_SENDER, Stage, item, message, question};
use crate::routes::{DISBURSE, STATUS};

fn references(answer: &Value) -> Vec<String> {
    let status = &answer["message"]["txnstatus_response"]["txn_status"];
    let items = status.as_array().or_else(|| status["disbursements_status"].as_array()).expect("items");
    items.iter().map(|item| item["reference_id"].as_str().expect("a text").to_owned()).collect()
}

#[actix_web::test]
async fn references_are_told_in_the_order_asked_for_and_unknown_ones_where_the_mode_allows() {
    let Some(stage) =
        Stage::with_database("references_are_told_in_the_order_asked_for_and_unknown_ones_where_the_mode_allows")
    else {
        return;
    };
    let asked = json!({"attribute_type": "reference_id_list", "attribute_value": ["r-2", "who", "r-1"]});
    for (sender, expected, action) in
        [("s", vec!["r-2", "r-1"], "status"), (SPEC_SENDER, vec!["r-2", "who", "r-1"], "on-disburse")]
    {
        stage.post(DISBURSE, &message(sender, "m-1", "t-1", &[item("r-1"), item("r-2")])).await;
        let answer = stage.post(STATUS, &question(sender, asked.clone())).await.json();
        assert_eq!(references(&answer), expected);
        assert_eq!(answer["header"]["action"], action);
        assert_eq!(answer["header"]["total_count"], expected.len());
    }
    let nothing = json!({"attribute_type": "reference_id_list", "attribute_value": []});
    assert!(references(&stage.post(STATUS, &question("s", nothing)).await.json()).is_empty());
}

#[actix_web::test]
async fn a_transaction_is_told_in_pages_in_the_order_of_its_message() {
    let Some(stage) = Stage::with_database("a_transaction_is_told_in_pages_in_the_order_of_its_message") else {
        return;
    };
    let items: Vec<Value> = (0..5).map(|n| item(&format!("r-{n}"))).collect();
    let first = stage.post(DISBURSE, &message("s", "m-1", "t-1", &items)).await.json();
    let page = |number: u32| json!({"attribute_type": "transaction_id", "attribute_value": "t-1", "pagination": {"page_size": 2, "page_number": number}});
    let mut seen = Vec::new();
    for number in 1..=4 {
        let answer = stage.post(STATUS, &question("s", page(number))).await.json();
        assert_eq!(answer["header"]["total_count"], 5);
        assert_eq!(
            answer["message"]["txnstatus_response"]["pagination"],
            json!({"page_size": 2, "page_number": number, "total_count": 5})
        );
        seen.push(references(&answer));
    }
    assert_eq!(seen, [vec!["r-0", "r-1"], vec!["r-2", "r-3"], vec!["r-4"], vec![]]);
    let correlation =
        json!({"attribute_type": "correlation_id", "attribute_value": first["message"]["correlation_id"]});
    assert_eq!(references(&stage.post(STATUS, &question("s", correlation)).await.json()).len(), 5);
    assert!(references(&stage.post(STATUS, &question("s", page(u32::MAX))).await.json()).is_empty());
}

#[actix_web::test]
async fn i9_a_sender_is_told_nothing_about_anothers_disbursements() {
    let Some(stage) = Stage::with_database("i9_a_sender_is_told_nothing_about_anothers_disbursements") else { return };
    let first = stage.post(DISBURSE, &message("s", "m-1", "t-1", &[item("r-1")])).await.json();
    let questions = [
        json!({"attribute_type": "transaction_id", "attribute_value": "t-1"}),
        json!({"attribute_type": "correlation_id", "attribute_value": first["message"]["correlation_id"]}),
        json!({"attribute_type": "correlation_id", "attribute_value": "none of ours"}),
        json!({"attribute_type": "reference_id_list", "attribute_value": ["r-1"]}),
    ];
    for asked in questions {
        let answer = stage.post(STATUS, &question("curious", asked)).await;
        assert_eq!(answer.status, 200);
        assert!(references(&answer.json()).is_empty());
        assert_eq!(answer.json()["header"]["total_count"], 0);
    }
}

#[actix_web::test]
async fn a_wrong_question_is_named_as_the_original_bridge_does() {
    let stage = Stage::without_database(&[]);
    let asked = json!({"attribute_type": "reference_id_list", "attribute_value": "r-1"});
    let error = stage.post(STATUS, &question("s", asked)).await.error();
    assert_eq!(error, (400, "GCTB-PMS-350".to_owned(), "attribute_value is supposed to be a list.".to_owned()));
}
