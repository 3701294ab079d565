//! Holds the two pages for operators to the code: each metric, label, verb, flag, setting, log line and health text that one of
//! them names must exist, and each metric that the code exposes must stand on one of them. It reads files; it starts nothing.
//!
//! On the pages a log message is written as `log: words` and a text of /readyz as `health: words`, with … for what changes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;

/// The bridge as a whole, and the rails that are called.
const PAGES: [&str; 2] = ["docs/operations.md", "docs/operating-rails.md"];

/// Longest page that is read at three in the morning, in lines.
const PAGE_LINES_MAX: usize = 520;

/// Words with a dot that are no settings: endings of file names.
const FILE_ENDINGS: [&str; 6] = [".csv", ".dump", ".md", ".rs", ".toml", ".yml"];

/// What there is to be named.
struct Known {
    metrics: BTreeSet<String>,
    /// Every source of the programs and every migration, on one line each, with single spaces.
    code: String,
    /// Paths such as `kafka.brokers`, of every service.
    settings: BTreeSet<String>,
    command: Command,
}

impl Known {
    fn read() -> Self {
        let sources: Vec<String> = texts("crates", "rs");
        let metrics = sources.iter().flat_map(|source| metrics_of(source)).collect();
        let all = [sources, texts("migrations", "sql")].concat().join("\n");
        Self {
            metrics,
            code: all.split_whitespace().collect::<Vec<_>>().join(" "),
            settings: texts("crates", "toml").iter().flat_map(|file| settings_of(file)).collect(),
            command: gctb_cli::command(),
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Each page by its name.
fn pages() -> [(&'static str, String); 2] {
    PAGES.map(|page| (page, fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))))
}

/// The files below `folder` with this ending, tests left out: what only a test names exists for nobody.
fn texts(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == ending) && !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                found.push(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned());
            }
        }
    }
    found
}

/// The metrics that a source makes, as their page names them: a counter ends in `_total` there.
fn metrics_of(source: &str) -> Vec<String> {
    let mut metrics = Vec::new();
    for (at, _) in source.match_indices("\"gctb_") {
        let before = source[..at].trim_end();
        let Some(maker) = before.strip_suffix('(') else { continue };
        let maker = maker.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
        let name = source[at + 1..].split('"').next().unwrap_or_default();
        if maker.ends_with("counter") {
            metrics.push(format!("{name}_total"));
        } else if ["gauge", "histogram", "seconds"].iter().any(|kind| maker.ends_with(kind)) {
            metrics.push(name.to_owned());
        }
    }
    metrics
}

/// The settings of a file of defaults, those that stand there as a comment for want of a default included.
fn settings_of(file: &str) -> Vec<String> {
    let mut group = String::new();
    let mut settings = Vec::new();
    for line in file.lines().map(|line| line.trim_start_matches(['#', ' '])) {
        if let Some(named) = line.strip_prefix('[') {
            group = named.trim_start_matches('[').split(']').next().unwrap_or_default().to_owned();
            settings.push(group.clone());
        } else if let Some((key, _)) = line.split_once(" = ")
            && is_word(key, "")
        {
            settings.push(if group.is_empty() { key.to_owned() } else { format!("{group}.{key}") });
        }
    }
    settings
}

/// Whether it is made of small letters, digits, underscores and `others` alone.
fn is_word(text: &str, others: &str) -> bool {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || others.contains(c);
    !text.is_empty() && text.chars().all(known)
}

/// What stands between backticks, and the lines of fenced blocks.
fn code_of(page: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut spans, mut blocks, mut fenced) = (Vec::new(), Vec::new(), false);
    for line in page.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            blocks.push(line);
        } else {
            spans.extend(line.split('`').skip(1).step_by(2));
        }
    }
    (spans, blocks)
}

/// Everything that the page names and that does not exist.
fn problems(page: &str, known: &Known) -> Vec<String> {
    let (spans, blocks) = code_of(page);
    let mut problems = Vec::new();
    for code in spans.iter().chain(&blocks) {
        problems.extend(unknown_metrics(code, known));
        problems.extend(unknown_variables(code, known));
        problems.extend(unknown_command(code, &known.command));
    }
    for span in spans {
        if let Some(words) = ["log: ", "health: "].iter().find_map(|kind| span.strip_prefix(kind)) {
            let is_missing = |piece: &&str| !known.code.contains(piece.trim());
            problems.extend(words.split('…').find(is_missing).map(|piece| format!("nothing says {:?}", piece.trim())));
        }
        let is_path = span.contains('.') && is_word(span, ".") && !span.starts_with("gctb.");
        let is_file = FILE_ENDINGS.iter().any(|ending| span.ends_with(ending));
        if is_path && !is_file && !known.settings.contains(span) {
            problems.push(format!("no setting {span}"));
        }
    }
    problems
}

fn unknown_metrics(code: &str, known: &Known) -> Vec<String> {
    let mut problems = Vec::new();
    for (at, _) in code.match_indices("gctb_") {
        let end = code[at..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(code.len(), |end| at + end);
        let (name, rest) = (&code[at..end], &code[end..]);
        let is_part = code[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || "/-_".contains(c));
        // A module of a log line, or a payment file.
        if is_part || rest.starts_with("::") || name.contains(|c: char| c.is_ascii_digit()) {
            continue;
        }
        let of_a_histogram =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let is_function = known.code.contains(&format!("FUNCTION {name}("));
        if !is_function && !known.metrics.contains(name) && !known.metrics.contains(of_a_histogram) {
            problems.push(format!("no metric {name}"));
        }
        let labels = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(labels, _)| labels);
        problems.extend(unknown_values(labels, known).into_iter().map(|value| format!("{name} has no {value}")));
    }
    problems
}

/// The values of labels that no source can give. Topics and numbers of partitions are put in while a service runs.
fn unknown_values(labels: &str, known: &Known) -> Vec<String> {
    let values = labels.split('"').skip(1).step_by(2);
    let fixed = values.map(|value| value.split("gctb.").next().unwrap_or_default());
    let fixed = fixed.filter(|value| !value.is_empty() && value.parse::<u32>().is_err());
    fixed.filter(|value| !known.code.contains(&format!("\"{value}"))).map(str::to_owned).collect()
}

/// Variables of the environment: `GCTB_API__HTTP__BIND` is `http.bind`, those of the command are its own.
fn unknown_variables(code: &str, known: &Known) -> Vec<String> {
    let words = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let unknown = |word: &&str| {
        let Some((service, path)) = word.split_once("__") else { return false };
        match service {
            "GCTB_CLI" => !known.code.contains(&format!("\"{word}\"")),
            _ if service.starts_with("GCTB_") => {
                !known.settings.contains(&path.replace("__", ".").to_ascii_lowercase())
            }
            _ => false,
        }
    };
    words.filter(unknown).map(|word| format!("no variable {word}")).collect()
}

/// A line `gctb VERB VERB --flag …` of which a verb or a flag does not exist.
fn unknown_command(code: &str, command: &Command) -> Option<String> {
    let line = code.strip_prefix("$ ").unwrap_or(code).strip_prefix("gctb ")?;
    let (mut command, mut words) = (command, line.split_whitespace().peekable());
    while command.has_subcommands() {
        let Some(word) = words.next_if(|word| !word.starts_with('-')) else { break };
        match command.find_subcommand(word) {
            Some(verb) => command = verb,
            None => return Some(format!("no verb {word} in {code:?}")),
        }
    }
    let is_flag = |word: &&str| word.len() > 2 && word.starts_with("--") && is_word(&word[2..], "-");
    let is_unknown = |word: &&str| {
        *word != "--help" && !command.get_arguments().any(|argument| argument.get_long() == Some(&word[2..]))
    };
    words.filter(is_flag).find(is_unknown).map(|flag| format!("no flag {flag} in {code:?}"))
}

fn assert_none(problems: &[String], what: &str) {
    assert!(problems.is_empty(), "{what}:\n  {}", problems.join("\n  "));
}

#[test]
fn everything_that_a_page_for_operators_names_exists() {
    let known = Known::read();
    let each = pages().into_iter().flat_map(|(name, page)| {
        let problems = problems(&page, &known).into_iter();
        problems.map(move |problem| format!("{name}: {problem}"))
    });
    assert_none(&each.collect::<Vec<_>>(), "what operators would look for in vain");
}

#[test]
fn every_metric_stands_on_a_page_for_operators() {
    let known = Known::read();
    assert!(known.metrics.len() > 25, "only {} metrics were found in the code", known.metrics.len());
    let pages = pages();
    let stands = |name: &String| pages.iter().any(|(_, page)| page.contains(&format!("`{name}")));
    let missing: Vec<String> = known.metrics.into_iter().filter(|name| !stands(name)).collect();
    assert_none(&missing, "metrics that neither page explains");
}

#[test]
fn a_page_for_operators_is_short_enough_to_be_read() {
    for (name, page) in pages() {
        let lines = page.lines().count();
        assert!(lines <= PAGE_LINES_MAX, "{name} has {lines} lines, {PAGE_LINES_MAX} are allowed");
    }
}

#[test]
fn what_does_not_exist_is_found_wherever_a_page_names_it() {
    let known = Known::read();
    let good = "`gctb_dead_letters_total` `gctb_files{state=\"CLOSED\"}` `log: payment files wait` `kafka.brokers`
`gctb_make_partitions` `gctb.batches` `gctb_file_20261123_000007.csv`\n```\n$ gctb dead list --kafka \"$KAFKA\"
export GCTB_CLI__API__URL=x GCTB_API__HTTP__BIND=y\n```\n";
    assert_none(&problems(good, &known), "what exists");
    for (bad, told) in [
        ("`gctb_dead_letters`", "no metric gctb_dead_letters"),
        ("`gctb_files{state=\"LOST\"}`", "gctb_files has no LOST"),
        ("`log: payment files … fly`", "nothing says \"fly\""),
        ("`health: the bank sleeps`", "nothing says \"the bank sleeps\""),
        ("`kafka.broker`", "no setting kafka.broker"),
        ("`GCTB_API__HTTP__BINT`", "no variable GCTB_API__HTTP__BINT"),
        ("`GCTB_CLI__API__URI`", "no variable GCTB_CLI__API__URI"),
        ("`gctb recover --since`", "no verb recover in \"gctb recover --since\""),
        ("```\n$ gctb dead list --all\n```", "no flag --all in \"$ gctb dead list --all\""),
    ] {
        assert_eq!(problems(bad, &known), [told], "{bad}");
    }
}
