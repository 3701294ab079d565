//! What the stories share: orders, calls that are timed and looked through for people's data, and the book.
//!
//! It must not know what a promise is.

use std::time::{Duration, Instant};

use gctb_domain::paying::{Learnt, RailKind};
use gctb_domain::{BatchNo, RailKey, Seq};

use super::{Call, Sandbox, Trouble};
use crate::rail::{Order, PaymentBackend, Reply};

/// By how much a call may be late: for a machine that is busy with other tests.
const MARGIN: Duration = Duration::from_secs(2);
const PAYEE_NAME: &str = "Wanjiru Kamau";
const NARRATIVE: &str = "Drought relief";

/// A sandbox with its backend.
pub(super) struct Stage<'a, S: Sandbox> {
    pub(super) sandbox: &'a S,
    pub(super) kind: RailKind,
}

impl<'a, S: Sandbox> Stage<'a, S> {
    pub(super) fn new(sandbox: &'a S) -> Self {
        Self { sandbox, kind: sandbox.rail().kind() }
    }

    /// An order that nobody has begun to pay: another payment for each number.
    pub(super) fn order(&self, number: i32) -> Order {
        Order {
            key: RailKey::new(BatchNo(7), Seq(number), 1).expect("a small number fits"),
            handle: None,
            sends: 1,
            quiet: false,
            to: self.sandbox.payee(number),
            amount: self.sandbox.amount(),
            payee_name: PAYEE_NAME.to_owned(),
            narrative: NARRATIVE.to_owned(),
        }
    }

    /// An order that can be paid: on a two-phase rail, one that was prepared.
    pub(super) async fn ready(&self, number: i32) -> Order {
        let order = self.order(number);
        if !self.kind.two_phase {
            return order;
        }
        let reply = self.call(Call::Prepare, &order).await;
        assert_eq!(reply.learnt, Learnt::Accepted, "preparing without trouble: {}", reply.message);
        assert!(reply.handle.is_some(), "what was prepared has a handle, by which it is paid");
        Order { handle: reply.handle, ..order }
    }

    /// An order that was paid without trouble.
    pub(super) async fn paid(&self, number: i32) -> Order {
        let order = self.ready(number).await;
        let reply = self.call(Call::Pay, &order).await;
        assert!(matches!(reply.learnt, Learnt::Paid | Learnt::Accepted), "{:?}: {}", reply.learnt, reply.message);
        self.is_in_the_book(&order, 1, "what was paid").await;
        Order { handle: reply.handle.or(order.handle), ..order }
    }

    pub(super) async fn call(&self, call: Call, order: &Order) -> Reply {
        call_on(self.sandbox.rail(), call, order).await
    }

    /// The same at an address where nobody listens.
    pub(super) async fn call_nowhere(&self, call: Call, order: &Order) -> Reply {
        call_on(self.sandbox.nowhere(), call, order).await
    }

    /// The same with a trouble, which it must have met; how often, too.
    pub(super) async fn call_with(&self, trouble: Trouble, call: Call, order: &Order) -> (Reply, usize) {
        self.sandbox.play(Some((call, trouble))).await;
        let never = trouble == Trouble::NeverAnswered;
        let rail = if never { self.sandbox.hurried() } else { self.sandbox.rail() };
        let reply = call_on(rail, call, order).await;
        let troubled = self.sandbox.troubled().await;
        self.sandbox.play(None).await;
        assert!(troubled > 0, "the sandbox plays {trouble:?} at {call:?}");
        (reply, troubled)
    }

    pub(super) async fn ask(&self, order: &Order) -> Reply {
        let reply = self.sandbox.ask(order).await;
        tells_of_nobody(&format!("{reply:?}"), order);
        reply
    }

    /// The book has the order so often, each time for exactly its amount.
    pub(super) async fn is_in_the_book(&self, order: &Order, times: usize, what: &str) {
        let book = self.sandbox.book(order).await;
        assert_eq!(book, vec![order.amount; times], "{what}: left, what the rail's book has");
    }
}

async fn call_on(rail: &impl PaymentBackend, call: Call, order: &Order) -> Reply {
    let limit = rail.deadline() + MARGIN;
    let begun = Instant::now();
    let answered = tokio::time::timeout(limit, async {
        match call {
            Call::Prepare => rail.prepare(order).await,
            Call::Pay => rail.pay(order).await,
            Call::Inquire => rail.inquire(order).await,
            Call::Fence => rail.fence(order).await,
        }
    });
    // A call that holds up its thread is not stopped by a time-out, and is late all the same.
    let in_time = answered.await.ok().filter(|_| begun.elapsed() <= limit);
    let reply = in_time.unwrap_or_else(|| panic!("{call:?} did not end by deadline(), {:?}", rail.deadline()));
    tells_of_nobody(&format!("{reply:?}"), order);
    reply
}

/// Invariant I9: what is stored, shown and logged holds nothing of the person.
pub(super) fn tells_of_nobody(shown: &str, order: &Order) {
    let address = order.to.as_str();
    let account = address.split_once(':').map_or(address, |(_, account)| account);
    let account = account.split('@').next().unwrap_or_default().trim_start_matches('+');
    let amount = order.amount.to_string();
    let words = PAYEE_NAME.split(' ').chain(NARRATIVE.split(' '));
    for secret in words.chain([account, amount.as_str()]) {
        assert!(!shown.contains(secret), "{secret} of an order is shown: {shown}");
    }
}
