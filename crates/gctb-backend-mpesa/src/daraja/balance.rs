//! What the payer's accounts hold, as the balance query tells it:
//! `Working Account|KES|700000.00|700000.00|0.00|0.00&Utility Account|KES|…`.

use gctb_domain::{Currency, Money, MoneyError};

/// Accounts that one answer may list (invariant I10); M-Pesa has five.
const ACCOUNTS_MAX: usize = 32;

/// What an account of the payer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountBalance {
    /// Its name, for example `Utility Account`.
    pub name: String,
    /// What can be paid from it, in minor units of the configured currency; less than zero where it is overdrawn.
    pub available_minor: i64,
}

/// Reads the list; None where it is not of this form or an amount is not exact. Accounts in other currencies are left out.
pub(super) fn accounts(text: &str, currency: Currency) -> Option<Vec<AccountBalance>> {
    let rows: Vec<&str> = text.split('&').collect();
    if rows.len() > ACCOUNTS_MAX {
        return None;
    }
    let mut accounts = Vec::new();
    for row in rows {
        let [name, code, _current, available, ..] = row.split('|').collect::<Vec<_>>()[..] else { return None };
        if code == currency.code() {
            let available_minor = minor(available, currency)?;
            accounts.push(AccountBalance { name: name.to_owned(), available_minor });
        }
    }
    Some(accounts)
}

/// A balance may be nothing or less, which no [`Money`] can be.
fn minor(text: &str, currency: Currency) -> Option<i64> {
    let (digits, sign) = text.strip_prefix('-').map_or((text, 1), |digits| (digits, -1));
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match Money::parse(digits, currency) {
        Ok(money) => Some(sign * money.minor()),
        Err(MoneyError::NotPositive) if is_plain => Some(0),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Vec<(String, i64)>> {
        let kes = Currency::parse("KES").expect("a currency");
        let accounts = accounts(text, kes)?;
        Some(accounts.into_iter().map(|account| (account.name, account.available_minor)).collect())
    }

    #[test]
    fn i6_every_account_is_read_to_the_cent() {
        let text = "Working Account|KES|700000.00|600000.50|0.00|0.00&Utility Account|KES|228037.00|228037.00|0.00|0.00\
                    &Charges Paid Account|KES|-1540.00|-1540.25|0.00|0.00&Float Account|KES|0.00|0.00|0.00|0.00\
                    &Dollar Account|USD|1.00|1.00|0.00|0.00";
        let expected = [
            ("Working Account", 60_000_050),
            ("Utility Account", 22_803_700),
            ("Charges Paid Account", -154_025),
            ("Float Account", 0),
        ];
        assert_eq!(read(text), Some(expected.map(|(name, minor)| (name.to_owned(), minor)).to_vec()));
    }

    #[test]
    fn a_balance_that_is_not_exact_is_none() {
        for text in [
            "",
            "Utility Account",
            "Utility Account|KES|1",
            "Utility Account|KES|1|",
            "Utility Account|KES|1|--1",
            "Utility Account|KES|1|1.005",
            "Utility Account|KES|1|1e5",
            &"A|KES|1|1&".repeat(40),
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
