//! Why a payment instruction was rejected, in the words of G2P Connect.

use std::fmt;

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, spec: $spec:literal;)*) => {
        /// A reason code of a rejected instruction.
        ///
        /// The list is closed: those of the G2P Connect disburse API 1.0.0 (`DisburseStatusReasonCode`) and two of
        /// our own, which [`ReasonCode::is_of_the_specification`] tells apart.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ReasonCode { $($(#[$doc])* $name,)* }

        impl ReasonCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it is sent and stored.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Reads a code as it was stored.
            pub fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// Whether G2P Connect lists it. A client in specification mode is not sent the others.
            pub const fn is_of_the_specification(self) -> bool {
                match self { $(Self::$name => $spec,)* }
            }
        }
    };
}

reason_codes! {
    /// The reference is empty, too long or has control characters.
    ReferenceIdInvalid = "rjct.reference_id.invalid", spec: true;
    /// Another disbursement of the batch has the same reference.
    ReferenceIdDuplicate = "rjct.reference_id.duplicate", spec: true;
    /// Of the specification; a disbursement has no timestamp of its own, so nothing here gives it.
    TimestampInvalid = "rjct.timestamp.invalid", spec: true;
    /// The payer's address cannot be used.
    PayerFaInvalid = "rjct.payer_fa.invalid", spec: true;
    /// The payee's address or id cannot be used, resolved or paid.
    PayeeFaInvalid = "rjct.payee_fa.invalid", spec: true;
    /// The amount cannot be paid.
    AmountInvalid = "rjct.amount.invalid", spec: true;
    /// The scheduled time cannot be read or kept.
    ScheduleTsInvalid = "rjct.schedule_ts.invalid", spec: true;
    /// The currency is unknown or the rail does not pay it.
    CurrencyCodeInvalid = "rjct.currency_code.invalid", spec: true;
    /// The rail refused for a reason that has no code of its own (the original bridge's extension).
    PaymentFailed = "rjct.payment.failed", spec: false;
    /// A field without a code of its own (names, note, purpose …) is too long or has control characters.
    DisbursementInvalid = "rjct.disbursement.invalid", spec: false;
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back() {
        for code in ReasonCode::ALL {
            assert_eq!(ReasonCode::from_code(code.as_str()), Some(*code));
        }
        assert_eq!(ReasonCode::from_code("rjct.unheard.of"), None);
    }
}
