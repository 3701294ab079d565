//! One disbursement: what the sender wrote, and the verdict on it.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use gctb_domain::{Currency, FinancialAddress, Money, ReasonCode, Seq};
use uuid::Uuid;

use super::derive;
use super::digest::Digesting;
use super::rules::Rules;
use super::texts::{Place, Texts, place};
use super::wire::WireItem;
use crate::text::{Text, is_plain, is_storable, storable};
use crate::time::{self, TimeError};

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
pub struct Disbursement<'b> {
    /// The position in the message, from 0.
    pub seq: Seq,
    /// The sender's reference, or one derived from the transaction and the position.
    pub reference_id: &'b str,
    /// Whether the reference was derived.
    pub reference_derived: bool,
    /// The payer's address as sent, or the default where the sender named none and there is a default.
    pub from_fa: &'b str,
    /// The payee's address or id as sent; empty where it is missing.
    pub to_fa: &'b str,
    /// The amount as sent; empty where it is missing.
    pub amount_text: &'b str,
    /// The currency as sent, or the default; empty where both are missing.
    pub currency_text: &'b str,
    /// The amount where it could be read in its currency, also of an item that is refused for another reason: it
    /// counts in the sums of what was received.
    pub money: Option<Money>,
    /// When to pay. None: at once, or the time cannot be used and the item is refused.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// The scheduled time as sent, where it cannot be used.
    pub scheduled_text: Option<&'b str>,
    /// The payer's name.
    pub payer_name: Option<&'b str>,
    /// The payee's name.
    pub payee_name: Option<&'b str>,
    /// A note for statements.
    pub note: Option<&'b str>,
    /// The purpose, for example the programme's name.
    pub purpose: Option<&'b str>,
    /// An instruction for systems.
    pub instruction: Option<&'b str>,
    /// The language of the texts, two or three letters.
    pub locale: Option<&'b str>,
    /// Why it is refused; None: it can be paid.
    pub refusal: Option<&'b Refusal>,
}

/// Shows the position and the reason code alone: the rest is personal data (invariant I9).
impl std::fmt::Debug for Disbursement<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self.refusal.map(|refusal| refusal.code);
        f.debug_struct("Disbursement").field("seq", &self.seq).field("refused", &code).finish_non_exhaustive()
    }
}

impl Disbursement<'_> {
    /// What can be paid of it; None where it is refused.
    pub fn payable(&self) -> Option<Payable> {
        if self.refusal.is_some() {
            return None;
        }
        Some(Payable {
            money: self.money?,
            from_fa: FinancialAddress::parse(self.from_fa).ok()?,
            to_fa: FinancialAddress::parse(self.to_fa).ok()?,
        })
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

/// A disbursement as it is kept: where its texts lie, what was read from them, and the verdict. There may be 100,000 of
/// these in memory; a test watches their size.
pub(super) struct Item {
    reference_id: Option<Place>,
    from_fa: Option<Place>,
    to_fa: Option<Place>,
    amount: Option<Place>,
    currency: Option<Place>,
    scheduled: Option<Place>,
    payer_name: Option<Place>,
    payee_name: Option<Place>,
    note: Option<Place>,
    purpose: Option<Place>,
    instruction: Option<Place>,
    locale: Option<Place>,
    money: Option<Money>,
    scheduled_at: Option<DateTime<Utc>>,
    reference_derived: bool,
    refusal: Option<Box<Refusal>>,
}

/// What items are judged by, beside themselves.
pub(super) struct Judge<'r> {
    pub(super) rules: &'r Rules,
    pub(super) received_at: DateTime<Utc>,
    pub(super) reference_namespace: Uuid,
    pub(super) default_payer: Option<Place>,
    pub(super) default_currency: Option<Place>,
}

impl Item {
    /// Keeps what stands in the message. It is not judged yet.
    pub(super) fn of(item: WireItem<'_>, body: &str, beside: &mut String) -> Self {
        let mut keep = |field: Option<Text<'_>>| field.map(|text| place(body, beside, &text.0));
        Self {
            reference_id: keep(item.reference_id),
            from_fa: keep(item.payer_fa),
            to_fa: keep(item.payee_fa),
            amount: keep(item.amount),
            currency: keep(item.currency_code),
            scheduled: keep(item.scheduled_timestamp),
            payer_name: keep(item.payer_name),
            payee_name: keep(item.payee_name),
            note: keep(item.note),
            purpose: keep(item.purpose),
            instruction: keep(item.instruction),
            locale: keep(item.locale),
            money: None,
            scheduled_at: None,
            reference_derived: false,
            refusal: None,
        }
    }

    /// Judges what was sent, feeds it to the digest, and brings the texts into the form in which they are stored.
    pub(super) fn judge(&mut self, seq: i32, texts: &mut Texts, judge: &Judge<'_>, digest: &mut Digesting) {
        let sent = self.sent(texts);
        let money = sent.money(judge.rules);
        let time = sent.scheduled.map(time::parse);
        // Settings must not change the digest: an amount is read for it in the currency that was sent.
        digest.item(&sent, money.as_ref().ok().filter(|_| sent.currency.is_some()), time);
        let due = sent.due_time(time, judge);
        let refusal = sent.refusal(judge.rules, &money, &due);
        let needs_place = !sent.are_storable();

        self.money = money.ok();
        self.scheduled = self.scheduled.filter(|_| due.is_err());
        self.scheduled_at = due.ok().flatten();
        self.refusal = refusal.map(Box::new);
        self.reference_derived = self.reference_id.is_none_or(|place| texts.get(place).is_empty());
        if self.reference_derived {
            self.reference_id = Some(texts.add(&derive::reference_id(&judge.reference_namespace, seq)));
        }
        if self.from_fa.is_none_or(|place| texts.get(place).is_empty()) {
            self.from_fa = judge.default_payer;
        }
        self.currency = self.currency.or(judge.default_currency);
        if needs_place {
            self.make_storable(texts);
        }
    }

    /// The item as the world sees it. `seq` is its position.
    pub(super) fn shown<'b>(&'b self, seq: i32, texts: &'b Texts) -> Disbursement<'b> {
        let text = |place: Option<Place>| place.map(|place| texts.get(place));
        Disbursement {
            seq: Seq(seq),
            reference_id: text(self.reference_id).unwrap_or_default(),
            reference_derived: self.reference_derived,
            from_fa: text(self.from_fa).unwrap_or_default(),
            to_fa: text(self.to_fa).unwrap_or_default(),
            amount_text: text(self.amount).unwrap_or_default(),
            currency_text: text(self.currency).unwrap_or_default(),
            money: self.money,
            scheduled_at: self.scheduled_at,
            scheduled_text: text(self.scheduled),
            payer_name: text(self.payer_name),
            payee_name: text(self.payee_name),
            note: text(self.note),
            purpose: text(self.purpose),
            instruction: text(self.instruction),
            locale: text(self.locale),
            refusal: self.refusal.as_deref(),
        }
    }

    pub(super) fn reference<'b>(&self, texts: &'b Texts) -> &'b str {
        self.reference_id.map_or("", |place| texts.get(place))
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }

    /// Refuses an item whose reference has other bearers, unless the reference itself is at fault.
    pub(super) fn refuse_as_duplicate(&mut self) {
        let invalid = self.refusal.as_ref().is_some_and(|refusal| refusal.code == ReasonCode::ReferenceIdInvalid);
        if !invalid {
            let message = "the reference occurs more than once in the message; none of its bearers is paid";
            self.refusal = Some(Box::new(Refusal::new(ReasonCode::ReferenceIdDuplicate, message)));
        }
    }

    fn sent<'t>(&self, texts: &'t Texts) -> Sent<'t> {
        let text = |place: Option<Place>| place.map(|place| texts.get(place));
        Sent {
            reference: text(self.reference_id).filter(|text| !text.is_empty()),
            from_fa: text(self.from_fa).filter(|text| !text.is_empty()),
            to_fa: text(self.to_fa),
            amount: text(self.amount),
            currency: text(self.currency),
            scheduled: text(self.scheduled),
            payer_name: text(self.payer_name),
            payee_name: text(self.payee_name),
            note: text(self.note),
            purpose: text(self.purpose),
            instruction: text(self.instruction),
            locale: text(self.locale),
        }
    }

    fn make_storable(&mut self, texts: &mut Texts) {
        let fields = [
            &mut self.reference_id,
            &mut self.from_fa,
            &mut self.to_fa,
            &mut self.amount,
            &mut self.currency,
            &mut self.scheduled,
            &mut self.payer_name,
            &mut self.payee_name,
            &mut self.note,
            &mut self.purpose,
            &mut self.instruction,
            &mut self.locale,
        ];
        for field in fields.into_iter().flatten() {
            let made = match storable(Cow::Borrowed(texts.get(*field))) {
                Cow::Borrowed(_) => None,
                Cow::Owned(text) => Some(text),
            };
            if let Some(text) = made {
                *field = texts.add(&text);
            }
        }
    }
}

/// What the sender wrote. An empty reference or payer means the same as none.
pub(super) struct Sent<'t> {
    pub(super) reference: Option<&'t str>,
    pub(super) from_fa: Option<&'t str>,
    pub(super) to_fa: Option<&'t str>,
    pub(super) amount: Option<&'t str>,
    pub(super) currency: Option<&'t str>,
    pub(super) scheduled: Option<&'t str>,
    pub(super) payer_name: Option<&'t str>,
    pub(super) payee_name: Option<&'t str>,
    pub(super) note: Option<&'t str>,
    pub(super) purpose: Option<&'t str>,
    pub(super) instruction: Option<&'t str>,
    pub(super) locale: Option<&'t str>,
}

impl Sent<'_> {
    /// Why it cannot be paid; the first fault in this order gives the code.
    fn refusal(
        &self,
        rules: &Rules,
        money: &Result<Money, Refusal>,
        due: &Result<Option<DateTime<Utc>>, Refusal>,
    ) -> Option<Refusal> {
        self.reference_fault()
            .or_else(|| self.payer_fault(rules))
            .or_else(|| self.payee_fault())
            .or_else(|| money.as_ref().err().cloned())
            .or_else(|| due.as_ref().err().cloned())
            .or_else(|| self.text_fault())
    }

    fn reference_fault(&self) -> Option<Refusal> {
        let invalid = self.reference.is_some_and(|reference| !is_plain(reference, REFERENCE_CHARS_MAX));
        let message = || format!("the reference has more than {REFERENCE_CHARS_MAX} characters, or control characters");
        invalid.then(|| Refusal::new(ReasonCode::ReferenceIdInvalid, message()))
    }

    fn payer_fault(&self, rules: &Rules) -> Option<Refusal> {
        let invalid = |message: String| Refusal::new(ReasonCode::PayerFaInvalid, message);
        match (self.from_fa, &rules.default_payer) {
            (Some(text), _) => FinancialAddress::parse(text).err().map(|error| invalid(format!("payer_fa: {error}"))),
            (None, Some(_)) => None,
            (None, None) => {
                Some(invalid("payer_fa is empty, and this bridge has no default payer in its settings".to_owned()))
            }
        }
    }

    fn payee_fault(&self) -> Option<Refusal> {
        let error = FinancialAddress::parse(self.to_fa.unwrap_or_default()).err()?;
        Some(Refusal::new(ReasonCode::PayeeFaInvalid, format!("payee_fa: {error}")))
    }

    fn money(&self, rules: &Rules) -> Result<Money, Refusal> {
        Money::parse(self.amount.unwrap_or_default(), self.currency(rules)?)
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

    fn text_fault(&self) -> Option<Refusal> {
        let invalid = |message: String| Refusal::new(ReasonCode::DisbursementInvalid, message);
        let limited = [
            (self.payer_name, NAME_CHARS_MAX, "payer_name"),
            (self.payee_name, NAME_CHARS_MAX, "payee_name"),
            (self.note, NOTE_CHARS_MAX, "note"),
            (self.purpose, NOTE_CHARS_MAX, "purpose"),
            (self.instruction, INSTRUCTION_CHARS_MAX, "instruction"),
        ];
        for (text, chars_max, field) in limited {
            if text.is_some_and(|text| !is_plain(text, chars_max)) {
                let message = format!("{field} has more than {chars_max} characters, or control characters");
                return Some(invalid(message));
            }
        }
        let letters = |locale: &str| matches!(locale.len(), 2 | 3) && locale.bytes().all(|b| b.is_ascii_alphabetic());
        let wrong = self.locale.is_some_and(|locale| !locale.is_empty() && !letters(locale));
        wrong.then(|| invalid("locale is not two or three letters".to_owned()))
    }

    /// When to pay. An empty text is refused like any other that cannot be read: paying at once what was meant for later
    /// cannot be taken back.
    fn due_time(
        &self,
        time: Option<Result<DateTime<Utc>, TimeError>>,
        judge: &Judge<'_>,
    ) -> Result<Option<DateTime<Utc>>, Refusal> {
        let invalid = |message: String| Refusal::new(ReasonCode::ScheduleTsInvalid, message);
        let Some(due) = time.transpose().map_err(|error| invalid(format!("scheduled_timestamp: {error}")))? else {
            return Ok(None);
        };
        if due - judge.received_at > judge.rules.max_schedule_ahead {
            let days = judge.rules.max_schedule_ahead.num_days();
            return Err(invalid(format!("scheduled_timestamp lies more than {days} days ahead")));
        }
        Ok(Some(due))
    }

    fn are_storable(&self) -> bool {
        let all = [
            self.reference,
            self.from_fa,
            self.to_fa,
            self.amount,
            self.currency,
            self.scheduled,
            self.payer_name,
            self.payee_name,
            self.note,
            self.purpose,
            self.instruction,
            self.locale,
        ];
        all.into_iter().flatten().all(is_storable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_that_is_kept_is_small() {
        assert!(size_of::<Item>() <= 144, "100,000 items are 14 MB, not {} bytes each", size_of::<Item>());
    }
}
