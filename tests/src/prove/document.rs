//! The table of docs/testing.md, "Seen to fail": made from the list and from what was seen.

use std::collections::BTreeMap;

use super::Break;

const BEGIN: &str = "<!-- made by make prove -->\n";
const END: &str = "<!-- end of what make prove makes -->\n";
const HEAD: &str = "| Broken | Of | Red | Seen |\n|---|---|---|---|\n";
const NOT_YET: &str = "not yet run";

/// What stands before, between and behind the markers of `document`; None where they are missing.
fn parts(document: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = document.split_once(BEGIN)?;
    rest.split_once(END).map(|(made, behind)| (before, made, behind))
}

/// The rows of the table as (broken, invariant, test, seen).
pub fn rows(document: &str) -> Vec<[String; 4]> {
    let cells = |line: &str| {
        let cells: Vec<String> = line.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
        <[String; 6]>::try_from(cells).ok().map(|[_, broken, of, test, seen, _]| [broken, of, test, seen])
    };
    let made = parts(document).map_or("", |(_, made, _)| made);
    let table = made.split(HEAD).nth(1).unwrap_or_default();
    table.lines().filter_map(cells).collect()
}

/// What the table says was seen, by the name of what was broken.
pub fn results(document: &str) -> BTreeMap<String, String> {
    rows(document).into_iter().map(|[broken, _, _, seen]| (broken, seen)).collect()
}

/// The document with a table of the whole list, and the results that are known. `summary` is the line above it; None keeps the
/// one that stands there.
pub fn with_results(
    document: &str,
    breaks: &[Break],
    seen: &BTreeMap<String, String>,
    summary: Option<&str>,
) -> Option<String> {
    let (before, made, behind) = parts(document)?;
    let kept = made.split(HEAD).next().unwrap_or_default().trim();
    let row = |entry: &Break| {
        let seen = seen.get(&entry.name).map_or(NOT_YET, String::as_str);
        format!("| {} | {} | `{}` | {seen} |\n", entry.name, entry.invariant, entry.test)
    };
    let table: String = breaks.iter().map(row).collect();
    Some(format!("{before}{BEGIN}\n{}\n\n{HEAD}{table}\n{END}{behind}", summary.unwrap_or(kept)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_kept_where_it_is_not_seen_again_and_the_rest_is_not_yet_run() {
        let entry = |name: &str| Break {
            name: name.to_owned(),
            invariant: "I2".to_owned(),
            file: String::new(),
            find: String::new(),
            replace: String::new(),
            package: String::new(),
            target: String::new(),
            test: format!("i2_{name}"),
            needs: Vec::new(),
        };
        let empty = format!("text\n{BEGIN}{END}more\n");
        let seen = BTreeMap::from([("one".to_owned(), "red".to_owned())]);
        let made = with_results(&empty, &[entry("one"), entry("two")], &seen, Some("a summary")).expect("the markers");
        assert!(made.starts_with("text\n") && made.ends_with("more\n"));
        assert_eq!(rows(&made)[0], ["one", "I2", "i2_one", "red"]);
        assert_eq!(rows(&made)[1], ["two", "I2", "i2_two", NOT_YET]);
        let again = with_results(&made, &[entry("one"), entry("two")], &results(&made), None).expect("the markers");
        assert_eq!(again, made);
        assert_eq!(with_results("without markers", &[], &seen, None), None);
    }
}
