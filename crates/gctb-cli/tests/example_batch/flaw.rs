//! What can be wrong with a disbursement, from an amount that is none to a phone that is not on M-Pesa.

use serde_json::{Value, json};

use super::person::{digits, phone_ending};

macro_rules! flaws {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A kind of bad disbursement, by who finds it: the bridge's API, the mapper, a backend before it calls, a rail.
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
    /// No mobile number: refused before any call.
    Landline,
    /// Cents, which M-Pesa does not pay: refused before any call.
    CentsOnMpesa,
    /// M-Pesa: the number is not a customer's.
    NumberNotOnMpesa,
    /// M-Pesa: the payee's daily limit.
    DailyLimitReached,
    /// A wallet that is no identifier of the Mojaloop scheme: refused before any call.
    UnknownPartyType,
    /// Mojaloop: nobody has this party.
    UnknownParty,
    /// Mojaloop: above what the payee may receive, which the quote says.
    PartyLimitReached,
    /// Mojaloop: the payee is blocked.
    BlockedParty,
    /// simple-mpesa: no such customer.
    UnknownCustomer,
    /// Less than simple-mpesa pays: refused before any call.
    BelowLeastAmount,
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
            Self::Landline => ("payee_fa", format!("phone:+25420{:03}{:04}", 1 + position / 10, 1000 + position)),
            Self::CentsOnMpesa => {
                item["amount"] = json!("1250.50");
                ("payee_fa", format!("phone:+{}", phone_ending(position, "7250")))
            }
            Self::NumberNotOnMpesa => ("payee_fa", format!("phone:+{}", phone_ending(position, "0003"))),
            Self::DailyLimitReached => ("payee_fa", on_mpesa(position, "0004")),
            Self::UnknownPartyType => ("payee_fa", format!("account:AGENT-{}@pesalink.wallet", digits(position))),
            Self::UnknownParty => ("payee_fa", party_ending(position, "0204")),
            Self::PartyLimitReached => ("payee_fa", party_ending(position, "0520")),
            Self::BlockedParty => ("payee_fa", party_ending(position, "0540")),
            Self::UnknownCustomer => ("payee_fa", customer("unknown", position)),
            Self::BelowLeastAmount => {
                item["payee_fa"] = json!(customer("payee", position));
                ("amount", "9.00".into())
            }
        };
        if matches!(self, Self::NumberNotOnMpesa | Self::DailyLimitReached | Self::UnknownCustomer) {
            // Only the payee is wrong: these rails refuse cents before they look at anybody.
            item["amount"] = json!(format!("{}.00", 500 + position));
        }
        item[field] = json!(value);
    }
}

fn twice(turn: usize) -> String {
    format!("gctb-demo-twice-{turn:03}")
}

fn account_ending(position: usize, ending: &str) -> String {
    format!("account:{:08}{ending}@nairobi.kcb.bank_acc", position + 1)
}

fn on_mpesa(position: usize, ending: &str) -> String {
    format!("account:{}@safaricom.mpesa", phone_ending(position, ending))
}

fn party_ending(position: usize, ending: &str) -> String {
    format!("account:254{:08}{ending}@pesalink.wallet", position + 1)
}

/// simple-mpesa goes by the part before the `@`, so that the person's number stands behind it.
fn customer(word: &str, position: usize) -> String {
    format!("email:{word}@p{}.example.org", digits(position))
}
