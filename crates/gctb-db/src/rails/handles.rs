//! What a two-phase rail calls the payments of a window, noted before anything is paid.
//!
//! One row per window is updated and not one per payment: what was noted goes to the ledger rows with the commit that ends the
//! window, whoever makes it.

use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{Array, Integer, Text, Uuid as SqlUuid};
use gctb_domain::Seq;
use uuid::Uuid;

use crate::error::DbError;
use crate::pool::{Abort, Db};

impl Db {
    /// Notes what the rail calls payments of this window. After true, whoever takes the window up asks by these handles.
    ///
    /// False: the window has a successor or was told, or some position is not of it. Nothing is noted then, and nothing may be
    /// paid on these handles.
    ///
    /// # Errors
    /// Where Postgres refuses. Whether they are noted is unknown then; they may be noted again.
    pub fn note_handles(&self, work: Uuid, handles: &[(Seq, String)]) -> Result<bool, DbError> {
        let doing = "note what the rail calls the payments of a window";
        self.transaction(doing, |connection| note(connection, work, handles))
            .inspect(|_| fail::fail_point!("rail.handles.after"))
    }
}

fn note(connection: &mut PgConnection, work: Uuid, handles: &[(Seq, String)]) -> Result<bool, Abort> {
    // The last one counts where a position is named twice.
    let handles: std::collections::BTreeMap<i32, &str> =
        handles.iter().map(|(seq, handle)| (seq.0, handle.as_str())).collect();
    let noted = diesel::sql_query(
        "UPDATE ledger_work w
         SET handles = ARRAY(
             SELECT coalesce(n.handle, w.handles[s.place], '')
             FROM unnest(w.seqs) WITH ORDINALITY AS s (seq, place)
             LEFT JOIN unnest($2, $3) AS n (seq, handle) ON n.seq = s.seq
             ORDER BY s.place)
         WHERE w.work_id = $1 AND w.kind = 1 AND w.seqs @> $2",
    )
    .bind::<SqlUuid, _>(work)
    .bind::<Array<Integer>, _>(handles.keys().copied().collect::<Vec<_>>())
    .bind::<Array<Text>, _>(handles.values().copied().collect::<Vec<_>>())
    .execute(connection)?;
    fail::fail_point!("rail.handles.before");
    Ok(noted > 0)
}
