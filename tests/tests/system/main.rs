//! System tests: stories about the whole bridge, on the real servers and the real binaries.
//!
//! `make test` starts the servers and builds the binaries; without the servers every story is skipped by name. A story whose name
//! begins with i1 to i10 is about that invariant of docs/ARCHITECTURE.md. They wait for conditions, never for time.

mod answers;
mod batches;
mod crash_points;
mod crashes;
mod mapper_outages;
mod outages;
mod outages_bank;
mod outages_kafka;
mod outages_postgres;
mod poison;
mod privacy;
mod privacy_rails;
mod rails;
mod replays;
mod replicas;
mod soak;
mod status_events;
