//! One disbursement: what the sender wrote, and the verdict on it.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use gctb_domain::{Currency, FinancialAddress, Money, ReasonCode, Seq};
use uuid::Uuid;

use super::derive;
use super::rules::Rules;
use super::wire::WireItem;
use crate::text::{Text, is_plain, storable};
use crate::time;

/// Longest reference, in characters. The specification gives none; 99 is its length for transaction ids.
const REFERENCE_CHARS_MAX: usize = 99;
/// Longest name, in characters: that of a party in ISO 20022 (Max140Text). The specification gives none.
const NAME_CHARS_MAX: usize = 140;
/// Longest note and purpose, in characters (G2P Connect disburse 1.0.0).
const NOTE_CHARS_MAX: usize = 99;
/// Longest instruction, in characters (G2P Connect disburse 1.0.0).
const INSTRUCTION_CHARS_MAX: usize = 999;

/// One disbursement of a message. Texts are as sent, in a form that Postgres can store: cut at 999 characters, U+0000
/// replaced. In a payable item nothing was cut or replaced.
#[derive(Clone)]
pub struct Disbursement<'a> {
    /// The position in the message, from 0.
    pub seq: Seq,
    /// The sender's reference, or one derived from the transaction and the position.
    pub reference_id: Cow<'a, str>,
    /// Whether the reference was derived.
    pub reference_derived: bool,
    /// The payer's address as sent, or the default where the sender named none and there is a default.
    pub from_fa: Cow<'a, str>,
    /// The payee's address or id as sent; empty where it is missing.
    pub to_fa: Cow<'a, str>,
    /// The amount as sent; empty where it is missing.
    pub amount_text: Cow<'a, str>,
    /// The currency as sent, or the default; empty where both are missing.
    pub currency_text: Cow<'a, str>,
    /// The amount where it could be read in its currency, also of an item that is refused for another reason: it
    /// counts in the sums of what was received.
    pub money: Option<Money>,
    /// When to pay. None: at once, or the time cannot be used and the item is refused.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// The scheduled time as sent, where it cannot be used.
    pub scheduled_text: Option<Cow<'a, str>>,
    /// The payer's name.
    pub payer_name: Option<Cow<'a, str>>,
    /// The payee's name.
    pub payee_name: Option<Cow<'a, str>>,
    /// A note for statements.
    pub note: Option<Cow<'a, str>>,
    /// The purpose, for example the programme's name.
    pub purpose: Option<Cow<'a, str>>,
    /// An instruction for systems.
    pub instruction: Option<Cow<'a, str>>,
    /// The language of the texts, two or three letters.
    pub locale: Option<Cow<'a, str>>,
    /// What can be paid, or why it is refused.
    pub verdict: Result<Payable, Refusal>,
}

/// Shows the position and the reason code alone: the rest is personal data (invariant I9).
impl std::fmt::Debug for Disbursement<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self.verdict.as_ref().err().map(|refusal| refusal.code);
        f.debug_struct("Disbursement").field("seq", &self.seq).field("refused", &code).finish_non_exhaustive()
    }
}

/// The parts of a disbursement that can be paid, proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payable {
    /// How much.
    pub money: Money,
    /// Who pays.
    pub from_fa: FinancialAddress,
    /// Who is paid: an address, or an id that a mapper resolves.
    pub to_fa: FinancialAddress,
}

/// Why a disbursement is not paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: ReasonCode,
    /// One sentence for the sender, without any of its data.
    pub message: Cow<'static, str>,
}

impl Refusal {
    pub(super) fn new(code: ReasonCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }
}

impl<'a> Disbursement<'a> {
    pub(super) fn judge(
        seq: i32,
        item: WireItem<'a>,
        reference_namespace: &Uuid,
        rules: &Rules,
        received_at: DateTime<Utc>,
    ) -> Self {
        let reference = text(item.reference_id).filter(|reference| !reference.is_empty());
        let from_fa = text(item.payer_fa).filter(|payer| !payer.is_empty());
        let scheduled = text(item.scheduled_timestamp);
        let due = due_time(scheduled.as_deref(), rules, received_at);
        let facts = Facts {
            reference: reference.as_deref(),
            from_fa: from_fa.as_deref(),
            to_fa: item.payee_fa.as_ref().map_or("", |fa| &*fa.0),
            amount: item.amount.as_ref().map_or("", |amount| &*amount.0),
            currency: item.currency_code.as_ref().map(|currency| &*currency.0),
            limited: [
                (&item.payer_name, NAME_CHARS_MAX, "payer_name"),
                (&item.payee_name, NAME_CHARS_MAX, "payee_name"),
                (&item.note, NOTE_CHARS_MAX, "note"),
                (&item.purpose, NOTE_CHARS_MAX, "purpose"),
                (&item.instruction, INSTRUCTION_CHARS_MAX, "instruction"),
            ],
            locale: item.locale.as_ref().map(|locale| &*locale.0),
        };
        let money = facts.money(rules);
        let verdict = facts.judge(rules, money.clone(), &due);
        let default_payer = || rules.default_payer.as_ref().map_or(String::new(), |fa| fa.as_str().to_owned());
        let default_currency = || Cow::Borrowed(rules.default_currency.map_or("", Currency::code));
        Self {
            seq: Seq(seq),
            reference_derived: reference.is_none(),
            reference_id: reference
                .map_or_else(|| Cow::Owned(derive::reference_id(reference_namespace, seq)), storable),
            from_fa: from_fa.map_or_else(|| Cow::Owned(default_payer()), storable),
            to_fa: text(item.payee_fa).map_or_else(Cow::default, storable),
            amount_text: text(item.amount).map_or_else(Cow::default, storable),
            currency_text: text(item.currency_code).map_or_else(default_currency, storable),
            money: money.ok(),
            scheduled_text: scheduled.filter(|_| due.is_err()).map(storable),
            scheduled_at: due.ok().flatten(),
            payer_name: text(item.payer_name).map(storable),
            payee_name: text(item.payee_name).map(storable),
            note: text(item.note).map(storable),
            purpose: text(item.purpose).map(storable),
            instruction: text(item.instruction).map(storable),
            locale: text(item.locale).map(storable),
            verdict,
        }
    }
}

fn text(field: Option<Text<'_>>) -> Option<Cow<'_, str>> {
    field.map(|text| text.0)
}

/// What the sender wrote, in the order in which it is judged: the first fault gives the code.
struct Facts<'f, 'a> {
    reference: Option<&'f str>,
    from_fa: Option<&'f str>,
    to_fa: &'f str,
    amount: &'f str,
    currency: Option<&'f str>,
    limited: [(&'f Option<Text<'a>>, usize, &'static str); 5],
    locale: Option<&'f str>,
}

impl Facts<'_, '_> {
    fn judge(
        &self,
        rules: &Rules,
        money: Result<Money, Refusal>,
        due: &Result<Option<DateTime<Utc>>, Refusal>,
    ) -> Result<Payable, Refusal> {
        if self.reference.is_some_and(|reference| !is_plain(reference, REFERENCE_CHARS_MAX)) {
            let message =
                format!("the reference has more than {REFERENCE_CHARS_MAX} characters, or control characters");
            return Err(Refusal::new(ReasonCode::ReferenceIdInvalid, message));
        }
        let from_fa = self.payer(rules)?;
        let to_fa = FinancialAddress::parse(self.to_fa)
            .map_err(|error| Refusal::new(ReasonCode::PayeeFaInvalid, format!("payee_fa: {error}")))?;
        let money = money?;
        if let Err(refusal) = due {
            return Err(refusal.clone());
        }
        self.check_texts()?;
        Ok(Payable { money, from_fa, to_fa })
    }

    fn payer(&self, rules: &Rules) -> Result<FinancialAddress, Refusal> {
        let invalid = |message: String| Refusal::new(ReasonCode::PayerFaInvalid, message);
        match self.from_fa {
            Some(text) => FinancialAddress::parse(text).map_err(|error| invalid(format!("payer_fa: {error}"))),
            None => rules.default_payer.clone().ok_or_else(|| {
                invalid("payer_fa is empty, and this bridge has no default payer in its settings".to_owned())
            }),
        }
    }

    fn money(&self, rules: &Rules) -> Result<Money, Refusal> {
        Money::parse(self.amount, self.currency(rules)?)
            .map_err(|error| Refusal::new(ReasonCode::AmountInvalid, error.to_string()))
    }

    fn currency(&self, rules: &Rules) -> Result<Currency, Refusal> {
        let invalid = |message: String| Refusal::new(ReasonCode::CurrencyCodeInvalid, message);
        match self.currency {
            Some(code) => Currency::parse(code).map_err(|error| invalid(error.to_string())),
            None => rules.default_currency.ok_or_else(|| {
                invalid("currency_code is missing, and this bridge has no default currency in its settings".to_owned())
            }),
        }
    }

    fn check_texts(&self) -> Result<(), Refusal> {
        let invalid = |message: String| Refusal::new(ReasonCode::DisbursementInvalid, message);
        for (text, chars_max, field) in &self.limited {
            if text.as_ref().is_some_and(|text| !is_plain(&text.0, *chars_max)) {
                let message = format!("{field} has more than {chars_max} characters, or control characters");
                return Err(invalid(message));
            }
        }
        let letters = |locale: &str| matches!(locale.len(), 2 | 3) && locale.bytes().all(|b| b.is_ascii_alphabetic());
        match self.locale {
            Some(locale) if !locale.is_empty() && !letters(locale) => {
                Err(invalid("locale is not two or three letters".to_owned()))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// When to pay. An empty text is refused like any other that cannot be read: paying at once what was meant for later
/// cannot be taken back.
fn due_time(text: Option<&str>, rules: &Rules, received_at: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Refusal> {
    let invalid = |message: String| Refusal::new(ReasonCode::ScheduleTsInvalid, message);
    let Some(text) = text else { return Ok(None) };
    let due = time::parse(text).map_err(|error| invalid(format!("scheduled_timestamp: {error}")))?;
    if due - received_at > rules.max_schedule_ahead {
        let days = rules.max_schedule_ahead.num_days();
        return Err(invalid(format!("scheduled_timestamp lies more than {days} days ahead")));
    }
    Ok(Some(due))
}
