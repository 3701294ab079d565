//! System tests: stories about the whole bridge, on the real servers and the real binaries.
//!
//! `make test` starts the servers and builds the binaries; without the servers every story is skipped by name. A story whose name
//! begins with i1 to i10 is about that invariant of docs/ARCHITECTURE.md. They wait for conditions, never for time.

mod answers;
mod batches;
mod crashes;
mod outages;
mod poison;
mod privacy;
mod replays;
mod status_events;
