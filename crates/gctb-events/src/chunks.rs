//! Where a chunk is closed, so that costs are per chunk and no message grows beyond what a broker takes.

/// Most entries of a chunk.
pub const CHUNK_ENTRIES_MAX: usize = 500;

/// Most bytes of a chunk's entries. Brokers take 1 MiB by default.
pub const CHUNK_BYTES_MAX: usize = 512 * 1024;

/// Splits `entries` into runs of at most [`CHUNK_ENTRIES_MAX`] entries and [`CHUNK_BYTES_MAX`] bytes, in order.
///
/// An entry that alone is larger than that gets a chunk of its own.
pub fn split_by_size<T>(entries: Vec<T>, encoded_bytes: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut chunks = Vec::with_capacity(entries.len() / CHUNK_ENTRIES_MAX + 1);
    let mut open: Vec<T> = Vec::new();
    let mut open_bytes = 0;
    for entry in entries {
        let bytes = encoded_bytes(&entry);
        let full = open.len() == CHUNK_ENTRIES_MAX || open_bytes + bytes > CHUNK_BYTES_MAX;
        if full && !open.is_empty() {
            chunks.push(std::mem::take(&mut open));
            open_bytes = 0;
        }
        open_bytes += bytes;
        open.push(entry);
    }
    if !open.is_empty() {
        chunks.push(open);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_close_at_500_entries_or_512_kib() {
        let lengths = |sizes: Vec<usize>| split_by_size(sizes, |size| *size).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(vec![1; 1201]), [500, 500, 201]);
        assert_eq!(lengths(vec![CHUNK_BYTES_MAX / 2; 5]), [2, 2, 1]);
        assert_eq!(lengths(vec![CHUNK_BYTES_MAX + 1, 1]), [1, 1]);
        assert!(lengths(Vec::new()).is_empty());
    }
}
