//! The file under a rail's book: lines appended with one write each, read back by position or by page.
//!
//! It must not know what a line says, except whether it is an event.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use super::RailError;

const EVENT_PREFIX: &[u8] = br#"{"event":"#;
/// Every how many payments the position of one is remembered.
const MARK_EVERY: u64 = 1000;

/// Whether a line is an event rather than a payment.
pub(super) fn is_event(line: &[u8]) -> bool {
    line.starts_with(EVENT_PREFIX)
}

/// Lines, without their ends, as a JSON array.
pub(super) fn array_of(lines: &[Vec<u8>]) -> String {
    let mut array = Vec::from(b"[");
    array.extend(lines.join(&b','));
    array.push(b']');
    String::from_utf8_lossy(&array).into_owned()
}

pub(super) struct Journal {
    file: File,
    tail: Mutex<Tail>,
}

/// Where the next line goes, and where every thousandth payment stands.
#[derive(Default)]
struct Tail {
    end: u64,
    payments: u64,
    marks: Vec<u64>,
}

impl Tail {
    fn grow(&mut self, bytes: u64, payment: bool) -> u64 {
        let start = self.end;
        if payment {
            if self.payments.is_multiple_of(MARK_EVERY) {
                self.marks.push(start);
            }
            self.payments += 1;
        }
        self.end += bytes;
        start
    }
}

impl Journal {
    /// Opens or makes the file and gives each line to `replay`, with its position, until one is not wanted. A last line
    /// without its end is what a kill left of a write: nothing was answered about it, and it is cut off.
    pub(super) fn open(path: &Path, mut replay: impl FnMut(u64, &[u8]) -> bool) -> Result<Self, RailError> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(RailError::io("could not open the book", path))?;
        file.try_lock().map_err(|_| RailError::BookInUse(path.to_owned()))?;
        let mut tail = Tail::default();
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        let mut number = 0;
        while reader.read_until(b'\n', &mut line).map_err(RailError::io("could not read the book", path))? > 0 {
            number += 1;
            let Some(whole) = line.strip_suffix(b"\n") else {
                tracing::warn!(bytes = line.len(), "a rail's book ended in half a line; it was cut off");
                file.set_len(tail.end).map_err(RailError::io("could not cut off the end of the book", path))?;
                break;
            };
            if !replay(tail.end, whole) {
                return Err(RailError::BookCorrupt { path: path.to_owned(), line: number });
            }
            tail.grow(length(&line), !is_event(whole));
            line.clear();
        }
        drop(reader);
        Ok(Self { file, tail: Mutex::new(tail) })
    }

    /// Appends a line that ends in a line feed, and gives its position. The lock is held for the one write.
    pub(super) fn append(&self, line: &[u8], payment: bool) -> io::Result<u64> {
        let mut tail = self.tail();
        if let Err(error) = (&self.file).write_all(line) {
            // Half a line may be in the file. Should cutting it off fail too, the next start does it.
            self.file.set_len(tail.end).ok();
            return Err(error);
        }
        Ok(tail.grow(length(line), payment))
    }

    /// The line that starts at `position`, without its end.
    pub(super) fn line_at(&self, position: u64) -> io::Result<Vec<u8>> {
        let mut line = Vec::with_capacity(1024);
        BufReader::with_capacity(1024, self.reader(position)).read_until(b'\n', &mut line)?;
        line.pop();
        Ok(line)
    }

    pub(super) fn page(&self, offset: u64, limit: usize) -> io::Result<String> {
        let mark = usize::try_from(offset / MARK_EVERY).ok().and_then(|mark| self.tail().marks.get(mark).copied());
        let Some(start) = mark else { return Ok("[]".to_owned()) };
        let skip = usize::try_from(offset % MARK_EVERY).unwrap_or(0);
        let lines = BufReader::new(self.reader(start))
            .split(b'\n')
            .filter(|line| line.as_ref().map_or(true, |line| !is_event(line)))
            .skip(skip)
            .take(limit)
            .collect::<io::Result<Vec<_>>>()?;
        Ok(array_of(&lines))
    }

    fn reader(&self, start: u64) -> impl Read + '_ {
        let end = self.tail().end;
        ReadAt { file: &self.file, position: start }.take(end.saturating_sub(start))
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().expect("a rail stops for good once somebody panicked at its books")
    }
}

/// Reads a file from a place of its own, so that readers do not move each other.
struct ReadAt<'a> {
    file: &'a File,
    position: u64,
}

impl Read for ReadAt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position += u64::try_from(read).unwrap_or(0);
        Ok(read)
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
