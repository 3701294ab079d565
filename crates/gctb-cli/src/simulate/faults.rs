//! `--faults FILE`: the simulator's rails misbehave as the file says while the batch is paid, and as before afterwards.
//!
//! The file is the simulator's own document of faults (docs/simulator.md, "Every knob"); it is judged there and nowhere else.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::CliError;
use crate::http::Http;
use crate::table::{number, with_header};

/// Faults that are in force, and what was in force before.
pub(super) struct Faults {
    http: Http,
    url: String,
    before: Value,
}

/// The answer of the simulator's `/control/faults`.
#[derive(Deserialize)]
struct View {
    plan: Value,
    given: Vec<Given>,
}

/// How often a fault was given.
#[derive(Deserialize)]
struct Given {
    rail: String,
    stage: String,
    fault: String,
    times: u64,
}

impl Faults {
    /// Puts the faults of a file in force.
    pub(super) async fn begin(file: &Path, simulator_url: &str, http: Http) -> Result<Self, CliError> {
        let plan = fs::read(file).map_err(|source| CliError::ReadFile { path: file.to_owned(), source })?;
        let url = format!("{}/control/faults", simulator_url.trim_end_matches('/'));
        let before: View = http.get(&url).await?;
        match http.put::<View>(&url, plan).await {
            Ok(_) => Ok(Self { http, url, before: before.plan }),
            Err(CliError::Refused { status: 400, words, .. }) => {
                Err(CliError::BadFaults { path: file.to_owned(), words })
            }
            Err(error) => Err(error),
        }
    }

    /// Prints how often each fault was given, and puts back what was in force before.
    pub(super) async fn end(self, out: &mut dyn Write) -> Result<(), CliError> {
        let view: View = self.http.get(&self.url).await?;
        let before = serde_json::to_vec(&self.before).map_err(CliError::Encode)?;
        self.http.put::<View>(&self.url, before).await?;
        if view.given.is_empty() {
            writeln!(out, "no fault was given\n")?;
            return Ok(());
        }
        let mut table = with_header(["rail", "stage", "fault", "times given"]);
        for Given { rail, stage, fault, times } in view.given {
            table.add_row([rail.into(), stage.into(), fault.into(), number(times)]);
        }
        writeln!(out, "{table}\n")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use gctb_simulator::{Settings, Simulator};
    use tempfile::TempDir;

    use super::*;

    /// A simulator that runs in this test, with the folder that its books and the file of faults lie in.
    async fn simulator() -> (String, TempDir) {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let options =
            ["gctb-simulator", "--bind", "127.0.0.1:0", "--bank-root", &path("bank"), "--book", &path("book")];
        let simulator = Simulator::open(&Settings::parse_from(options)).expect("it opens");
        let url = format!("http://{}", simulator.addr());
        tokio::spawn(simulator.run(std::future::pending()));
        (url, folder)
    }

    fn file(folder: &TempDir, text: &str) -> std::path::PathBuf {
        let file = folder.path().join("faults.json");
        fs::write(&file, text).expect("written");
        file
    }

    async fn seed(url: &str) -> Value {
        let view: View = Http::new().expect("TLS").get(&format!("{url}/control/faults")).await.expect("an answer");
        view.plan["seed"].clone()
    }

    #[tokio::test]
    async fn faults_are_in_force_for_the_run_and_those_before_it_are_put_back() {
        let (url, folder) = simulator().await;
        let http = Http::new().expect("TLS");
        let before = file(&folder, r#"{"seed": 1}"#);
        // Nobody ends these: they are what a tester has set by hand.
        let _by_hand = Faults::begin(&before, &url, http.clone()).await.expect("good");
        let text = r#"{"seed": 2, "rules": [{"rail": "simple-mpesa", "stage": "token", "fault": "expired_token"},
                                            {"rail": "mojaloop", "stage": "party", "fault": {"error_before": {"status": 500}}}]}"#;
        let refused = Faults::begin(&file(&folder, text), &url, http.clone()).await;
        assert!(refused.is_err(), "a token that is being fetched cannot have expired");
        assert_eq!(seed(&url).await, 1, "a file that is refused changes nothing");

        let text = r#"{"seed": 2, "rules": [{"rail": "mojaloop", "stage": "party", "fault": {"error_before": {"status": 500}}}]}"#;
        let faults = Faults::begin(&file(&folder, text), &url, http.clone()).await.expect("good");
        assert_eq!(seed(&url).await, 2);
        let party: Result<Value, CliError> = http.get(&format!("{url}/parties/MSISDN/254700001234")).await;
        assert!(party.is_err(), "an error is no party");
        let mut out = Vec::new();
        faults.end(&mut out).await.expect("an answer");
        let out = String::from_utf8(out).expect("text");
        assert!(out.contains("mojaloop") && out.contains("error_before"), "{out}");
        assert_eq!(seed(&url).await, 1);
    }

    #[tokio::test]
    async fn a_bad_file_is_refused_by_the_name_and_line_of_its_knob() {
        let (url, folder) = simulator().await;
        let file = file(&folder, "{\"seed\": 7,\n \"mpesa\": {\"callback_delay_ms\": \"50\"}}");
        let Err(refused) = Faults::begin(&file, &url, Http::new().expect("TLS")).await else {
            panic!("a text is no number of milliseconds")
        };
        let sentence = refused.sentence();
        for words in ["faults.json", "mpesa.callback_delay_ms", "at line 2", "docs/simulator.md"] {
            assert!(sentence.contains(words), "{words}: {sentence}");
        }
    }
}
