//! The routes by which people look at the rails and change them: books, faults, funds. One short function per route.
//!
//! It must not know what a rail decides.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, get, post, put, web};
use serde::Deserialize;
use serde_json::json;

use crate::daraja::{self, Poster};
use crate::http::{Page, with_change};
use crate::mojaloop;
use crate::rail_faults::{FaultPlan, Rail};
use crate::rails::Rails;
use crate::simple_mpesa;

/// Adds the routes of all rails. The application must hold [`Rails`] and a [`Poster`].
pub(crate) fn routes(app: &mut web::ServiceConfig) {
    app.configure(daraja::http::routes)
        .configure(simple_mpesa::http::routes)
        .configure(mojaloop::http::routes)
        .service(summary)
        .service(book)
        .service(book_of)
        .service(show_faults)
        .service(change_faults)
        .service(show_mpesa)
        .service(change_mpesa)
        .service(certificate)
        .service(show_simple_mpesa)
        .service(change_simple_mpesa)
        .service(forget);
}

#[get("/rails/{rail}/summary")]
async fn summary(rails: web::Data<Rails>, rail: web::Path<Rail>) -> HttpResponse {
    HttpResponse::Ok().json(rails.book(*rail).summary())
}

#[get("/rails/{rail}/book")]
async fn book(rails: web::Data<Rails>, rail: web::Path<Rail>, page: web::Query<Page>) -> HttpResponse {
    let (rails, Page { offset, limit }) = (rails.into_inner(), page.into_inner());
    at_the_book(rails, *rail, move |rails, rail| rails.book(rail).page(offset, limit)).await
}

#[get("/rails/{rail}/book/{key_or_account}")]
async fn book_of(rails: web::Data<Rails>, path: web::Path<(Rail, String)>) -> HttpResponse {
    let (rail, key_or_account) = path.into_inner();
    at_the_book(rails.into_inner(), rail, move |rails, rail| rails.book(rail).payments_of(&key_or_account)).await
}

#[get("/control/faults")]
async fn show_faults(rails: web::Data<Rails>) -> HttpResponse {
    HttpResponse::Ok().json(rails.faults.view())
}

#[put("/control/faults")]
async fn change_faults(rails: web::Data<Rails>, body: web::Bytes) -> HttpResponse {
    match FaultPlan::read(&body) {
        Ok(plan) => {
            rails.faults.replace(plan);
            HttpResponse::Ok().json(rails.faults.view())
        }
        Err(error) => HttpResponse::BadRequest().json(json!({"error": error})),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MpesaChange {
    locked: Option<bool>,
    funds_minor: Option<u64>,
}

#[get("/control/mpesa")]
async fn show_mpesa(rails: web::Data<Rails>, poster: web::Data<Poster>) -> HttpResponse {
    let posted = poster.posted();
    HttpResponse::Ok().json(json!({"locked": rails.mpesa.locked(), "funds_minor": rails.mpesa.funds(),
        "in_hand": rails.mpesa.in_hand(), "callbacks_delivered": posted.delivered.load(Ordering::Relaxed),
        "callbacks_failed": posted.failed.load(Ordering::Relaxed)}))
}

#[put("/control/mpesa")]
async fn change_mpesa(rails: web::Data<Rails>, body: web::Bytes) -> HttpResponse {
    with_change(&body, |MpesaChange { locked, funds_minor }| {
        if let Some(locked) = locked {
            rails.mpesa.set_locked(locked);
        }
        if let Some(funds) = funds_minor {
            rails.mpesa.set_funds(i128::from(funds));
        }
        HttpResponse::Ok().json(json!({"locked": rails.mpesa.locked(), "funds_minor": rails.mpesa.funds()}))
    })
}

#[get("/control/mpesa/certificate")]
async fn certificate(rails: web::Data<Rails>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/x-pem-file").body(rails.mpesa.certificate().to_owned())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SimpleMpesaChange {
    float_minor: u64,
}

#[get("/control/simple-mpesa")]
async fn show_simple_mpesa(rails: web::Data<Rails>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"float_minor": rails.simple_mpesa.funds()}))
}

#[put("/control/simple-mpesa")]
async fn change_simple_mpesa(rails: web::Data<Rails>, body: web::Bytes) -> HttpResponse {
    with_change(&body, |SimpleMpesaChange { float_minor }| {
        rails.simple_mpesa.set_funds(i128::from(float_minor));
        HttpResponse::Ok().json(json!({"float_minor": rails.simple_mpesa.funds()}))
    })
}

#[post("/control/mojaloop/forget/{transfer_id}")]
async fn forget(rails: web::Data<Rails>, transfer_id: web::Path<String>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"forgotten": rails.mojaloop.forget(&transfer_id)}))
}

/// Reads a book beside the server's threads.
async fn at_the_book(
    rails: Arc<Rails>,
    rail: Rail,
    read: impl FnOnce(&Rails, Rail) -> std::io::Result<String> + Send + 'static,
) -> HttpResponse {
    match web::block(move || read(&rails, rail)).await {
        Ok(Ok(body)) => HttpResponse::Ok().content_type(ContentType::json()).body(body),
        Ok(Err(error)) => {
            tracing::error!(error = %error, "a rail's book could not be read");
            HttpResponse::InternalServerError().json(json!({"error": error.to_string()}))
        }
        Err(_) => HttpResponse::ServiceUnavailable().json(json!({"error": "the simulator is stopping"})),
    }
}
