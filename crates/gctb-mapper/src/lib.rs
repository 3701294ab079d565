//! gctb-mapper: takes accepted instructions, finds the financial address behind each payee's id, and hands the payments
//! to the backends that pay such addresses.
//!
//! Two loops do this: the router, which sorts and never calls the mapper, and the resolver, which alone waits for it.
//!
//! It decides one thing only: that an instruction has no address that can be paid (REJECTED). Whether something may be
//! paid, is due, or was paid before, the ledger decides when a backend claims it; so everything here may happen again.

mod ask;
mod breaker;
mod cache;
mod call;
mod clock;
mod metrics;
mod payments;
mod progress;
mod refuse;
mod resolver;
mod router;
mod routes;
mod rules;
mod run;
mod settings;
mod settling;
mod sort;

pub use ask::{AskError, AskingError};
pub use call::{CallError, ClientError};
pub use clock::Clock;
pub use resolver::{Resolver, World};
pub use router::Router;
pub use routes::{RouteError, RouteSetting};
pub use rules::{Rules, RulesError};
pub use run::run;
pub use settings::{BreakerSettings, IDENTITY, MapperSettings, ResolveSettings, Settings, UnusableSetting};
pub use settling::{Deliver, Exits, Publish, StillWaiting};
