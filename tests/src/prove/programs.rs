//! Test programs: built by cargo in the copy, and run by themselves, so that one test can be given a time to end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{Break, Need};

/// How long one test may run. The longest of the list, a system test, takes less than a minute.
const TEST_TIME_MAX: Duration = Duration::from_secs(300);

/// The programs that system tests start.
const SERVICES: [&str; 8] = [
    "gctb-api",
    "gctb-mapper",
    "gctb-backend-file",
    "gctb-backend-mpesa",
    "gctb-backend-mojaloop",
    "gctb-status",
    "gctb-cli",
    "gctb-simulator",
];

/// What a test said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It failed.
    Red,
    /// It passed.
    Green,
    /// It proves nothing, for this reason.
    Nothing(String),
}

/// Builds and runs test programs of the copy at `root`; what they say goes to files in `logs`.
#[derive(Clone, Debug)]
pub struct Programs {
    root: PathBuf,
    logs: PathBuf,
}

impl Programs {
    /// Those of the copy at `root`.
    pub fn of(root: &Path, logs: &Path) -> Self {
        Self { root: root.to_path_buf(), logs: logs.to_path_buf() }
    }

    /// Builds the program that holds the test of `entry`, and the services where it starts them. What cargo says stands in
    /// `log`.build.log.
    ///
    /// # Errors
    /// A sentence about what could not be built.
    pub fn build(&self, entry: &Break, log: &str) -> Result<PathBuf, String> {
        if entry.needs.contains(&Need::Programs) {
            let mut build = self.cargo("build");
            build.arg("--bins").args(SERVICES.iter().flat_map(|service| ["-p", service]));
            self.run_cargo(build, log)?;
        }
        let mut test = self.cargo("test");
        test.args(["--no-run", "--message-format=json-render-diagnostics", "-p", &entry.package]);
        match entry.target.as_str() {
            "lib" => test.arg("--lib"),
            target => test.args(["--test", target]),
        };
        let told = self.run_cargo(test, log)?;
        let mut programs = told.lines().filter_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            let is_test = message["reason"] == "compiler-artifact" && message["profile"]["test"] == true;
            message["executable"].as_str().filter(|_| is_test).map(PathBuf::from)
        });
        programs.next().ok_or_else(|| format!("cargo built no test program of {} {}", entry.package, entry.target))
    }

    /// The tests of a program, by their names without modules. Names that stand there twice are left out.
    ///
    /// # Errors
    /// Where it does not say.
    pub fn tests(&self, program: &Path) -> Result<BTreeMap<String, String>, String> {
        let listed = Command::new(program).args(["--list", "--format", "terse"]).output();
        let listed = listed.map_err(|error| format!("{}: {error}", program.display()))?;
        let mut tests: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in String::from_utf8_lossy(&listed.stdout).lines() {
            if let Some(path) = line.strip_suffix(": test") {
                let name = path.rsplit("::").next().unwrap_or(path);
                tests.entry(name.to_owned()).or_default().push(path.to_owned());
            }
        }
        let alone = tests.into_iter().filter(|(_, paths)| paths.len() == 1);
        Ok(alone.filter_map(|(name, mut paths)| Some((name, paths.pop()?))).collect())
    }

    /// Runs exactly one test, by its path in the program. What it says stands in `log`.test.log.
    pub fn run(&self, entry: &Break, program: &Path, path: &str, log: &str) -> Verdict {
        let (says, skips) = (self.log(&format!("{log}.test")), self.logs.join("skips"));
        // What an earlier test skipped is of no interest.
        let _ = fs::remove_file(&skips);
        let run = || -> io::Result<Option<ExitStatus>> {
            let out = File::create(&says)?;
            let mut command = Command::new(program);
            command
                .args(["--exact", path])
                .current_dir(self.root.join(entry.package_folder()))
                .env("GCTB_TEST_SKIPS", &skips)
                .stdin(Stdio::null())
                .stdout(out.try_clone()?)
                .stderr(out);
            run_within(command, TEST_TIME_MAX)
        };
        match run() {
            Err(error) => Verdict::Nothing(format!("it could not be run: {error}")),
            Ok(None) => Verdict::Nothing(format!("it ran for longer than {} s", TEST_TIME_MAX.as_secs())),
            Ok(Some(_)) if fs::metadata(&skips).is_ok_and(|skips| skips.len() > 0) => {
                Verdict::Nothing("it was skipped".to_owned())
            }
            Ok(Some(status)) => judge(status, &fs::read_to_string(&says).unwrap_or_default()),
        }
    }

    fn cargo(&self, verb: &str) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.args([verb, "--locked", "--color", "never"]).current_dir(&self.root).stdin(Stdio::null());
        cargo
    }

    /// What cargo prints for programs; what it prints for people goes to the log.
    fn run_cargo(&self, mut cargo: Command, log: &str) -> Result<String, String> {
        let failed = |error: io::Error| format!("cargo could not be run: {error}");
        let says = self.log(&format!("{log}.build"));
        let says = File::options().create(true).append(true).open(says).map_err(failed)?;
        let output = cargo.stderr(says).output().map_err(failed)?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err("it does not build".to_owned())
        }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }
}

/// Runs a program as the head of a group of its own, which is killed where it takes too long: None then.
fn run_within(mut command: Command, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let mut child = command.process_group(0).spawn()?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            let kill = format!("kill -s KILL -- -{}", child.id());
            Command::new("sh").args(["-c", &kill]).status()?;
            child.wait()?;
            return Ok(None);
        }
        // The pause between two looks.
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// What the last result in `said` means.
fn judge(status: ExitStatus, said: &str) -> Verdict {
    let result = said.lines().rfind(|line| line.starts_with("test result: ")).unwrap_or_default();
    if !status.success() && result.starts_with("test result: FAILED. 0 passed; 1 failed;") {
        Verdict::Red
    } else if status.success() && result.starts_with("test result: ok. 1 passed; 0 failed;") {
        Verdict::Green
    } else {
        Verdict::Nothing(format!("its program ended otherwise than by one result ({status})"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn only_one_result_of_one_test_is_a_verdict() {
        let (good, bad) = (ExitStatus::from_raw(0), ExitStatus::from_raw(101 << 8));
        let red = "\nrunning 1 test\ntest a::b ... FAILED\n\ntest result: FAILED. 0 passed; 1 failed; 0 ignored\n";
        let green = "\nrunning 1 test\ntest a::b ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored\n";
        let none = "\nrunning 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored\n";
        assert_eq!((judge(bad, red), judge(good, green)), (Verdict::Red, Verdict::Green));
        for (status, said) in [(good, none), (bad, green), (good, red), (ExitStatus::from_raw(6), "")] {
            assert!(matches!(judge(status, said), Verdict::Nothing(_)), "{status} {said}");
        }
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let mut endless = Command::new("sh");
        endless.args(["-c", "while :; do read -r line </dev/zero; done"]);
        assert_eq!(run_within(endless, Duration::from_millis(100)).expect("a shell"), None);
    }
}
