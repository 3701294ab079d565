//! The places where the bridge and the bank exchange files, and the moves between them.
//!
//! `outgoing/` holds what the bridge sends, `outgoing/archive/` what was paid, `outgoing/refused/` what was not taken,
//! `incoming/` the responses. Everything is renamed into place, so nobody ever sees half a file. It must not know
//! what a file says.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a file that would be refused must lie unchanged before it is: its sender may still be writing it.
const QUIET: Duration = Duration::from_secs(1);

/// The exchange directories below one root.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    outgoing: PathBuf,
    archive: PathBuf,
    refused: PathBuf,
    incoming: PathBuf,
}

/// What became of a file that was to be moved to the archive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Filed {
    Archived,
    /// It was not there any more.
    Gone,
}

impl Places {
    /// Makes the directories that do not exist.
    pub(crate) fn under(root: &Path) -> io::Result<Self> {
        let outgoing = root.join("outgoing");
        let places = Self {
            archive: outgoing.join("archive"),
            refused: outgoing.join("refused"),
            incoming: root.join("incoming"),
            outgoing,
        };
        for directory in [&places.archive, &places.refused, &places.incoming] {
            fs::create_dir_all(directory)?;
        }
        Ok(places)
    }

    /// The names of at most `limit` complete files in `outgoing/`, in order. Hidden files, directories, and what ends
    /// in `.part` or `.tmp` is somebody's work in progress.
    pub(crate) fn waiting(&self, limit: usize) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.outgoing)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let unfinished = name.starts_with('.') || name.ends_with(".part") || name.ends_with(".tmp");
            if !unfinished && entry.file_type()?.is_file() {
                names.push(name);
            }
        }
        names.sort_unstable();
        names.truncate(limit);
        Ok(names)
    }

    /// The bytes of a waiting file, or `None` if it is larger than `limit`.
    pub(crate) fn read(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let path = self.outgoing.join(name);
        if fs::metadata(&path)?.len() > limit { Ok(None) } else { fs::read(path).map(Some) }
    }

    /// Whether a waiting file was changed so recently that its sender may not have finished.
    pub(crate) fn is_fresh(&self, name: &str) -> io::Result<bool> {
        let modified = fs::metadata(self.outgoing.join(name))?.modified()?;
        Ok(modified.elapsed().is_ok_and(|age| age < QUIET))
    }

    /// The name that a file would get in the archive now.
    pub(crate) fn archive_name(&self, name: &str) -> io::Result<String> {
        free_name(&self.archive, |number| match number {
            1 => name.to_owned(),
            _ => format!("{name}.{number}"),
        })
    }

    /// Moves a waiting file to its name in the archive.
    pub(crate) fn archive(&self, name: &str, archived_as: &str) -> io::Result<Filed> {
        match fs::rename(self.outgoing.join(name), self.archive.join(archived_as)) {
            Ok(()) => sync_directory(&self.archive).map(|()| Filed::Archived),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Filed::Gone),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn is_archived(&self, archived_as: &str) -> io::Result<bool> {
        fs::exists(self.archive.join(archived_as))
    }

    pub(crate) fn read_archived(&self, archived_as: &str) -> io::Result<Vec<u8>> {
        fs::read(self.archive.join(archived_as))
    }

    /// Moves a waiting file away that is refused whole.
    pub(crate) fn refuse(&self, name: &str) -> io::Result<()> {
        let free = free_name(&self.refused, |number| match number {
            1 => name.to_owned(),
            _ => format!("{name}.{number}"),
        })?;
        fs::rename(self.outgoing.join(name), self.refused.join(free))
    }

    /// Publishes a response to the payment file `name` in one step, and gives the name that it got.
    pub(crate) fn publish(&self, name: &str, response: &[u8]) -> io::Result<String> {
        let stem = name.strip_suffix(".csv").unwrap_or(name);
        let free = free_name(&self.incoming, |number| match number {
            1 => format!("{stem}.response.csv"),
            _ => format!("{stem}.response.{number}.csv"),
        })?;
        let hidden = self.incoming.join(format!(".{free}.tmp"));
        let mut file = File::create(&hidden)?;
        file.write_all(response)?;
        file.sync_all()?;
        fs::rename(hidden, self.incoming.join(&free))?;
        sync_directory(&self.incoming)?;
        Ok(free)
    }
}

/// The first name that nothing has, numbering from 1. Only this process writes to the directories that are asked.
fn free_name(directory: &Path, name: impl Fn(u32) -> String) -> io::Result<String> {
    let mut number = 1;
    loop {
        let candidate = name(number);
        if !fs::exists(directory.join(&candidate))? {
            return Ok(candidate);
        }
        number += 1;
    }
}

/// Makes a rename last through a power cut.
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
