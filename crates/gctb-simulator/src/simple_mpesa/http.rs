//! simple-mpesa's routes. It must not decide anything about money.

use std::time::Duration;

use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use chrono::Utc;
use serde_json::{Value, json};

use super::SimpleMpesa;
use super::deposit::Deposit;
use super::form::{Form, is_email};
use super::jwt;
use super::refusal::Refusal;
use crate::rail_faults::{Answer, Call, Rail, Stage, play};
use crate::rails::Rails;

/// Adds simple-mpesa's routes. The application must hold [`Rails`].
pub(crate) fn routes(app: &mut web::ServiceConfig) {
    app.service(login).service(deposit).service(balance).service(statement);
}

#[post("/api/login/{kind}")]
async fn login(
    rails: web::Data<Rails>,
    kind: web::Path<String>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    if !matches!(kind.as_str(), "administrator" | "agent" | "merchant" | "subscriber") {
        return HttpResponse::NotFound().finish();
    }
    let form = Form::read(header(&request, &CONTENT_TYPE).unwrap_or_default(), &body);
    let knobs = rails.faults.plan();
    let fault = rails.faults.decide(Rail::SimpleMpesa, Stage::Token, Call::default());
    play(Rail::SimpleMpesa, knobs.simple_mpesa.answer_delay_ms, fault, move || {
        let life = Duration::from_secs(knobs.simple_mpesa.token_life_s);
        let token = credentials(&form)
            .and_then(|(email, password)| rails.simple_mpesa.login(&kind, email, password, life, Utc::now()));
        answer(token)
    })
    .await
}

#[post("/api/transaction/deposit")]
async fn deposit(rails: web::Data<Rails>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let form = Form::read(header(&request, &CONTENT_TYPE).unwrap_or_default(), &body);
    let call =
        Call { key: "", account: form.text("accountNo"), amount_minor: form.whole_number("amount").checked_mul(100) };
    let fault = rails.faults.decide(Rail::SimpleMpesa, Stage::Submit, call);
    let token = header(&request, &AUTHORIZATION).map(str::to_owned);
    play(Rail::SimpleMpesa, rails.faults.plan().simple_mpesa.answer_delay_ms, fault, move || {
        answer(rails.simple_mpesa.allows(token.as_deref()).and_then(|()| Deposit::read(&form)).and_then(|deposit| {
            rails.simple_mpesa.deposit(&deposit, Utc::now()).unwrap_or_else(|error| {
                tracing::error!(error = %error, "a deposit could not be written to the book of simple-mpesa; it was refused");
                Err(Refusal::internal())
            })?;
            Ok(json!({"status": "success", "message": "Success",
                "data": {"message": "Transaction under processing. You will receive a message shortly."}}))
        }))
    })
    .await
}

#[get("/api/account/balance")]
async fn balance(rails: web::Data<Rails>, request: HttpRequest) -> HttpResponse {
    ask(rails, Stage::Balance, &request, SimpleMpesa::balance).await
}

#[get("/api/account/statement")]
async fn statement(rails: web::Data<Rails>, request: HttpRequest) -> HttpResponse {
    ask(rails, Stage::Inquire, &request, SimpleMpesa::statement).await
}

async fn ask(
    rails: web::Data<Rails>,
    stage: Stage,
    request: &HttpRequest,
    tell: fn(&SimpleMpesa) -> Value,
) -> HttpResponse {
    let fault = rails.faults.decide(Rail::SimpleMpesa, stage, Call::default());
    let token = header(request, &AUTHORIZATION).map(str::to_owned);
    play(Rail::SimpleMpesa, rails.faults.plan().simple_mpesa.answer_delay_ms, fault, move || {
        answer(rails.simple_mpesa.allows(token.as_deref()).map(|()| tell(&rails.simple_mpesa)))
    })
    .await
}

impl SimpleMpesa {
    fn allows(&self, header: Option<&str>) -> Result<(), Refusal> {
        jwt::check(self.settings.secret.reveal(), header, Utc::now())
            .map_err(|bad| Refusal::unauthorized(bad.message()))
    }
}

fn credentials(form: &Form) -> Result<(&str, &str), Refusal> {
    let (email, password) = (form.text("email"), form.text("password"));
    let mut wrong = Vec::new();
    if email.is_empty() {
        wrong.push("email is a required field".to_owned());
    } else if !is_email(email) {
        wrong.push("email must be a valid email address".to_owned());
    }
    if password.is_empty() {
        wrong.push("password is a required field".to_owned());
    }
    if wrong.is_empty() { Ok((email, password)) } else { Err(Refusal::fields(&wrong)) }
}

fn header<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

fn answer(result: Result<Value, Refusal>) -> Answer {
    match result {
        Ok(body) => Answer::json(200, &body),
        Err(refusal) => refusal.answer(),
    }
}
