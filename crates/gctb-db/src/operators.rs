//! What people did, with their evidence. Append only.

use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::Text;

use crate::error::DbError;
use crate::pool::{Abort, Db};

pub(crate) fn record(
    connection: &mut PgConnection,
    actor: &str,
    action: &str,
    target: &str,
    evidence: &str,
) -> Result<(), Abort> {
    diesel::sql_query("INSERT INTO operator_actions (actor, action, target, evidence) VALUES ($1, $2, $3, $4)")
        .bind::<Text, _>(actor)
        .bind::<Text, _>(action)
        .bind::<Text, _>(target)
        .bind::<Text, _>(evidence)
        .execute(connection)?;
    Ok(())
}

impl Db {
    /// Records what an operator did outside of Postgres, such as a replay.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn record_operator_action(
        &self,
        actor: &str,
        action: &str,
        target: &str,
        evidence: &str,
    ) -> Result<(), DbError> {
        self.transaction("record an operator's action", |connection| {
            record(connection, actor, action, target, evidence)
        })
    }
}
