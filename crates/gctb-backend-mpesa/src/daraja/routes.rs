//! Where M-Pesa calls back: one path for each kind of answer, below a part that nobody can guess.
//!
//! The answer to a status query names the query and not always the payment, so our key stands in its path.

use gctb_domain::RailKey;

/// What a callback answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The end of a payment.
    PaymentResult,
    /// A payment waited too long in M-Pesa's queue. What became of it is not said.
    PaymentTimeout,
    /// The answer to the status query about this payment.
    StatusResult(RailKey),
    /// That query waited too long.
    StatusTimeout(RailKey),
    /// The answer to the balance query.
    BalanceResult,
    /// That query waited too long.
    BalanceTimeout,
}

impl Route {
    /// The path below the secret part, with a slash before it.
    pub fn path(self) -> String {
        match self {
            Self::PaymentResult => "/payment/result".to_owned(),
            Self::PaymentTimeout => "/payment/timeout".to_owned(),
            Self::StatusResult(key) => format!("/status/{key}/result"),
            Self::StatusTimeout(key) => format!("/status/{key}/timeout"),
            Self::BalanceResult => "/balance/result".to_owned(),
            Self::BalanceTimeout => "/balance/timeout".to_owned(),
        }
    }

    /// Reads such a path; None where it is none of ours.
    pub fn parse(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        match parts.as_slice() {
            ["payment", "result"] => Some(Self::PaymentResult),
            ["payment", "timeout"] => Some(Self::PaymentTimeout),
            ["status", key, "result"] => RailKey::parse(key).ok().map(Self::StatusResult),
            ["status", key, "timeout"] => RailKey::parse(key).ok().map(Self::StatusTimeout),
            ["balance", "result"] => Some(Self::BalanceResult),
            ["balance", "timeout"] => Some(Self::BalanceTimeout),
            [..] => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::key;

    #[test]
    fn every_path_leads_back_to_what_it_was_made_for() {
        let routes = [
            Route::PaymentResult,
            Route::PaymentTimeout,
            Route::StatusResult(key()),
            Route::StatusTimeout(key()),
            Route::BalanceResult,
            Route::BalanceTimeout,
        ];
        for route in routes {
            assert_eq!(Route::parse(&route.path()), Some(route));
        }
        for other in
            ["", "/", "/payment", "/payment/result/", "/status/result", "/status/000000000000/result/x", "/x/y"]
        {
            assert_eq!(Route::parse(other), None, "{other}");
        }
    }
}
