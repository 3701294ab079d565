//! Stories of callbacks: posted over real HTTP, recorded in a real Postgres.

mod groups;
mod outages;
mod play;

mod refusals;
mod results;
mod stage;
mod start;
