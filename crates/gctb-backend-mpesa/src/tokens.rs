//! The one token of a rail: everybody uses the same, and only one call at a time fetches another.
//!
//! It does not know how a token is fetched. Its clock stops while the machine is suspended; a token that has died meanwhile is
//! refused by the rail, and then renewed as any other.

use std::time::Duration;

use gctb_backend::Hold;
use reqwest::header::HeaderValue;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::settings::MpesaSettings;

/// A token that was just fetched.
pub(crate) struct Fresh {
    header: HeaderValue,
    life: Duration,
}

impl Fresh {
    /// None where the text cannot stand in a header.
    pub(crate) fn new(token: &str, life: Duration) -> Option<Self> {
        let plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| plain)?;
        // Debug output and HTTP/2's tables leave it out.
        header.set_sensitive(true);
        Some(Self { header, life })
    }
}

/// A token in use.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// The header `Authorization`.
    pub(crate) header: HeaderValue,
    number: u64,
    renew_at: Instant,
    ends_at: Instant,
}

/// Why there is no token. Nothing that could move money was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoToken {
    pub(crate) message: &'static str,
    pub(crate) hold: Option<Hold>,
}

/// The token, and whoever waits for it.
#[derive(Debug)]
pub(crate) struct Tokens {
    state: Mutex<State>,
    timeout: Duration,
    renew_before: Duration,
    retry_pause: Duration,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    fetched: u64,
    failed: Option<(Instant, NoToken)>,
}

impl Tokens {
    pub(crate) fn new(settings: &MpesaSettings) -> Self {
        Self {
            state: Mutex::default(),
            timeout: settings.token_timeout,
            renew_before: settings.token_refresh_before,
            retry_pause: settings.token_retry_pause,
        }
    }

    /// [`Tokens::get`] before `deadline`, and within the setting's time. Fetching has half of that, so that whoever waits for
    /// somebody else's fetch still learns how it ended.
    pub(crate) async fn get_before<F>(
        &self,
        deadline: Instant,
        fetch: impl FnOnce(Instant) -> F,
    ) -> Result<Token, NoToken>
    where
        F: Future<Output = Result<Fresh, NoToken>>,
    {
        let deadline = deadline.min(Instant::now() + self.timeout);
        let got = timeout_at(deadline, self.get(|| fetch(Instant::now() + self.timeout / 2))).await;
        got.unwrap_or(Err(NoToken { message: "no access token came in time", hold: None }))
    }

    /// The token, fetched first where there is none or it is near its end. Whoever comes meanwhile waits and shares the result,
    /// a failure too. While an old token still lives, a failure to renew it harms nobody.
    async fn get<F>(&self, fetch: impl FnOnce() -> F) -> Result<Token, NoToken>
    where
        F: Future<Output = Result<Fresh, NoToken>>,
    {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        let living = state.token.clone().filter(|token| now < token.ends_at);
        if let Some(token) = living.as_ref().filter(|token| now < token.renew_at) {
            return Ok(token.clone());
        }
        if let Some((_, why)) = state.failed.filter(|(at, _)| now < *at + self.retry_pause) {
            return living.ok_or(why);
        }
        match fetch().await {
            Ok(fresh) => Ok(state.take(fresh, self.renew_before)),
            Err(why) => {
                state.failed = Some((Instant::now(), why));
                living.ok_or(why)
            }
        }
    }

    /// Forgets a token that the rail refused; one that was fetched since stays.
    pub(crate) async fn refused(&self, token: &Token) {
        let mut state = self.state.lock().await;
        if state.token.as_ref().is_some_and(|current| current.number == token.number) {
            state.token = None;
        }
    }
}

impl State {
    fn take(&mut self, fresh: Fresh, renew_before: Duration) -> Token {
        let now = Instant::now();
        // A short-lived token is used for half of its life: else every call would fetch one.
        let spare = renew_before.min(fresh.life / 2);
        self.fetched += 1;
        self.failed = None;
        let (renew_at, ends_at) = (now + fresh.life.saturating_sub(spare), now + fresh.life);
        let token = Token { header: fresh.header, number: self.fetched, renew_at, ends_at };
        self.token = Some(token.clone());
        token
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::testing::settings;

    const REFUSED: NoToken = NoToken { message: "refused", hold: Some(Hold::CredentialsRefused) };

    fn fresh(token: &str, life: Duration) -> Result<Fresh, NoToken> {
        Ok(Fresh::new(token, life).expect("it can stand in a header"))
    }

    #[tokio::test]
    async fn a_renewal_that_fails_harms_nobody_while_the_old_token_lives_and_is_not_tried_again_at_once() {
        let tokens = Tokens::new(&settings());
        let life = Duration::from_secs(2);
        let ends = Instant::now() + life;
        tokens.get(|| async { fresh("t1", life) }).await.expect("a token");
        let tries = Cell::new(0);
        let mut after_the_end = Ok(());
        while after_the_end.is_ok() {
            let got = tokens
                .get(|| async {
                    tries.set(tries.get() + 1);
                    Err(REFUSED)
                })
                .await;
            if Instant::now() < ends {
                assert_eq!(got.expect("the old one lives").header, "Bearer t1");
            } else {
                after_the_end = got.map(|_| ());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!((after_the_end, tries.get()), (Err(REFUSED), 1), "one try in the pause of five seconds");
    }

    #[tokio::test]
    async fn who_waits_and_gives_up_while_fetching_leaves_the_way_free_for_the_next() {
        let tokens = Tokens::new(&settings());
        let never = tokens.get(std::future::pending::<Result<Fresh, NoToken>>);
        assert!(tokio::time::timeout(Duration::from_millis(20), never).await.is_err());
        let token = tokens.get(|| async { fresh("t2", Duration::from_secs(3600)) }).await.expect("a token");
        assert_eq!(token.header, "Bearer t2");
    }

    #[tokio::test]
    async fn a_late_refusal_of_an_older_token_leaves_the_newer_one_alone() {
        let tokens = Tokens::new(&settings());
        let life = Duration::from_secs(3600);
        let old = tokens.get(|| async { fresh("t1", life) }).await.expect("a token");
        tokens.refused(&old).await;
        tokens.get(|| async { fresh("t2", life) }).await.expect("a token");
        tokens.refused(&old).await;
        let kept = tokens.get(|| async { fresh("t3", life) }).await.expect("a token");
        assert_eq!(kept.header, "Bearer t2");
        assert!(!format!("{kept:?}").contains("t2"), "a token is never printed");
    }

    #[test]
    fn a_text_that_could_break_out_of_its_header_is_no_token() {
        for text in ["", "a b", "a\r\nX: y", "ü"] {
            assert!(Fresh::new(text, Duration::from_secs(1)).is_none(), "{text:?}");
        }
    }
}
