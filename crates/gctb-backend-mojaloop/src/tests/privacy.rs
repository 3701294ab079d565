//! What the adapter says about people does not leave the rail (invariant I9).

use gctb_backend::PaymentBackend;

use super::play::{Play, error, ok, order, own_error, prepared, quote};

#[tokio::test]
async fn i9_no_reply_repeats_what_the_adapter_says_about_the_payee() {
    let secrets = ["254700000001", "Jan", "Doe", "1000", "99", "relief"];
    let answers = [
        error("3204"),
        error("9999"),
        own_error(500, "Jané Doe 254700000001"),
        ok(quote("1000.5", "99")),
        ok(quote("999", "0")),
    ];
    let play = Play::new().await;
    for answer in answers {
        play.adapter.reset().await;
        for verb in ["POST", "PUT", "GET"] {
            play.answers(verb, answer.clone()).await;
        }
        let replies = [
            play.rail.prepare(&order()).await,
            play.rail.pay(&prepared()).await,
            play.rail.inquire(&prepared()).await,
            play.rail.fence(&prepared()).await,
        ];
        for reply in replies {
            let message = reply.message.replace("mojaloop:9999 ", "");
            assert!(!secrets.iter().any(|secret| message.contains(secret)), "{message}");
        }
    }
}
