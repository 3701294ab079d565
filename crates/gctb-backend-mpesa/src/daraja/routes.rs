//! Where M-Pesa calls back: one path for each kind of answer, below a part that nobody can guess.
//!
//! The answer to a status query names the query and not always the payment, and may reach another replica than the one that
//! asked. So what was asked, and how the ledger stood then, is in its path.

use gctb_domain::RailKey;

/// A question about a payment: what its answer has to say with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The attempt.
    pub key: RailKey,
    /// How many sends the ledger had counted when it was asked.
    pub sends: i16,
    /// Whether nothing of the attempt could be under way then.
    pub quiet: bool,
}

impl Question {
    /// `KEY/3-q`, asked in quiet after three sends, or `KEY/3-n`, not in quiet.
    fn path(self) -> String {
        format!("{}/{}-{}", self.key, self.sends, if self.quiet { 'q' } else { 'n' })
    }

    fn parse(key: &str, asked: &str) -> Option<Self> {
        let (sends, quiet) = asked.split_once('-')?;
        let quiet = match quiet {
            "q" => true,
            "n" => false,
            _ => return None,
        };
        let plain = !sends.is_empty() && sends.bytes().all(|byte| byte.is_ascii_digit());
        let sends = sends.parse().ok().filter(|_| plain)?;
        Some(Self { key: RailKey::parse(key).ok()?, sends, quiet })
    }
}

/// What a callback answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The end of a payment.
    PaymentResult,
    /// A payment waited too long in M-Pesa's queue. What became of it is not said.
    PaymentTimeout,
    /// The answer to the status query about a payment.
    StatusResult(Question),
    /// That query waited too long.
    StatusTimeout(Question),
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
            Self::StatusResult(question) => format!("/status/{}/result", question.path()),
            Self::StatusTimeout(question) => format!("/status/{}/timeout", question.path()),
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
            ["status", key, asked, "result"] => Question::parse(key, asked).map(Self::StatusResult),
            ["status", key, asked, "timeout"] => Question::parse(key, asked).map(Self::StatusTimeout),
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
        let question = Question { key: key(), sends: 3, quiet: true };
        let routes = [
            Route::PaymentResult,
            Route::PaymentTimeout,
            Route::StatusResult(question),
            Route::StatusResult(Question { sends: 0, quiet: false, ..question }),
            Route::StatusTimeout(question),
            Route::BalanceResult,
            Route::BalanceTimeout,
        ];
        for route in routes {
            assert_eq!(Route::parse(&route.path()), Some(route));
        }
        assert_eq!(Route::StatusResult(question).path(), format!("/status/{}/3-q/result", key()));
        for other in [
            "",
            "/",
            "/payment",
            "/payment/result/",
            "/status/result",
            "/status/000000000000/1-q/result/x",
            "/status/nobody/1-q/result",
            "/x/y",
        ] {
            assert_eq!(Route::parse(other), None, "{other}");
        }
        for asked in ["", "1", "q", "-q", "1-", "1-x", "+1-q", "-1-q", "32768-q", "1-q-q"] {
            let path = format!("/status/{}/{asked}/result", key());
            assert_eq!(Route::parse(&path), None, "{path}");
        }
    }
}
