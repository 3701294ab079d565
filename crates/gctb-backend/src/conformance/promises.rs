//! The promises, one story each (invariants I2, I3, I9 and I10; docs/decisions/0008-paying-over-rails-that-are-called.md).
//!
//! A story follows the kind that the rail states: what it does not claim is not asked of it.

use gctb_domain::paying::{Dedupe, Learnt};

use super::stage::{Stage, tells_of_nobody};
use super::{Call, Sandbox, Trouble};
use crate::rail::PaymentBackend;

/// After which nobody can tell from the answer what was done.
const UNREADABLE: [Trouble; 7] = [
    Trouble::ClosedBefore,
    Trouble::ClosedAfter,
    Trouble::ErrorAfter { status: 500 },
    Trouble::ErrorAfter { status: 503 },
    Trouble::ErrorAfter { status: 504 },
    Trouble::WebPageAfter,
    Trouble::BrokenAfter,
];

/// What is paid is told as paid, or as taken to be paid later.
pub async fn i2_what_is_paid_is_told_and_is_in_the_book_once_for_the_amount(sandbox: &impl Sandbox) {
    Stage::new(sandbox).paid(1).await;
}

/// Without a connection, or turned away unread, nothing was sent: and so it can be sent later, under the same key.
pub async fn i2_i3_what_never_reached_the_rail_is_not_sent_and_is_paid_when_it_is_sent_later(sandbox: &impl Sandbox) {
    let stage = Stage::new(sandbox);
    let first = if stage.kind.two_phase { Call::Prepare } else { Call::Pay };
    let unprepared = stage.order(1);
    assert_eq!(stage.call_nowhere(first, &unprepared).await.learnt, Learnt::NotSent, "{first:?} without a connection");
    let (reply, _) = stage.call_with(Trouble::TooManyRequests, first, &unprepared).await;
    assert_eq!(reply.learnt, Learnt::NotSent, "{first:?} that was turned away unread");
    let order = stage.ready(2).await;
    assert_eq!(stage.call_nowhere(Call::Pay, &order).await.learnt, Learnt::NotSent, "without a connection");
    let (reply, times) = stage.call_with(Trouble::TooManyRequests, Call::Pay, &order).await;
    assert_eq!((reply.learnt, times), (Learnt::NotSent, 1), "turned away unread, and not tried again at once");
    assert!(reply.slow_down.is_some(), "a busy rail is left alone for a while");
    stage.is_in_the_book(&unprepared, 0, "what was not sent").await;
    stage.is_in_the_book(&order, 0, "what was not sent").await;
    stage.call(Call::Pay, &order).await;
    stage.is_in_the_book(&order, 1, "what was sent later").await;
}

/// Whatever ended without an answer that can be read, after the request may have left, is unknown; the backend makes no
/// second try of its own; and asked later, the rail tells what its book has.
pub async fn i2_i3_an_answer_that_nobody_can_read_decides_nothing_and_the_payment_was_sent_once(
    sandbox: &impl Sandbox,
) {
    let stage = Stage::new(sandbox);
    for (number, trouble) in (1..).zip(UNREADABLE) {
        let order = stage.ready(number).await;
        let (reply, times) = stage.call_with(trouble, Call::Pay, &order).await;
        assert_eq!(reply.learnt, Learnt::Nothing, "{trouble:?}: {}", reply.message);
        assert_eq!(times, 1, "{trouble:?}: how often it was sent");
        let paid = trouble != Trouble::ClosedBefore;
        stage.is_in_the_book(&order, usize::from(paid), "what was sent once").await;
        if stage.kind.can_be_asked {
            let found = stage.ask(&order).await.learnt;
            let true_words: &[Learnt] = if paid { &[Learnt::Paid] } else { &[Learnt::NotFound, Learnt::Nothing] };
            assert!(true_words.contains(&found), "{trouble:?}, and asked later: {found:?}");
        }
    }
}

/// Where the rail is said to dedupe: a payment whose answer came, or was lost, is not made again under its key, and nobody
/// is told that it was refused.
pub async fn i2_a_second_send_of_a_key_that_was_paid_pays_nobody(sandbox: &impl Sandbox) {
    let stage = Stage::new(sandbox);
    if stage.kind.dedupes == Dedupe::Never {
        return;
    }
    let told = stage.paid(1).await;
    let lost = stage.ready(2).await;
    stage.call_with(Trouble::ClosedAfter, Call::Pay, &lost).await;
    for mut order in [told, lost] {
        order.sends = 2;
        let learnt = stage.call(Call::Pay, &order).await.learnt;
        stage.is_in_the_book(&order, 1, "what was sent twice under one key").await;
        let harmless = matches!(learnt, Learnt::Paid | Learnt::Accepted | Learnt::Duplicate | Learnt::Nothing);
        assert!(harmless, "the second send of what was paid: {learnt:?}");
    }
}

/// On a two-phase rail, however the answer fares; and without a good answer there is no leave to pay.
pub async fn i2_preparing_moves_no_money(sandbox: &impl Sandbox) {
    let stage = Stage::new(sandbox);
    if !stage.kind.two_phase {
        return;
    }
    let prepared = stage.ready(1).await;
    stage.is_in_the_book(&prepared, 0, "what was only prepared").await;
    for (number, trouble) in (2..).zip(UNREADABLE) {
        let order = stage.order(number);
        let (reply, times) = stage.call_with(trouble, Call::Prepare, &order).await;
        let no_leave = matches!(reply.learnt, Learnt::NotSent | Learnt::Nothing);
        assert!(no_leave, "preparing with {trouble:?}: {:?}", reply.learnt);
        assert_eq!(times, 1, "{trouble:?}: how often it was sent");
        stage.is_in_the_book(&order, 0, "what was prepared without an answer").await;
    }
}

/// On a two-phase rail, `pay` without the handle that `prepare` gave pays nobody.
pub async fn i2_what_was_not_prepared_is_not_paid(sandbox: &impl Sandbox) {
    let stage = Stage::new(sandbox);
    if !stage.kind.two_phase {
        return;
    }
    let order = stage.order(1);
    let learnt = stage.call(Call::Pay, &order).await.learnt;
    stage.is_in_the_book(&order, 0, "what was not prepared").await;
    assert!(!matches!(learnt, Learnt::Paid | Learnt::Accepted), "nobody has it: {learnt:?}");
}

/// On a two-phase rail, a fence that was confirmed is the end: a later `pay` pays nobody.
pub async fn i2_what_was_fenced_is_never_paid(sandbox: &impl Sandbox) {
    let stage = Stage::new(sandbox);
    if !stage.kind.two_phase {
        return;
    }
    let order = stage.ready(1).await;
    let fenced = stage.call(Call::Fence, &order).await.learnt;
    assert!(matches!(fenced, Learnt::Refused { .. }), "a fence without trouble: {fenced:?}");
    let learnt = stage.call(Call::Pay, &order).await.learnt;
    stage.is_in_the_book(&order, 0, "what was fenced").await;
    assert!(!matches!(learnt, Learnt::Paid | Learnt::Accepted), "paid after its fence: {learnt:?}");
}

/// On a two-phase rail, a fence says "refused" only once the rail has confirmed it.
pub async fn i3_a_fence_that_came_too_late_or_was_not_heard_refuses_nothing(sandbox: &impl Sandbox) {
    let stage = Stage::new(sandbox);
    if !stage.kind.two_phase {
        return;
    }
    let paid = stage.paid(1).await;
    let late = stage.call(Call::Fence, &paid).await.learnt;
    assert!(matches!(late, Learnt::Paid | Learnt::Nothing), "a fence after the payment: {late:?}");
    let order = stage.ready(2).await;
    let (unheard, _) = stage.call_with(Trouble::ClosedBefore, Call::Fence, &order).await;
    assert_eq!(unheard.learnt, Learnt::Nothing, "a fence that the rail did not hear");
    let nowhere = stage.call_nowhere(Call::Fence, &order).await;
    assert_eq!(nowhere.learnt, Learnt::Nothing, "a fence without a connection");
}

/// Where the rail can be asked.
pub async fn i3_a_rail_that_can_be_asked_finds_what_was_paid(sandbox: &impl Sandbox) {
    let stage = Stage::new(sandbox);
    if !stage.kind.can_be_asked {
        return;
    }
    let order = stage.paid(1).await;
    let reply = stage.ask(&order).await;
    assert_eq!(reply.learnt, Learnt::Paid, "asked about what was paid: {}", reply.message);
}

/// Where the rail can be asked: nothing is found of what was never sent, and on a two-phase rail of what was only prepared.
pub async fn i3_a_key_that_the_rail_never_saw_is_not_found_and_not_refused(sandbox: &impl Sandbox) {
    let stage = Stage::new(sandbox);
    if !stage.kind.can_be_asked {
        return;
    }
    // Others are paid, so that a rail which finds anybody's payment is noticed.
    stage.paid(1).await;
    for order in [stage.order(2), stage.ready(3).await] {
        let reply = stage.ask(&order).await;
        assert_eq!(reply.learnt, Learnt::NotFound, "asked about what was never sent: {}", reply.message);
    }
}

/// Where the rail can be asked: what becomes of the question says nothing about the payment, above all not that it was not
/// sent.
pub async fn i3_a_question_without_an_answer_decides_nothing(sandbox: &impl Sandbox) {
    let stage = Stage::new(sandbox);
    if !stage.kind.can_be_asked {
        return;
    }
    let order = stage.paid(1).await;
    let nowhere = stage.call_nowhere(Call::Inquire, &order).await;
    assert_eq!(nowhere.learnt, Learnt::Nothing, "asked without a connection");
    for trouble in UNREADABLE.into_iter().chain([Trouble::TooManyRequests]) {
        let (reply, _) = stage.call_with(trouble, Call::Inquire, &order).await;
        assert_eq!(reply.learnt, Learnt::Nothing, "asked with {trouble:?}: {}", reply.message);
    }
}

/// Each call is given up by `deadline()`, and what it may have done stays unknown. It was sent once.
pub async fn i3_i10_a_call_that_nobody_answers_ends_by_its_deadline_and_decides_nothing(sandbox: &impl Sandbox) {
    let stage = Stage::new(sandbox);
    let order = stage.ready(1).await;
    let (reply, times) = stage.call_with(Trouble::NeverAnswered, Call::Pay, &order).await;
    assert_eq!((reply.learnt, times), (Learnt::Nothing, 1), "{}", reply.message);
    stage.is_in_the_book(&order, 1, "what was paid without an answer").await;
    if stage.kind.can_be_asked {
        let (reply, _) = stage.call_with(Trouble::NeverAnswered, Call::Inquire, &order).await;
        assert_eq!(reply.learnt, Learnt::Nothing, "a question that nobody answered");
    }
    if stage.kind.two_phase {
        let unprepared = stage.order(2);
        let (reply, _) = stage.call_with(Trouble::NeverAnswered, Call::Prepare, &unprepared).await;
        assert!(matches!(reply.learnt, Learnt::NotSent | Learnt::Nothing), "preparing: {:?}", reply.learnt);
        let prepared = stage.ready(3).await;
        let (reply, _) = stage.call_with(Trouble::NeverAnswered, Call::Fence, &prepared).await;
        assert_eq!(reply.learnt, Learnt::Nothing, "a fence that nobody confirmed");
    }
}

/// Orders and refusals are logged and stored. What the calls reply is looked through in every story.
pub async fn i9_nothing_that_is_shown_tells_of_the_payee(sandbox: &impl Sandbox) {
    let stage = Stage::new(sandbox);
    let paid = stage.paid(1).await;
    tells_of_nobody(&format!("{paid:?}"), &paid);
    assert!(!format!("{paid:?}").contains(&paid.amount.minor().to_string()), "the amount of an order is shown");
    let mut impossible = stage.order(2);
    impossible.to = sandbox.impossible_payee();
    let refused = sandbox.rail().check(&impossible.to, impossible.amount);
    tells_of_nobody(&format!("{impossible:?} {refused:?}"), &impossible);
}

/// It needs no rail to say so: also a backend that reaches nobody refuses it.
pub async fn an_address_that_the_rail_cannot_take_is_refused_with_a_code_before_any_call(sandbox: &impl Sandbox) {
    let order = Stage::new(sandbox).order(1);
    let rail = sandbox.nowhere();
    assert_eq!(rail.check(&order.to, order.amount), Ok(()), "an address that the rail takes");
    let refusal = rail.check(&sandbox.impossible_payee(), order.amount).expect_err("an address that it cannot take");
    assert!(!refusal.message.is_empty(), "beside the code {}, the sender reads why", refusal.reason);
}
