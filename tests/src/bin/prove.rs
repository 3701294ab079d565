//! `make prove`: breaks the invariants one at a time in a copy of the work tree, and expects a named test to turn red each time.
//!
//! It is started by deploy/local/prove.sh in the top folder of the copy. ONLY=text takes the entries of `tests/prove.toml` whose
//! name, invariant, package or test contains it. `prove needs` says whether servers are needed. GCTB_PROVE_LOGS names the folder
//! for what cargo and the tests say, GCTB_PROVE_DOCUMENT the document that keeps the results. The servers are those of
//! GCTB_TEST_DATABASE_URL and GCTB_TEST_KAFKA.

use std::collections::BTreeMap;
use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use gctb_system_tests::prove::{self, Break, Programs, Tree, Verdict};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            // Nobody is left to tell when standard error is gone.
            let _ = writeln!(stderr(), "prove: {why}");
            ExitCode::from(2)
        }
    }
}

/// True where every break was seen.
fn run() -> Result<bool, String> {
    let root = std::env::current_dir().map_err(|error| error.to_string())?;
    let all = prove::breaks(&root).map_err(|error| format!("tests/prove.toml: {error}"))?;
    let only = std::env::var("ONLY").unwrap_or_default();
    let chosen: Vec<&Break> = all.iter().filter(|entry| is_meant(entry, &only)).collect();
    if chosen.is_empty() {
        return Err(format!("nothing in tests/prove.toml contains ONLY={only}"));
    }
    if std::env::args().nth(1).as_deref() == Some("needs") {
        say(if chosen.iter().any(|entry| entry.needs_servers()) { "servers" } else { "nothing" });
        return Ok(true);
    }
    let logs = PathBuf::from(variable("GCTB_PROVE_LOGS")?);
    let began = Instant::now();
    let proof = Proof { tree: Tree::at(&root), programs: Programs::of(&root, &logs) };
    let seen = proof.of(&chosen);
    let red = seen.values().filter(|seen| matches!(seen, Verdict::Red)).count();
    tell(&chosen, &seen);
    let summary = format!("{} broken, {red} red", chosen.len());
    let minutes = began.elapsed().as_secs().div_ceil(60);
    keep(&all, &seen, (chosen.len() == all.len()).then_some((summary.as_str(), minutes)))?;
    say(&format!("prove: {summary}; {minutes} min"));
    Ok(red == chosen.len())
}

fn is_meant(entry: &Break, only: &str) -> bool {
    [&entry.name, &entry.invariant, &entry.package, &entry.test].into_iter().any(|text| text.contains(only))
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("{name} is not set; please run it by: make prove"))
}

type Seen<'a> = BTreeMap<&'a str, Verdict>;

struct Proof {
    tree: Tree,
    programs: Programs,
}

/// A test, as (package, target, name).
type TestName<'a> = (&'a str, &'a str, &'a str);

impl Proof {
    /// What became of each, by its name. First of all each test is seen to pass with nothing broken.
    fn of<'a>(&self, chosen: &[&'a Break]) -> Seen<'a> {
        let paths = self.green(chosen);
        // Those of one package after the other: what was broken last is then built anew together with what is broken next.
        let mut ordered: Vec<&Break> = chosen.to_vec();
        ordered.sort_by_key(|entry| (&entry.package, &entry.target, &entry.file));
        let mut seen = Seen::new();
        for (entry, number) in ordered.iter().zip(1..) {
            let began = Instant::now();
            let verdict = match &paths[&test_of(entry)] {
                Ok(path) => self.broken(entry, path, &format!("{number:02}")),
                Err(why) => Verdict::Nothing(why.clone()),
            };
            let (seconds, of) = (began.elapsed().as_secs(), ordered.len());
            say(&format!("[{number}/{of}] {}: {} ({seconds} s)", entry.name, in_words(&verdict)));
            seen.insert(&entry.name, verdict);
        }
        seen
    }

    /// The path of each test in its program, or why it proves nothing.
    fn green<'a>(&self, chosen: &[&'a Break]) -> BTreeMap<TestName<'a>, Result<String, String>> {
        let mut programs: BTreeMap<(&str, &str), Result<PathBuf, String>> = BTreeMap::new();
        let mut paths = BTreeMap::new();
        for entry in chosen {
            let log = format!("unbroken-{}-{}", entry.package, entry.target);
            let program =
                programs.entry((&entry.package, &entry.target)).or_insert_with(|| self.programs.build(entry, &log));
            paths.entry(test_of(entry)).or_insert_with(|| {
                let began = Instant::now();
                let path = program.clone().and_then(|program| self.passes(entry, &program));
                let says = path.as_ref().err().map_or("green", String::as_str);
                say(&format!("unbroken: {}: {says} ({} s)", entry.test, began.elapsed().as_secs()));
                path
            });
        }
        paths
    }

    fn passes(&self, entry: &Break, program: &Path) -> Result<String, String> {
        let tests = self.programs.tests(program)?;
        let path = tests.get(&entry.test).ok_or("its program has no such test, or several")?;
        match self.programs.run(entry, program, path, &format!("unbroken-{}", entry.test)) {
            Verdict::Green => Ok(path.clone()),
            Verdict::Red => Err("it is red with nothing broken".to_owned()),
            Verdict::Nothing(why) => Err(format!("with nothing broken {why}")),
        }
    }

    fn broken(&self, entry: &Break, path: &str, log: &str) -> Verdict {
        let broken = match self.tree.break_as(entry) {
            Ok(broken) => broken,
            Err(error) => return Verdict::Nothing(error.to_string()),
        };
        let verdict = match self.programs.build(entry, log) {
            Ok(program) => self.programs.run(entry, &program, path, log),
            Err(why) => Verdict::Nothing(why),
        };
        drop(broken);
        verdict
    }
}

fn test_of(entry: &Break) -> TestName<'_> {
    (&entry.package, &entry.target, &entry.test)
}

fn in_words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Red => "red".to_owned(),
        Verdict::Green => "STAYED GREEN".to_owned(),
        Verdict::Nothing(why) => format!("PROVES NOTHING: {why}"),
    }
}

fn tell(chosen: &[&Break], seen: &Seen<'_>) {
    say("");
    for entry in chosen {
        let verdict = seen.get(entry.name.as_str()).map_or_else(String::new, in_words);
        say(&format!("{:<4} {verdict}: {} ({})", entry.invariant, entry.name, entry.test));
    }
}

/// Writes what was seen into the document. What was not looked at now stays as it was; the summary is that of the last whole run.
fn keep(all: &[Break], seen: &Seen<'_>, whole: Option<(&str, u64)>) -> Result<(), String> {
    let path = PathBuf::from(variable("GCTB_PROVE_DOCUMENT")?);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let document = std::fs::read_to_string(&path).map_err(failed)?;
    let today = chrono::Utc::now().format("%Y-%m-%d");
    let mut results = prove::results(&document);
    for (name, verdict) in seen {
        let word = match verdict {
            Verdict::Red => "red",
            Verdict::Green => "stayed green",
            Verdict::Nothing(_) => "proved nothing",
        };
        results.insert((*name).to_owned(), format!("{word}, {today}"));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let summary = whole.map(|(summary, minutes)| {
        format!(
            "The last whole run of `make prove`, on {today}: {summary}, in {minutes} minutes on {cores} processors."
        )
    });
    let document = prove::with_results(&document, all, &results, summary.as_deref())
        .ok_or_else(|| format!("{}: the marks between which the results stand are missing", path.display()))?;
    std::fs::write(&path, document).map_err(failed)
}

fn say(line: &str) {
    // A reader who has gone away does not stop the proof.
    let _ = writeln!(stdout(), "{line}");
}
