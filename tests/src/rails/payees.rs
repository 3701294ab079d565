//! Payees of a rail: each one person, most of whom can be paid, and some of whom cannot for reasons of every kind.

use super::Rail;
use crate::batch::Item;

/// One payee, and how the rail's book would write him.
#[derive(Clone, Debug)]
pub struct Payee {
    /// The disbursement.
    pub item: Item,
    /// The account in the rail's book.
    pub account: String,
    /// Whether the rail would ever pay it.
    pub is_payable: bool,
}

/// Every so manieth payee cannot be paid.
const BAD_EVERY: u64 = 25;

impl Rail {
    /// `count` payees that nobody else has, from number `from` on.
    pub fn payees(self, from: u64, count: u64) -> Vec<Payee> {
        (from..from + count).map(|number| self.payee(number)).collect()
    }

    fn payee(self, number: u64) -> Payee {
        let amount = format!("{}.00", 100 + number % 900);
        let bad = self.bad();
        let Some(bad) = number.is_multiple_of(BAD_EVERY).then(|| &bad[(number / BAD_EVERY) as usize % bad.len()])
        else {
            let item = Item::to_address(self.address(number), &amount);
            return Payee { item, account: self.account(number), is_payable: true };
        };
        let (address, account) = match bad {
            Bad::Amount(_) => (self.address(number), self.account(number)),
            Bad::Address(_) => (bad_address(bad, number), String::new()),
            Bad::Account(ending) => self.reserved(ending, number),
        };
        let amount = if let Bad::Amount(amount) = bad { (*amount).to_owned() } else { amount };
        Payee { item: Item::to_address(address, &amount), account, is_payable: false }
    }

    /// What makes a payment impossible here: before any call, and by the rail's own word.
    const fn bad(self) -> &'static [Bad] {
        match self {
            Self::Simple => &[Bad::Account("unknown"), Bad::Address("phone:+2547")],
            Self::Daraja => &[
                Bad::Account("0008"),
                Bad::Amount("150.50"),
                Bad::Account("0004"),
                Bad::Address("account:"),
                Bad::Account("0040"),
                Bad::Amount("5.00"),
            ],
            Self::Mojaloop => &[
                Bad::Account("0203"),
                Bad::Address("cowrie-shells:"),
                Bad::Account("0520"),
                Bad::Account("0107"),
                Bad::Account("0530"),
            ],
        }
    }

    /// The address and account of a payee about whom the simulator always says the same (docs/simulator.md, "Reserved numbers").
    fn reserved(self, name: &str, number: u64) -> (String, String) {
        match self {
            Self::Simple => {
                let account = format!("{name}@people{number}.example");
                (format!("email:{account}"), account)
            }
            Self::Daraja => {
                let phone = format!("2547{:04}{name}", number % 10_000);
                (format!("phone:+{phone}"), phone)
            }
            Self::Mojaloop => {
                let phone = format!("2547{:04}{name}", number % 10_000);
                (format!("phone:+{phone}"), format!("MSISDN:{phone}"))
            }
        }
    }
}

enum Bad {
    /// The amount.
    Amount(&'static str),
    /// The beginning of an address that the rail cannot take.
    Address(&'static str),
    /// The part of an account that the simulator refuses.
    Account(&'static str),
}

fn bad_address(bad: &Bad, number: u64) -> String {
    match bad {
        Bad::Address("account:") => format!("account:{number:010}@nairobi.kcb.bank_acc"),
        Bad::Address(beginning) => format!("{beginning}{number:08}"),
        Bad::Amount(_) | Bad::Account(_) => String::new(),
    }
}
