//! Bodies that are too large, too many or of the wrong shape.

use std::time::Duration;

use super::stage::{Stage, item, message};
use crate::routes::{DISBURSE, STATUS};

#[actix_web::test]
async fn a_broken_body_is_a_400_that_names_the_path_and_quotes_nothing() {
    let stage = Stage::without_database(&[]);
    let body = message("s", "m-1", "t-1", &[item("r-1")]).to_string().replace("\"1000.0\"", "4711");
    let (status, code, words) = stage.post_bytes(DISBURSE, body.into_bytes(), None).await.error();
    assert_eq!((status, code.as_str()), (400, "err.request.bad"));
    assert_eq!(words, "message.disbursements[0].amount: expected a string, found a number");
}

#[actix_web::test]
async fn a_body_over_the_limit_is_a_413_that_names_the_limit_announced_or_not() {
    let stage = Stage::without_database(&[("GCTB_API__HTTP__BODY_BYTES_MAX", "1000")]);
    let body = vec![b' '; 1_001];
    for announced in [Some(1_001), None] {
        let (status, _, words) = stage.post_bytes(DISBURSE, body.clone(), announced).await.error();
        assert_eq!((status, words.as_str()), (413, "the body is larger than the limit of 1000 bytes"));
    }
}

#[actix_web::test]
async fn i10_bodies_beyond_the_shared_budget_are_turned_away_until_there_is_room() {
    let limits = [("GCTB_API__HTTP__BODIES_IN_FLIGHT_BYTES_MAX", "1000"), ("GCTB_API__HTTP__ROOM_WAIT", "50ms")];
    let stage = Stage::without_database(&limits);
    let room = stage.world.bodies.budget.wait_for(900, Duration::ZERO).await.expect("the budget is free");
    let body = message("s", "m-1", "t-1", &[item("r-1")]);
    let bytes = body.to_string().len();
    let busy = stage.post_bytes(DISBURSE, body.to_string().into_bytes(), Some(bytes)).await;
    assert_eq!((busy.status.as_u16(), busy.retry_after.as_deref()), (503, Some("1")));
    assert_eq!(busy.error().1, "err.request.too_many_requests");
    // A question does not wait for batches.
    assert_eq!(stage.post(STATUS, &message("s", "m-1", "t-1", &[])).await.status, 400);
    drop(room);
    // The body is read now, and the database is what is missing.
    assert_eq!(stage.post(DISBURSE, &body).await.error().1, "err.service.unavailable");
    assert_eq!(stage.world.bodies.budget.taken(), 0);
}
