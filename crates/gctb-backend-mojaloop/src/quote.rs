//! Whether a quote is what was asked for: the same amount, and no more kept from the payee than the settings allow.

use std::collections::BTreeMap;

use gctb_domain::Money;

use crate::amount::{self, AmountError};
use crate::answer::{Answer, QuotedAmount, Unreadable};

/// What a payment may cost its payee, in minor units by currency. What is not named may cost nothing.
#[derive(Debug)]
pub(crate) struct FeeLimits(pub(crate) BTreeMap<&'static str, i64>);

/// Why a quote is not accepted. No amount is named: it would be somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadQuote {
    /// Nothing says what would be paid.
    #[error("the quote names no amount, or one that cannot be read")]
    Unreadable,
    /// Precision or size that money of this currency has not.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// Another amount or currency than what was asked for.
    #[error("the quote is about another amount than the one asked for")]
    OtherAmount,
    /// The payee would get less than the settings allow.
    #[error("the quote's fee is over the limit (setting fees.max)")]
    Fee,
}

impl FeeLimits {
    /// Judges the quote in `answer` for a payment of `asked`.
    ///
    /// # Errors
    /// Why it must not be accepted.
    pub(crate) fn judge(&self, answer: &Answer, asked: Money) -> Result<(), BadQuote> {
        let pays = minor(answer.transfer_amount().ok_or(BadQuote::Unreadable)?, asked)?;
        if pays != asked.minor() {
            return Err(BadQuote::OtherAmount);
        }
        let optional = |name| -> Result<Option<i64>, BadQuote> {
            let quoted = answer.quoted_amount(name).map_err(|Unreadable| BadQuote::Unreadable)?;
            quoted.map(|quoted| minor(quoted, asked)).transpose()
        };
        let fee = optional("payeeFspFee")?.unwrap_or(0);
        // An institution that keeps money without calling it a fee keeps it all the same.
        let kept = optional("payeeReceiveAmount")?.map_or(0, |receives| pays - receives);
        let limit = self.0.get(asked.currency().code()).copied().unwrap_or(0);
        if fee.max(kept) > limit { Err(BadQuote::Fee) } else { Ok(()) }
    }
}

/// An amount in the currency that was asked for.
fn minor(quoted: QuotedAmount<'_>, asked: Money) -> Result<i64, BadQuote> {
    if quoted.currency != asked.currency().code() {
        return Err(BadQuote::OtherAmount);
    }
    Ok(amount::read(quoted.amount, asked.currency())?)
}

#[cfg(test)]
mod tests {
    use gctb_domain::Currency;
    use serde_json::{Value, json};

    use super::*;

    fn judge(quote: Value) -> Result<(), BadQuote> {
        let limits = FeeLimits(BTreeMap::from([("KES", 250)]));
        let answer = Answer::parse(json!({ "quoteResponse": { "body": quote } }).to_string().as_bytes());
        let asked = Money::parse("1000.50", Currency::parse("KES").expect("a currency")).expect("an amount");
        limits.judge(&answer.expect("an object"), asked)
    }

    fn kes(amount: &str) -> Value {
        json!({"amount": amount, "currency": "KES"})
    }

    #[test]
    fn a_quote_is_accepted_for_the_amount_that_was_asked_and_a_fee_within_the_limit() {
        let good = [
            json!({"transferAmount": kes("1000.5")}),
            json!({"transferAmount": kes("1000.50"), "payeeFspFee": kes("0")}),
            json!({"transferAmount": kes("1000.5"), "payeeReceiveAmount": kes("998"), "payeeFspFee": kes("2.5")}),
            json!({"transferAmount": kes("1000.5"), "payeeReceiveAmount": kes("1001")}),
        ];
        for quote in good {
            assert_eq!(judge(quote.clone()), Ok(()), "{quote}");
        }
    }

    #[test]
    fn every_other_quote_is_refused_by_name() {
        let asked = kes("1000.5");
        let table = [
            (json!({}), BadQuote::Unreadable),
            (json!({"transferAmount": {"amount": 1000.5, "currency": "KES"}}), BadQuote::Unreadable),
            (json!({"transferAmount": asked, "payeeFspFee": "2"}), BadQuote::Unreadable),
            (json!({"transferAmount": kes("1000.505")}), BadQuote::Amount(AmountError::ExcessPrecision)),
            (json!({"transferAmount": kes("1000")}), BadQuote::OtherAmount),
            (json!({"transferAmount": kes("1001")}), BadQuote::OtherAmount),
            (json!({"transferAmount": {"amount": "1000.5", "currency": "UGX"}}), BadQuote::OtherAmount),
            (json!({"transferAmount": asked, "payeeFspFee": kes("2.51")}), BadQuote::Fee),
            (json!({"transferAmount": asked, "payeeReceiveAmount": kes("997.99")}), BadQuote::Fee),
        ];
        for (quote, expected) in table {
            assert_eq!(judge(quote.clone()), Err(expected), "{quote}");
        }
    }
}
