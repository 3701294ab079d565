//! Makes docs/examples/disburse-1000.json: always the same thousand disbursements, some of them wrong on purpose.
//!
//! Everything follows from the position, so that a change here shows as a readable difference in the file. All people,
//! accounts and programmes are invented; the IBANs carry the check digits 00, which no real one has.

mod flaw;
mod person;

use serde_json::{Value, json};

use self::flaw::Flaw;
use self::person::{address, is_paid_in_whole_units, name};

/// Disbursements of the message.
pub(crate) const DISBURSEMENTS: usize = 1000;

const PURPOSES: [&str; 4] = ["Farmer Relief", "School Meals", "Old Age Pension", "Flood Recovery"];

const FIELDS: [&str; 10] = [
    "reference_id",
    "payer_fa",
    "payee_fa",
    "amount",
    "currency_code",
    "scheduled_timestamp",
    "payee_name",
    "note",
    "purpose",
    "locale",
];

/// The whole file: the envelope pretty, one disbursement per line.
pub(crate) fn message() -> String {
    let items: Vec<_> = (0..DISBURSEMENTS).map(|position| line(&disbursement(position))).collect();
    format!(
        r#"{{
  "signature": "",
  "header": {{
    "message_id": "2f0b6f6e-6a53-4c0e-9a43-1f2f5d0c1000",
    "message_ts": "2026-11-23 08:30:00.000000",
    "action": "disburse",
    "sender_id": "payments.openg2p.org",
    "receiver_id": "pymts.example.org",
    "total_count": {DISBURSEMENTS}
  }},
  "message": {{
    "transaction_id": "7c9d3c52-40c1-4e0d-8a39-5d7f4e0c1000",
    "disbursements": [
{}
    ]
  }}
}}
"#,
        items.join(",\n")
    )
}

/// One disbursement on one line, its fields in the order in which people read them.
fn line(item: &Value) -> String {
    let fields: Vec<_> = FIELDS
        .iter()
        .filter(|field| item.get(*field).is_some())
        .map(|field| format!("{field:?}: {}", item[*field]))
        .collect();
    format!("      {{ {} }}", fields.join(", "))
}

/// What is wrong with a disbursement: one in ten, each kind in turn.
pub(crate) fn flaw_at(position: usize) -> Option<Flaw> {
    (position % 10 == 7).then(|| Flaw::ALL[position / 10 % Flaw::ALL.len()])
}

fn disbursement(position: usize) -> Value {
    let purpose = PURPOSES[position / 3 % PURPOSES.len()];
    let mut item = json!({
        "reference_id": format!("gctb-demo-{:04}", position + 1),
        "payer_fa": "",
        "payee_fa": address(position),
        "amount": amount(position),
        "payee_name": name(position),
        "note": format!("Payment for Cycle {} under {purpose}", 1 + position % 6),
        "purpose": purpose,
        "currency_code": "KES",
        "locale": "eng",
    });
    if position % 25 == 3 {
        item["scheduled_timestamp"] = json!(format!("+{}s", 3 + position / 25 % 4));
    }
    if let Some(flaw) = flaw_at(position) {
        flaw.spoil(&mut item, position);
    }
    item
}

/// KES 500.00 to 9,499.99, no two alike, written in the ways in which senders write them.
fn amount(position: usize) -> String {
    let cents = 50_000 + position * 7_919 % 900_000;
    let (whole, part) = (cents / 100, if is_paid_in_whole_units(position) { 0 } else { cents % 100 });
    match position % 4 {
        0 => format!("{whole}.0"),
        1 => format!("{whole}"),
        _ => format!("{whole}.{part:02}"),
    }
}
