//! The simulator's HTTP face: routes, sizes, status codes. One short function per route.
//!
//! It must not know what an answer says. Bodies are read here as bytes, so that a refusal has the mapper's or the
//! bank's own form.

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, get, post, put, web};
use chrono::Utc;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::bank::{Bank, BankError};
use crate::faults::{BankChange, MapperChange};
use crate::mapper::{BadRequest, Mapper, Reply};
use crate::rail_http;

/// The largest body that is read, in bytes.
const BODY_LIMIT: usize = 16 * 1024 * 1024;
/// The most lines of the book in one answer.
const BOOK_PAGE_LIMIT: usize = 10_000;

/// Adds all routes. The application must hold a [`Mapper`], a [`Bank`], and what the rails need.
pub(crate) fn routes(app: &mut web::ServiceConfig) {
    app.app_data(web::PayloadConfig::new(BODY_LIMIT))
        .service(healthz)
        .service(resolve)
        .service(show_mapper)
        .service(change_mapper)
        .service(show_bank)
        .service(change_bank)
        .service(summary)
        .service(book)
        .service(book_of_payment)
        .service(respond_rest)
        .configure(rail_http::routes);
}

#[get("/healthz")]
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

#[post("/mapper/sync/resolve")]
async fn resolve(mapper: web::Data<Mapper>, body: web::Bytes) -> HttpResponse {
    tokio::time::sleep(mapper.delay()).await;
    match mapper.resolve(&body, Utc::now()) {
        Reply::Answer(answer) => HttpResponse::Ok().content_type(ContentType::json()).body(answer),
        Reply::Refused(refusal) => {
            HttpResponse::BadRequest().json(json!({"errors": [{"code": BadRequest::CODE, "message": refusal.message}]}))
        }
        Reply::Down => HttpResponse::ServiceUnavailable().body("the mapper is down"),
        Reply::Error => HttpResponse::InternalServerError().body("the mapper failed"),
        Reply::Page(page) => HttpResponse::Ok().content_type(ContentType::html()).body(page),
    }
}

#[get("/control/mapper")]
async fn show_mapper(mapper: web::Data<Mapper>) -> HttpResponse {
    HttpResponse::Ok().json(mapper.view())
}

#[put("/control/mapper")]
async fn change_mapper(mapper: web::Data<Mapper>, body: web::Bytes) -> HttpResponse {
    with_change(&body, |change: MapperChange| {
        mapper.change(change);
        HttpResponse::Ok().json(mapper.view())
    })
}

#[get("/control/bank")]
async fn show_bank(bank: web::Data<Bank>) -> HttpResponse {
    HttpResponse::Ok().json(bank.controls())
}

#[put("/control/bank")]
async fn change_bank(bank: web::Data<Bank>, body: web::Bytes) -> HttpResponse {
    with_change(&body, |change: BankChange| {
        bank.change(change);
        HttpResponse::Ok().json(bank.controls())
    })
}

#[get("/bank/summary")]
async fn summary(bank: web::Data<Bank>) -> HttpResponse {
    at_the_desk(move || Ok(json!(bank.summary()).to_string())).await
}

/// Which part of a book: from `offset` (default 0), at most `limit` payments (default 1,000, at most 10,000).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    #[serde(default)]
    pub(crate) offset: u64,
    #[serde(default = "default_page")]
    pub(crate) limit: usize,
}

fn default_page() -> usize {
    1000
}

#[get("/bank/book")]
async fn book(bank: web::Data<Bank>, page: web::Query<Page>) -> HttpResponse {
    let Page { offset, limit } = page.into_inner();
    at_the_desk(move || bank.page(offset, limit.min(BOOK_PAGE_LIMIT))).await
}

#[get("/bank/book/{payment_ref}")]
async fn book_of_payment(bank: web::Data<Bank>, payment_ref: web::Path<String>) -> HttpResponse {
    at_the_desk(move || bank.payments_of(&payment_ref, BOOK_PAGE_LIMIT)).await
}

#[post("/bank/respond-rest")]
async fn respond_rest(bank: web::Data<Bank>) -> HttpResponse {
    at_the_desk(move || bank.respond_rest().map(|done| json!(done).to_string())).await
}

/// Reads a control's body. What is wrong with it is said: it is the operator's own, and holds nobody's data.
pub(crate) fn with_change<T: DeserializeOwned>(body: &[u8], apply: impl FnOnce(T) -> HttpResponse) -> HttpResponse {
    match serde_json::from_slice(body) {
        Ok(change) => apply(change),
        Err(error) => HttpResponse::BadRequest().json(json!({"error": error.to_string()})),
    }
}

/// Runs what may wait for the bank's book beside the server's threads, and answers with the JSON that it gives.
async fn at_the_desk(work: impl FnOnce() -> Result<String, BankError> + Send + 'static) -> HttpResponse {
    match web::block(work).await {
        Ok(Ok(body)) => HttpResponse::Ok().content_type(ContentType::json()).body(body),
        Ok(Err(error)) => {
            tracing::error!(error = %error, "the bank could not answer");
            HttpResponse::InternalServerError().json(json!({"error": error.to_string()}))
        }
        Err(_) => HttpResponse::ServiceUnavailable().json(json!({"error": "the simulator is stopping"})),
    }
}
