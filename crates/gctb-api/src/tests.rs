//! The API as a sender sees it, in process, on a real Postgres; Kafka is away in all of them, as it may be (invariant I8).

mod bodies;
mod documents;
mod intake;
mod stage;
mod status;
