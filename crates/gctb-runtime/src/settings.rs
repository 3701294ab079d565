//! Settings of a service: embedded defaults, then a file, then the environment; anything unknown is refused by name.
//!
//! Must not know what any service's settings mean. The environment is read here and nowhere below `main`.

pub mod duration;
mod explain;
mod groups;

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;

use config::{Config, Environment, File, FileFormat};
use serde::de::DeserializeOwned;

pub use groups::{AdminSettings, ConsumerSettings, DatabaseSettings, KafkaSettings, TelemetrySettings};

/// Who a service is, and the settings it starts from.
#[derive(Clone, Copy, Debug)]
pub struct ServiceIdentity {
    /// The one name of the service: binary, image, consumer group, `service.name`, prefix of its environment variables.
    pub name: &'static str,
    /// One sentence about what it does, for `--help`.
    pub about: &'static str,
    /// Its `config/default.toml`, embedded. Of the shared groups (`[kafka]`, `[consumer]`, `[admin]`, `[telemetry]`,
    /// `[database]`) those that it names are filled up from this crate's own defaults.
    pub defaults: &'static str,
}

impl ServiceIdentity {
    /// What its environment variables begin with; `__` follows, and stands between the parts of a path.
    pub fn env_prefix(&self) -> String {
        self.name.to_uppercase().replace('-', "_")
    }

    /// The environment variable that sets the value at `path`, such as `kafka.brokers`.
    pub fn env_variable(&self, path: &str) -> String {
        format!("{}__{}", self.env_prefix(), path.to_uppercase().replace('.', "__"))
    }
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The command line asked for a text (`--help`, `--version`): print it and end with success.
    #[error("{text}")]
    Answer {
        /// The text.
        text: String,
    },
    /// An argument that nobody knows.
    #[error("the argument {argument:?} is not known; --help lists what is")]
    Argument {
        /// The argument.
        argument: String,
    },
    /// `--config` without a file.
    #[error("--config needs the name of a file after it")]
    ConfigWithoutFile,
    /// A source that is missing or is not TOML.
    #[error("could not read the settings in {source_name}")]
    Unreadable {
        /// Which source.
        source_name: String,
        /// What is wrong with it.
        #[source]
        cause: config::ConfigError,
    },
    /// A key that the service does not know.
    #[error("the setting {path} (from {origin}) is not known; {expected}")]
    Unknown {
        /// Its path.
        path: String,
        /// Which source it stands in.
        origin: String,
        /// What is known in its place.
        expected: String,
    },
    /// A value without a default that nothing sets.
    #[error("the setting {path} is required: set it in the file given with --config, or in {variable}")]
    Missing {
        /// Its path.
        path: String,
        /// The environment variable that would set it.
        variable: String,
    },
    /// A value that cannot be used.
    #[error("the setting {path} (from {origin}) cannot be used: {reason}")]
    Invalid {
        /// Its path.
        path: String,
        /// Which source it stands in.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Loads the settings from the defaults, the file named by `--config`, and this process's environment.
///
/// `args` are the arguments after the program's name.
///
/// # Errors
/// [`SettingsError`], which says what to change; [`SettingsError::Answer`] where the command line asked a question.
pub fn load<S: DeserializeOwned>(
    identity: &ServiceIdentity,
    args: impl Iterator<Item = String>,
) -> Result<S, SettingsError> {
    load_from(
        identity,
        args,
        std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))),
    )
}

/// Like [`load`], with the environment as an argument.
///
/// # Errors
/// Those of [`load`].
pub fn load_from<S: DeserializeOwned>(
    identity: &ServiceIdentity,
    args: impl Iterator<Item = String>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<S, SettingsError> {
    let file = match parse_args(args)? {
        Asked::Settings { file } => file,
        Asked::Help => return Err(SettingsError::Answer { text: help(identity)? }),
        Asked::Version => {
            let text = format!("{} {}\n", identity.name, env!("CARGO_PKG_VERSION"));
            return Err(SettingsError::Answer { text });
        }
    };
    let layers = layers(identity, file, env.collect())?;
    let mut merged = Config::builder();
    for layer in &layers {
        merged = merged.add_source(layer.values.clone());
    }
    let unreadable = |cause| SettingsError::Unreadable { source_name: "all sources together".to_owned(), cause };
    let merged = merged.build().map_err(unreadable)?;
    serde_path_to_error::deserialize(merged).map_err(|error| explain::explain(identity, &layers, error))
}

/// [`load`] for `main`: answers a question on standard output, tells an error on standard error, and exits for both.
pub fn load_or_exit<S: DeserializeOwned>(identity: &ServiceIdentity) -> S {
    arm_crash_point_or_exit(identity.name);
    let (text, code) = match load(identity, std::env::args().skip(1)) {
        Ok(settings) => return settings,
        Err(SettingsError::Answer { text }) => {
            // Nobody is left to tell when standard output is gone.
            let _ = std::io::stdout().write_all(text.as_bytes());
            (String::new(), 0)
        }
        Err(error) => (format!("{}: {}\n", identity.name, crate::chain(&error)), 2),
    };
    let _ = std::io::stderr().write_all(text.as_bytes());
    std::process::exit(code)
}

/// Arms the crash point that the environment names, for the `main` of `program`; exits where the name cannot be read. Without the
/// feature `crash-points` it does nothing.
pub fn arm_crash_point_or_exit(program: &str) {
    #[cfg(not(feature = "crash-points"))]
    let _ = program;
    #[cfg(feature = "crash-points")]
    if let Ok(value) = std::env::var(crate::crash_points::VARIABLE)
        && let Err(error) = crate::crash_points::arm(&value)
    {
        let _ = std::io::stderr().write_all(format!("{program}: {error}\n").as_bytes());
        std::process::exit(2);
    }
}

enum Asked {
    Settings { file: Option<PathBuf> },
    Help,
    Version,
}

fn parse_args(mut args: impl Iterator<Item = String>) -> Result<Asked, SettingsError> {
    let mut file = None;
    while let Some(argument) = args.next() {
        match argument.as_str() {
            "--help" | "-h" => return Ok(Asked::Help),
            "--version" | "-V" => return Ok(Asked::Version),
            "--config" => file = Some(PathBuf::from(args.next().ok_or(SettingsError::ConfigWithoutFile)?)),
            _ => match argument.strip_prefix("--config=") {
                Some(name) => file = Some(PathBuf::from(name)),
                None => return Err(SettingsError::Argument { argument }),
            },
        }
    }
    Ok(Asked::Settings { file })
}

/// One source of settings, and its name for people.
pub(crate) struct Layer {
    pub(crate) name: String,
    pub(crate) values: Config,
}

const SHARED_GROUPS: [(&str, &str); 5] = [
    ("kafka", include_str!("../config/kafka.toml")),
    ("consumer", include_str!("../config/consumer.toml")),
    ("database", include_str!("../config/database.toml")),
    ("admin", include_str!("../config/admin.toml")),
    ("telemetry", include_str!("../config/telemetry.toml")),
];

fn layers(
    identity: &ServiceIdentity,
    file: Option<PathBuf>,
    env: HashMap<String, String>,
) -> Result<Vec<Layer>, SettingsError> {
    let defaults = layer("the defaults".to_owned(), File::from_str(identity.defaults, FileFormat::Toml))?;
    let mut layers = Vec::new();
    for (group, text) in SHARED_GROUPS {
        if names_group(&defaults, group) {
            layers.push(layer("the defaults".to_owned(), File::from_str(text, FileFormat::Toml))?);
        }
    }
    layers.push(defaults);
    if let Some(path) = file {
        let source = File::from(path.clone()).format(FileFormat::Toml).required(true);
        layers.push(layer(path.display().to_string(), source)?);
    }
    let env = Environment::with_prefix(&identity.env_prefix()).prefix_separator("__").separator("__").source(Some(env));
    layers.push(layer("the environment".to_owned(), env)?);
    Ok(layers)
}

fn layer(name: String, source: impl config::Source + Send + Sync + 'static) -> Result<Layer, SettingsError> {
    match Config::builder().add_source(source).build() {
        Ok(values) => Ok(Layer { name, values }),
        Err(cause) => Err(SettingsError::Unreadable { source_name: name, cause }),
    }
}

fn names_group(defaults: &Layer, group: &str) -> bool {
    defaults.values.get_table(group).is_ok()
}

fn help(identity: &ServiceIdentity) -> Result<String, SettingsError> {
    let defaults = layer("the defaults".to_owned(), File::from_str(identity.defaults, FileFormat::Toml))?;
    let mut text = format!(
        "{name}: {about}\n\n\
         Usage: {name} [--config FILE] [--help] [--version]\n\n\
         Settings come from the defaults below, then from FILE (TOML), then from the environment:\n\
         {variable} sets kafka.brokers, and so on.\n\n\
         # Defaults\n\n{defaults}",
        name = identity.name,
        about = identity.about,
        variable = identity.env_variable("kafka.brokers"),
        defaults = identity.defaults.trim_end(),
    );
    for (group, shared) in SHARED_GROUPS {
        if names_group(&defaults, group) {
            text.push_str(&format!("\n\n# Where the above does not say otherwise\n\n{}", shared.trim_end()));
        }
    }
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests;
