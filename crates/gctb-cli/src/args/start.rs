//! Where to begin in a topic, as it is typed.

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono::DateTime;

/// `earliest`, a time, an offset for all partitions, or offsets by partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The oldest message that is kept.
    Earliest,
    /// The first message at or after this time, in milliseconds since 1970.
    Time(i64),
    /// This offset in every partition.
    Offset(i64),
    /// These offsets; other partitions are left alone.
    Offsets(BTreeMap<i32, i64>),
}

impl FromStr for Start {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "earliest" {
            return Ok(Self::Earliest);
        }
        if let Ok(offset) = text.parse() {
            return offset_from_zero(offset).map(Self::Offset);
        }
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::Time(time.timestamp_millis()));
        }
        text.split(',').map(partition_and_offset).collect::<Result<_, _>>().map(Self::Offsets)
    }
}

const EXPECTED: &str = "expected earliest, a time such as 2026-11-23T08:00:00Z, an offset, or PARTITION:OFFSET,…";

fn offset_from_zero(offset: i64) -> Result<i64, &'static str> {
    if offset < 0 { Err("an offset is not negative") } else { Ok(offset) }
}

fn partition_and_offset(text: &str) -> Result<(i32, i64), &'static str> {
    let (partition, offset) = text.split_once(':').ok_or(EXPECTED)?;
    let partition: u16 = partition.parse().map_err(|_| EXPECTED)?;
    Ok((i32::from(partition), offset_from_zero(offset.parse().map_err(|_| EXPECTED)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_read_in_each_of_its_forms_and_nothing_is_guessed() {
        for (text, expected) in [
            ("earliest", Start::Earliest),
            ("0", Start::Offset(0)),
            ("2026-11-23T08:00:00Z", Start::Time(1_795_420_800_000)),
            ("2026-11-23T10:00:00+02:00", Start::Time(1_795_420_800_000)),
            ("3:1200", Start::Offsets(BTreeMap::from([(3, 1200)]))),
            ("0:5,1:7", Start::Offsets(BTreeMap::from([(0, 5), (1, 7)]))),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", "latest", "-1", "0:-1", "2026-11-23 08:00", "0:1,", "a:1", "08:00:00"] {
            assert!(text.parse::<Start>().is_err(), "{text}");
        }
    }
}
