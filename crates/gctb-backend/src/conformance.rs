//! The conformance suite: the promises of a rail that is called, as stories that are played against a rail of one's own.
//!
//! Who adds a rail implements [`Sandbox`] in the tests of its crate and names it to [`conformance_tests!`], which makes one
//! test of each promise (docs/adding-a-backend.md). It is for tests alone, behind the feature `conformance`, and asks the
//! rail's book who was paid, never the backend. It must not know any rail's protocol.
//!
//! [`conformance_tests!`]: crate::conformance_tests

mod promises;
mod stage;

use gctb_domain::{FinancialAddress, Money};

use crate::rail::{Order, PaymentBackend, Reply};

pub use promises::*;

/// A call to the rail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`PaymentBackend::prepare`], on a two-phase rail.
    Prepare,
    /// [`PaymentBackend::pay`].
    Pay,
    /// [`PaymentBackend::inquire`], where the rail can be asked.
    Inquire,
    /// The first request of [`PaymentBackend::fence`], on a two-phase rail.
    Fence,
}

/// What goes wrong with a call. *After* means that the rail did all that it was asked to do, money included, and only the
/// answer suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The connection is closed after the request was read, and nothing was done.
    ClosedBefore,
    /// All was done, and the connection is closed without an answer.
    ClosedAfter,
    /// All was done, and no answer ever comes.
    NeverAnswered,
    /// All was done, and the answer is an error of the server.
    ErrorAfter {
        /// An HTTP status, 500 to 599.
        status: u16,
    },
    /// All was done, and a gateway answers with a web page and 200.
    WebPageAfter,
    /// All was done, and the answer breaks off in its middle.
    BrokenAfter,
    /// Turned away unread: 429.
    TooManyRequests,
}

/// A rail of one's own, with a book, and backends that call it.
pub trait Sandbox: Sized {
    /// The backend that is tried.
    type Rail: PaymentBackend;

    /// A new rail with an empty book.
    fn start() -> impl Future<Output = Self>;

    /// A backend that calls the rail, with a deadline that a busy machine does not reach.
    fn rail(&self) -> &Self::Rail;

    /// The same with a deadline of a few seconds, for calls that are never answered.
    fn hurried(&self) -> &Self::Rail;

    /// The same at an address where nobody listens.
    fn nowhere(&self) -> &Self::Rail;

    /// An amount that the rail pays, with the smallest unit that it can, and other than any status or code of the rail.
    fn amount(&self) -> Money;

    /// The address of a payee whom the rail pays: another one for each number.
    fn payee(&self, number: i32) -> FinancialAddress;

    /// An address that this rail can never pay.
    fn impossible_payee(&self) -> FinancialAddress;

    /// What the rail's book has for the payee of the order, under whatever key, each payment by itself: no two orders of a
    /// story have the same payee. Answers when the rail has nothing in hand any more.
    fn book(&self, order: &Order) -> impl Future<Output = Vec<Money>>;

    /// From now on each such call has this trouble, and no other call has any; with `None`, none has.
    fn play(&self, trouble: Option<(Call, Trouble)>) -> impl Future<Output = ()>;

    /// How many calls had trouble since the last [`Sandbox::play`].
    fn troubled(&self) -> impl Future<Output = usize>;

    /// What the rail says when it is asked about the order. Where its answer comes elsewhere, this waits for it and has the
    /// backend read it.
    fn ask(&self, order: &Order) -> impl Future<Output = Reply> {
        self.rail().inquire(order)
    }
}

/// Plays one promise to its end.
///
/// # Panics
/// Where it is broken.
pub fn hold(promise: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the system gives a runtime").block_on(promise);
}

/// One test for each promise, played by the [`Sandbox`](crate::conformance::Sandbox) that is named.
#[macro_export]
macro_rules! conformance_tests {
    ($sandbox:ty) => {
        $crate::conformance_tests! { $sandbox:
            i2_what_is_paid_is_told_and_is_in_the_book_once_for_the_amount
            i2_i3_what_never_reached_the_rail_is_not_sent_and_is_paid_when_it_is_sent_later
            i2_i3_an_answer_that_nobody_can_read_decides_nothing_and_the_payment_was_sent_once
            i2_a_second_send_of_a_key_that_was_paid_pays_nobody
            i2_preparing_moves_no_money
            i2_what_was_not_prepared_is_not_paid
            i2_what_was_fenced_is_never_paid
            i3_a_fence_that_came_too_late_or_was_not_heard_refuses_nothing
            i3_a_rail_that_can_be_asked_finds_what_was_paid
            i3_a_key_that_the_rail_never_saw_is_not_found_and_not_refused
            i3_a_question_without_an_answer_decides_nothing
            i3_i10_a_call_that_nobody_answers_ends_by_its_deadline_and_decides_nothing
            i9_nothing_that_is_shown_tells_of_the_payee
            an_address_that_the_rail_cannot_take_is_refused_with_a_code_before_any_call
        }
    };
    ($sandbox:ty: $($promise:ident)+) => { $(
        #[test]
        fn $promise() {
            $crate::conformance::hold(async {
                let sandbox = <$sandbox as $crate::conformance::Sandbox>::start().await;
                $crate::conformance::$promise(&sandbox).await;
            });
        }
    )+ };
}
