//! The copy of the work tree in which things are broken, one at a time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Break;

/// The copy.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
}

/// A file of the copy that is broken until this is dropped.
#[derive(Debug)]
pub struct Broken {
    path: PathBuf,
    whole: String,
}

/// Why nothing was broken.
#[derive(Debug, thiserror::Error)]
pub enum BreakError {
    /// The file cannot be read or written.
    #[error("{file}: {source}")]
    File {
        /// The file.
        file: String,
        /// Why not.
        source: io::Error,
    },
    /// The text that is replaced does not stand there exactly once.
    #[error("the text to be replaced stands {found} times in {file}, not once")]
    Found {
        /// The file.
        file: String,
        /// How often.
        found: usize,
    },
}

impl Tree {
    /// The copy at `root`.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// Its top.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Breaks what `entry` says.
    ///
    /// # Errors
    /// Where the file is not as the list expects it; nothing is changed then.
    pub fn break_as(&self, entry: &Break) -> Result<Broken, BreakError> {
        let path = self.root.join(&entry.file);
        let failed = |source| BreakError::File { file: entry.file.clone(), source };
        let whole = fs::read_to_string(&path).map_err(failed)?;
        let found = whole.matches(&entry.find).count();
        if found != 1 {
            return Err(BreakError::Found { file: entry.file.clone(), found });
        }
        fs::write(&path, whole.replace(&entry.find, &entry.replace)).map_err(failed)?;
        Ok(Broken { path, whole })
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        if fs::write(&self.path, &self.whole).is_err() {
            // The next run copies the file anew, and the builds of this one are of no use any more.
        }
    }
}
