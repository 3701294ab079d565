//! What people meet when a setting is wrong.

use std::io::Write;

use secrecy::ExposeSecret;
use serde::Deserialize;

use super::*;

const IDENTITY: ServiceIdentity = ServiceIdentity {
    name: "gctb-backend-file",
    about: "Pays by bank file.",
    defaults: "# Rows of one file.\nrows_max = 500\n[kafka]\nbrokers = \"127.0.0.1:9092\"\n[database]\npool_size = 3\n",
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    rows_max: u32,
    kafka: KafkaSettings,
    database: DatabaseSettings,
}

const URL: (&str, &str) = ("GCTB_BACKEND_FILE__DATABASE__URL", "postgres://gctb:hunter2@127.0.0.1/gctb");

fn load_with(args: &[&str], env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let args = args.iter().map(|argument| (*argument).to_owned());
    load_from(&IDENTITY, args, env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
}

fn refusal(args: &[&str], env: &[(&str, &str)]) -> String {
    crate::chain(&load_with(args, env).expect_err("it is refused"))
}

#[test]
fn the_file_overrides_the_defaults_and_the_environment_the_file() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(
        b"rows_max = 7\n[kafka]\nsession_timeout = \"9s\"\n[kafka.extra]\n\"security.protocol\" = \"SSL\"\n",
    )
    .expect("written");
    let path = file.path().to_str().expect("a path");
    let env = [
        URL,
        ("GCTB_BACKEND_FILE__KAFKA__BROKERS", "kafka:9092"),
        ("GCTB_BACKEND_FILE__KAFKA__EXTRA__SASL_PASSWORD", "s3cret"),
        ("GCTB_BACKEND_FILE_2__ROWS_MAX", "1"),
        ("ROWS_MAX", "2"),
    ];
    let settings = load_with(&["--config", path], &env).expect("it loads");
    assert_eq!(settings.rows_max, 7);
    assert_eq!(settings.database.pool_size, 3);
    assert_eq!(settings.database.connect_timeout, std::time::Duration::from_secs(5), "from the shared defaults");
    assert_eq!(settings.kafka.brokers, "kafka:9092");
    assert_eq!(settings.kafka.session_timeout, std::time::Duration::from_secs(9));
    assert_eq!(settings.kafka.group_of("gctb-backend-file"), "gctb-backend-file");
    assert_eq!(settings.kafka.extra["security.protocol"].expose_secret(), "SSL");
    assert_eq!(settings.kafka.extra["sasl_password"].expose_secret(), "s3cret");
}

#[test]
fn secrets_do_not_print() {
    let env = [URL, ("GCTB_BACKEND_FILE__KAFKA__EXTRA__SASL_PASSWORD", "s3cret")];
    let printed = format!("{:?}", load_with(&[], &env).expect("it loads"));
    assert!(printed.contains("rows_max"), "{printed}");
    for secret in ["hunter2", "s3cret"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn an_unknown_setting_is_refused_with_its_path_and_where_it_came_from() {
    let text = refusal(&[], &[URL, ("GCTB_BACKEND_FILE__KAFKA__BROKRES", "kafka:9092")]);
    assert!(
        text.starts_with("the setting kafka.brokres (from the environment) is not known; expected one of `brokers`"),
        "{text}"
    );
    let text = refusal(&[], &[URL, ("GCTB_BACKEND_FILE__ROWS", "1")]);
    assert!(text.starts_with("the setting rows (from the environment) is not known"), "{text}");
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"[database]\npool = 7\n").expect("written");
    let path = file.path().to_str().expect("a path");
    let text = refusal(&["--config", path], &[URL]);
    assert!(text.starts_with(&format!("the setting database.pool (from {path}) is not known")), "{text}");
}

#[test]
fn a_missing_required_setting_names_the_variable_that_sets_it() {
    assert_eq!(
        refusal(&[], &[]),
        "the setting database.url is required: set it in the file given with --config, or in \
         GCTB_BACKEND_FILE__DATABASE__URL"
    );
}

#[test]
fn a_value_that_cannot_be_used_is_refused_with_its_path() {
    let text = refusal(&[], &[URL, ("GCTB_BACKEND_FILE__KAFKA__MESSAGE_TIMEOUT", "soon")]);
    assert_eq!(
        text,
        "the setting kafka.message_timeout (from the environment) cannot be used: \
         \"soon\" is not a duration such as \"200ms\", \"30s\", \"5m\", \"2h\" or \"7d\""
    );
    let text = refusal(&[], &[URL, ("GCTB_BACKEND_FILE__ROWS_MAX", "many")]);
    assert!(text.starts_with("the setting rows_max (from the environment) cannot be used: "), "{text}");
}

#[test]
fn the_command_line_answers_questions_and_refuses_what_it_does_not_know() {
    let Err(SettingsError::Answer { text }) = load_with(&["--help"], &[]) else { panic!("an answer") };
    for part in
        ["Pays by bank file.", "GCTB_BACKEND_FILE__KAFKA__BROKERS", "# Rows of one file.", "session_timeout = \"30s\""]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("[telemetry]"), "a group that the service does not name");
    let Err(SettingsError::Answer { text }) = load_with(&["--version"], &[]) else { panic!("an answer") };
    assert!(text.starts_with("gctb-backend-file "), "{text}");
    assert_eq!(refusal(&["--confg"], &[]), "the argument \"--confg\" is not known; --help lists what is");
    assert_eq!(refusal(&["--config"], &[]), "--config needs the name of a file after it");
    assert!(
        refusal(&["--config", "/nowhere/gctb.toml"], &[])
            .starts_with("could not read the settings in /nowhere/gctb.toml")
    );
}
