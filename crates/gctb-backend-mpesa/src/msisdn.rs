//! Whom an address means: the phone number or the e-mail by which the rail knows the payee, or a refusal. Nothing is guessed.

use std::fmt;

use gctb_backend::Refusal;
use gctb_domain::{FaKind, FaStrategies, FaStrategySetting, FinancialAddress, ReasonCode};
use regex::{Regex, RegexBuilder};

use crate::settings::MsisdnSettings;
use crate::setup::{SetupError, usable};

/// Size limit of the compiled pattern in bytes (invariant I10).
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// A mobile phone number of the configured country: digits alone, country code first. Personal data: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Msisdn(String);

impl Msisdn {
    /// The digits, for the rail and for comparing. Never for a log.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Msisdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Msisdn(…)")
    }
}

/// How phone numbers of the country are written.
#[derive(Clone, Debug)]
pub(crate) struct Numbering {
    country_code: String,
    trunk_prefix: String,
    national_digits: usize,
    pattern: Regex,
}

impl Numbering {
    pub(crate) fn new(settings: &MsisdnSettings) -> Result<Self, SetupError> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let code = &settings.country_code;
        usable(!code.is_empty() && digits(code), "mpesa.msisdn.country_code", "must be digits, without a plus sign")?;
        usable(digits(&settings.trunk_prefix), "mpesa.msisdn.trunk_prefix", "must be digits, or empty")?;
        let fits = (1..=15).contains(&settings.national_digits);
        usable(fits, "mpesa.msisdn.national_digits", "must be from 1 to 15")?;
        let pattern = RegexBuilder::new(&format!("^(?:{})$", settings.pattern))
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(|cause| SetupError::Pattern(Box::new(cause)))?;
        Ok(Self {
            country_code: code.clone(),
            trunk_prefix: settings.trunk_prefix.clone(),
            national_digits: settings.national_digits,
            pattern,
        })
    }

    /// Reads `254705912645`, `+254705912645`, `0705912645` or `705912645`. None for anything else.
    pub(crate) fn read(&self, text: &str) -> Option<Msisdn> {
        let (digits, international) = text.strip_prefix('+').map_or((text, false), |digits| (digits, true));
        // Before the pattern, whose \d knows the digits of other scripts, too.
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let full = if international { digits.to_owned() } else { self.with_country_code(digits) };
        self.pattern.is_match(&full).then_some(Msisdn(full))
    }

    fn with_country_code(&self, digits: &str) -> String {
        let national = digits
            .strip_prefix(self.trunk_prefix.as_str())
            .filter(|national| national.len() == self.national_digits)
            .or_else(|| (digits.len() == self.national_digits).then_some(digits));
        national.map_or_else(|| digits.to_owned(), |national| format!("{}{national}", self.country_code))
    }
}

/// Takes addresses apart by the strategies of a profile.
#[derive(Clone, Debug)]
pub(crate) struct Payees {
    strategies: FaStrategies,
    part: &'static str,
}

impl Payees {
    /// `part` is what a strategy calls that by which the rail knows a payee.
    pub(crate) fn new(strategies: &[FaStrategySetting], part: &'static str) -> Result<Self, SetupError> {
        Ok(Self { strategies: FaStrategies::compile(strategies)?, part })
    }

    /// The part of the address that names the payee to the rail.
    pub(crate) fn name<'a>(&'a self, address: &'a FinancialAddress) -> Result<&'a str, Refusal> {
        let (strategy, parts) =
            self.strategies.parts(address).ok_or_else(|| refused("is of no form that this rail pays"))?;
        match strategy.kind() {
            FaKind::Address => {
                parts.get(self.part).copied().ok_or_else(|| refused("does not name what this rail pays to"))
            }
            FaKind::Id => Err(refused("is an id that was not resolved")),
        }
    }

    /// The phone number that the address names.
    pub(crate) fn msisdn(&self, address: &FinancialAddress, numbering: &Numbering) -> Result<Msisdn, Refusal> {
        let text = self.name(address)?;
        numbering.read(text).ok_or_else(|| refused("is not a mobile phone number of the rail's country"))
    }
}

fn refused(why: &str) -> Refusal {
    Refusal { reason: ReasonCode::PayeeFaInvalid, message: format!("the payee's address {why}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::settings;

    fn numbering() -> Numbering {
        Numbering::new(&settings().msisdn).expect("the defaults")
    }

    fn resolve(text: &str) -> Result<String, ReasonCode> {
        let payees = Payees::new(&settings().daraja.strategy, "phone").expect("the defaults");
        let address = FinancialAddress::parse(text).expect(text);
        let msisdn = payees.msisdn(&address, &numbering()).map_err(|refusal| refusal.reason)?;
        Ok(msisdn.as_str().to_owned())
    }

    #[test]
    fn every_way_to_write_a_kenyan_number_names_the_same_phone() {
        for text in [
            "msisdn:254705912645@mpesa",
            "msisdn:254705912645@ke.safaricom.mpesa",
            "MSISDN:254705912645",
            "tel:+254705912645",
            "tel:0705912645",
            "phone:+254705912645",
            "phone:254705912645",
            "phone:705912645",
            "account:254705912645@safaricom.mpesa",
            "account:+254705912645@safaricom.wallet",
            "account:0705912645@safaricom.mpesa",
            "0705912645@mpesa",
            "+254705912645@mpesa",
        ] {
            assert_eq!(resolve(text).as_deref(), Ok("254705912645"), "{text}");
        }
        assert_eq!(resolve("tel:0110000001").as_deref(), Ok("254110000001"), "the newer prefix");
    }

    #[test]
    fn what_is_no_kenyan_mobile_number_is_refused_by_its_code() {
        for text in [
            "tel:+256705912645",
            "tel:254205912645",
            "tel:25470591264",
            "tel:2547059126450",
            "tel:+0705912645",
            "tel:+705912645",
            "tel:00254705912645",
            "tel:070591264",
            "account:٢٥٤٧٠٥٩١٢٦٤٥@safaricom.mpesa",
            "account:2547٠٥٩١٢٦٤٥@safaricom.mpesa",
            "account:254 705 912 645@safaricom.mpesa",
            "account:254705912645 @safaricom.mpesa",
            "account:5494373447@indigo.dfsp2.bank_acc",
            "account_no:254705912645@BARBINBB",
            "email:254705912645@x.com.mpesa",
            "token:254705912645@nationalId",
            "iban:FR7630006000011234567890189",
            "joe@mpesa",
        ] {
            assert_eq!(resolve(text), Err(ReasonCode::PayeeFaInvalid), "{text}");
        }
    }

    #[test]
    fn i9_a_number_is_never_printed() {
        let number = numbering().read("254705912645").expect("a number");
        assert!(!format!("{number:?}").contains("2547"));
        let payees = Payees::new(&settings().daraja.strategy, "phone").expect("the defaults");
        let address = FinancialAddress::parse("tel:+256705912645").expect("an address");
        let refusal = payees.msisdn(&address, &numbering()).expect_err("another country's");
        assert!(!format!("{refusal:?}").contains("705912645"));
    }

    #[test]
    fn another_country_is_a_matter_of_settings() {
        let mut settings = settings().msisdn;
        settings.country_code = "255".into();
        settings.pattern = r"255[67]\d{8}".into();
        let numbering = Numbering::new(&settings).expect("they make sense");
        assert_eq!(numbering.read("0612345678").expect("Tanzanian").as_str(), "255612345678");
        assert!(numbering.read("254705912645").is_none());
    }

    proptest! {
        #[test]
        fn what_is_taken_is_always_twelve_digits_of_the_country(text in "\\+?[0-9٠-٩ ]{0,16}") {
            if let Some(number) = numbering().read(&text) {
                prop_assert_eq!(number.as_str().len(), 12);
                prop_assert!(number.as_str().starts_with("2547") || number.as_str().starts_with("2541"));
                // The subscriber's own digits are never touched.
                prop_assert!(text.ends_with(&number.as_str()[3..]));
            }
        }
    }
}
