//! What amounts the rail pays. One that it does not pay is refused; none is ever changed (invariant I6).

use gctb_backend::Refusal;
use gctb_domain::{Currency, Money, ReasonCode};

use crate::settings::MpesaSettings;
use crate::setup::{SetupError, usable};

/// What the rail pays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AmountRules {
    currency: Currency,
    min: Money,
    max: Money,
    whole_units_only: bool,
}

impl AmountRules {
    pub(crate) fn new(settings: &MpesaSettings) -> Result<Self, SetupError> {
        let currency = Currency::parse(&settings.currency)
            .map_err(|cause| SetupError::Amount { setting: "mpesa.currency", cause })?;
        let amount =
            |text: &str, setting| Money::parse(text, currency).map_err(|cause| SetupError::Amount { setting, cause });
        let min = amount(&settings.amount_min, "mpesa.amount_min")?;
        let max = amount(&settings.amount_max, "mpesa.amount_max")?;
        usable(min.minor() <= max.minor(), "mpesa.amount_min", "must not exceed mpesa.amount_max")?;
        Ok(Self { currency, min, max, whole_units_only: settings.whole_units_only })
    }

    /// The same rules on a rail that knows whole units alone.
    pub(crate) fn whole(self) -> Self {
        Self { whole_units_only: true, ..self }
    }

    pub(crate) fn currency(self) -> Currency {
        self.currency
    }

    /// Refuses what the rail does not pay.
    pub(crate) fn check(self, amount: Money) -> Result<(), Refusal> {
        if amount.currency() != self.currency {
            let message = format!("the rail pays {} alone", self.currency);
            return Err(Refusal { reason: ReasonCode::CurrencyCodeInvalid, message });
        }
        let refused = |message| Err(Refusal { reason: ReasonCode::AmountInvalid, message });
        if amount.minor() < self.min.minor() {
            return refused(format!("the amount is below the rail's least, {} {}", self.min, self.currency));
        }
        if amount.minor() > self.max.minor() {
            return refused(format!("the amount is above the rail's limit, {} {}", self.max, self.currency));
        }
        if self.whole_units_only && whole_units(amount).is_none() {
            return refused("the rail pays whole units of the currency alone".to_owned());
        }
        Ok(())
    }
}

/// The amount in whole units of the currency; None where it has minor units beyond them.
pub(crate) fn whole_units(amount: Money) -> Option<i64> {
    let unit = 10_i64.checked_pow(amount.currency().exponent())?;
    (amount.minor() % unit == 0).then(|| amount.minor() / unit)
}

/// The amount as a rail reads it: without a point where it is whole.
pub(crate) fn as_text(amount: Money) -> String {
    whole_units(amount).map_or_else(|| amount.to_string(), |units| units.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{kes, settings};

    #[test]
    fn i6_an_amount_that_the_rail_does_not_pay_is_refused_and_never_changed() {
        let rules = AmountRules::new(&settings()).expect("the defaults");
        let reason = |text: &str, code: &str| {
            let money = Money::parse(text, Currency::parse(code).expect(code)).expect(text);
            rules.check(money).err().map(|refusal| refusal.reason)
        };
        let table = [
            ("10", "KES", None),
            ("10.00", "KES", None),
            ("250000", "KES", None),
            ("9.99", "KES", Some(ReasonCode::AmountInvalid)),
            ("9", "KES", Some(ReasonCode::AmountInvalid)),
            ("10.50", "KES", Some(ReasonCode::AmountInvalid)),
            ("10.01", "KES", Some(ReasonCode::AmountInvalid)),
            ("250000.01", "KES", Some(ReasonCode::AmountInvalid)),
            ("250001", "KES", Some(ReasonCode::AmountInvalid)),
            ("100", "USD", Some(ReasonCode::CurrencyCodeInvalid)),
            ("100", "UGX", Some(ReasonCode::CurrencyCodeInvalid)),
        ];
        for (text, code, expected) in table {
            assert_eq!(reason(text, code), expected, "{text} {code}");
        }
    }

    #[test]
    fn cents_are_sent_as_cents_where_the_settings_allow_them() {
        let mut settings = settings();
        settings.whole_units_only = false;
        let rules = AmountRules::new(&settings).expect("they make sense");
        assert_eq!(rules.check(kes("10.50")), Ok(()));
        assert_eq!(as_text(kes("10.50")), "10.50");
        assert_eq!(as_text(kes("10.00")), "10");
        assert!(rules.whole().check(kes("10.50")).is_err(), "and never on a rail that knows whole units alone");
    }

    #[test]
    fn limits_that_make_no_sense_are_named() {
        let mut crossed = settings();
        crossed.amount_min = "300000".into();
        assert!(AmountRules::new(&crossed).expect_err("crossed").to_string().contains("mpesa.amount_min"));
        let mut unknown = settings();
        unknown.currency = "shilling".into();
        assert!(AmountRules::new(&unknown).expect_err("unknown").to_string().contains("mpesa.currency"));
    }
}
