//! The Mojaloop rail for the backend kit: two phases, each a call or two of the SDK scheme adapter.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gctb_backend::{Order, PaymentBackend, Refusal, Reply};
use gctb_domain::paying::{Dedupe, Learnt, RailKind};
use gctb_domain::{FinancialAddress, Money, ReasonCode};

use crate::answer::is_transfer_id;
use crate::http::{Adapter, AdapterError, Deadline};
use crate::party::{PartyRuleError, PartyRules};
use crate::quote::FeeLimits;
use crate::reading::{self, Fenced};
use crate::request::{Acceptance, Transfer};
use crate::settings::{MojaloopSettings, PayerSettings, UnusableSetting};

/// Pays through the SDK scheme adapter.
///
/// The transfer is named by the adapter, in its first answer; it keeps no memory of our own key. So this rail relies on
/// the kit: [`PaymentBackend::pay`] is called with the handle that [`PaymentBackend::prepare`] gave, **after that
/// handle was recorded**. An order without a handle was therefore never accepted by anybody.
///
/// That holds for an adapter that waits for an acceptance, which is not what it does by default. Until this process has
/// seen it wait, each attempt is named in doubt before it is posted: what becomes of one whose answer is lost then,
/// nobody but a person finds out.
pub struct MojaloopRail {
    adapter: Adapter,
    payer: PayerSettings,
    parties: PartyRules,
    fees: FeeLimits,
    /// Whether the adapter was seen to wait for an acceptance.
    pub(crate) waits: AtomicBool,
}

/// What an attempt is called that was posted before the adapter was seen to wait for an acceptance. No transferId.
const IN_DOUBT: &str = "in doubt: posted to an adapter that was not seen to wait";

/// Why there is no rail.
#[derive(Debug, thiserror::Error)]
pub enum RailError {
    /// A setting makes no sense.
    #[error(transparent)]
    Setting(#[from] UnusableSetting),
    /// A party rule cannot be used.
    #[error("the party rules (setting party) cannot be used")]
    Party(#[from] PartyRuleError),
    /// The TLS library, for one, is missing.
    #[error("could not prepare HTTP calls to the Mojaloop SDK scheme adapter")]
    Http(#[source] reqwest::Error),
}

impl From<AdapterError> for RailError {
    fn from(error: AdapterError) -> Self {
        match error {
            AdapterError::Setting(setting) => Self::Setting(setting),
            AdapterError::Http(cause) => Self::Http(cause),
        }
    }
}

impl MojaloopRail {
    /// A rail with these settings. Nothing is called yet.
    ///
    /// # Errors
    /// Names the setting that cannot be used.
    pub fn new(settings: &MojaloopSettings) -> Result<Self, RailError> {
        settings.check()?;
        Ok(Self {
            adapter: Adapter::new(&settings.adapter)?,
            payer: settings.payer.clone(),
            parties: PartyRules::compile(&settings.party)?,
            fees: FeeLimits(settings.fees.limits()?),
            waits: AtomicBool::new(false),
        })
    }

    /// Refuses a quote and looks whether that held.
    async fn refuse_quote(&self, transfer_id: &str, deadline: Deadline) -> Result<Fenced, Box<Reply>> {
        let put = self.adapter.put(transfer_id, &Acceptance { accept_quote: false }, deadline).await;
        reading::fenced(&put, transfer_id)
    }
}

impl PaymentBackend for MojaloopRail {
    fn kind(&self) -> RailKind {
        RailKind { dedupes: Dedupe::Never, can_be_asked: true, two_phase: true }
    }

    fn deadline(&self) -> Duration {
        self.adapter.call_deadline()
    }

    fn check(&self, to: &FinancialAddress, _amount: Money) -> Result<(), Refusal> {
        // Every amount fits: Mojaloop's form has room for more digits than Money has.
        self.parties.party(to).map(|_| ())
    }

    fn handle_in_doubt(&self) -> Option<&'static str> {
        (!self.waits.load(Ordering::Relaxed)).then_some(IN_DOUBT)
    }

    async fn prepare(&self, order: &Order) -> Reply {
        let request = match Transfer::of(order, &self.payer, &self.parties) {
            Ok(request) => request,
            Err(refusal) => return refused(refusal.reason, refusal.message),
        };
        let deadline = self.adapter.deadline();
        let posted = self.adapter.post(&request, deadline).await;
        if reading::waits(&posted) {
            self.waits.store(true, Ordering::Relaxed);
        }
        let prepared = reading::prepared(&posted, order, &self.fees);
        // Only an attempt that was named so beforehand can be left in doubt: nobody would know otherwise.
        let is_in_doubt = order.handle.as_deref() == Some(IN_DOUBT);
        let prepared = if is_in_doubt { reading::in_doubt(prepared, &posted) } else { prepared };
        let Some(transfer_id) = prepared.to_fence else { return prepared.reply };
        // The adapter waits for an acceptance that nobody will send. That it is told so is tidiness: the verdict stands
        // whatever becomes of it, unless it turns out that the adapter went on by itself.
        match self.refuse_quote(&transfer_id, deadline).await {
            Err(news) if !matches!(news.learnt, Learnt::Refused { .. }) => reading::without_leave(*news),
            Ok(_) | Err(_) => prepared.reply,
        }
    }

    async fn pay(&self, order: &Order) -> Reply {
        let transfer_id = match handle(order) {
            Handle::Known(transfer_id) => transfer_id,
            Handle::Missing | Handle::InDoubt => {
                return Reply::of(Learnt::NotSent, "mojaloop: no transfer was prepared");
            }
            Handle::Malformed => return malformed(),
        };
        let accept = Acceptance { accept_quote: true };
        let put = self.adapter.put(transfer_id, &accept, self.adapter.deadline()).await;
        keep_handle(reading::paid(&put, transfer_id), transfer_id)
    }

    /// Asks the scheme through the adapter. With a version of the adapter that forgets a waiting quote when it is asked
    /// about the transfer, nothing can be accepted afterwards: harmless, since nobody accepts what somebody had to ask
    /// about.
    async fn inquire(&self, order: &Order) -> Reply {
        let transfer_id = match handle(order) {
            Handle::Known(transfer_id) => transfer_id,
            Handle::Missing => return Reply::of(Learnt::NotFound, "mojaloop: no transfer was prepared"),
            Handle::InDoubt => return in_doubt(),
            Handle::Malformed => return malformed(),
        };
        let get = self.adapter.get(transfer_id, self.adapter.deadline()).await;
        keep_handle(reading::inquired(&get, transfer_id), transfer_id)
    }

    async fn fence(&self, order: &Order) -> Reply {
        let transfer_id = match handle(order) {
            Handle::Known(transfer_id) => transfer_id,
            Handle::Missing => return refused_again("mojaloop: no transfer was prepared, so none can be accepted"),
            Handle::InDoubt => return in_doubt(),
            Handle::Malformed => return malformed(),
        };
        let deadline = self.adapter.deadline();
        let reply = match self.refuse_quote(transfer_id, deadline).await {
            Err(news) => *news,
            Ok(Fenced::Unclear) => {
                Reply::of(Learnt::Nothing, "mojaloop: the adapter was not seen to abort the transfer")
            }
            Ok(fenced @ (Fenced::Aborted | Fenced::Stopped)) => {
                let get = self.adapter.get(transfer_id, deadline).await;
                reading::confirmed(fenced, &get, transfer_id)
            }
        };
        keep_handle(reply, transfer_id)
    }
}

/// What one asks by.
enum Handle<'a> {
    /// No answer of `prepare` was recorded.
    Missing,
    /// It was posted to an adapter that may have paid at once, and its answer was not recorded.
    InDoubt,
    /// One that was recorded and cannot be the adapter's: nothing follows from it.
    Malformed,
    Known(&'a str),
}

fn handle(order: &Order) -> Handle<'_> {
    match order.handle.as_deref() {
        None => Handle::Missing,
        Some(IN_DOUBT) => Handle::InDoubt,
        Some(handle) if is_transfer_id(handle) => Handle::Known(handle),
        Some(_) => Handle::Malformed,
    }
}

fn in_doubt() -> Reply {
    Reply::of(Learnt::Unanswerable, format!("mojaloop: {}", reading::MAY_ACCEPT_BY_ITSELF))
}

fn malformed() -> Reply {
    Reply::of(Learnt::Nothing, "mojaloop: the recorded handle is no transferId")
}

fn keep_handle(reply: Reply, transfer_id: &str) -> Reply {
    Reply { handle: Some(transfer_id.to_owned()), ..reply }
}

fn refused(reason: ReasonCode, message: String) -> Reply {
    Reply { reason: Some(reason), ..Reply::of(Learnt::Refused { again: false }, message) }
}

fn refused_again(message: &str) -> Reply {
    Reply { reason: Some(ReasonCode::PaymentFailed), ..Reply::of(Learnt::Refused { again: true }, message) }
}
