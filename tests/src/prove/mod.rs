//! `make prove`: the list of small changes that break an invariant, `tests/prove.toml`, and what shows that a test notices each.
//!
//! It changes files of a copy alone (`tree.rs`), and asks cargo for the test programs (`programs.rs`). It knows nothing of what
//! the tests are about.

mod document;
mod programs;
mod tree;

use std::path::Path;

use config::{Config, File, FileFormat};
use serde::Deserialize;

pub use document::{results, rows, with_results};
pub use programs::{Programs, Verdict};
pub use tree::Tree;

/// A change of the code that breaks an invariant, and the test that must turn red.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Break {
    /// What is broken, in small letters.
    pub name: String,
    /// The invariant, I1 to I10.
    pub invariant: String,
    /// The file that is changed, from the top of the repository.
    pub file: String,
    /// Text that stands there exactly once.
    pub find: String,
    /// What takes its place.
    pub replace: String,
    /// The package whose test must notice.
    pub package: String,
    /// `lib`, or the name of the test program.
    pub target: String,
    /// The name of the test, without its modules.
    pub test: String,
    /// What the test needs beside itself.
    #[serde(default)]
    pub needs: Vec<Need>,
}

/// What a test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// A Postgres.
    Postgres,
    /// A Kafka.
    Kafka,
    /// The services' programs, of the same build.
    Programs,
}

impl Break {
    /// Whether the test needs a server.
    pub fn needs_servers(&self) -> bool {
        self.needs.iter().any(|need| matches!(need, Need::Postgres | Need::Kafka))
    }

    /// The folder of the package whose test must notice, from the top of the repository.
    pub fn package_folder(&self) -> String {
        match self.package.as_str() {
            "gctb-system-tests" => "tests".to_owned(),
            package => format!("crates/{package}"),
        }
    }
}

/// The whole list below `root`, in its order.
///
/// # Errors
/// Where it cannot be read.
pub fn breaks(root: &Path) -> Result<Vec<Break>, config::ConfigError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct List {
        broken: Vec<Break>,
    }
    let source = File::from(root.join("tests/prove.toml")).format(FileFormat::Toml);
    let list: List = Config::builder().add_source(source).build()?.try_deserialize()?;
    Ok(list.broken)
}
