//! FSPIOP error codes with the words that the SDK's library has for them. It must not know when one is given.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An FSPIOP code, or [`Code::TIME_OUT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Code(pub(super) u16);

impl Code {
    /// No code of FSPIOP: the scheme did not answer in time, and the SDK says HTTP 504.
    pub(super) const TIME_OUT: Self = Self(504);
    pub(super) const VALIDATION: Self = Self(3100);
    pub(super) const NO_TRANSFER: Self = Self(3208);
    pub(super) const QUOTE_REJECTED: Self = Self(5103);

    pub(super) fn words(self) -> &'static str {
        match self.0 {
            504 => "Time-out",
            1001 => "Destination communication error",
            2001 => "Internal server error",
            2003 => "Service currently unavailable",
            2006 => "Party resolution temporarily failed",
            3100 => "Generic validation error",
            3200 => "Generic ID not found",
            3203 => "Payee FSP ID not found",
            3204 => "Party not found",
            3208 => "Transfer ID not found",
            3303 => "Transfer expired",
            4001 => "Payer FSP insufficient liquidity",
            4200 => "Payer limit error",
            5001 => "Payee FSP insufficient liquidity",
            5103 => "Payee FSP rejected quote",
            5104 => "Payee rejected transaction",
            5105 => "Payee FSP rejected transaction",
            5106 => "Payee unsupported currency",
            5107 => "Payee identifier no longer valid",
            5200 => "Payee limit error",
            5300 => "Payee permission error",
            5400 => "Generic payee blocked error",
            _ => "Generic server error",
        }
    }

    /// The SDK's `lastError`.
    pub(super) fn last_error(self) -> Value {
        if self == Self::TIME_OUT {
            return json!({"httpStatusCode": 504});
        }
        json!({"httpStatusCode": 500, "mojaloopError": {"errorInformation": {"errorCode": self.0.to_string(),
            "errorDescription": self.words(), "extensionList": {"extension": []}}}})
    }
}
