//! The chart: what was reached beside its floor, and how the payments ended over time. Plain SVG, legible on light and dark.

use std::fmt::Write;

use crate::curve::Curve;
use crate::figures::{Figure, Figures};
use crate::machine::Machine;
use crate::thousandths::Thousandths;

const WIDTH: u64 = 900;
/// Where bars begin, and how long the longest is.
const BARS_X: u64 = 230;
const BARS_WIDTH: u64 = 500;
/// A pair of bars with the space below it.
const PAIR_HEIGHT: u64 = 40;
const BAR_HEIGHT: u64 = 14;
/// The drawing of the curve.
const CURVE_X: u64 = 90;
const CURVE_WIDTH: u64 = 760;
const CURVE_HEIGHT: u64 = 170;
const CURVE_LINES: u64 = 4;

const STYLE: &str = "
    .ground { fill: #ffffff; } text { font: 13px sans-serif; fill: #24292f; } .title { font-size: 16px; font-weight: 600; }
    .small { font-size: 11px; fill: #57606a; } .end { text-anchor: end; } .ours { fill: #0969da; } .floor { fill: #9aa4b0; }
    .axis { stroke: #d0d7de; } .curve { fill: none; stroke: #0969da; stroke-width: 2; }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #0d1117; } text { fill: #e6edf3; } .small { fill: #9198a1; } .ours { fill: #58a6ff; } .floor { fill: #6e7681; }
      .axis { stroke: #3d444d; } .curve { stroke: #58a6ff; }
    }";

/// Figures of one kind that share a scale.
struct Panel {
    title: &'static str,
    floor: &'static str,
    bars: &'static [(&'static str, &'static str)],
}

const PANELS: [Panel; 4] = [
    Panel {
        title: "Ingest: rows/s to the 200",
        floor: "binary COPY by psql",
        bars: &[
            ("ingest_1k_x1", "1,000 a POST, 1 client"),
            ("ingest_1k_x4", "1,000 a POST, 4 clients"),
            ("ingest_10k_x1", "10,000 a POST, 1 client"),
            ("ingest_10k_x4", "10,000 a POST, 4 clients"),
            ("ingest_100k_x1", "100,000 a POST, 1 client"),
            ("ingest_100k_x4", "100,000 a POST, 4 clients"),
        ],
    },
    Panel {
        title: "End to end through the file backend: instructions/s",
        floor: "the same SQL by psql alone, one connection",
        bars: &[("end_to_end_file", "first byte to last end"), ("end_to_end_file_steady", "10th to 90th percentile")],
    },
    Panel {
        title: "Payments over called rails: payments/s",
        floor: "the same HTTP calls with no bridge around them",
        bars: &[
            ("rail_mpesa_simple_0ms", "simple-mpesa, at once"),
            ("rail_mpesa_simple_50ms", "simple-mpesa, 50 ms"),
            ("rail_mpesa_daraja_0ms", "Daraja, at once"),
            ("rail_mpesa_daraja_50ms", "Daraja, 50 ms"),
            ("rail_mojaloop_sdk_0ms", "Mojaloop, at once"),
            ("rail_mojaloop_sdk_50ms", "Mojaloop, 50 ms"),
        ],
    },
    Panel {
        title: "Status of 1,000 disbursements: p99 in milliseconds (less is better)",
        floor: "the same SQL by psql alone",
        bars: &[
            ("status_page_p99_ms", "a page of a batch"),
            ("status_refs_new_p99_ms", "references, newest month"),
            ("status_refs_all_p99_ms", "references, all 12 months"),
        ],
    },
];

/// Draws everything, one part below the other.
pub(crate) fn svg(machine: &Machine, figures: &Figures, curve: &Curve) -> String {
    let mut drawing = Drawing { text: String::new(), y: 10 };
    for panel in &PANELS {
        drawing.panel(panel, figures);
    }
    drawing.curve(curve);
    let rows = figures.get("status_rows").map(|figure| figure.value.for_people());
    let sizes = rows.map(|rows| format!("status among {rows} rows in 12 monthly partitions"));
    for line in machine.lines().into_iter().chain(sizes) {
        drawing.y += 16;
        drawing.write(20, "small", &line);
    }
    let height = drawing.y + 20;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-label=\"Measurements of the bridge beside their floors\">\n<style>{STYLE}\n</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\"/>\n{}</svg>\n",
        drawing.text
    )
}

struct Drawing {
    text: String,
    /// The lowest line so far.
    y: u64,
}

impl Drawing {
    fn panel(&mut self, panel: &Panel, figures: &Figures) {
        let found: Vec<(&Figure, &str)> =
            panel.bars.iter().filter_map(|(name, label)| Some((figures.get(name)?, *label))).collect();
        if found.is_empty() {
            return;
        }
        self.title(panel.title);
        self.legend(panel.floor);
        let largest = found.iter().flat_map(|(figure, _)| figure.floor.into_iter().chain([figure.value])).max();
        for (figure, label) in found {
            self.pair(figure, label, largest.unwrap_or_default());
        }
        self.y += 14;
    }

    fn title(&mut self, title: &str) {
        self.y += 26;
        self.write(20, "title", title);
    }

    fn legend(&mut self, floor: &str) {
        self.y += 8;
        let y = self.y;
        self.y += 10;
        self.bar(20, y, 12, "ours");
        self.write(38, "small", "the bridge");
        self.bar(120, y, 12, "floor");
        self.write(138, "small", &format!("floor: {floor}, in the same run"));
        self.y += 12;
    }

    fn pair(&mut self, figure: &Figure, label: &str, largest: Thousandths) {
        let (top, low) = (self.y, self.y + BAR_HEIGHT + 2);
        self.y = top + 19;
        self.write(20, "label", label);
        let ratio = figure.ratio().map(|ratio| format!(", {} of the floor", ratio.for_people())).unwrap_or_default();
        self.measured(top, "ours", figure.value, largest, &ratio);
        if let Some(floor) = figure.floor {
            self.measured(low, "floor", floor, largest, "");
        }
        self.y = top + PAIR_HEIGHT;
    }

    fn measured(&mut self, y: u64, class: &str, value: Thousandths, largest: Thousandths, words: &str) {
        let width = scaled(value.raw(), largest.raw(), BARS_WIDTH);
        self.bar(BARS_X, y, width, class);
        self.y = y + 11;
        self.write(BARS_X + width + 6, "small", &format!("{}{words}", value.for_people()));
    }

    fn bar(&mut self, x: u64, y: u64, width: u64, class: &str) {
        // Writing to a String cannot fail, here and below.
        let height = if width == 12 { 12 } else { BAR_HEIGHT };
        let _ =
            writeln!(self.text, "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>");
    }

    fn write(&mut self, x: u64, class: &str, words: &str) {
        let y = self.y;
        let _ = writeln!(self.text, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", escaped(words));
    }

    /// How many instructions had ended when.
    fn curve(&mut self, curve: &Curve) {
        let Some(last) = curve.samples.last() else { return };
        self.title("End to end: instructions ended, by seconds since the first byte");
        self.y += 18;
        let bottom = self.y + CURVE_HEIGHT;
        for line in 0..=CURVE_LINES {
            let y = bottom - CURVE_HEIGHT * line / CURVE_LINES;
            let right = CURVE_X + CURVE_WIDTH;
            let _ = writeln!(self.text, "<line class=\"axis\" x1=\"{CURVE_X}\" y1=\"{y}\" x2=\"{right}\" y2=\"{y}\"/>");
            let _ = writeln!(
                self.text,
                "<text class=\"small end\" x=\"{}\" y=\"{}\">{}</text>",
                CURVE_X - 6,
                y + 4,
                people(Thousandths::whole(curve.all * line / CURVE_LINES))
            );
            let at = Thousandths::quotient(last.at.as_millis() * u128::from(line), u128::from(1000 * CURVE_LINES));
            let _ = writeln!(
                self.text,
                "<text class=\"small end\" x=\"{}\" y=\"{}\">{} s</text>",
                CURVE_X + CURVE_WIDTH * line / CURVE_LINES + 14,
                bottom + 16,
                people(at.unwrap_or_default())
            );
        }
        let points = curve.samples.iter().map(|sample| {
            let x = CURVE_X + scaled(sample.at.as_millis(), last.at.as_millis(), CURVE_WIDTH);
            let y = bottom - scaled(sample.count.into(), curve.all.into(), CURVE_HEIGHT);
            format!("{x},{y}")
        });
        let points = std::iter::once(format!("{CURVE_X},{bottom}")).chain(points).collect::<Vec<_>>().join(" ");
        let _ = writeln!(self.text, "<polyline class=\"curve\" points=\"{points}\"/>");
        self.y = bottom + 30;
    }
}

/// `value` on a scale on which `largest` is `length`.
fn scaled(value: u128, largest: u128, length: u64) -> u64 {
    let scaled = (value * u128::from(length)).checked_div(largest).unwrap_or(0);
    u64::try_from(scaled).unwrap_or(length).min(length)
}

/// Nothing is nothing, without decimals.
fn people(number: Thousandths) -> String {
    if number == Thousandths::default() { "0".to_owned() } else { number.for_people() }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::statistics::Sample;

    fn example() -> String {
        let mut figures = Figures::default();
        figures.add("ingest_10k_x4", "rows/s", Thousandths::whole(80_000), Some(Thousandths::whole(200_000)));
        let samples = [(1, 0), (2, 50), (4, 100)].map(|(s, count)| Sample { at: Duration::from_secs(s), count });
        svg(&Machine::example(), &figures, &Curve { samples: samples.to_vec(), all: 100 })
    }

    #[test]
    fn the_longest_bar_takes_the_whole_width_and_the_others_their_share() {
        let svg = example();
        assert!(svg.contains("class=\"floor\" x=\"230\" y=\"82\" width=\"500\""), "{svg}");
        assert!(svg.contains("class=\"ours\" x=\"230\" y=\"66\" width=\"200\""), "{svg}");
        assert!(svg.contains("80,000, 0.40 of the floor"), "{svg}");
    }

    #[test]
    fn the_curve_goes_from_nothing_to_all() {
        let svg = example();
        let points = svg.split("points=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a curve");
        let points: Vec<&str> = points.split(' ').collect();
        let (first, last) = (points[0].split_once(',').expect("x,y"), points[3].split_once(',').expect("x,y"));
        assert_eq!((first.0, last.0), ("90", "850"));
        let height = first.1.parse::<u64>().expect("y") - last.1.parse::<u64>().expect("y");
        assert_eq!(height, CURVE_HEIGHT);
    }

    #[test]
    fn what_the_machine_says_of_itself_breaks_no_drawing() {
        let svg = example();
        assert!(svg.contains("A &lt;CPU&gt; &amp; more"));
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("prefers-color-scheme: dark"));
    }
}
