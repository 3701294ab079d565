//! What an operator does while the bridge comes to rest: says of unclear files what the bank's folders show, has the bank tell
//! what it owes, and looks sooner than the timers would.

use super::stage::Stage;
use crate::bank::Bank;

/// What is not at its end, in one line; empty when all is.
const UNFINISHED: &str = "SELECT concat_ws(', ',
        (SELECT 'in flight: ' || sum(in_flight) FROM batches HAVING sum(in_flight) > 0),
        (SELECT 'in the outbox: ' || count(*) FROM outbox HAVING count(*) > 0),
        (SELECT 'files that are not answered: ' || count(*) FROM outgoing_files WHERE state < 5 HAVING count(*) > 0),
        (SELECT 'response files in hand: ' || count(*) FROM incoming_files WHERE state = 1 HAVING count(*) > 0),
        (SELECT 'stranded: ' || sum(stranded) FROM batch_sweeps HAVING sum(stranded) > 0)) AS value";

/// What is unfinished; None when all is at its end.
pub(super) fn unfinished(stage: &Stage) -> Option<String> {
    let in_tables = stage.system.database.value(UNFINISHED);
    let waiting = stage.bank_folders().into_iter().flat_map(|bank| [bank.join("outgoing"), bank.join("incoming")]);
    let files: usize = waiting.map(|folder| visible_files(&folder)).sum();
    match (in_tables.is_empty(), files) {
        (true, 0) => None,
        (true, files) => Some(format!("files in the banks' folders: {files}")),
        (false, _) => Some(in_tables),
    }
}

fn visible_files(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().is_file() && !entry.file_name().to_string_lossy().starts_with('.')).count()
}

/// Says of every file whose delivery is unclear whether a bank has it.
pub(super) fn settle_unclear_files(stage: &Stage) {
    let unclear = "SELECT name AS value FROM outgoing_files WHERE needs_operator_since IS NOT NULL AND state IN (2, 3)";
    for name in stage.system.database.values(unclear) {
        let places =
            stage.bank_folders().into_iter().flat_map(|bank| [bank.join("outgoing"), bank.join("outgoing/archive")]);
        let is_at_a_bank = places.into_iter().any(|place| place.join(&name).exists());
        let word = if is_at_a_bank { "--delivered" } else { "--absent" };
        let arguments =
            ["files", "resolve", &name, word, "--evidence", "looked into the bank's folders", "--quarantine", "0s"];
        stage.system.gctb(&arguments);
    }
}

/// Has both banks tell what they owe.
pub(super) fn ask_the_banks(stage: &Stage) {
    stage.system.bank().respond_rest();
    stage.second_bank.as_ref().map(Bank::respond_rest);
}

/// Makes due what waits for a timer of a minute or more: nobody wants to wait for that in a test. Schedules stay.
pub(super) fn look_sooner(stage: &Stage) {
    stage.system.execute("UPDATE batch_sweeps SET due_at = now() WHERE due_at > now() + interval '3 seconds'");
    stage.system.execute(
        "UPDATE outbox SET due_at = now() WHERE due_at > now() + interval '3 seconds' AND (kind <> 1 OR emissions > 0)",
    );
}
