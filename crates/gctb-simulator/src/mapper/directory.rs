//! The mapper's directory: what is known about an id, computed from the id's text instead of stored.
//!
//! `token:<sub>@nationalId` is known, and the beginning of `<sub>` chooses what is said about it; any other id is
//! not found. It must not know messages, releases or switches.

use sha2::{Digest, Sha256};

/// What the directory says about an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The id is active and linked to this financial address.
    Active(String),
    /// The id is linked to this financial address but is not active.
    Inactive(String),
    /// The id is known and has no address.
    NotLinked,
    /// Nobody has this id.
    NotFound,
    /// The mapper takes this id for malformed.
    Invalid,
    /// The mapper has not finished looking.
    Pending,
}

/// Looks an id up. The salt goes into the accounts, so that another salt is another directory.
pub(crate) fn look_up(id: &str, salt: &str) -> Finding {
    let Some(sub) = id.strip_prefix("token:").and_then(|rest| rest.strip_suffix("@nationalId")) else {
        return Finding::NotFound;
    };
    let begins = |word: &str| sub.starts_with(word);
    match sub {
        "" => Finding::Invalid,
        _ if begins("NOTFOUND") => Finding::NotFound,
        _ if begins("NOLINK") => Finding::NotLinked,
        _ if begins("RJCT") => Finding::Invalid,
        _ if begins("PDNG") => Finding::Pending,
        _ if begins("INACTIVE") => Finding::Inactive(address(sub, salt, None)),
        _ if begins("BADFA") => Finding::Active(format!("cowrie-shells:{}", account_head(sub, salt))),
        // These two resolve well; it is the bank that will not pay into them.
        _ if begins("CLOSED") => Finding::Active(address(sub, salt, Some(4))),
        _ if begins("BLOCKED") => Finding::Active(address(sub, salt, Some(6))),
        _ => Finding::Active(address(sub, salt, None)),
    }
}

/// Whether a financial address is of a form that this mapper could have given out.
pub(crate) fn is_address(fa: &str) -> bool {
    fa.strip_prefix("account:")
        .and_then(|rest| rest.split_once('@'))
        .is_some_and(|(account, place)| !account.is_empty() && place.contains('.'))
}

fn address(sub: &str, salt: &str, ending: Option<u64>) -> String {
    let number = derived_number(sub, salt);
    // Endings below 1000 are the bank's rejection rules: an ordinary id must never meet one by chance.
    let tail = ending.unwrap_or(1000 + number % 9000);
    format!("account:{}{tail:04}@branch1.bank1.bank_acc", account_head(sub, salt))
}

fn account_head(sub: &str, salt: &str) -> String {
    format!("{:06}", derived_number(sub, salt) / 9000 % 1_000_000)
}

fn derived_number(sub: &str, salt: &str) -> u64 {
    let digest = Sha256::new().chain_update(salt).chain_update(sub).finalize();
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_id_resolves_to_ten_digits_that_the_bank_pays() {
        for n in 0..2000 {
            let Finding::Active(fa) = look_up(&format!("token:S{n}@nationalId"), "") else { panic!("not active") };
            let account = fa
                .strip_prefix("account:")
                .and_then(|rest| rest.strip_suffix("@branch1.bank1.bank_acc"))
                .expect("the form");
            assert_eq!(account.len(), 10);
            assert_ne!(&account[6..7], "0", "an ending below 1000 would be rejected by the bank");
            assert!(is_address(&fa));
        }
    }

    #[test]
    fn an_id_can_lead_to_a_closed_account() {
        let Finding::Active(fa) = look_up("token:CLOSED-7@nationalId", "") else { panic!("not active") };
        assert!(fa.contains("0004@"));
    }
}
