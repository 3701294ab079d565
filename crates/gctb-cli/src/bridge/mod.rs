//! The bridge as a sender sees it: two G2P Connect calls over HTTP, and waiting for a batch to end.
//!
//! It depends on the wire format alone (docs/protocols.md, "Disburse API"), not on the code of gctb-api.

mod answer;
mod question;
mod wait;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use self::answer::Envelope;
pub(crate) use self::answer::{Item, StatusPage, Submitted};
use self::question::status_question;
pub(crate) use self::wait::wait_for_end;
use crate::breakdown::{Breakdown, StatusWord};
use crate::error::CliError;
use crate::http::Http;

/// Instructions on one page of a status answer. The API takes up to 2,000; half of it keeps an answer under 1 MiB.
const PAGE_SIZE: u64 = 1_000;

/// A bridge at a base URL.
#[derive(Clone, Debug)]
pub(crate) struct Bridge {
    http: Http,
    disburse_url: String,
    status_url: String,
}

/// A batch, as its sender names it.
#[derive(Clone, Debug)]
pub(crate) struct BatchName {
    /// The sender_id of the header.
    pub(crate) sender: String,
    /// The transaction_id.
    pub(crate) transaction: String,
}

impl Bridge {
    /// The bridge at `base_url`.
    pub(crate) fn at(base_url: &str, http: Http) -> Self {
        let base = base_url.trim_end_matches('/');
        let disburse_url = format!("{base}/disburse/sync/disburse");
        Self { http, disburse_url, status_url: format!("{base}/disburse/sync/txn/status") }
    }

    /// Submits a disburse message as it stands. Repeating it is safe.
    ///
    /// # Errors
    /// When the bridge cannot be reached, refuses the message as a whole, or answers something else.
    pub(crate) async fn submit(&self, message: Vec<u8>) -> Result<Submitted, CliError> {
        let answer: Envelope = self.http.post(&self.disburse_url, message).await?;
        answer.submitted(&self.disburse_url)
    }

    /// Total and finished instructions of a batch, by a page of one.
    pub(crate) async fn how_far(&self, batch: &BatchName) -> Result<(u64, u64), CliError> {
        let page = self.page(batch, 1, 1).await?;
        Ok((page.completed, page.total))
    }

    /// The whole batch, counted.
    ///
    /// # Errors
    /// Also when the pages together hold another number of instructions than the header announces.
    pub(crate) async fn breakdown(&self, batch: &BatchName) -> Result<Breakdown, CliError> {
        let (mut counted, mut seen, mut number) = (Breakdown::default(), 0, 1);
        loop {
            let page = self.page(batch, PAGE_SIZE, number).await?;
            for item in &page.items {
                self.count(&mut counted, item)?;
            }
            seen += page.items.len() as u64;
            if seen >= page.total || page.items.is_empty() {
                return match seen == page.total {
                    true => Ok(counted),
                    false => {
                        let transaction = batch.transaction.clone();
                        Err(CliError::PagesDisagree { transaction, seen, total: page.total })
                    }
                };
            }
            number += 1;
        }
    }

    /// Adds an item of an answer to a breakdown.
    pub(crate) fn count(&self, counted: &mut Breakdown, item: &Item) -> Result<(), CliError> {
        let status = StatusWord::parse(&item.status).ok_or_else(|| CliError::UnknownStatus {
            url: self.status_url.clone(),
            word: item.status.chars().take(20).collect(),
        })?;
        let text = Option::as_deref;
        counted.count(status, text(&item.status_reason_code), text(&item.amount), text(&item.currency_code));
        Ok(())
    }

    async fn page(&self, batch: &BatchName, size: u64, number: u64) -> Result<StatusPage, CliError> {
        let now: DateTime<Utc> = Utc::now();
        let question = status_question(batch, size, number, Uuid::new_v4(), now)?;
        let answer: Envelope = self.http.post(&self.status_url, question).await?;
        let page = answer.status_page(&self.status_url)?;
        if page.total == 0 {
            let BatchName { sender, transaction } = batch.clone();
            return Err(CliError::UnknownBatch { transaction, sender });
        }
        Ok(page)
    }
}
