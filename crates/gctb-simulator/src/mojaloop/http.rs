//! The SDK's routes. It must not decide anything about money.

use std::io;

use actix_web::{HttpResponse, get, post, put, web};
use chrono::Utc;

use super::judge::{At, fate};
use super::request::{Choice, TransferRequest};
use super::{Mojaloop, Prepared, State, body};
use crate::rail_faults::{Answer, Call, Fault, Rail, Stage, play};
use crate::rails::Rails;

/// Adds the SDK's routes. The application must hold [`Rails`].
pub(crate) fn routes(app: &mut web::ServiceConfig) {
    app.service(health).service(prepare).service(choose).service(inquire).service(party).service(party_with_sub_id);
}

#[get("/")]
async fn health() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[post("/transfers")]
async fn prepare(rails: web::Data<Rails>, request: web::Bytes) -> HttpResponse {
    let request = TransferRequest::read(&request);
    let call = request.as_ref().map_or_else(
        |_| Call::default(),
        |request| Call { key: &request.home, account: &request.account, amount_minor: request.amount_minor },
    );
    let fault = rails.faults.decide(Rail::Mojaloop, Stage::Prepare, call);
    let plan = rails.faults.plan();
    play(Rail::Mojaloop, plan.mojaloop.answer_delay_ms, fault, move || match request {
        Ok(request) => answer(rails.mojaloop.prepare(request, &plan.mojaloop, Utc::now()).map(Some), ""),
        Err(message) => body::invalid(&message),
    })
    .await
}

#[put("/transfers/{transfer_id}")]
async fn choose(rails: web::Data<Rails>, transfer_id: web::Path<String>, request: web::Bytes) -> HttpResponse {
    let choice = Choice::read(&request);
    let fault = decide(&rails, Stage::Commit, &transfer_id);
    let forced = match fault {
        Some(Fault::TransferState { state }) => Some(state),
        Some(_) | None => None,
    };
    let plan = rails.faults.plan();
    play(Rail::Mojaloop, plan.mojaloop.answer_delay_ms, fault, move || match choice {
        Ok(choice) => {
            answer(rails.mojaloop.choose(&transfer_id, choice, forced, &plan.mojaloop, Utc::now()), &transfer_id)
        }
        Err(message) => body::invalid(&message),
    })
    .await
}

#[get("/transfers/{transfer_id}")]
async fn inquire(rails: web::Data<Rails>, transfer_id: web::Path<String>) -> HttpResponse {
    let fault = decide(&rails, Stage::Inquire, &transfer_id);
    play(Rail::Mojaloop, rails.faults.plan().mojaloop.answer_delay_ms, fault, move || rails.mojaloop.tell(&transfer_id))
        .await
}

#[get("/parties/{id_type}/{id_value}")]
async fn party(rails: web::Data<Rails>, path: web::Path<(String, String)>) -> HttpResponse {
    let (id_type, id_value) = path.into_inner();
    find_party(&rails, id_type, id_value).await
}

#[get("/parties/{id_type}/{id_value}/{sub_id}")]
async fn party_with_sub_id(rails: web::Data<Rails>, path: web::Path<(String, String, String)>) -> HttpResponse {
    let (id_type, id_value, _) = path.into_inner();
    find_party(&rails, id_type, id_value).await
}

async fn find_party(rails: &Rails, id_type: String, id_value: String) -> HttpResponse {
    let account = format!("{id_type}:{id_value}");
    let fault = rails.faults.decide(Rail::Mojaloop, Stage::Party, Call { account: &account, ..Call::default() });
    play(Rail::Mojaloop, rails.faults.plan().mojaloop.answer_delay_ms, fault, move || {
        let error = fate(&id_value).filter(|fate| fate.at == At::Party).and_then(|fate| fate.error);
        body::party(&id_type, &id_value, error)
    })
    .await
}

/// The fault of a call about a transfer that was made before.
fn decide(rails: &Rails, stage: Stage, transfer_id: &str) -> Option<Fault> {
    if !rails.faults.plan().concerns(Rail::Mojaloop, stage) {
        return None;
    }
    let known = rails.mojaloop.home_of(transfer_id);
    let call = match &known {
        Some((home, account, amount)) => Call { key: home, account, amount_minor: Some(*amount) },
        None => Call { key: transfer_id, ..Call::default() },
    };
    rails.faults.decide(Rail::Mojaloop, stage, call)
}

fn answer(result: io::Result<Option<(Prepared, State)>>, transfer_id: &str) -> Answer {
    match result {
        Ok(Some((prepared, state))) => body::state(&prepared, state),
        Ok(None) => body::not_cached(transfer_id),
        Err(error) => {
            tracing::error!(error = %error, "the book of mojaloop could not be read or written; the call was refused");
            body::internal()
        }
    }
}

impl Mojaloop {
    fn tell(&self, transfer_id: &str) -> Answer {
        match self.inquire(transfer_id) {
            Some(State::Ended { switch, time, .. }) => body::inquiry(transfer_id, switch, time),
            Some(State::WaitingForParty | State::WaitingForQuote | State::PartyRejected | State::QuoteRejected)
            | None => body::not_known(transfer_id),
        }
    }
}
