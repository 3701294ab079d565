//! The table for people. It computes nothing but what stands in the figures.

use std::collections::BTreeMap;
use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

use crate::figures::{Figure, Figures, RailFigures};
use crate::ingest::Ingest;
use crate::machine::Machine;
use crate::rails::Scenario;
use crate::thousandths::Thousandths;

/// What stands where there is nothing to say.
const NOTHING: &str = "–";

/// The whole report, as Markdown that is readable as it stands.
pub(crate) fn text(machine: &Machine, ingest: &[Ingest], figures: &Figures) -> String {
    let mut text = String::new();
    for line in machine.lines() {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "- {line}");
    }
    let parts = [
        ("Ingest, rows/s to the 200, consumers stopped", ingest_table(ingest, figures)),
        ("End to end, from the first byte to the last terminal status", end_to_end_table(figures)),
        ("Payments over called rails, payments/s", rail_table(figures)),
        ("CPU of a payment over a called rail, µs; memory of its backend, MiB", rail_cost_table(figures)),
        ("What calls alone reach, payments/s and CPU µs of each", rail_floor_table(figures)),
        ("Status, milliseconds for 1,000 disbursements", status_table(figures)),
        ("Processes", process_table(figures)),
    ];
    // What was not asked for has no lines.
    for (title, table) in parts.iter().filter(|(_, table)| !table.is_empty()) {
        let _ = write!(text, "\n{title}\n\n{table}\n");
    }
    text
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(head.to_vec());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn ingest_table(ingest: &[Ingest], figures: &Figures) -> Table {
    let mut table = table(&["POSTs", "number", "rows/s", "COPY by psql", "ratio", "p50 ms", "p99 ms", "sent again"]);
    for one in ingest {
        let [value, floor, ratio] = cells(figures.get(&one.name));
        let counts = [one.posts.to_string(), one.sent_again.to_string()];
        let [posts, again] = counts;
        table.add_row([
            one.name.clone(),
            posts,
            value,
            floor,
            ratio,
            one.p50.for_people(),
            one.p99.for_people(),
            again,
        ]);
    }
    table
}

fn end_to_end_table(figures: &Figures) -> Table {
    let mut table = table(&["figure", "value", "unit", "SQL alone", "ratio"]);
    let measured = figures.get("end_to_end_file").is_some();
    for name in [
        "end_to_end_file",
        "end_to_end_file_steady",
        "end_to_end_acknowledged_s",
        "end_to_end_took_s",
        "wal_bytes_per_instruction",
        "cpu_us_per_instruction.postgres",
        "bytes_per_instruction.postgres",
    ]
    .into_iter()
    .filter(|_| measured)
    {
        let figure = figures.get(name);
        let [value, floor, ratio] = cells(figure);
        let unit = figure.map_or(NOTHING, |figure| figure.unit);
        table.add_row([name.to_owned(), value, unit.to_owned(), floor, ratio]);
    }
    table
}

fn rail_table(figures: &Figures) -> Table {
    let mut table = table(&["rail", "payments/s", "calls alone", "ratio", "to PAID", "what stops it"]);
    for (figure, rail) in rails(figures) {
        let [value, floor, ratio] = cells(Some(figure));
        let limit = if rail.limit.is_empty() { NOTHING } else { rail.limit };
        table.add_row([figure.name.clone(), value, floor, ratio, rail.to_paid.for_people(), limit.to_owned()]);
    }
    table
}

fn rail_cost_table(figures: &Figures) -> Table {
    const CPU: [&str; 4] = ["backend", "postgres", "kafka", "simulator"];
    const CALLS: [&str; 2] = ["client", "simulator"];
    const MEMORY: [&str; 3] = ["at_25_percent", "at_95_percent", "peak"];
    let head = ["calls alone: client", "simulator", "MiB at 25 %", "at 95 %", "peak"];
    let mut table = table(&[&["rail"], CPU.as_slice(), head.as_slice()].concat());
    for (figure, rail) in rails(figures) {
        let of = |map: &BTreeMap<&str, Thousandths>, name: &str| {
            map.get(name).copied().map_or(NOTHING.to_owned(), Thousandths::for_people)
        };
        let cpu = CPU.iter().map(|name| of(&rail.cpu_us, name));
        let calls = CALLS.iter().map(|name| of(&rail.floor_cpu_us, name));
        let memory = MEMORY.iter().map(|name| of(&rail.memory_mib, name));
        table.add_row(std::iter::once(figure.name.clone()).chain(cpu).chain(calls).chain(memory));
    }
    table
}

fn rails(figures: &Figures) -> impl Iterator<Item = (&Figure, &RailFigures)> {
    figures.iter().filter_map(|figure| Some((figure, figure.rail.as_ref()?)))
}

/// Where the floors alone were asked for.
fn rail_floor_table(figures: &Figures) -> Table {
    let mut table = table(&["calls", "payments/s", "CPU of the client", "CPU of the simulator"]);
    for scenario in Scenario::ALL {
        let name = format!("{scenario}.floor");
        if let Some(rate) = figures.get(&name) {
            let cpu = |process| value(figures.get(&format!("{name}_cpu_us.{process}")));
            table.add_row([name.clone(), rate.value.for_people(), cpu("client"), cpu("simulator")]);
        }
    }
    table
}

fn status_table(figures: &Figures) -> Table {
    let mut table = table(&["question", "p50", "SQL alone", "p99", "SQL alone", "ratio of p99"]);
    for name in ["status_page", "status_refs_new", "status_refs_all"] {
        if figures.get(&format!("{name}_p99_ms")).is_none() {
            continue;
        }
        let [p50, p50_floor, _] = cells(figures.get(&format!("{name}_p50_ms")));
        let [p99, p99_floor, ratio] = cells(figures.get(&format!("{name}_p99_ms")));
        table.add_row([name.to_owned(), p50, p50_floor, p99, p99_floor, ratio]);
    }
    table
}

/// Every process that has a figure of its memory.
fn process_table(figures: &Figures) -> Table {
    let head = [
        "process",
        "end to end: CPU µs each",
        "bytes written each",
        "ingest: CPU µs each",
        "bytes written each",
        "peak MiB",
    ];
    let mut table = table(&head);
    let names = figures.iter().filter_map(|figure| figure.name.strip_prefix("cpu_us_per_instruction."));
    for name in names {
        let of = |figure: &str| value(figures.get(&format!("{figure}.{name}")));
        table.add_row([
            name.to_owned(),
            of("cpu_us_per_instruction"),
            of("bytes_per_instruction"),
            of("ingest_cpu_us_per_instruction"),
            of("ingest_bytes_per_instruction"),
            of("memory_peak_mib"),
        ]);
    }
    table
}

fn cells(figure: Option<&Figure>) -> [String; 3] {
    let show = |number: Option<Thousandths>| number.map_or(NOTHING.to_owned(), Thousandths::for_people);
    [value(figure), show(figure.and_then(|figure| figure.floor)), show(figure.and_then(Figure::ratio))]
}

fn value(figure: Option<&Figure>) -> String {
    figure.map_or(NOTHING.to_owned(), |figure| figure.value.for_people())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_was_measured_and_on_what() {
        let mut figures = Figures::default();
        figures.add("ingest_10k_x4", "rows/s", Thousandths::whole(80_000), Some(Thousandths::whole(200_000)));
        figures.add("cpu_us_per_instruction.gctb-api", "µs", Thousandths::whole(9), None);
        figures.add("memory_peak_mib.gctb-api", "MiB", Thousandths::whole(101), None);
        let one = Ingest {
            name: "ingest_10k_x4".to_owned(),
            posts: 40,
            p50: Thousandths::whole(12),
            p99: Thousandths::whole(30),
            sent_again: 0,
        };
        let text = text(&Machine::example(), &[one], &figures);
        for part in ["fsync on", "2 cores", "abc1234", "Kafka 4.4.0", "80,000", "200,000", "0.40", "gctb-api"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains("called rail"), "what was not measured is not there:\n{text}");
    }

    #[test]
    fn a_rail_has_its_rate_its_costs_and_what_stops_it() {
        let rail = RailFigures {
            to_paid: Thousandths::whole(11_111),
            cpu_us: [("backend", Thousandths::whole(71))].into(),
            memory_mib: [("at_95_percent", Thousandths::whole(63))].into(),
            limit: "the simulator",
            ..RailFigures::default()
        };
        let mut figures = Figures::default();
        figures.add_rail("rail_mpesa_simple_0ms", Thousandths::whole(12_345), Thousandths::whole(24_690), rail);
        let text = text(&Machine::example(), &[], &figures);
        for part in ["rail_mpesa_simple_0ms", "12,345", "24,690", "0.50", "11,111", "71.00", "63.00", "the simulator"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains("Ingest"), "{text}");
    }
}
