//! Turns findings into the answers of a release of the mapper, item by item, failures first.
//!
//! It must not know how a message is read or written.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::directory::{self, Finding};
use super::message::{Answer, Item, Status};
use crate::faults::{MapperControls, Variant};

/// Answers all items that have an id or an address; an item with neither is dropped, as the real mapper does.
///
/// Failures come first, so that a client that matches by position instead of by reference is found out.
pub(crate) fn answer_all(items: &[Item], controls: &MapperControls, now: DateTime<Utc>) -> Vec<Answer> {
    let mut seen = HashSet::new();
    let answers = items.iter().filter_map(|item| {
        if seen.insert(item.reference_id.as_str()) {
            answer(item, controls, now)
        } else {
            Some(Answer::new(item, Status::Rjct, Some("rjct.reference_id.duplicate"), now))
        }
    });
    let (failures, found): (Vec<_>, Vec<_>) = answers.partition(Answer::is_failure);
    failures.into_iter().chain(found).collect()
}

fn answer(item: &Item, controls: &MapperControls, now: DateTime<Utc>) -> Option<Answer> {
    match (&item.id, &item.fa) {
        (Some(id), claimed) => Some(for_id(item, id, claimed.as_deref(), controls, now)),
        (None, Some(fa)) => Some(for_address(item, fa, controls.variant, now)),
        (None, None) => None,
    }
}

fn for_id(item: &Item, id: &str, claimed: Option<&str>, controls: &MapperControls, now: DateTime<Utc>) -> Answer {
    let finding = match controls.overrides.get(id) {
        Some(Some(fa)) => Finding::Active(fa.clone()),
        Some(None) => Finding::NotFound,
        None => directory::look_up(id, &controls.salt),
    };
    match (finding, claimed) {
        (Finding::Active(fa), Some(claimed)) if fa != claimed => not_linked(item, controls.variant, now),
        (Finding::Active(fa), _) => {
            let code = (controls.variant == Variant::Spar23).then_some("succ.id.active");
            Answer::new(item, Status::Succ, code, now).with_fa(item, fa)
        }
        (Finding::Inactive(fa), _) => Answer::new(item, Status::Succ, Some("succ.id.inactive"), now).with_fa(item, fa),
        (Finding::NotLinked, _) => not_linked(item, controls.variant, now),
        (Finding::NotFound, _) => not_found(item, controls.variant, now),
        (Finding::Invalid, _) => Answer::new(item, Status::Rjct, Some("rjct.id.invalid"), now),
        (Finding::Pending, _) => Answer::new(item, Status::Pdng, None, now),
    }
}

fn not_found(item: &Item, variant: Variant, now: DateTime<Utc>) -> Answer {
    match variant {
        Variant::Spar23 => Answer::new(item, Status::Succ, Some("succ.id.not_found"), now),
        Variant::Spar1 => not_linked(item, variant, now),
    }
}

fn not_linked(item: &Item, variant: Variant, now: DateTime<Utc>) -> Answer {
    let answer = Answer::new(item, Status::Succ, Some("succ.fa.not_linked_to_id"), now);
    match variant {
        Variant::Spar23 => answer,
        Variant::Spar1 => answer.without_id("ID doesn't exist, please link first"),
    }
}

/// A question about an address alone, which only the earlier release answers.
fn for_address(item: &Item, fa: &str, variant: Variant, now: DateTime<Utc>) -> Answer {
    match variant {
        Variant::Spar23 if directory::is_address(fa) => {
            Answer::new(item, Status::Succ, Some("succ.fa.active"), now).with_fa(item, fa.to_owned())
        }
        Variant::Spar23 => Answer::new(item, Status::Succ, Some("succ.fa.not_found"), now),
        Variant::Spar1 => Answer::new(item, Status::Rjct, Some("rjct.resolve_type.not_supported"), now),
    }
}
