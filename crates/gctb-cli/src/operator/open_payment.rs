//! A payment that has not ended, as every list names it: the key that its rail has, and what its sender calls it.

use comfy_table::Cell;
use gctb_db::OpenPayment;
use serde_json::{Value, json};

use super::{key_of, sum_of};
use crate::table::number;

/// The header of [`cells`].
pub(super) const HEADER: [&str; 6] = ["key", "backend", "sender", "transaction", "reference", "sum"];

/// The first cells of its row.
pub(super) fn cells(payment: &OpenPayment) -> [Cell; 6] {
    [
        key_of(payment.batch_no, payment.seq, payment.attempt).into(),
        (&payment.backend).into(),
        (&payment.sender_id).into(),
        (&payment.transaction_id).into(),
        (&payment.request_id).into(),
        number(sum_of(&payment.currency, payment.amount)),
    ]
}

/// The same and the last words, with what `further` adds: an object.
pub(super) fn object(payment: &OpenPayment, further: Value) -> Value {
    let mut object = json!({
        "key": key_of(payment.batch_no, payment.seq, payment.attempt),
        "backend": payment.backend,
        "sender": payment.sender_id,
        "transaction": payment.transaction_id,
        "reference": payment.request_id,
        "sum": sum_of(&payment.currency, payment.amount),
        "message": payment.message,
    });
    if let (Some(object), Value::Object(further)) = (object.as_object_mut(), further) {
        object.extend(further);
    }
    object
}
