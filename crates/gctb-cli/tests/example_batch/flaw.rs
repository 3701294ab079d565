//! What can be wrong with a disbursement, from an amount that is none to an account that the bank has closed.

use serde_json::{Value, json};

use super::person::digits;

macro_rules! flaws {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A kind of bad disbursement, by who finds it: the bridge's API, the mapper, the bank.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Flaw { $($(#[$doc])* $name,)* }

        impl Flaw {
            /// All kinds in the order in which they take turns.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

flaws! {
    /// The first bearer of a reference; the second comes ten positions later.
    DuplicateReference,
    /// The second bearer.
    DuplicateReferenceAgain,
    /// Nothing to pay.
    ZeroAmount,
    /// Less than nothing.
    NegativeAmount,
    /// Three decimals where the currency has two.
    ExcessPrecision,
    /// Words.
    AmountInWords,
    /// Thousands separators, which a plain decimal has not.
    AmountWithSeparators,
    /// Fourteen digits before the point.
    TooLargeAmount,
    /// Not an ISO 4217 code, though people write it.
    UnknownCurrency,
    /// Over 99 characters.
    OverLongReference,
    /// A time that nobody can read.
    UnreadableTime,
    /// No payee.
    EmptyPayee,
    /// No form of an address.
    OddPayee,
    /// Over 99 characters.
    OverLongNote,
    /// The mapper does not know the id.
    UnknownId,
    /// The mapper says that the id is inactive.
    InactiveId,
    /// An address of a form that no strategy knows.
    UnknownForm,
    /// The bank: account closed.
    ClosedAccount,
    /// The bank: account number incorrect.
    IncorrectAccount,
    /// The bank: account blocked.
    BlockedAccount,
    /// The bank: rejected without a reason of its own.
    UnexplainedRejection,
    /// The bank: above its limit of 250,000.
    AboveBankLimit,
}

impl Flaw {
    /// Puts the flaw into a good disbursement.
    pub(crate) fn spoil(self, item: &mut Value, position: usize) {
        let (field, value) = match self {
            Self::DuplicateReference => ("reference_id", twice(position / 10)),
            Self::DuplicateReferenceAgain => ("reference_id", twice(position / 10 - 1)),
            Self::ZeroAmount => ("amount", "0.00".into()),
            Self::NegativeAmount => ("amount", "-250.00".into()),
            Self::ExcessPrecision => ("amount", "100.005".into()),
            Self::AmountInWords => ("amount", "one thousand".into()),
            Self::AmountWithSeparators => ("amount", "1,500.00".into()),
            Self::TooLargeAmount => ("amount", "10000000000000.00".into()),
            Self::UnknownCurrency => ("currency_code", "KSH".into()),
            Self::OverLongReference => ("reference_id", format!("gctb-demo-{:04}-{}", position + 1, "x".repeat(99))),
            Self::UnreadableTime => ("scheduled_timestamp", "next Tuesday".into()),
            Self::EmptyPayee => ("payee_fa", String::new()),
            Self::OddPayee => ("payee_fa", "the chief will know".into()),
            Self::OverLongNote => ("note", "Arrears for all cycles of the past year. ".repeat(3)),
            Self::UnknownId => ("payee_fa", format!("token:NOTFOUND{}@nationalId", digits(position))),
            Self::InactiveId => ("payee_fa", format!("token:INACTIVE{}@nationalId", digits(position))),
            Self::UnknownForm => ("payee_fa", format!("voucher:{}@food.coupon-network", digits(position))),
            Self::ClosedAccount => ("payee_fa", account_ending(position, "0004")),
            Self::IncorrectAccount => ("payee_fa", account_ending(position, "0001")),
            Self::BlockedAccount => ("payee_fa", account_ending(position, "0006")),
            Self::UnexplainedRejection => ("payee_fa", account_ending(position, "0003")),
            Self::AboveBankLimit => ("amount", "250000.01".into()),
        };
        item[field] = json!(value);
    }
}

fn twice(turn: usize) -> String {
    format!("gctb-demo-twice-{turn:03}")
}

fn account_ending(position: usize, ending: &str) -> String {
    format!("account:{:08}{ending}@nairobi.kcb.bank_acc", position + 1)
}
