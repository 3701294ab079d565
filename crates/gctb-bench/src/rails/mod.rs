//! Payments over the rails that are called: how many a second, beside the same HTTP calls with no bridge around them.
//!
//! Each scenario has a simulator, and so a book, of its own, and so has each of its floors.

mod access;
mod bridge;
mod callbacks;
mod calls;
mod equation;
mod floor;
mod rate;
mod scenario;
mod settings;
mod simulator;

use crate::args::{Plan, Selection};
use crate::error::BenchError;
use crate::figures::Figures;
use crate::say;
use crate::stack::Stack;
use crate::usage::{each_us, sum};

pub(crate) use scenario::Scenario;

use floor::Floor;

/// Calls under way at most, of the bridge and of the floor: at 50 ms an answer no fewer than 800 make 16,000 calls a second.
const IN_FLIGHT: usize = 800;

/// Measures every scenario, each between two measurements of its floor.
///
pub(crate) fn measure(
    stack: &Stack,
    plan: &Plan,
    selection: &Selection,
    figures: &mut Figures,
) -> Result<(), BenchError> {
    stack.apply_topics()?;
    if let Some(first) = Scenario::ALL.into_iter().find(|scenario| selection.has(*scenario)) {
        warm_up(stack, first, plan.rail_payments / 4, selection)?;
    }
    for scenario in Scenario::ALL.into_iter().filter(|scenario| selection.has(*scenario)) {
        let before = floor::measure(stack, scenario, plan.rail_payments)?;
        if *selection == Selection::RailFloors {
            add_floor_alone(scenario, &before, plan.rail_payments, figures);
            continue;
        }
        let ours = bridge::measure(stack, scenario, plan.rail_payments)?;
        let after = floor::measure(stack, scenario, plan.rail_payments)?;
        let floor_used = sum(&before.used, &after.used);
        let floor_rate = before.rate.mean(after.rate);
        say(&format!(
            "{scenario}: {} payments/s, {} until all were PAID in the ledger; calls alone {} before and {} after",
            ours.rate.for_people(),
            ours.to_paid.for_people(),
            before.rate.for_people(),
            after.rate.for_people()
        ));
        figures.add_rail(
            scenario.name(),
            ours.rate,
            floor_rate,
            ours.figures(&floor_used, 2 * u64::from(plan.rail_payments)),
        );
        figures.note_peaks(&ours.running, ours.postgres_peak_kib);
        ours.end(stack)?;
    }
    Ok(())
}

/// Servers that were just started cost more: Kafka's JVM has compiled nothing yet. That shall not be the first scenario's.
fn warm_up(stack: &Stack, scenario: Scenario, payments: u32, selection: &Selection) -> Result<(), BenchError> {
    if *selection == Selection::RailFloors {
        return Ok(());
    }
    say(&format!("{scenario}: warming up with {payments} payments"));
    bridge::measure(stack, scenario, payments)?.end(stack)
}

fn add_floor_alone(scenario: Scenario, floor: &Floor, payments: u32, figures: &mut Figures) {
    let name = format!("{scenario}.floor");
    let cpu = |name| each_us(&floor.used, name, payments.into());
    let (client, simulator) = (cpu("bench"), cpu("gctb-simulator"));
    figures.add(format!("{name}_cpu_us.client"), "µs", client, None);
    figures.add(format!("{name}_cpu_us.simulator"), "µs", simulator, None);
    figures.add(&name, "payments/s", floor.rate, None);
    say(&format!(
        "{name}: {} payments/s; CPU µs each: client {}, simulator {}",
        floor.rate.for_people(),
        client.for_people(),
        simulator.for_people()
    ));
}
