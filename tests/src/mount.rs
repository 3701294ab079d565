//! File systems of one test's own: a small one that can be filled, and a second view of a folder that can be made read-only.
//! Mode bits would not do: root writes through them.

use std::path::{Path, PathBuf};
use std::process::Command;

use gctb_testkit::skipped;

/// A mounted file system. It is unmounted when this is dropped.
#[derive(Debug)]
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// A file system in memory of so many KiB. None, and the test counted as skipped, where mounts are not permitted.
    pub fn small(test: &str, at: &Path, kib: u32) -> Option<Self> {
        let size = format!("size={kib}k");
        Self::mounted(test, at, &["-t", "tmpfs", "-o", &size, "gctb-test"])
    }

    /// A second view of a folder. None, and the test counted as skipped, where mounts are not permitted.
    pub fn view(test: &str, folder: &Path, at: &Path) -> Option<Self> {
        let folder = folder.display().to_string();
        Self::mounted(test, at, &["--bind", &folder])
    }

    /// Makes it read-only, or writable again; other views of the same folder stay as they are.
    ///
    /// # Panics
    /// Where that fails.
    pub fn set_read_only(&self, read_only: bool) {
        let how = if read_only { "remount,bind,ro" } else { "remount,bind,rw" };
        let done = Command::new("mount").args(["-o", how]).arg(&self.at).status().expect("mount runs");
        assert!(done.success(), "mount -o {how}: {done}");
    }

    fn mounted(test: &str, at: &Path, words: &[&str]) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder");
        let done = Command::new("mount").args(words).arg(at).output();
        if done.is_ok_and(|done| done.status.success()) {
            return Some(Self { at: at.to_path_buf() });
        }
        skipped(test, "mounts are not permitted here");
        None
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a service that is being ended may still have a file open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}
