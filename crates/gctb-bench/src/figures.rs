//! The figures of a run: named, with their units, floor and ratio beside them. What reads target/bench.json relies on the names.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::BenchError;
use crate::service::Running;
use crate::stack::Stack;
use crate::thousandths::Thousandths;
use crate::usage::{Usage, Usages, status_kib};

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: Thousandths,
    pub(crate) unit: &'static str,
    /// The same without the bridge, measured in the same run.
    pub(crate) floor: Option<Thousandths>,
    /// More about payments over a called rail.
    pub(crate) rail: Option<RailFigures>,
}

/// What stands beside the rate of payments over a called rail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RailFigures {
    /// Payments per second until the last one was PAID in the ledger.
    pub(crate) to_paid: Thousandths,
    /// CPU time of a payment by process, in microseconds.
    pub(crate) cpu_us: BTreeMap<&'static str, Thousandths>,
    /// The same of the calls alone.
    pub(crate) floor_cpu_us: BTreeMap<&'static str, Thousandths>,
    /// Memory of the backend, in MiB.
    pub(crate) memory_mib: BTreeMap<&'static str, Thousandths>,
    /// What stops it from being faster; empty where nobody has looked yet.
    pub(crate) limit: &'static str,
}

impl Figure {
    /// The value divided by its floor.
    pub(crate) fn ratio(&self) -> Option<Thousandths> {
        self.floor.and_then(|floor| self.value.over(floor))
    }
}

/// All figures, in the order in which they were measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    list: Vec<Figure>,
    peaks_kib: BTreeMap<&'static str, u64>,
}

impl Figures {
    /// Adds a figure.
    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        unit: &'static str,
        value: Thousandths,
        floor: Option<Thousandths>,
    ) {
        self.list.push(Figure { name: name.into(), value, unit, floor, rail: None });
    }

    /// Adds payments per second over a called rail.
    pub(crate) fn add_rail(&mut self, name: &str, rate: Thousandths, floor: Thousandths, rail: RailFigures) {
        let (name, unit, floor, rail) = (name.to_owned(), "payments/s", Some(floor), Some(rail));
        self.list.push(Figure { name, value: rate, unit, floor, rail });
    }

    /// Adds what each process used for one of so many instructions, under names that begin with `prefix`; beside it the same of
    /// the floor, which may have had another number of them.
    pub(crate) fn add_usages(&mut self, prefix: &str, ours: (&Usages, u32), floor: Option<(&Usages, u32)>) {
        for (name, usage) in ours.0 {
            let floor = floor.and_then(|(usages, count)| Some((usages.get(name)?, count)));
            let cpu = |(usage, count): (&Usage, u32)| each(usage.cpu.as_micros(), count);
            let bytes = |(usage, count): (&Usage, u32)| each(usage.written.into(), count);
            let ours = (usage, ours.1);
            self.add(format!("{prefix}cpu_us_per_instruction.{name}"), "µs", cpu(ours), floor.map(cpu));
            self.add(format!("{prefix}bytes_per_instruction.{name}"), "bytes", bytes(ours), floor.map(bytes));
        }
    }

    /// Notes how much memory each program that runs has taken at most.
    pub(crate) fn note_peaks(&mut self, running: &Running, postgres_kib: u64) {
        for (name, pid) in running.processes() {
            self.note_peak(name, status_kib(pid, "VmHWM").unwrap_or(0));
        }
        self.note_peak("postgres", postgres_kib);
    }

    fn note_peak(&mut self, name: &'static str, kib: u64) {
        let peak = self.peaks_kib.entry(name).or_default();
        *peak = kib.max(*peak);
    }

    /// Makes figures of the peaks over all measurements.
    pub(crate) fn take_peaks(&mut self, stack: &Stack) {
        self.note_peak("kafka", status_kib(stack.kafka_pid, "VmHWM").unwrap_or(0));
        for (name, kib) in std::mem::take(&mut self.peaks_kib) {
            let mib = Thousandths::quotient(u128::from(kib), 1024).unwrap_or_default();
            self.add(format!("memory_peak_mib.{name}"), "MiB", mib, None);
        }
    }

    /// The figure of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Figure> {
        self.list.iter().find(|figure| figure.name == name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Figure> {
        self.list.iter()
    }

    /// `[{"name", "value", "unit", "floor", "ratio"}, …]`; payments over called rails have more.
    pub(crate) fn json(&self) -> Result<String, BenchError> {
        let lines = self.list.iter().map(|figure| {
            Ok(Line {
                name: &figure.name,
                value: number(figure.value)?,
                unit: figure.unit,
                floor: figure.floor.map(number).transpose()?,
                ratio: figure.ratio().map(number).transpose()?,
                rail: figure.rail.as_ref().map(RailLine::of).transpose()?,
            })
        });
        let lines: Vec<Line<'_>> = lines.collect::<Result<_, serde_json::Error>>()?;
        Ok(serde_json::to_string_pretty(&lines)? + "\n")
    }
}

fn each(sum: u128, count: u32) -> Thousandths {
    Thousandths::quotient(sum, count.into()).unwrap_or_default()
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    value: Box<RawValue>,
    unit: &'a str,
    floor: Option<Box<RawValue>>,
    ratio: Option<Box<RawValue>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    rail: Option<RailLine<'a>>,
}

#[derive(Serialize)]
struct RailLine<'a> {
    to_paid: Box<RawValue>,
    cpu_us_per_payment: BTreeMap<&'a str, Box<RawValue>>,
    floor_cpu_us_per_payment: BTreeMap<&'a str, Box<RawValue>>,
    memory_mib: BTreeMap<&'a str, Box<RawValue>>,
    limit: &'a str,
}

impl<'a> RailLine<'a> {
    fn of(rail: &'a RailFigures) -> Result<Self, serde_json::Error> {
        let numbers = |map: &'a BTreeMap<&'static str, Thousandths>| {
            map.iter().map(|(name, value)| Ok((*name, number(*value)?))).collect::<Result<_, serde_json::Error>>()
        };
        Ok(Self {
            to_paid: number(rail.to_paid)?,
            cpu_us_per_payment: numbers(&rail.cpu_us)?,
            floor_cpu_us_per_payment: numbers(&rail.floor_cpu_us)?,
            memory_mib: numbers(&rail.memory_mib)?,
            limit: rail.limit,
        })
    }
}

fn number(value: Thousandths) -> Result<Box<RawValue>, serde_json::Error> {
    RawValue::from_string(value.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parsed(figures: &Figures) -> serde_json::Value {
        serde_json::from_str(&figures.json().expect("serialises")).expect("JSON")
    }

    #[test]
    fn a_figure_is_a_line_with_its_floor_and_their_ratio_or_null() {
        let mut figures = Figures::default();
        figures.add("ingest_10k_x4", "rows/s", Thousandths::whole(80_000), Some(Thousandths::whole(200_000)));
        figures.add("memory_peak_mib.gctb-api", "MiB", Thousandths::quotient(261, 2).expect("130.5"), None);
        assert_eq!(
            parsed(&figures),
            serde_json::json!([
                {"name": "ingest_10k_x4", "value": 80_000.000, "unit": "rows/s", "floor": 200_000.000, "ratio": 0.4},
                {"name": "memory_peak_mib.gctb-api", "value": 130.5, "unit": "MiB", "floor": null, "ratio": null},
            ])
        );
    }

    #[test]
    fn a_rail_says_what_each_process_used_and_what_stops_it() {
        let mut figures = Figures::default();
        let rail = RailFigures {
            to_paid: Thousandths::whole(11_000),
            cpu_us: [("backend", Thousandths::whole(70))].into(),
            memory_mib: [("peak", Thousandths::whole(60))].into(),
            limit: "the simulator",
            ..RailFigures::default()
        };
        figures.add_rail("rail_mpesa_simple_0ms", Thousandths::whole(12_000), Thousandths::whole(24_000), rail);
        let line = &parsed(&figures)[0];
        assert_eq!(
            (&line["value"], &line["ratio"], &line["to_paid"]),
            (&12_000.0.into(), &0.5.into(), &11_000.0.into())
        );
        assert_eq!(line["cpu_us_per_payment"], serde_json::json!({"backend": 70.0}));
        assert_eq!((&line["memory_mib"]["peak"], &line["limit"]), (&60.0.into(), &"the simulator".into()));
    }

    #[test]
    fn usage_is_told_for_one_instruction_beside_its_floor() {
        let of = |millis, written| Usages::from([("postgres", Usage { cpu: Duration::from_millis(millis), written })]);
        let mut figures = Figures::default();
        figures.add_usages("", (&of(45, 2_000_000), 1_000), Some((&of(20, 500_000), 500)));
        let lines = parsed(&figures);
        assert_eq!(lines[0]["name"], "cpu_us_per_instruction.postgres");
        assert_eq!((&lines[0]["value"], &lines[0]["floor"]), (&45.0.into(), &40.0.into()));
        assert_eq!((&lines[1]["value"], &lines[1]["ratio"]), (&2000.0.into(), &2.0.into()));
    }

    #[test]
    fn the_largest_peak_of_all_measurements_counts() {
        let mut figures = Figures::default();
        figures.note_peak("gctb-api", 10);
        figures.note_peak("gctb-api", 30);
        figures.note_peak("gctb-api", 20);
        assert_eq!(figures.peaks_kib["gctb-api"], 30);
    }
}
