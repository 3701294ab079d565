//! Where files lie that are shared with the bank. Behind opendal: a local folder now.
//!
//! A put is create-only and becomes visible whole: the bytes are written and synced under a hidden name, and a hard link
//! gives them their own. opendal's local service looks whether the name is free and then renames over whatever is there, so
//! the link is made here.
//!
//! A writer that freezes in a put and wakes up after another process has put the file would put it a second time: the bank
//! has taken the first one away, and the name is free again. So every put has a number and a gate, a file that only one
//! process can create. A put opens its own gate directly before the link, and it first opens those of all earlier puts: who
//! froze before his gate finds it open and stops; who had gone through it leaves the file to an operator.

use std::io::{self, Write};
use std::path::PathBuf;

use gctb_db::PutNumber;
use opendal::blocking::Operator;
use opendal::raw::Timestamp;
use opendal::services::Fs;
use opendal::{EntryMode, ErrorKind};
use sha2::{Digest, Sha256};

use crate::settings::StoreSettings;

/// Below outgoing and on the same file system; hidden, so that the bank never sees a file that is being written.
const WRITING: &str = ".writing";

/// The shared folder.
#[derive(Clone)]
pub struct Store {
    operator: Operator,
    root: PathBuf,
    outgoing: String,
    incoming: String,
    traces: Vec<String>,
}

/// What a look for a payment file found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// It is at the bank, byte for byte.
    Same,
    /// Something else lies there under its name.
    Different,
    /// Nothing lies where it would.
    Nothing,
}

/// A file that the bank put.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it last changed, as the store tells it.
    pub modified: Option<Timestamp>,
}

/// The store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing} in the file store ({kind})")]
pub struct StoreError {
    doing: &'static str,
    kind: ErrorKind,
    #[source]
    source: opendal::Error,
}

impl StoreError {
    fn new(doing: &'static str) -> impl FnOnce(opendal::Error) -> Self {
        move |source| Self { doing, kind: source.kind(), source }
    }
}

/// Why the folder cannot be used yet.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The bank's folder is not mounted, or was never made.
    #[error("{} is not there: mount the folder that is shared with the bank, or make it", .0.display())]
    Missing(PathBuf),
    /// It is there and takes no folder.
    #[error("could not make the folder {}", .0.display())]
    NotMade(PathBuf, #[source] io::Error),
}

/// Why a file was not put.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// It failed before the file could be seen, or in a way that shows that it is not.
    #[error("nothing of the file can be seen")]
    NothingSeen(#[source] StoreError),
    /// Another put of the file has gone, or goes, through.
    #[error("an earlier put of the file may have gone through")]
    EarlierPut,
    /// The name is taken, or the answer leaves open whether the file can be seen.
    #[error("the file may be there")]
    Unclear(#[source] std::io::Error),
}

impl Store {
    /// Opens the store, and looks at nothing yet. opendal's blocking calls need the handle of a tokio runtime.
    ///
    /// # Errors
    /// Where opendal does not take the settings.
    pub fn open(settings: &StoreSettings, runtime: &tokio::runtime::Runtime) -> Result<Self, StoreError> {
        let doing = "open the root";
        let root = settings.root.trim_end_matches('/');
        let service = Fs::default().root(root);
        let operator = opendal::Operator::new(service).map_err(StoreError::new(doing))?;
        let _entered = runtime.enter();
        let operator = Operator::new(operator).map_err(StoreError::new(doing))?;
        let place = |name: &str| format!("{}/", name.trim_matches('/'));
        Ok(Self {
            operator,
            root: PathBuf::from(root),
            outgoing: place(&settings.outgoing),
            incoming: place(&settings.incoming),
            traces: settings.traces.iter().map(|trace| place(trace)).collect(),
        })
    }

    /// Makes the places of its own within the two that are shared with the bank. Those two are never made here: where they
    /// are missing the bank's folder is not mounted, and files put beneath would count as delivered.
    ///
    /// # Errors
    /// [`PlaceError`], which names the place.
    pub fn make_places(&self) -> Result<(), PlaceError> {
        for shared in [&self.outgoing, &self.incoming] {
            let path = self.root.join(shared);
            if !path.is_dir() {
                return Err(PlaceError::Missing(path));
            }
        }
        for own in [self.writing(), self.processed(), self.set_aside()] {
            let path = self.root.join(own);
            match std::fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(PlaceError::NotMade(path, error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Puts a payment file, whole, if nothing has its name and no earlier put of it can still go through.
    ///
    /// # Errors
    /// [`PutError`], which says what is known of the file then.
    pub fn put_new(&self, name: &str, number: PutNumber, bytes: Vec<u8>) -> Result<(), PutError> {
        let unfinished = format!("{}{name}.{}", self.writing(), number.this);
        fail::fail_point!("file.put.written.before");
        if let Err(error) = self.write(&unfinished, &bytes) {
            // What a full folder took of it would take the room of the next try, whose name is another.
            self.forget(&unfinished);
            let error = opendal::Error::new(ErrorKind::Unexpected, "the bytes could not be written").set_source(error);
            return Err(PutError::NothingSeen(StoreError::new("write a payment file")(error)));
        }
        fail::fail_point!("file.put.written.after");
        let mut opened = Vec::new();
        let put = self.go_through_gates(name, number, &mut opened).and_then(|()| self.link(&unfinished, name));
        if matches!(put, Err(PutError::NothingSeen(_))) {
            // This put is over and did nothing: it leaves the gates as it found them, or the next one would take a gate that
            // this one opened for a writer that went through. Who goes through one meanwhile is seen by the next put.
            fail::fail_point!("file.put.gate_closed.before");
            opened.iter().for_each(|gate| self.close_gate(name, *gate));
            fail::fail_point!("file.put.gate_closed.after");
        }
        self.forget(&unfinished);
        put
    }

    /// Writes and syncs bytes in a folder that is there. opendal would make a folder that is gone: while the bank's is not
    /// mounted, files would go where no bank looks, and count as delivered.
    fn write(&self, unfinished: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = std::fs::File::create(self.root.join(unfinished))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Opens the gates of all earlier puts and then its own, and notes which it opened.
    fn go_through_gates(&self, name: &str, number: PutNumber, opened: &mut Vec<i32>) -> Result<(), PutError> {
        fail::fail_point!("file.put.gate.before");
        for put in 1..=number.this {
            if self.open_gate(name, put)? {
                opened.push(put);
            } else if put > number.vouched {
                return Err(PutError::EarlierPut);
            }
        }
        fail::fail_point!("file.put.gate.after");
        Ok(())
    }

    /// Gives written bytes their own name, if it is free.
    fn link(&self, unfinished: &str, name: &str) -> Result<(), PutError> {
        let target = self.root.join(&self.outgoing).join(name);
        fail::fail_point!("file.put.link.before");
        std::fs::hard_link(self.root.join(unfinished), &target).map_err(|error| {
            if !did_nothing(error.kind()) {
                return PutError::Unclear(error);
            }
            let error =
                opendal::Error::new(ErrorKind::Unexpected, "the file could not be given its name").set_source(error);
            PutError::NothingSeen(StoreError::new("put a payment file")(error))
        })?;
        fail::fail_point!("file.put.link.after");
        // The name must outlast a power cut as the bytes do. It can be seen by now, whatever this says.
        let folder = std::fs::File::open(self.root.join(&self.outgoing)).and_then(|folder| folder.sync_all());
        if let Err(error) = folder {
            tracing::warn!(file = %name, error = %error, "the folder of a payment file could not be synced");
        }
        Ok(())
    }

    /// Creates the gate of a put; false where somebody has.
    fn open_gate(&self, name: &str, put: i32) -> Result<bool, PutError> {
        match std::fs::OpenOptions::new().write(true).create_new(true).open(self.gate(name, put)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => {
                let error =
                    opendal::Error::new(ErrorKind::Unexpected, "the gate of a put could not be made").set_source(error);
                Err(PutError::NothingSeen(StoreError::new("put a payment file")(error)))
            }
        }
    }

    fn close_gate(&self, name: &str, put: i32) {
        if let Err(error) = std::fs::remove_file(self.gate(name, put)) {
            tracing::warn!(file = %name, error = %error, "the gate of a put that did nothing stays; the next put asks an operator");
        }
    }

    fn gate(&self, name: &str, put: i32) -> PathBuf {
        self.root.join(self.writing()).join(format!("{name}.{put}.gate"))
    }

    fn forget(&self, unfinished: &str) {
        fail::fail_point!("file.put.tidied.before");
        if let Err(error) = self.operator.delete(unfinished) {
            tracing::warn!(error = %error, "an unfinished file could not be removed; it is hidden and does no harm");
        }
        fail::fail_point!("file.put.tidied.after");
    }

    fn writing(&self) -> String {
        format!("{}{WRITING}/", self.outgoing)
    }

    /// Looks for a payment file where it was put and where the bank moves what it took.
    ///
    /// # Errors
    /// Where the places cannot be read.
    pub fn look(&self, name: &str, sha256: &[u8]) -> Result<Trace, StoreError> {
        for place in std::iter::once(&self.outgoing).chain(&self.traces) {
            match self.operator.read(&format!("{place}{name}")) {
                Ok(found) if Sha256::digest(found.to_vec()).as_slice() == sha256 => return Ok(Trace::Same),
                Ok(_) => return Ok(Trace::Different),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::new("look for a payment file")(error)),
            }
        }
        Ok(Trace::Nothing)
    }

    /// The response files that lie in incoming, without those that are still being written by their names.
    ///
    /// # Errors
    /// Where the place cannot be read.
    pub fn list_incoming(&self) -> Result<Vec<Listed>, StoreError> {
        let entries = self.operator.list(&self.incoming).map_err(StoreError::new("list incoming files"))?;
        let mut files = Vec::new();
        for entry in entries {
            let name = entry.name();
            let unfinished =
                name.starts_with('.') || [".part", ".partial", ".tmp"].iter().any(|end| name.ends_with(end));
            if entry.metadata().mode() != EntryMode::FILE || unfinished {
                continue;
            }
            match self.operator.stat(entry.path()) {
                Ok(found) => files.push(Listed {
                    name: name.to_owned(),
                    size: found.content_length(),
                    modified: found.last_modified(),
                }),
                // Another replica moved it between the listing and the look.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::new("look at an incoming file")(error)),
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// The bytes of a response file; None where another replica has moved it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read_incoming(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self.operator.read(&format!("{}{name}", self.incoming)) {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::new("read an incoming file")(error)),
        }
    }

    /// Moves a response file that is recorded out of the way.
    ///
    /// # Errors
    /// Where it cannot be moved; it is then known by its content and moved later.
    pub fn file_away(&self, name: &str) -> Result<(), StoreError> {
        self.move_to(name, &self.processed())
    }

    /// Moves a response file of the wrong structure to where people look at it.
    ///
    /// # Errors
    /// As [`Store::file_away`].
    pub fn set_file_aside(&self, name: &str) -> Result<(), StoreError> {
        self.move_to(name, &self.set_aside())
    }

    fn move_to(&self, name: &str, place: &str) -> Result<(), StoreError> {
        let doing = "move an incoming file";
        let mut target = format!("{place}{name}");
        // A bank may use a name again: what lies there already is kept.
        for copy in 2.. {
            if !self.operator.exists(&target).map_err(StoreError::new(doing))? {
                break;
            }
            target = format!("{place}{name}.{copy}");
        }
        fail::fail_point!("answers.moved.before");
        let moved = self.operator.rename(&format!("{}{name}", self.incoming), &target);
        fail::fail_point!("answers.moved.after");
        match moved {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StoreError::new(doing)(error)),
        }
    }

    fn processed(&self) -> String {
        format!("{}processed/", self.incoming)
    }

    fn set_aside(&self) -> String {
        format!("{}set-aside/", self.incoming)
    }
}

/// Whether this is what a local file system answers when it did nothing. Anything else may come from a network that lost
/// the answer to what it did.
const fn did_nothing(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::Unsupported
            | io::ErrorKind::CrossesDevices
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    use super::*;

    fn store(root: &std::path::Path) -> (Store, tokio::runtime::Runtime) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        let settings = StoreSettings {
            root: root.display().to_string(),
            outgoing: "outgoing".to_owned(),
            incoming: "incoming".to_owned(),
            traces: vec!["outgoing/archive".to_owned()],
            poll: Duration::from_millis(1),
            settle: Duration::ZERO,
            response_bytes_max: 1 << 20,
        };
        for shared in ["outgoing", "incoming"] {
            std::fs::create_dir(root.join(shared)).expect("made");
        }
        let store = Store::open(&settings, &runtime).expect("opens");
        store.make_places().expect("made");
        (store, runtime)
    }

    const FIRST: PutNumber = PutNumber { this: 1, vouched: 0 };

    #[test]
    fn i2_a_writer_that_froze_before_its_link_finds_its_gate_open_when_it_wakes_up() {
        let root = tempfile::tempdir().expect("a folder");
        let (store, _runtime) = store(root.path());
        let second = PutNumber { this: 2, vouched: 1 };
        store.put_new("a.csv", second, b"one".to_vec()).expect("puts");
        std::fs::rename(root.path().join("outgoing/a.csv"), root.path().join("taken")).expect("the bank takes it");
        assert!(matches!(store.put_new("a.csv", FIRST, b"one".to_vec()), Err(PutError::EarlierPut)));
        assert!(!root.path().join("outgoing/a.csv").exists());
    }

    #[test]
    fn i2_a_put_behind_one_that_went_through_its_gate_needs_an_operators_word() {
        let root = tempfile::tempdir().expect("a folder");
        let (store, _runtime) = store(root.path());
        store.put_new("a.csv", FIRST, b"one".to_vec()).expect("puts");
        std::fs::rename(root.path().join("outgoing/a.csv"), root.path().join("taken")).expect("the bank takes it");
        let unvouched = PutNumber { this: 2, vouched: 0 };
        assert!(matches!(store.put_new("a.csv", unvouched, b"one".to_vec()), Err(PutError::EarlierPut)));
        store.put_new("a.csv", PutNumber { this: 3, vouched: 2 }, b"one".to_vec()).expect("an operator vouches");
    }

    #[test]
    fn puts_that_did_nothing_leave_no_gate_that_stops_the_next_one() {
        let root = tempfile::tempdir().expect("a folder");
        let device = |path: &std::path::Path| std::fs::metadata(path).map(|found| found.dev()).ok();
        let memory = std::path::Path::new("/dev/shm");
        if device(memory).is_none_or(|memory| Some(memory) == device(root.path())) {
            let reason = "/dev/shm is not a file system of its own";
            return gctb_testkit::skipped("puts_that_did_nothing_leave_no_gate_that_stops_the_next_one", reason);
        }
        let elsewhere = tempfile::tempdir_in(memory).expect("memory");
        let (store, _runtime) = store(root.path());
        let writing = root.path().join("outgoing/.writing");
        std::fs::remove_dir(&writing).expect("empty");
        // A link across file systems is refused by name, after the gates.
        std::os::unix::fs::symlink(elsewhere.path(), &writing).expect("linked");
        for this in 1..=3 {
            let failed = store.put_new("a.csv", PutNumber { this, vouched: 0 }, b"one".to_vec());
            assert!(matches!(failed, Err(PutError::NothingSeen(_))), "put {this}: {failed:?}");
        }
        std::fs::remove_file(&writing).expect("unlinked");
        std::fs::create_dir(&writing).expect("made");
        store.put_new("a.csv", PutNumber { this: 4, vouched: 0 }, b"one".to_vec()).expect("puts");
    }

    #[test]
    fn i8_a_folder_that_is_not_mounted_is_named_and_nothing_is_made_in_its_place() {
        let root = tempfile::tempdir().expect("a folder");
        let (store, _runtime) = store(root.path());
        for shared in ["outgoing", "incoming"] {
            let (there, away) = (root.path().join(shared), root.path().join("away"));
            std::fs::rename(&there, &away).expect("moved");
            let refused = store.make_places().expect_err("it is not there").to_string();
            assert!(refused.contains(&format!("{shared}/ is not there")), "{refused}");
            assert!(!there.exists(), "nothing was made");
            std::fs::rename(&away, &there).expect("moved back");
        }
        store.make_places().expect("all is there");
    }

    #[test]
    fn a_put_is_create_only_and_found_wherever_the_bank_moves_it() {
        let root = tempfile::tempdir().expect("a folder");
        let (store, _runtime) = store(root.path());
        let sha = |bytes: &[u8]| Sha256::digest(bytes).to_vec();
        assert_eq!(store.look("a.csv", &sha(b"one")).expect("looks"), Trace::Nothing);
        store.put_new("a.csv", FIRST, b"one".to_vec()).expect("puts");
        let other = PutNumber { this: 2, vouched: 1 };
        assert!(matches!(store.put_new("a.csv", other, b"two".to_vec()), Err(PutError::Unclear(_))), "create-only");
        assert_eq!(std::fs::read(root.path().join("outgoing/a.csv")).expect("is there"), b"one");
        std::fs::create_dir_all(root.path().join("outgoing/archive")).expect("makes");
        std::fs::rename(root.path().join("outgoing/a.csv"), root.path().join("outgoing/archive/a.csv")).expect("moves");
        assert_eq!(store.look("a.csv", &sha(b"one")).expect("looks"), Trace::Same);
        assert_eq!(store.look("a.csv", &sha(b"two")).expect("looks"), Trace::Different);
    }

    #[test]
    fn unfinished_files_are_not_listed_and_a_name_may_come_twice() {
        let root = tempfile::tempdir().expect("a folder");
        let (store, _runtime) = store(root.path());
        let incoming = root.path().join("incoming");
        for (name, body) in [(".hidden", "x"), ("b.part", "x"), ("r.csv", "first")] {
            std::fs::write(incoming.join(name), body).expect("writes");
        }
        let names =
            |store: &Store| store.list_incoming().expect("lists").into_iter().map(|f| f.name).collect::<Vec<_>>();
        assert_eq!(names(&store), ["r.csv"]);
        store.file_away("r.csv").expect("moves");
        std::fs::write(incoming.join("r.csv"), "second").expect("writes");
        store.file_away("r.csv").expect("moves");
        assert_eq!(std::fs::read_to_string(incoming.join("processed/r.csv")).expect("kept"), "first");
        assert_eq!(std::fs::read_to_string(incoming.join("processed/r.csv.2")).expect("kept"), "second");
        assert!(names(&store).is_empty());
    }
}
