//! Checks on the workspace itself: what reviews forget and documents claim. It reads files and asks Postgres what the
//! migrations made; it runs nothing of the bridge.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gctb_domain::ReasonCode;
use gctb_events::Topic;
use gctb_system_tests::Service;
use gctb_system_tests::crash_points::{COMMAND, steps};
use gctb_system_tests::prove;
use gctb_system_tests::rails::Rail;

/// Longest source file, in lines. A longer one holds two ideas.
const SOURCE_LINES_MAX: usize = 600;

/// Where paths that documents name may begin.
const TOP_FOLDERS: [&str; 6] = ["crates/", "docs/", "deploy/", "migrations/", "proto/", "tests/"];

/// Every crate and how high it stands: a normal dependency leads to a lower one. So a service never depends on a service,
/// and gctb-runtime does not know gctb-db.
const LAYERS: [(&str, u8); 17] = [
    ("gctb-domain", 0),
    ("gctb-connect", 1),
    ("gctb-events", 1),
    ("gctb-db", 2),
    ("gctb-runtime", 2),
    ("gctb-outbox", 3),
    ("gctb-testkit", 3),
    ("gctb-backend", 4),
    ("gctb-api", 5),
    ("gctb-mapper", 5),
    ("gctb-backend-file", 5),
    ("gctb-backend-mojaloop", 5),
    ("gctb-backend-mpesa", 5),
    ("gctb-status", 5),
    ("gctb-cli", 5),
    ("gctb-simulator", 5),
    ("gctb-bench", 5),
];

/// The only files that may name a floating-point type (invariant I6), and why no amount is near.
const FLOATS_ALLOWED: [(&str, &str); 7] = [
    ("crates/gctb-api/src/metrics.rs", "a histogram of seconds: OpenTelemetry takes values as floats"),
    ("crates/gctb-backend/src/meters.rs", "histograms of seconds: OpenTelemetry takes values as floats"),
    ("crates/gctb-connect/src/status.rs", "serde's visitor, which refuses a float by its name"),
    ("crates/gctb-db/src/outbox.rs", "intervals in seconds: Postgres multiplies intervals with floats"),
    ("crates/gctb-mapper/src/metrics.rs", "a histogram of seconds: OpenTelemetry takes values as floats"),
    ("crates/gctb-runtime/src/consumer/meters.rs", "a histogram of seconds: OpenTelemetry takes bounds as floats"),
    ("crates/gctb-runtime/src/telemetry.rs", "the ratio of sampled traces: OpenTelemetry takes it as a float"),
];

/// The only files that may build with crash points (`tests/crash-points.toml`), and why; each of them does.
const CRASH_POINTS_ALLOWED: [(&str, &str); 3] = [
    ("deploy/local/test.sh", "the services that tests kill"),
    ("deploy/local/soak.sh", "the services that the soak kills"),
    ("deploy/local/check.sh", "the lints look at their code"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below `folder` of the workspace with this ending, as (path from the top, text).
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                let name = path.strip_prefix(root()).expect("below the top").to_string_lossy().into_owned();
                found.push((name, read(&path)));
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<(String, String)> {
    [files("crates", ".rs"), files("tests", ".rs")].concat()
}

fn documents() -> Vec<(String, String)> {
    let mut documents = files("docs", ".md");
    for name in ["README.md", "CONTRIBUTING.md"] {
        documents.push((name.to_owned(), read(&root().join(name))));
    }
    documents
}

/// What stands between single backticks, outside of fenced blocks.
fn code_words(markdown: &str) -> Vec<String> {
    let mut fenced = false;
    let mut words = Vec::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            words.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    words
}

fn assert_none(problems: &[String], what: &str) {
    assert!(problems.is_empty(), "{what}:\n  {}", problems.join("\n  "));
}

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// What cargo knows of the workspace.
fn metadata() -> serde_json::Value {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    serde_json::from_slice(&metadata.stdout).expect("JSON")
}

/// The normal dependencies between the crates below `crates/`.
fn arrows() -> Arrows {
    let metadata = metadata();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    let ours = packages.iter().filter(|package| text(&package["manifest_path"]).contains("/crates/"));
    let names: BTreeSet<String> = ours.clone().map(|package| text(&package["name"])).collect();
    let normal = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        let normal = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
        normal.map(|dependency| text(&dependency["name"])).filter(|name| names.contains(name)).collect()
    };
    ours.map(|package| (text(&package["name"]), normal(package))).collect()
}

#[test]
fn the_arrows_between_our_crates_are_those_of_the_architecture() {
    let architecture = read(&root().join("docs/ARCHITECTURE.md"));
    let block = architecture.split("```arrows\n").nth(1).expect("a block ```arrows in docs/ARCHITECTURE.md");
    let block = block.split("```").next().unwrap_or_default();
    let drawn: Arrows = block
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let (from, to) = line.split_once("->").unwrap_or((line, ""));
            let to = to.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
            (from.trim().to_owned(), to.collect())
        })
        .collect();
    let each = |arrows: &Arrows| -> BTreeSet<String> {
        arrows.iter().flat_map(|(from, to)| to.iter().map(move |to| format!("{from} -> {to}"))).collect()
    };
    let (real, drawn) = (each(&arrows()), each(&drawn));
    let missing = real.difference(&drawn).map(|arrow| format!("{arrow} is missing there"));
    let untrue = drawn.difference(&real).map(|arrow| format!("{arrow} stands there, but not in Cargo.toml"));
    assert_none(&missing.chain(untrue).collect::<Vec<_>>(), "the block ```arrows of docs/ARCHITECTURE.md");
}

/// What every Debian has, or our own scripts install: a test that starts another program fails on a new machine.
const PROGRAMS_ALLOWED: [&str; 7] = ["bash", "cargo", "java", "mount", "setpriv", "sh", "umount"];

#[test]
fn programs_that_are_started_by_name_are_there_on_a_new_machine() {
    let started = |(path, text): (String, String)| -> Vec<String> {
        let names = text.split("Command::new(\"").skip(1).filter_map(|rest| rest.split('"').next());
        let foreign = names.filter(|name| !PROGRAMS_ALLOWED.contains(name));
        foreign.map(|name| format!("{path} starts {name}")).collect()
    };
    let itself = |(path, _): &(String, String)| path == "tests/tests/tidy.rs";
    let problems: Vec<String> = sources().into_iter().filter(|source| !itself(source)).flat_map(started).collect();
    assert_none(&problems, "programs that not every machine has (PROGRAMS_ALLOWED)");
}

#[test]
fn dependencies_lead_downwards_only() {
    let layers = BTreeMap::from(LAYERS);
    let arrows = arrows();
    let known: BTreeSet<&str> = layers.keys().copied().collect();
    let found: BTreeSet<&str> = arrows.keys().map(String::as_str).collect();
    assert_eq!(found, known, "left: the crates; right: those that have a layer here");
    let mut problems = Vec::new();
    for (from, targets) in &arrows {
        for to in targets {
            if layers[to.as_str()] >= layers[from.as_str()] {
                problems.push(format!("{from} must not depend on {to}"));
            }
            if to == "gctb-testkit" {
                problems.push(format!("{from} may depend on gctb-testkit for its tests only"));
            }
        }
    }
    assert_none(&problems, "arrows that lead up or sideways");
    assert!(arrows["gctb-simulator"].is_empty(), "the simulator shares no code with what it judges");
    assert!(arrows["gctb-bench"].is_empty(), "the bench shares no code with what it measures");
}

#[test]
fn every_path_that_a_document_names_exists() {
    let mut problems = Vec::new();
    for (document, text) in documents() {
        for word in code_words(&text) {
            let path = word.split_whitespace().next().unwrap_or_default();
            let path = path.split(['#', ':']).next().unwrap_or_default().trim_end_matches([',', '.', ';']);
            let is_pattern = path.contains(['*', '<', '{', '…', '$']);
            let named = TOP_FOLDERS.iter().any(|folder| path.starts_with(folder));
            if named && !is_pattern && !root().join(path).exists() {
                problems.push(format!("{document}: {path}"));
            }
        }
    }
    assert_none(&problems, "paths that do not exist");
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut problems = Vec::new();
    for (document, text) in documents() {
        let folder = root().join(&document).parent().expect("a folder").to_path_buf();
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#', ' ']).next().unwrap_or_default();
            let outside = target.contains("://") || target.starts_with("mailto:");
            if !outside && !target.is_empty() && !folder.join(target).exists() {
                problems.push(format!("{document}: {target}"));
            }
        }
    }
    assert_none(&problems, "links that lead nowhere");
}

#[test]
fn every_topic_metric_and_verb_that_a_document_names_exists() {
    let code: String = files("crates", ".rs").into_iter().map(|(_, text)| text).collect();
    let migrations: String = files("migrations", ".sql").into_iter().map(|(_, text)| text).collect();
    let makefile = read(&root().join("Makefile"));
    let mut problems = Vec::new();
    for (document, text) in documents() {
        for word in code_words(&text) {
            let plain =
                word.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'.' | b'-' | b'0'..=b'9'));
            let exists = if word.starts_with("gctb.") && plain && !word.starts_with("gctb.v1") {
                Topic::from_name(&word).is_some()
            } else if word.starts_with("gctb_") && plain && !word.contains('.') {
                let name = word.strip_suffix("_total").unwrap_or(&word);
                code.contains(name) || migrations.contains(name)
            } else if let Some(verb) = word.strip_prefix("make ") {
                let verb = verb.split_whitespace().next().unwrap_or_default();
                makefile.lines().any(|line| line.starts_with(&format!("{verb}:")))
            } else {
                true
            };
            if !exists {
                problems.push(format!("{document}: {word}"));
            }
        }
    }
    assert_none(&problems, "topics, metrics, functions or verbs that do not exist");
}

#[test]
fn every_source_file_says_what_it_is_for_and_has_one_idea() {
    let mut problems = Vec::new();
    for (name, text) in sources() {
        if !text.starts_with("//!") {
            problems.push(format!("{name} does not begin with //!"));
        }
        let lines = text.lines().count();
        if lines > SOURCE_LINES_MAX {
            problems.push(format!("{name} has {lines} lines, {SOURCE_LINES_MAX} are allowed"));
        }
    }
    assert_none(&problems, "source files");
}

#[test]
fn i6_no_floating_point_type_is_named_where_money_could_be() {
    let allowed = BTreeMap::from(FLOATS_ALLOWED);
    let names_a_float = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| matches!(word, "f32" | "f64"))
    };
    let mut problems = Vec::new();
    let mut met = BTreeSet::new();
    for (name, text) in files("crates", ".rs") {
        let lines: Vec<usize> =
            text.lines().zip(1..).filter(|(line, _)| names_a_float(line)).map(|(_, number)| number).collect();
        if lines.is_empty() {
            continue;
        }
        if !allowed.contains_key(name.as_str()) {
            problems.push(format!("{name}: lines {lines:?}"));
        }
        met.insert(name);
    }
    problems.extend(
        allowed.keys().filter(|name| !met.contains(**name)).map(|name| format!("{name} no longer needs its exception")),
    );
    assert_none(&problems, "floating-point types");
}

#[test]
fn every_reason_code_is_explained_in_the_protocol_facts() {
    let protocols = read(&root().join("docs/protocols.md"));
    let missing: Vec<String> =
        ReasonCode::ALL.iter().map(ToString::to_string).filter(|code| !protocols.contains(code.as_str())).collect();
    assert_none(&missing, "reason codes that docs/protocols.md does not mention");
}

#[test]
fn every_test_that_the_documents_name_exists() {
    let tests: BTreeMap<String, String> = sources().into_iter().collect();
    let testing = read(&root().join("docs/testing.md"));
    let mut problems = Vec::new();
    for line in testing.lines().filter(|line| line.starts_with("| I")) {
        let words = code_words(line);
        let [name, path] = words.as_slice() else {
            problems.push(format!("unreadable: {line}"));
            continue;
        };
        if !tests.get(path).is_some_and(|text| text.contains(&format!("fn {name}("))) {
            problems.push(format!("{name} in {path}"));
        }
    }
    assert_none(&problems, "tests of docs/testing.md that do not exist");
}

#[test]
fn the_list_of_what_make_prove_breaks_fits_the_code_the_tests_and_the_document() {
    let breaks = prove::breaks(&root()).expect("tests/prove.toml is readable");
    let sources = sources();
    let mut problems = Vec::new();
    for entry in &breaks {
        let folder = match entry.target.as_str() {
            "lib" => format!("{}/src/", entry.package_folder()),
            _ => format!("{}/tests/", entry.package_folder()),
        };
        let function = format!("fn {}(", entry.test);
        let tests = sources.iter().filter(|(name, _)| name.starts_with(&folder));
        let tests: usize = tests.map(|(_, text)| text.matches(&function).count()).sum();
        if tests != 1 {
            problems.push(format!("{}: {} is {tests} times below {folder}", entry.name, entry.test));
        }
        let found = sources.iter().find(|(name, _)| *name == entry.file);
        let found = found.map_or(0, |(_, text)| text.matches(&entry.find).count());
        if found != 1 || entry.find == entry.replace {
            problems.push(format!("{}: what is to be replaced is {found} times in {}", entry.name, entry.file));
        }
    }
    let missing = |invariant: &String| !breaks.iter().any(|entry| entry.invariant == *invariant);
    let missing = (1..=10).map(|number| format!("I{number}")).filter(missing);
    problems.extend(missing.map(|invariant| format!("nothing breaks {invariant}")));
    assert_none(&problems, "tests/prove.toml");

    let shown = |broken: &String, of: &String, test: &String| format!("{broken} | {of} | {test}");
    let rows = prove::rows(&read(&root().join("docs/testing.md")));
    let rows: BTreeSet<String> = rows.iter().map(|[broken, of, test, _]| shown(broken, of, test)).collect();
    let listed = breaks.iter().map(|entry| shown(&entry.name, &entry.invariant, &entry.test)).collect();
    let differing: Vec<String> = rows.symmetric_difference(&listed).cloned().collect();
    assert_none(&differing, "only in one of tests/prove.toml and docs/testing.md (make prove writes the table anew)");
}

/// The names in `fail_point!("…")` of this code.
fn crash_points(code: &str) -> Vec<String> {
    let names = code.split("fail_point!(").skip(1).map(|rest| rest.split('"').nth(1).unwrap_or_default().to_owned());
    names.collect()
}

#[test]
fn the_list_of_crash_points_and_the_code_name_the_same() {
    let in_code: Vec<String> = files("crates", ".rs").iter().flat_map(|(_, text)| crash_points(text)).collect();
    assert!(in_code.len() > 40, "only {} crash points were found in the code", in_code.len());
    let steps = steps();
    let listed: Vec<String> = steps.iter().flat_map(|step| step.points()).collect();
    let count = |names: &[String], name: &String| names.iter().filter(|other| *other == name).count();
    let mut problems = Vec::new();
    for name in in_code.iter().chain(&listed).collect::<BTreeSet<_>>() {
        match (count(&in_code, name), count(&listed, name)) {
            (1, 1) => {}
            (code, list) => problems.push(format!("{name}: {code} times in the code, {list} times in the list")),
        }
    }
    let services = Service::BRIDGE.into_iter().chain(Rail::ALL.map(Rail::service));
    let known: Vec<&str> = services.map(Service::program).chain([COMMAND]).collect();
    for step in &steps {
        if step.services.is_empty() || step.takers().any(|(service, _)| !known.contains(&service)) {
            problems.push(format!("{}: its services are not some of {known:?}", step.name));
        }
    }
    assert_none(
        &problems,
        "tests/crash-points.toml; each step is there once, and each of its two points once in the code",
    );
}

#[test]
fn nothing_that_is_deployed_holds_crash_points() {
    let is_meant = |feature: &str| feature.contains("crash-points") || feature.contains("failpoints");
    let metadata = metadata();
    let names = |value: &serde_json::Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let mut problems = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        for (feature, enables) in package["features"].as_object().into_iter().flatten() {
            if feature != "crash-points" && names(enables).iter().any(|enabled| is_meant(enabled)) {
                problems.push(format!("{}: the feature {feature} turns them on", package["name"]));
            }
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            if names(&dependency["features"]).iter().any(|feature| is_meant(feature)) {
                problems.push(format!("{}: the dependency {} turns them on", package["name"], dependency["name"]));
            }
        }
    }
    let mut builds = files("deploy", "");
    builds.extend(
        ["Makefile", "docker-compose.yml"]
            .map(|name| (name.to_owned(), fs::read_to_string(root().join(name)).unwrap_or_default())),
    );
    for (name, text) in builds {
        let builds_with_them = text.contains("crash-points") || text.contains("--all-features");
        if builds_with_them != CRASH_POINTS_ALLOWED.iter().any(|(allowed, _)| *allowed == name) {
            problems.push(format!("{name}: what CRASH_POINTS_ALLOWED names builds with them, and nothing else does"));
        }
    }
    assert_none(&problems, "crash points in what is deployed");
}

#[test]
fn every_table_and_column_has_a_comment() {
    let Some(database) = gctb_testkit::database("every_table_and_column_has_a_comment") else { return };
    let tables = "SELECT c.oid, c.relname FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND c.relname <> '__diesel_schema_migrations'";
    let without_a_word = format!(
        "SELECT relname::text AS value FROM ({tables}) t WHERE obj_description(oid, 'pg_class') IS NULL
         UNION ALL
         SELECT relname || '.' || attname FROM ({tables}) t JOIN pg_attribute a ON a.attrelid = t.oid
         WHERE a.attnum > 0 AND NOT a.attisdropped AND col_description(t.oid, a.attnum) IS NULL"
    );
    assert_none(&database.values(&without_a_word), "tables and columns without a comment");
    let count = database.value(&format!("SELECT count(*)::text AS value FROM ({tables}) t"));
    assert!(count.parse::<usize>().is_ok_and(|count| count > 10), "only {count} tables were looked at");
}
