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
        self.list.push(Figure { name: name.into(), value, unit, floor });
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

    /// `[{"name", "value", "unit", "floor", "ratio"}, …]`.
    pub(crate) fn json(&self) -> Result<String, BenchError> {
        let number = |value: Thousandths| RawValue::from_string(value.to_string());
        let lines = self.list.iter().map(|figure| {
            Ok(Line {
                name: &figure.name,
                value: number(figure.value)?,
                unit: figure.unit,
                floor: figure.floor.map(number).transpose()?,
                ratio: figure.ratio().map(number).transpose()?,
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
