//! Faults of every kind at once, drawn from a seed, in the document that the simulator takes (docs/simulator.md, "Every knob").

use serde_json::{Value, json};

use super::Rail;
use crate::draw::Draw;

/// In how many of a million calls a fault comes that only costs a call.
const OFTEN: (u64, u64) = (4_000, 14_000);
/// The same of one after which nobody knows what became of the payment.
const SELDOM: (u64, u64) = (2_000, 7_000);
/// The same of one that keeps a call until its time is over.
const RARELY: (u64, u64) = (300, 1_200);

impl Rail {
    /// How the rail behaves when nothing is wrong with it.
    pub fn healthy(self) -> Value {
        match self {
            // Two replicas fetch a token each; at Daraja a new one ends the one before it, and they would end each other's.
            Self::Daraja => json!({ "mpesa": { "new_token_invalidates": false } }),
            Self::Simple | Self::Mojaloop => json!({}),
        }
    }

    /// Everything goes wrong now and then.
    pub(super) fn troubled(self, draw: &mut Draw) -> Value {
        let mut chances = Vec::new();
        let mut add = |draw: &mut Draw, stage: &str, how_often: (u64, u64), fault: Value| {
            let per_million = draw.between(how_often.0, how_often.1);
            chances.push(json!({ "rail": self.book(), "stage": stage, "per_million": per_million, "fault": fault }));
        };
        if self != Self::Mojaloop {
            for fault in [json!("close_before"), json!("html_before")] {
                add(draw, "token", OFTEN, fault);
            }
        }
        for stage in self.calls() {
            for (how_often, fault) in of_every_call(draw) {
                add(draw, stage, how_often, fault);
            }
            if self != Self::Mojaloop {
                add(draw, stage, RARELY, json!("expired_token"));
            }
        }
        match self {
            Self::Simple => {}
            Self::Daraja => {
                for stage in ["callback", "query_callback"] {
                    let delay = json!({ "callback_delayed": { "ms": draw.between(500, 3_000) } });
                    for fault in [
                        json!("callback_lost"),
                        json!("callback_duplicated"),
                        delay,
                        json!("malformed_json"),
                        json!("wrong_types"),
                    ] {
                        add(draw, stage, OFTEN, fault);
                    }
                }
                for fault in [
                    json!({ "timeout_callback": { "paid": false } }),
                    json!({ "timeout_callback": { "paid": true } }),
                    json!({ "timeout_callback": { "paid": true, "result_after_ms": 700 } }),
                ] {
                    add(draw, "callback", SELDOM, fault);
                }
            }
            Self::Mojaloop => {
                for state in ["reserved", "aborted"] {
                    add(draw, "commit", SELDOM, json!({ "transfer_state": { "state": state } }));
                }
            }
        }
        let knobs = match self {
            Self::Simple => json!({ "answer_delay_ms": draw.between(0, 40) }),
            Self::Daraja => json!({
                "answer_delay_ms": draw.between(0, 20),
                "callback_delay_ms": draw.between(0, 60),
                "new_token_invalidates": false,
                "forgets_refused": draw.percent(50),
                "dedupe_lax": draw.percent(50),
            }),
            Self::Mojaloop => json!({ "answer_delay_ms": draw.between(0, 20) }),
        };
        json!({ "seed": draw.between(1, 1_000_000), "chances": chances, (self.book()): knobs })
    }

    /// The calls of a payment and about it.
    const fn calls(self) -> &'static [&'static str] {
        match self {
            Self::Simple => &["submit"],
            Self::Daraja => &["submit", "inquire"],
            Self::Mojaloop => &["prepare", "commit", "inquire"],
        }
    }
}

fn of_every_call(draw: &mut Draw) -> Vec<((u64, u64), Value)> {
    let style = draw.one_of(&["http429", "spike_arrest", "spike_arrest_code", "quota"]);
    vec![
        (OFTEN, json!({ "delay": { "ms": draw.between(20, 300) } })),
        (OFTEN, json!({ "slow_drip": { "ms": draw.between(5, 40) } })),
        (OFTEN, json!({ "rate_limited": { "style": style } })),
        (SELDOM, json!("close_before")),
        (SELDOM, json!("close_after")),
        (SELDOM, json!({ "error_before": { "status": 503 } })),
        (SELDOM, json!({ "error_after": { "status": draw.one_of(&[500, 502, 504]) } })),
        (SELDOM, json!("html_before")),
        (SELDOM, json!("html_after")),
        (SELDOM, json!("malformed_json")),
        (SELDOM, json!("wrong_types")),
        (RARELY, json!("hang_before")),
        (RARELY, json!("hang_after")),
    ]
}
