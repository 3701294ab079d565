//! gctb-status on a real Postgres: the handler and the sweeper are called directly, Kafka is not needed.

mod fold;
mod order;
mod sweep;
mod world;
