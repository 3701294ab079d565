//! A stored instruction as an item of an answer.

use gctb_connect::answer::{Amount, ItemStatus};
use gctb_db::InstructionRow;
use gctb_domain::{Currency, Money};

pub(crate) fn item_status(row: &InstructionRow) -> ItemStatus<'_> {
    ItemStatus {
        reference_id: &row.request_id,
        at: row.updated_at,
        status: row.status.to_g2p(),
        reason: row.reason,
        message: row.message.as_deref(),
        amount: amount(row),
        payer_fa: Some(&row.from_fa),
        payer_name: row.payer_name.as_deref(),
        payee_fa: Some(&row.to_fa),
        payee_name: row.payee_name.as_deref(),
        currency_code: given_currency(&row.currency),
        locale: row.locale.as_deref(),
    }
}

/// A currency that the sender did not name, and for which there is no default, is left out.
pub(crate) fn given_currency(code: &str) -> Option<&str> {
    (!code.is_empty()).then_some(code)
}

fn amount(row: &InstructionRow) -> Option<Amount<'_>> {
    let exact = || Money::from_minor(row.amount_minor?, Currency::parse(&row.currency).ok()?).ok();
    exact().map(Amount::Exact).or(row.amount_text.as_deref().map(Amount::AsSent))
}
