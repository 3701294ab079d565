//! How each rail words what is wrong with the server rather than with the request. It must not know when.

use serde_json::json;

use super::answer::Answer;
use super::plan::{Rail, RateLimit};

/// What a rail says when it fails with this HTTP status.
pub(super) fn failed(rail: Rail, status: u16) -> Answer {
    let body = match rail {
        Rail::Mpesa => {
            json!({"requestId": "fault", "errorCode": "500.001.1001", "errorMessage": "Internal Server Error"})
        }
        Rail::SimpleMpesa => json!({"error": "internal error", "message": "something went wrong", "status": status}),
        Rail::Mojaloop => json!({"message": "Internal server error", "statusCode": status.to_string()}),
    };
    Answer::json(status, &body)
}

/// What a rail says when there are too many requests. Daraja's own codes are said by Daraja alone; elsewhere they are 429.
pub(super) fn rate_limited(rail: Rail, style: RateLimit) -> Answer {
    let daraja = |code: &str, text: &str| {
        Answer::json(500, &json!({"requestId": "fault", "errorCode": code, "errorMessage": text}))
    };
    match (style, rail) {
        (RateLimit::SpikeArrestCode, Rail::Mpesa) => daraja("500.003.02", "Error Occurred: Spike Arrest Violation"),
        (RateLimit::Quota, Rail::Mpesa) => daraja("500.003.03", "Error Occurred: Quota Violation"),
        (RateLimit::SpikeArrest, _) => Answer::json(
            429,
            &json!({"fault": {"faultstring": "Spike arrest violation. Allowed rate : MessageRate{messagesPerPeriod=20, periodInMicroseconds=1000000, maxBurstMessageCount=2.0}",
                "detail": {"errorcode": "policies.ratelimit.SpikeArrestViolation"}}}),
        ),
        (RateLimit::Http429 | RateLimit::SpikeArrestCode | RateLimit::Quota, _) => Answer {
            retry_after: true,
            ..Answer::json(429, &json!({"error": "too many requests", "message": "too many requests", "status": 429}))
        },
    }
}

/// What a rail says to a token that is no longer good.
pub(super) fn expired_token(rail: Rail) -> Answer {
    match rail {
        Rail::Mpesa => Answer::json(
            401,
            &json!({"requestId": "fault", "errorCode": "401.003.01", "errorMessage": "Error Occurred - Invalid Access Token"}),
        ),
        Rail::SimpleMpesa => Answer::json(
            401,
            &json!({"error": "unauthorized", "message": "token has expired or is invalid", "status": 401}),
        ),
        // The SDK has no tokens; a plan that asks for this is refused.
        Rail::Mojaloop => failed(rail, 500),
    }
}
