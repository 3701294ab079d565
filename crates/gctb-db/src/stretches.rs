//! Positions of a batch as statements read them: by ranges of the big tables' key.
//!
//! Postgres plans by statistics, and of a batch that came after the last ANALYZE they say that it has one row: it would
//! read the whole batch for each chunk of it. A range of positions in the WHERE keeps every statement to the rows that it is
//! about, whatever the statistics say. This file must not know what the rows are.

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;

use crate::pool::Abort;

/// Positions that are further apart than this go into statements of their own. What is between two neighbours is read and
/// thrown away, so that it bounds the work per row; a batch of 100,000 gives at most 100 stretches.
const GAP_MAX: i32 = 1_000;

/// Neighbours among the rows that a statement is about, in order of position.
pub(crate) struct Stretch<'a, T> {
    /// The first position.
    pub(crate) first: i32,
    /// The last one.
    pub(crate) last: i32,
    /// What is to be done there.
    pub(crate) rows: &'a [T],
}

/// Cuts `rows`, which are in order of position, where two are far apart.
pub(crate) fn stretches<T>(rows: &[T], seq: fn(&T) -> i32) -> impl Iterator<Item = Stretch<'_, T>> {
    rows.chunk_by(move |one, next| seq(next).saturating_sub(seq(one)) <= GAP_MAX).filter_map(move |rows| {
        let (first, last) = (rows.first()?, rows.last()?);
        Some(Stretch { first: seq(first), last: seq(last), rows })
    })
}

/// Runs statements that join an array of positions with their rows. Where Postgres expects one row it would join by a nested
/// loop and compare each with each; inside, it may not. Only inside a transaction.
pub(crate) fn joining_by_hash<T>(
    connection: &mut PgConnection,
    statements: impl FnOnce(&mut PgConnection) -> Result<T, Abort>,
) -> Result<T, Abort> {
    connection.batch_execute("SET LOCAL enable_nestloop = off")?;
    let done = statements(connection)?;
    connection.batch_execute("SET LOCAL enable_nestloop = on")?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_where_two_positions_are_far_apart() {
        let cut = |positions: &[i32]| -> Vec<(i32, i32, usize)> {
            stretches(positions, |seq| *seq).map(|stretch| (stretch.first, stretch.last, stretch.rows.len())).collect()
        };
        assert_eq!(cut(&[]), []);
        assert_eq!(cut(&[7]), [(7, 7, 1)]);
        assert_eq!(cut(&[0, 1, 2, 1_002]), [(0, 1_002, 4)]);
        assert_eq!(cut(&[0, 1, 1_002, 1_003, i32::MAX]), [(0, 1, 2), (1_002, 1_003, 2), (i32::MAX, i32::MAX, 1)]);
    }
}
