//! What is stored, what is answered, and what a repeated message does.

use std::time::Duration;

use serde_json::{Value, json};

use super::stage::{SPEC_SENDER, Stage, item, message};
use crate::intake;
use crate::routes::DISBURSE;

const COUNTS: &str = "SELECT (SELECT count(*) FROM batches)::text || ' batches, '
    || (SELECT count(*) FROM payment_instructions)::text || ' instructions, '
    || (SELECT count(*) FROM payment_ledger)::text || ' decided, '
    || (SELECT count(*) FROM outbox WHERE kind = 1)::text || ' chunks' AS value";

fn bad(reference: &str) -> Value {
    let mut item = item(reference);
    item["amount"] = json!("10.505");
    item
}

/// The answer without the times and ids that differ from message to message.
fn told(items: &[Value]) -> Vec<Value> {
    let mut items = items.to_vec();
    for item in &mut items {
        item.as_object_mut().expect("an object").remove("timestamp");
    }
    items
}

#[actix_web::test]
async fn i1_what_is_acknowledged_is_committed_with_its_messages_to_kafka() {
    let Some(stage) = Stage::with_database("i1_what_is_acknowledged_is_committed_with_its_messages_to_kafka") else {
        return;
    };
    let answer = stage.post(DISBURSE, &message("s", "m-1", "t-1", &[item("r-1"), bad("r-2")])).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["header"]["status"], "rcvd");
    assert_eq!(stage.database().value(COUNTS), "1 batches, 2 instructions, 1 decided, 1 chunks");
    let statuses: Vec<String> = answer.items().iter().map(|item| item["status"].to_string()).collect();
    assert_eq!(statuses, ["\"rcvd\"", "\"rjct\""]);
    assert_eq!(answer.items()[0]["amount"], "1000.00");
    assert_eq!(answer.items()[1]["status_reason_code"], "rjct.amount.invalid");
}

#[actix_web::test]
async fn i1_without_the_database_nothing_is_acknowledged() {
    let stage = Stage::without_database(&[]);
    let answer = stage.post(DISBURSE, &message("s", "m-1", "t-1", &[item("r-1")])).await;
    let (status, code, _) = answer.error();
    assert_eq!((status, code.as_str()), (503, "err.service.unavailable"));
    assert_eq!(answer.retry_after.as_deref(), Some("1"));
}

#[actix_web::test]
async fn i1_a_batch_whose_commit_fails_is_not_acknowledged() {
    let Some(stage) = Stage::with_database("i1_a_batch_whose_commit_fails_is_not_acknowledged") else { return };
    // Deferred: every statement of the intake succeeds, and its commit does not.
    let refusing =
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$;
        CREATE CONSTRAINT TRIGGER refusing AFTER INSERT ON batches DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION refuse()";
    stage.database().db().execute_sql(refusing).expect("the trigger is made");
    let batch = message("s", "m-1", "t-1", &[item("r-1"), bad("r-2")]);
    assert_eq!(stage.post(DISBURSE, &batch).await.error().1, "err.service.unavailable");
    assert_eq!(stage.database().value(COUNTS), "0 batches, 0 instructions, 0 decided, 0 chunks");
    stage.database().db().execute_sql("DROP TRIGGER refusing ON batches").expect("the trigger goes");
    assert_eq!(stage.post(DISBURSE, &batch).await.status, 200);
}

#[actix_web::test]
async fn i7_a_bad_item_is_refused_alone_and_decided_in_the_same_commit() {
    let Some(stage) = Stage::with_database("i7_a_bad_item_is_refused_alone_and_decided_in_the_same_commit") else {
        return;
    };
    stage.post(DISBURSE, &message("s", "m-1", "t-1", &[item("r-1"), bad("r-2"), item("r-3"), item("r-3")])).await;
    let decided = stage.database().values(
        "SELECT l.seq || ' ' || l.state || ' ' || l.reason_code || ' ' || coalesce(p.amount::text, p.amount_text) AS value
         FROM payment_ledger l JOIN payment_instructions p USING (batch_id, seq) ORDER BY l.seq",
    );
    let duplicate = "rjct.reference_id.duplicate 100000";
    let expected =
        ["1 1 rjct.amount.invalid 10.505".to_owned(), format!("2 1 {duplicate}"), format!("3 1 {duplicate}")];
    assert_eq!(decided, expected);
}

#[actix_web::test]
async fn a_repeated_message_is_answered_as_the_first_and_changes_nothing() {
    let Some(stage) = Stage::with_database("a_repeated_message_is_answered_as_the_first_and_changes_nothing") else {
        return;
    };
    let items = [item("r-1"), bad("r-2")];
    let first = stage.post(DISBURSE, &message("s", "m-1", "t-1", &items)).await;
    let mut again = message("s", "m-2", "t-1", &items);
    again["signature"] = json!("another");
    let second = stage.post(DISBURSE, &again).await;
    assert_eq!(second.status, 200);
    assert_eq!(told(&second.items()), told(&first.items()));
    assert_eq!(second.json()["message"]["correlation_id"], first.json()["message"]["correlation_id"]);
    assert_eq!(second.json()["header"]["message_id"], "m-2");
    assert_eq!(stage.database().value(COUNTS), "1 batches, 2 instructions, 1 decided, 1 chunks");
}

#[actix_web::test]
async fn a_repeated_message_without_ids_finds_itself() {
    let Some(stage) = Stage::with_database("a_repeated_message_without_ids_finds_itself") else { return };
    let mut nameless = message("s", "m-1", "", &[item("")]);
    nameless["message"].as_object_mut().expect("an object").remove("transaction_id");
    let first = stage.post(DISBURSE, &nameless).await;
    let second = stage.post(DISBURSE, &nameless).await;
    assert_eq!(first.json()["message"]["transaction_id"], second.json()["message"]["transaction_id"]);
    assert_eq!(told(&first.items()), told(&second.items()));
    assert_eq!(stage.database().value(COUNTS), "1 batches, 1 instructions, 0 decided, 1 chunks");
}

#[actix_web::test]
async fn a_transaction_with_other_content_is_refused_by_name() {
    let Some(stage) = Stage::with_database("a_transaction_with_other_content_is_refused_by_name") else { return };
    for (sender, status, code) in [("s", 409, json!("rjct.transaction_id.duplicate")), (SPEC_SENDER, 200, Value::Null)]
    {
        let first = stage.post(DISBURSE, &message(sender, "m-1", "t-1", &[item("r-1")])).await;
        assert_eq!(first.status, 200);
        let changed = stage.post(DISBURSE, &message(sender, "m-2", "t-1", &[item("r-2")])).await;
        let header = changed.json()["header"].clone();
        assert_eq!((changed.status.as_u16(), &header["status_reason_code"]), (status, &code));
        assert_eq!(header["status"], "rjct");
        assert!(header["status_reason_message"].as_str().is_some_and(|words| words.contains("\"t-1\"")));
    }
    assert_eq!(stage.database().value(COUNTS), "2 batches, 2 instructions, 0 decided, 2 chunks");
}

#[actix_web::test]
async fn a_message_id_that_was_used_for_another_transaction_is_refused() {
    let Some(stage) = Stage::with_database("a_message_id_that_was_used_for_another_transaction_is_refused") else {
        return;
    };
    stage.post(DISBURSE, &message("s", "m-1", "t-1", &[item("r-1")])).await;
    let answer = stage.post(DISBURSE, &message("s", "m-1", "t-2", &[item("r-2")])).await;
    assert_eq!(answer.status, 409);
    assert_eq!(answer.json()["header"]["status_reason_code"], "rjct.message_id.duplicate");
    let other_sender = stage.post(DISBURSE, &message("another", "m-1", "t-1", &[item("r-1")])).await;
    assert_eq!(other_sender.status, 200);
}

#[actix_web::test]
async fn a_header_refusal_is_a_4xx_for_openg2p_and_a_200_for_the_specification() {
    let stage = Stage::without_database(&[]);
    for (sender, status, action) in [("s", 422, "disburse"), (SPEC_SENDER, 200, "on-disburse")] {
        let mut wrong = message(sender, "m-1", "t-1", &[item("r-1")]);
        wrong["header"]["version"] = json!("2.0.0");
        let answer = stage.post(DISBURSE, &wrong).await;
        let header = answer.json()["header"].clone();
        assert_eq!((answer.status.as_u16(), &header["action"]), (status, &json!(action)));
        assert_eq!(header["status_reason_code"], "rjct.version.invalid");
    }
}

#[actix_web::test]
async fn what_is_scheduled_waits_in_the_outbox_until_its_time() {
    let Some(stage) = Stage::with_database("what_is_scheduled_waits_in_the_outbox_until_its_time") else { return };
    let mut later = item("r-2");
    let due = chrono::Utc::now() + chrono::TimeDelta::days(30);
    later["scheduled_timestamp"] = json!(due.to_rfc3339());
    stage.post(DISBURSE, &message("s", "m-1", "t-1", &[item("r-1"), later])).await;
    let waits = "SELECT (due_at > now() + interval '29 days')::text AS value FROM outbox ORDER BY due_at";
    assert_eq!(stage.database().values(waits), ["false", "true"]);
}

#[actix_web::test]
async fn posts_of_one_message_at_the_same_time_store_one_batch() {
    let Some(stage) = Stage::with_database("posts_of_one_message_at_the_same_time_store_one_batch") else { return };
    let body = message("s", "m-1", "t-1", &[item("r-1")]).to_string();
    let mut rooms = Vec::new();
    for _ in 0..6 {
        rooms.push(stage.room().await);
    }
    let (body, world, barrier) = (&body, &stage.world, &std::sync::Barrier::new(6));
    std::thread::scope(|scope| {
        for room in rooms {
            scope.spawn(move || {
                barrier.wait();
                let taken = intake::take(world, body.clone().into_bytes(), room, chrono::Utc::now(), None);
                assert_eq!(taken.expect("answered").into_response(Duration::ZERO).status(), 200);
            });
        }
    });
    assert_eq!(stage.database().value(COUNTS), "1 batches, 1 instructions, 0 decided, 1 chunks");
}

#[actix_web::test]
async fn a_large_answer_goes_out_in_pieces_and_is_whole_the_first_time_and_again() {
    let Some(stage) = Stage::with_database("a_large_answer_goes_out_in_pieces_and_is_whole_the_first_time_and_again")
    else {
        return;
    };
    let words = "w".repeat(90);
    let items: Vec<Value> = (0..20_000)
        .map(|n| {
            let mut item =
                if n % 7_000 == 0 { bad(&format!("r-{n}-{words}")) } else { item(&format!("r-{n}-{words}")) };
            item["payer_name"] = json!(words);
            item
        })
        .collect();
    let first = stage.post(DISBURSE, &message("s", "m-1", "t-1", &items)).await;
    assert!(first.bytes.len() > 4 * crate::pieces::PIECE_BYTES, "it is large");
    let second = stage.post(DISBURSE, &message("s", "m-1", "t-1", &items)).await;
    for answer in [&first, &second] {
        let references: Vec<String> =
            answer.items().iter().map(|item| item["reference_id"].as_str().expect("a text").to_owned()).collect();
        assert!(references.iter().eq((0..20_000).map(|n| format!("r-{n}-{words}")).collect::<Vec<_>>().iter()));
        assert_eq!(answer.json()["header"]["completed_count"], 3);
    }
    assert_eq!(told(&second.items()), told(&first.items()));
    assert_eq!(stage.world.bodies.budget.taken(), 0, "the room is free again");
}

#[actix_web::test]
async fn i6_amounts_and_texts_are_stored_as_they_were_meant() {
    let Some(stage) = Stage::with_database("i6_amounts_and_texts_are_stored_as_they_were_meant") else { return };
    let mut strange = item("r-2");
    strange["note"] = json!("a\u{0}b");
    let mut ugx = item("r-3");
    ugx["currency_code"] = json!("UGX");
    stage.post(DISBURSE, &message("s", "m-1", "t-1", &[item("r-1"), strange, ugx])).await;
    let rows = stage.database().values(
        "SELECT amount || ' ' || currency || ' ' || coalesce(note, '-') AS value FROM payment_instructions ORDER BY seq",
    );
    assert_eq!(rows, ["100000 KES -", "100000 KES a\u{FFFD}b", "1000 UGX -"]);
}
