//! Daraja's routes. It must not decide anything about money.

use std::sync::Arc;
use std::time::Instant;

use actix_web::http::header::AUTHORIZATION;
use actix_web::{HttpRequest, HttpResponse, rt, web};
use chrono::Utc;
use openssl::base64;
use serde_json::{Value, json};

use super::query::Asked;
use super::refusal::Refusal;
use super::request::{B2c, Query, Version, minor_of, peek};
use super::{Accepted, Daraja, Poster, desk};
use crate::rail_faults::plan::MpesaKnobs;
use crate::rail_faults::{Answer, Call, Fault, Rail, Stage, play};
use crate::rails::Rails;

/// Adds Daraja's routes. The application must hold [`Rails`] and a [`Poster`].
pub(crate) fn routes(app: &mut web::ServiceConfig) {
    let refused = || web::route().to(wrong_method);
    app.service(web::resource("/oauth/v1/generate").route(web::get().to(token)).route(refused()))
        .service(web::resource("/mpesa/b2c/v1/paymentrequest").route(web::post().to(pay_v1)).route(refused()))
        .service(web::resource("/mpesa/b2c/v3/paymentrequest").route(web::post().to(pay_v3)).route(refused()))
        .service(web::resource("/mpesa/transactionstatus/v1/query").route(web::post().to(status)).route(refused()))
        .service(web::resource("/mpesa/accountbalance/v1/query").route(web::post().to(balance)).route(refused()));
}

async fn wrong_method(rails: web::Data<Rails>) -> HttpResponse {
    Refusal::method().answer(&rails.ids.request()).into_response()
}

async fn token(rails: web::Data<Rails>, request: HttpRequest) -> HttpResponse {
    let plan = rails.faults.plan();
    let fault = rails.faults.decide(Rail::Mpesa, Stage::Token, Call::default());
    let (header, query) = (authorization(&request), request.query_string().to_owned());
    play(Rail::Mpesa, plan.mpesa.answer_delay_ms, fault, move || {
        rails.mpesa.generate(header.as_deref(), &query, &plan.mpesa)
    })
    .await
}

async fn pay_v1(
    rails: web::Data<Rails>,
    poster: web::Data<Poster>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    pay(Version::V1, rails.into_inner(), &poster, &request, &body).await
}

async fn pay_v3(
    rails: web::Data<Rails>,
    poster: web::Data<Poster>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    pay(Version::V3, rails.into_inner(), &poster, &request, &body).await
}

async fn pay(version: Version, rails: Arc<Rails>, poster: &Poster, request: &HttpRequest, body: &[u8]) -> HttpResponse {
    let body = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let (key, account) = (peek(&body, "OriginatorConversationID"), peek(&body, "PartyB"));
    let call = Call { key: &key, account: &account, amount_minor: minor_of(&peek(&body, "Amount")) };
    let fault = decide(&rails, Stage::Submit, call);
    let Ok(permit) = rails.mpesa.place_in_hand().await else { return HttpResponse::ServiceUnavailable().finish() };
    let (plan, header, poster) = (rails.faults.plan(), authorization(request), poster.clone());
    play(Rail::Mpesa, plan.mpesa.answer_delay_ms, fault, move || {
        match rails.mpesa.submit(version, header.as_deref(), &body, &plan.mpesa) {
            Ok(accepted) => {
                let answer = acknowledgement(&accepted.key, &accepted.conversation);
                // On this thread, so that it begins after the acknowledgement was written.
                rt::spawn(desk::finish(Arc::clone(&rails), poster, accepted, permit));
                answer
            }
            Err(refusal) => refusal.answer(&rails.ids.request()),
        }
    })
    .await
}

async fn status(
    rails: web::Data<Rails>,
    poster: web::Data<Poster>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    query(Stage::Inquire, Query::status, rails.into_inner(), &poster, &request, &body).await
}

async fn balance(
    rails: web::Data<Rails>,
    poster: web::Data<Poster>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    query(Stage::Balance, Query::balance, rails.into_inner(), &poster, &request, &body).await
}

async fn query(
    stage: Stage,
    read: fn(&Value) -> Result<Query, Refusal>,
    rails: Arc<Rails>,
    poster: &Poster,
    request: &HttpRequest,
    body: &[u8],
) -> HttpResponse {
    let body = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let key = peek(&body, "OriginalConversationID");
    let fault = decide(&rails, stage, Call { key: &key, ..Call::default() });
    let Ok(permit) = rails.mpesa.place_in_hand().await else { return HttpResponse::ServiceUnavailable().finish() };
    let (header, poster) = (authorization(request), poster.clone());
    play(Rail::Mpesa, rails.faults.plan().mpesa.answer_delay_ms, fault, move || {
        match rails.mpesa.ask(header.as_deref(), &body, read) {
            Ok(asked) => {
                let answer = acknowledgement(&asked.originator, &asked.conversation);
                rt::spawn(desk::answer(Arc::clone(&rails), poster, asked, permit));
                answer
            }
            Err(refusal) => refusal.answer(&rails.ids.request()),
        }
    })
    .await
}

/// The fault of a call. That all tokens end is part of one of them.
fn decide(rails: &Rails, stage: Stage, call: Call<'_>) -> Option<Fault> {
    let fault = rails.faults.decide(Rail::Mpesa, stage, call);
    if fault == Some(Fault::ExpiredToken) {
        rails.mpesa.tokens.end_all(Instant::now());
    }
    fault
}

fn authorization(request: &HttpRequest) -> Option<String> {
    request.headers().get(AUTHORIZATION)?.to_str().ok().map(str::to_owned)
}

fn acknowledgement(originator: &str, conversation: &str) -> Answer {
    Answer::json(
        200,
        &json!({"ConversationID": conversation, "OriginatorConversationID": originator, "ResponseCode": "0",
            "ResponseDescription": "Accept the service request successfully."}),
    )
}

impl Daraja {
    fn generate(&self, header: Option<&str>, query: &str, knobs: &MpesaKnobs) -> Answer {
        let refuse = |refusal: Refusal| refusal.answer(&self.ids.request());
        let Some(basic) = header.and_then(|header| header.strip_prefix("Basic ")) else {
            return refuse(Refusal::authentication_type());
        };
        if query != "grant_type=client_credentials" {
            return refuse(Refusal::grant_type());
        }
        let expected = format!("{}:{}", self.settings.consumer_key.reveal(), self.settings.consumer_secret.reveal());
        if base64::decode_block(basic).ok().as_deref() != Some(expected.as_bytes()) {
            // Daraja's habit with a wrong key or secret: no body at all.
            return Answer::empty(400);
        }
        let token = self.tokens.issue(knobs, Instant::now());
        Answer::json(200, &json!({"access_token": token, "expires_in": knobs.token_life_s.to_string()}))
    }

    fn submit(
        &self,
        version: Version,
        header: Option<&str>,
        body: &Value,
        knobs: &MpesaKnobs,
    ) -> Result<Accepted, Refusal> {
        self.tokens.check(header, Instant::now())?;
        let request = B2c::read(body, version)?;
        let now = Utc::now();
        let accepted = Accepted {
            key: request.key.unwrap_or_else(|| self.ids.originator()),
            conversation: self.ids.conversation(now),
            account: request.msisdn,
            amount_minor: request.amount_minor,
            party_a: request.party_a,
            initiator_valid: self.is_initiator(&request.initiator, &request.credential),
            result_url: request.result_url,
            timeout_url: request.timeout_url,
            time: now,
        };
        match self.accept(&accepted, knobs) {
            Ok(Some(())) => Ok(accepted),
            Ok(None) => Err(Refusal::duplicate()),
            Err(error) => {
                tracing::error!(error = %error, "a request could not be written to the book of mpesa; it was refused");
                Err(Refusal::internal())
            }
        }
    }

    fn ask(
        &self,
        header: Option<&str>,
        body: &Value,
        read: fn(&Value) -> Result<Query, Refusal>,
    ) -> Result<Asked, Refusal> {
        self.tokens.check(header, Instant::now())?;
        let query = read(body)?;
        let initiator_valid = self.is_initiator(&query.initiator, &query.credential);
        let (originator, conversation) = (self.ids.originator(), self.ids.conversation(Utc::now()));
        Ok(Asked { query, originator, conversation, initiator_valid })
    }

    fn is_initiator(&self, name: &str, credential: &str) -> bool {
        name == self.settings.initiator && self.credentials.holds_password(credential)
    }
}
