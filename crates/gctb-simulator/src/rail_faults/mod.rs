//! What goes wrong on the called rails: which fault is given to which call, and how an answer is spoilt.
//!
//! [`plan`] is the one document that says what is wanted, [`engine`] decides call by call, [`answer`] plays it. The rails ask
//! before they work and never decide by themselves.

pub(crate) mod answer;
mod dialect;
mod dice;
mod engine;
mod place;
pub(crate) mod plan;
#[cfg(test)]
mod tests;

pub(crate) use answer::{Answer, play};
pub(crate) use engine::{Call, Faults};
pub(crate) use plan::{Fault, FaultPlan, Rail, Stage};
