//! The one document of everything about the rails that can be switched: `--faults FILE` and `PUT /control/faults`.
//!
//! Every knob is a field or a variant here, with its meaning; docs/simulator.md lists them, and a test compares the two.

use serde::{Deserialize, Serialize};

use super::dice::MILLION;
use super::place::{Step, line_of};

/// The longest that a fault or a knob may delay anything, in milliseconds: ten minutes.
pub(crate) const DELAY_LIMIT_MS: u64 = 600_000;

/// What is wanted of the rails. A document replaces the one before it whole; what it leaves out has its default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FaultPlan {
    /// Goes into every throw of the dice: the same seed, plan and calls give the same faults.
    pub(crate) seed: u64,
    /// Faults for chosen calls. The first rule that fits gives its fault.
    pub(crate) rules: Vec<Rule>,
    /// Faults by chance, where no rule fits. The first whose dice say yes gives its fault.
    pub(crate) chances: Vec<Chance>,
    /// How Daraja behaves without any fault.
    pub(crate) mpesa: MpesaKnobs,
    /// How simple-mpesa behaves without any fault.
    #[serde(rename = "simple-mpesa")]
    pub(crate) simple_mpesa: SimpleMpesaKnobs,
    /// How the Mojaloop SDK behaves without any fault.
    pub(crate) mojaloop: MojaloopKnobs,
}

/// A fault for chosen calls.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) rail: Rail,
    pub(crate) stage: Stage,
    /// Which payments; left out: all.
    #[serde(rename = "match", default)]
    pub(crate) which: Match,
    /// Which call of this stage with the same key, from 1; left out: every one.
    #[serde(default)]
    pub(crate) nth: Option<u32>,
    pub(crate) fault: Fault,
}

/// Which payments a rule means: those for which everything given here is equal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Match {
    /// `OriginatorConversationID` or `homeTransactionId`; simple-mpesa has none.
    pub(crate) key: Option<String>,
    /// MSISDN, e-mail or party, as the book writes it.
    pub(crate) account: Option<String>,
    /// In minor units.
    pub(crate) amount_minor: Option<u64>,
}

/// A fault by chance.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chance {
    pub(crate) rail: Rail,
    pub(crate) stage: Stage,
    /// In how many of a million calls; a million is every call.
    pub(crate) per_million: u32,
    pub(crate) fault: Fault,
}

/// A called rail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rail {
    /// Daraja.
    Mpesa,
    /// The simple M-Pesa API of the first bridge.
    SimpleMpesa,
    /// The Mojaloop SDK's outbound API.
    Mojaloop,
}

/// Where in a payment's life a fault is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// OAuth or login.
    Token,
    /// B2C request or deposit.
    Submit,
    /// `POST /transfers`.
    Prepare,
    /// `PUT /transfers/{transferId}`.
    Commit,
    /// Transaction status query, `GET /transfers/{transferId}`, statement.
    Inquire,
    /// The result of a B2C payment.
    Callback,
    /// The result of a transaction status or balance query.
    QueryCallback,
    /// Balance.
    Balance,
    /// `GET /parties/…`.
    Party,
}

/// What goes wrong. *Before* means that nothing was done, *after* that all was done, money included, and only the answer
/// suffers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Fault {
    /// The request waits for so many milliseconds, then is worked on and answered as it should.
    Delay { ms: u64 },
    /// Nothing is done and nothing is ever answered.
    HangBefore,
    /// All is done and nothing is ever answered.
    HangAfter,
    /// Nothing is done; the connection is closed.
    CloseBefore,
    /// All is done; the connection is closed.
    CloseAfter,
    /// Nothing is done; answered with this HTTP status, 500 to 599, in the rail's own form.
    ErrorBefore { status: u16 },
    /// All is done; answered with this HTTP status, 500 to 599, in the rail's own form.
    ErrorAfter { status: u16 },
    /// Nothing is done; a gateway's HTML page with status 502.
    HtmlBefore,
    /// All is done; a gateway's HTML page with status 200.
    HtmlAfter,
    /// All is done; the JSON breaks off.
    MalformedJson,
    /// All is done; codes that are texts come as numbers and the reverse.
    WrongTypes,
    /// Nothing is done; too many requests.
    RateLimited { style: RateLimit },
    /// Nothing is done; the token is refused as expired, and on Daraja all tokens end with it.
    ExpiredToken,
    /// All is done; the answer comes in eight pieces, with so many milliseconds between them.
    SlowDrip { ms: u64 },
    /// The SDK says COMPLETED with this `transferState`.
    TransferState { state: ForcedState },
    /// The callback is never sent.
    CallbackLost,
    /// The callback is sent twice.
    CallbackDuplicated,
    /// The callback is sent so many milliseconds later; others overtake it.
    CallbackDelayed { ms: u64 },
    /// The time-out callback comes instead of the result.
    TimeoutCallback {
        /// Whether the money moved all the same.
        paid: bool,
        /// So many milliseconds after it the result comes too; left out: never.
        #[serde(default)]
        result_after_ms: Option<u64>,
    },
}

/// In which words a rail says that there are too many requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RateLimit {
    /// HTTP 429 with `Retry-After: 1` and a body in the rail's form.
    Http429,
    /// Apigee's fault, HTTP 429.
    SpikeArrest,
    /// Daraja's 500.003.02, HTTP 500.
    SpikeArrestCode,
    /// Daraja's 500.003.03, HTTP 500.
    Quota,
}

/// A `transferState` that is said of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ForcedState {
    /// Paid; later inquiries say COMMITTED.
    Reserved,
    /// Not paid, and never will be.
    Aborted,
}

/// How Daraja behaves without any fault.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MpesaKnobs {
    /// Every answer waits so long, in milliseconds, before it is worked on.
    pub(crate) answer_delay_ms: u64,
    /// From the acknowledgement to the payment and its callback, in milliseconds.
    pub(crate) callback_delay_ms: u64,
    /// Life of a token in seconds.
    pub(crate) token_life_s: u64,
    /// Whether a new token ends the ones before it.
    pub(crate) new_token_invalidates: bool,
    /// Whether a key whose payment was refused may be used again. Otherwise it is remembered from the acknowledgement on.
    pub(crate) forgets_refused: bool,
    /// Whether a key is only remembered once its payment was made: a second request is then acknowledged too, and refused
    /// with ResultCode 15 if the first was paid meanwhile.
    pub(crate) dedupe_lax: bool,
    /// How many wrong security credentials in a row lock the initiator (8006).
    pub(crate) lock_after: u32,
}

impl Default for MpesaKnobs {
    fn default() -> Self {
        Self {
            answer_delay_ms: 0,
            callback_delay_ms: 0,
            token_life_s: 3599,
            new_token_invalidates: true,
            forgets_refused: false,
            dedupe_lax: false,
            lock_after: 5,
        }
    }
}

/// How simple-mpesa behaves without any fault.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SimpleMpesaKnobs {
    /// Every answer waits so long, in milliseconds, before it is worked on.
    pub(crate) answer_delay_ms: u64,
    /// Life of a token in seconds.
    pub(crate) token_life_s: u64,
}

impl Default for SimpleMpesaKnobs {
    fn default() -> Self {
        Self { answer_delay_ms: 0, token_life_s: 6 * 3600 }
    }
}

/// How the Mojaloop SDK behaves without any fault.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MojaloopKnobs {
    /// Every answer waits so long, in milliseconds, before it is worked on.
    pub(crate) answer_delay_ms: u64,
    /// The SDK's AUTO_ACCEPT_PARTY.
    pub(crate) auto_accept_party: bool,
    /// The SDK's AUTO_ACCEPT_QUOTES: with it, POST pays at once.
    pub(crate) auto_accept_quotes: bool,
    /// The payee institution's fee on every transfer, in minor units.
    pub(crate) fee_minor: u64,
}

impl Default for MojaloopKnobs {
    fn default() -> Self {
        Self { answer_delay_ms: 0, auto_accept_party: true, auto_accept_quotes: false, fee_minor: 0 }
    }
}

impl FaultPlan {
    /// Reads a plan and checks that every fault can be given where it is asked for. What is wrong is named by its knob and line.
    pub(crate) fn read(json: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(json).map_err(|_| "the document is not UTF-8".to_owned())?;
        let mut document = serde_json::Deserializer::from_str(text);
        let read = serde_path_to_error::deserialize(&mut document);
        let plan: Self = read.map_err(|error| match error.path().to_string().as_str() {
            "." => error.inner().to_string(),
            knob => format!("{knob}: {}", error.inner()),
        })?;
        document.end().map_err(|error| error.to_string())?;
        plan.check().map_err(|wrong| wrong.in_words(text))?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), Wrong> {
        for (number, Rule { rail, stage, nth, fault, .. }) in self.rules.iter().enumerate() {
            check(*rail, *stage, fault).map_err(|wrong| wrong.of("rules", number))?;
            if *nth == Some(0) {
                return Err(Wrong::knob("nth", "nth counts from 1").of("rules", number));
            }
        }
        for (number, Chance { rail, stage, per_million, fault }) in self.chances.iter().enumerate() {
            check(*rail, *stage, fault).map_err(|wrong| wrong.of("chances", number))?;
            if u64::from(*per_million) > MILLION {
                return Err(Wrong::knob("per_million", "per_million is a million at most").of("chances", number));
            }
        }
        let delays = [
            ("mpesa", "answer_delay_ms", self.mpesa.answer_delay_ms),
            ("mpesa", "callback_delay_ms", self.mpesa.callback_delay_ms),
            ("simple-mpesa", "answer_delay_ms", self.simple_mpesa.answer_delay_ms),
            ("mojaloop", "answer_delay_ms", self.mojaloop.answer_delay_ms),
        ];
        delays.into_iter().try_for_each(|(rail, knob, ms)| {
            short_enough(ms).map_err(|why| Wrong { group: Some((rail, None)), knob, why })
        })
    }
}

/// A knob that cannot be as it is.
struct Wrong {
    /// The list with the number in it, or the rail.
    group: Option<(&'static str, Option<usize>)>,
    knob: &'static str,
    why: String,
}

impl Wrong {
    fn knob(knob: &'static str, why: &str) -> Self {
        Self { group: None, knob, why: why.to_owned() }
    }

    fn of(self, list: &'static str, number: usize) -> Self {
        Self { group: Some((list, Some(number))), ..self }
    }

    fn in_words(&self, document: &str) -> String {
        let Self { group, knob, why } = self;
        let mut way: Vec<Step<'_>> = Vec::new();
        let mut name = String::new();
        if let Some((group, number)) = group {
            way.push(Step::Name(group));
            name = number.map_or_else(|| format!("{group}."), |number| format!("{group}[{number}]."));
            way.extend(number.map(Step::Number));
        }
        way.push(Step::Name(knob));
        let line = line_of(document, &way).map_or_else(String::new, |line| format!(" at line {line}"));
        format!("{name}{knob}: {why}{line}")
    }
}

fn check(rail: Rail, stage: Stage, fault: &Fault) -> Result<(), Wrong> {
    if !stage.exists_on(rail) {
        return Err(Wrong::knob("stage", &format!("{} has no stage {}", name_of(&rail), name_of(&stage))));
    }
    match fits(rail, stage, fault) {
        Ok(true) => Ok(()),
        Ok(false) => {
            let why = format!("the fault {} cannot happen at {}", fault.name(), name_of(&stage));
            Err(Wrong::knob("fault", &why))
        }
        Err(why) => Err(Wrong::knob("fault", &why)),
    }
}

/// Whether the fault can happen there at all; an error where its own fields are beyond their limits.
fn fits(rail: Rail, stage: Stage, fault: &Fault) -> Result<bool, String> {
    let callback = matches!(stage, Stage::Callback | Stage::QueryCallback);
    Ok(match fault {
        Fault::Delay { ms } | Fault::SlowDrip { ms } => short_enough(*ms).map(|()| !callback)?,
        Fault::ErrorBefore { status } | Fault::ErrorAfter { status } => {
            if !(500..=599).contains(status) {
                return Err("status is one of 500 to 599".to_owned());
            }
            !callback
        }
        Fault::HangBefore
        | Fault::HangAfter
        | Fault::CloseBefore
        | Fault::CloseAfter
        | Fault::HtmlBefore
        | Fault::HtmlAfter
        | Fault::RateLimited { .. } => !callback,
        Fault::ExpiredToken => !callback && stage != Stage::Token && rail != Rail::Mojaloop,
        Fault::MalformedJson | Fault::WrongTypes => true,
        Fault::TransferState { .. } => stage == Stage::Commit,
        Fault::CallbackLost | Fault::CallbackDuplicated => callback,
        Fault::CallbackDelayed { ms } => short_enough(*ms).map(|()| callback)?,
        Fault::TimeoutCallback { result_after_ms, .. } => {
            short_enough(result_after_ms.unwrap_or(0)).map(|()| stage == Stage::Callback)?
        }
    })
}

fn short_enough(ms: u64) -> Result<(), String> {
    if ms > DELAY_LIMIT_MS { Err(format!("the longest delay is {DELAY_LIMIT_MS} ms")) } else { Ok(()) }
}

impl Stage {
    fn exists_on(self, rail: Rail) -> bool {
        match self {
            Self::Token | Self::Submit | Self::Balance => rail != Rail::Mojaloop,
            Self::Inquire => true,
            Self::Prepare | Self::Commit | Self::Party => rail == Rail::Mojaloop,
            Self::Callback | Self::QueryCallback => rail == Rail::Mpesa,
        }
    }
}

impl Fault {
    /// The name under which the fault is counted: that of the document.
    pub(crate) fn name(&self) -> String {
        name_of(self)
    }
}

/// The name that the document has for a value of one of the enums here.
pub(crate) fn name_of(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(serde_json::Value::Object(fields)) => fields.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}
