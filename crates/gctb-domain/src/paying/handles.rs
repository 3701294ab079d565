//! What the rail calls an attempt: the handle by which it is asked about, and by which a two-phase rail makes it impossible.
//!
//! On such a rail each preparation has a handle of its own, and only one that was noted can have been paid. Who asks about another
//! one hears that it was not paid, and that is no word about the one that was.

use super::{Bearer, RailKind, Rules};

/// How it comes to be known, or is known no more, what the rail calls an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Naming<H> {
    /// A send is counted, on a rail of this kind.
    Send(RailKind),
    /// The window that looks after it ends, and this was noted in it before anything was paid.
    Noted(H),
    /// A word about the attempt names it.
    Said(H, Bearer),
}

/// What the rail calls an attempt from now on; until now it was `before`.
pub fn handle_after<H>(before: Option<H>, naming: Naming<H>) -> Option<H> {
    handle_after_by(Rules::ALL, before, naming)
}

pub(super) fn handle_after_by<H>(rules: Rules, before: Option<H>, naming: Naming<H>) -> Option<H> {
    match naming {
        // It is prepared anew: a handle that is left over would be asked about, and fenced, instead of what is paid.
        Naming::Send(rail) if rail.two_phase && rules.forgets => None,
        Naming::Send(_) => before,
        Naming::Noted(handle) if rules.noted => Some(handle),
        Naming::Said(handle, Bearer::Owner) => Some(handle),
        Naming::Said(handle, Bearer::Other) if !rules.renames => Some(handle),
        // A former owner may speak of an earlier preparation; where nothing is known, its handle is better than none.
        Naming::Noted(handle) | Naming::Said(handle, Bearer::Other) => before.or(Some(handle)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paying::Dedupe;

    fn rail(two_phase: bool) -> RailKind {
        RailKind { dedupes: Dedupe::OncePaid, can_be_asked: true, two_phase }
    }

    #[test]
    fn i2_what_is_prepared_anew_is_not_called_what_was_prepared_before() {
        assert_eq!(handle_after(Some(1), Naming::Send(rail(true))), None);
        assert_eq!(handle_after(Some(1), Naming::Send(rail(false))), Some(1), "the same key, and the same handle");
    }

    #[test]
    fn i2_what_was_noted_counts_and_of_words_only_the_owners_replace_it() {
        let cases = [
            (Naming::Noted(2), Some(2), Some(2)),
            (Naming::Said(2, Bearer::Owner), Some(2), Some(2)),
            (Naming::Said(2, Bearer::Other), Some(1), Some(2)),
        ];
        for (naming, after_one, after_none) in cases {
            assert_eq!(
                (handle_after(Some(1), naming), handle_after(None, naming)),
                (after_one, after_none),
                "{naming:?}"
            );
        }
    }
}
