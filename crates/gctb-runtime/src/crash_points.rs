//! Crash points: a named place in the code at which a test lets the process die, or freeze.
//!
//! The places are fail points of the crate `fail`, before and after every durable step, in the crates that take it;
//! `tests/crash-points.toml` lists them. They and this module are compiled in by the feature `crash-points` alone, which nothing that is deployed has.
//! It knows none of the names: whoever arms a point sees by the line on standard error whether it was reached.

use std::io::Write;
use std::process::{Command, abort};
use std::sync::atomic::{AtomicU32, Ordering};

/// The environment variable that arms one point: `name[:nth][:kill|freeze]`.
pub(crate) const VARIABLE: &str = "GCTB_CRASH_POINT";

/// What happens at the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The process dies as in a power cut: nothing is unwound, flushed or closed.
    Kill,
    /// The process stands still until somebody sends SIGCONT.
    Freeze,
}

/// A point that is armed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Armed {
    name: String,
    /// From 1: which of its hits counts.
    nth: u32,
    end: End,
}

/// The variable says something else than what it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{VARIABLE} is not of the form name[:nth][:kill|freeze]")]
pub(crate) struct Unreadable;

/// Arms the point that `value` names.
///
/// # Errors
/// Where it cannot be read.
pub(crate) fn arm(value: &str) -> Result<(), Unreadable> {
    let Armed { name, nth, end } = parse(value)?;
    let (point, hits) = (name.clone(), AtomicU32::new(0));
    fail::cfg_callback(name.clone(), move || {
        if hits.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            tell(&format!("crash point {point} reached"));
            end.now();
        }
    })
    .map_err(|_| Unreadable)?;
    tell(&format!("crash point {name} armed"));
    Ok(())
}

fn parse(value: &str) -> Result<Armed, Unreadable> {
    let mut words = value.split(':');
    let name = words.next().filter(|name| !name.is_empty()).ok_or(Unreadable)?;
    let mut armed = Armed { name: name.to_owned(), nth: 1, end: End::Kill };
    for word in words {
        match word {
            "kill" => armed.end = End::Kill,
            "freeze" => armed.end = End::Freeze,
            number => armed.nth = number.parse().ok().filter(|nth| *nth > 0).ok_or(Unreadable)?,
        }
    }
    Ok(armed)
}

/// Stops process `$1`, and ends when it stands still. The signal reaches one thread, and the others only when that one has a
/// turn: the thread at the crash point waits for this, or it would go on for a moment.
const STOP: &str =
    "kill -STOP $1; n=0; until grep -q '^State:[[:space:]]*T' /proc/$1/status || [ $n -ge 1000 ]; do n=$((n+1)); done";

impl End {
    fn now(self) {
        match self {
            Self::Kill => abort(),
            Self::Freeze => {
                let id = std::process::id().to_string();
                let stopped = Command::new("sh").args(["-c", STOP, "sh", &id]).status();
                if !stopped.is_ok_and(|status| status.success()) {
                    tell("the process could not stop itself");
                    abort();
                }
            }
        }
    }
}

/// In one write and at once: there is no later.
fn tell(line: &str) {
    // Nobody is left to tell when standard error is gone.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_armed_by_its_name_which_hit_counts_and_what_happens_then() {
        let armed = |name: &str, nth, end| Ok(Armed { name: name.to_owned(), nth, end });
        assert_eq!(parse("claim.commit.after"), armed("claim.commit.after", 1, End::Kill));
        assert_eq!(parse("claim.commit.after:3"), armed("claim.commit.after", 3, End::Kill));
        assert_eq!(parse("claim.commit.after:freeze"), armed("claim.commit.after", 1, End::Freeze));
        assert_eq!(parse("claim.commit.after:2:kill"), armed("claim.commit.after", 2, End::Kill));
        for unreadable in ["", ":2", "a:0", "a:soon", "a:-1", "a:"] {
            assert_eq!(parse(unreadable), Err(Unreadable), "{unreadable:?}");
        }
    }
}
