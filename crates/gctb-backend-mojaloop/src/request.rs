//! What is sent to the adapter. Its objects are closed: an unknown key is refused there.

use std::borrow::Cow;

use gctb_backend::{Order, Refusal};
use serde::Serialize;

use crate::amount;
use crate::party::{IdType, PartyRules};
use crate::settings::{PayerSettings, PayerType};
use crate::text;

/// `POST /transfers`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Transfer<'a> {
    home_transaction_id: String,
    from: Party<'a>,
    to: Party<'a>,
    amount_type: &'static str,
    currency: &'static str,
    amount: String,
    transaction_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Party<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    party_type: Option<PayerType>,
    id_type: IdType,
    id_value: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_sub_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<Cow<'a, str>>,
}

impl<'a> Transfer<'a> {
    /// What asks for a quote of `order`.
    ///
    /// # Errors
    /// Where no rule knows the payee's address.
    pub(crate) fn of(order: &Order, payer: &'a PayerSettings, rules: &PartyRules) -> Result<Self, Refusal> {
        let payee = rules.party(&order.to)?;
        Ok(Self {
            home_transaction_id: order.key.to_string(),
            from: Party {
                party_type: Some(payer.payer_type),
                id_type: payer.id_type,
                id_value: payer.id_value.as_str().into(),
                id_sub_value: None,
                display_name: Some(payer.display_name.as_str().into()),
            },
            to: Party {
                party_type: None,
                id_type: payee.id_type,
                id_value: payee.value.into(),
                id_sub_value: payee.sub,
                display_name: text::name(&order.payee_name).map(Into::into),
            },
            // What leaves the treasury's account is fixed; what the payee's institution keeps of it is checked in the
            // quote.
            amount_type: "SEND",
            currency: order.amount.currency().code(),
            amount: amount::write(order.amount),
            transaction_type: "TRANSFER",
            note: text::note(&order.narrative),
        })
    }
}

/// `PUT /transfers/{transferId}`: the answer to a quote.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Acceptance {
    /// True pays; false makes the payment impossible.
    pub(crate) accept_quote: bool,
}
