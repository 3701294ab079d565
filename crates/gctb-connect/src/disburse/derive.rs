//! Ids for what the sender left unnamed: computed from what it did name, so that a repeated POST finds itself.

use uuid::Uuid;

/// The namespace of all derived ids. Fixed for ever: another value would make a retry look like a new transaction.
const NAMESPACE: Uuid = Uuid::from_u128(0x5b0a_7c1e_52f4_4d0b_9a36_c8de_30f2_7a41);

/// UUIDv5 of the sender and its message id.
pub(super) fn transaction_id(sender_id: &str, message_id: &str) -> String {
    v5_text(&of_sender(sender_id, "message"), message_id)
}

/// The namespace of the references derived within one transaction.
pub(super) fn reference_namespace(sender_id: &str, transaction_id: &str) -> Uuid {
    Uuid::new_v5(&of_sender(sender_id, "transaction"), transaction_id.as_bytes())
}

/// UUIDv5 of the transaction and the position.
pub(super) fn reference_id(namespace: &Uuid, seq: i32) -> String {
    v5_text(namespace, &seq.to_string())
}

/// Message ids and transaction ids of a sender are names of different kinds and must not derive the same id.
fn of_sender(sender_id: &str, kind: &str) -> Uuid {
    Uuid::new_v5(&Uuid::new_v5(&NAMESPACE, kind.as_bytes()), sender_id.as_bytes())
}

fn v5_text(namespace: &Uuid, name: &str) -> String {
    Uuid::new_v5(namespace, name.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_never_change() {
        assert_eq!(transaction_id("spp.example.org", "m-1"), "d7d8be23-bfa3-56b6-ac97-8381727d6c2e");
        let namespace = reference_namespace("spp.example.org", "t-1");
        assert_eq!(reference_id(&namespace, 0), "de2943a9-f0fe-5a9f-ae7e-983500c89eb0");
    }
}
