//! What happens after the acknowledgement: the money moves, then the result is posted, as the faults want it.
//!
//! It must not know HTTP requests; those were answered before.

use std::sync::Arc;

use chrono::Utc;
use tokio::sync::OwnedSemaphorePermit;

use super::callback::{self, Names};
use super::query::Asked;
use super::{Accepted, Poster, Settle};
use crate::rail_faults::answer::{broken_off, pause, wrong_types};
use crate::rail_faults::{Call, Fault, Rail, Stage};
use crate::rails::Rails;

/// Ends one acknowledged payment. The permit is its place among those in hand.
pub(crate) async fn finish(rails: Arc<Rails>, poster: Poster, accepted: Accepted, _permit: OwnedSemaphorePermit) {
    pause(rails.faults.plan().mpesa.callback_delay_ms).await;
    let call = Call { key: &accepted.key, account: &accepted.account, amount_minor: Some(accepted.amount_minor) };
    let fault = rails.faults.decide(Rail::Mpesa, Stage::Callback, call);
    let expires = matches!(fault, Some(Fault::TimeoutCallback { paid: false, .. }));
    let settle = if expires { Settle::Expire } else { Settle::ByTheRules };
    let outcome = match rails.mpesa.settle(&accepted, settle, &rails.faults.plan().mpesa, Utc::now()) {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(error = %error, "a payment could not be written to the book of mpesa; it was not made");
            return;
        }
    };
    let result = || callback::payment(&accepted, &outcome);
    if let Some(Fault::TimeoutCallback { result_after_ms, .. }) = fault {
        poster.post(&accepted.timeout_url, callback::time_out(&accepted, &outcome)).await;
        if let Some(ms) = result_after_ms {
            pause(ms).await;
            poster.post(&accepted.result_url, result()).await;
        }
        return;
    }
    deliver(&poster, &accepted.result_url, result(), fault).await;
}

/// Takes up what a kill left acknowledged and unfinished.
pub(crate) async fn resume(rails: Arc<Rails>, poster: Poster) {
    for accepted in rails.mpesa.take_unfinished() {
        let Ok(permit) = rails.mpesa.place_in_hand().await else { return };
        tokio::spawn(finish(Arc::clone(&rails), poster.clone(), accepted, permit));
    }
}

/// Answers one acknowledged query.
pub(super) async fn answer(rails: Arc<Rails>, poster: Poster, asked: Asked, _permit: OwnedSemaphorePermit) {
    let plan = rails.faults.plan();
    pause(plan.mpesa.callback_delay_ms).await;
    let call = Call { key: asked.key(), ..Call::default() };
    let fault = rails.faults.decide(Rail::Mpesa, Stage::QueryCallback, call);
    let now = Utc::now();
    let transaction = rails.ids.receipt();
    let names = Names { originator: &asked.originator, conversation: &asked.conversation, transaction: &transaction };
    let body = match rails.mpesa.find(&asked, &plan.mpesa, now) {
        Ok(Ok(finding)) => callback::query(&names, &finding),
        Ok(Err(code)) => callback::refused(&names, code),
        Err(error) => {
            tracing::error!(error = %error, "the book of mpesa could not be read");
            return;
        }
    };
    deliver(&poster, &asked.query.result_url, body, fault).await;
}

async fn deliver(poster: &Poster, url: &str, body: String, fault: Option<Fault>) {
    match fault {
        Some(Fault::CallbackLost) => {}
        Some(Fault::CallbackDuplicated) => {
            poster.post(url, body.clone()).await;
            poster.post(url, body).await;
        }
        Some(Fault::CallbackDelayed { ms }) => {
            pause(ms).await;
            poster.post(url, body).await;
        }
        Some(Fault::MalformedJson) => poster.post(url, broken_off(&body)).await,
        Some(Fault::WrongTypes) => poster.post(url, wrong_types(&body)).await,
        // No other fault is taken for a callback: the plan's check refuses it.
        Some(_) | None => poster.post(url, body).await,
    }
}
