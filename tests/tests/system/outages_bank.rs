//! The bank's folder read-only, full and gone, and a bank that is quicker than our own records.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use gctb_system_tests::equation::assert_all_ended;
use gctb_system_tests::mount::Mount;
use gctb_system_tests::proxy::{Break, Proxy};
use gctb_system_tests::system::PATIENCE;
use gctb_system_tests::{Batch, Options, Service, System};
use gctb_testkit::eventually_within;

/// Small enough to be filled at once, large enough for the files of the story.
const FOLDER_KIB: u32 = 2_000;

#[test]
fn i8_a_banks_folder_that_is_read_only_full_or_gone_keeps_its_files_waiting_and_nobody_else() {
    let test = "i8_a_banks_folder_that_is_read_only_full_or_gone_keeps_its_files_waiting_and_nobody_else";
    let Some(mut system) = System::prepare(test, Options::impatient()) else { return };
    let (bank, view) = (system.path("bank"), system.path("bank-seen-by-us"));
    let Some(_folder) = Mount::small(test, &bank, FOLDER_KIB) else { return };
    let Some(ours) = Mount::view(test, &bank, &view) else { return };
    let root = view.display().to_string();
    let quick = [("store.root", root.as_str()), ("files.retry_min", "100ms"), ("files.retry_max", "300ms")];
    let settings = quick.map(|(key, value)| (Service::BackendFile, key.to_owned(), value.to_owned()));
    system.options.settings.extend(settings);
    system.start_all();
    system.submit(Batch::mixed(100));
    system.wait_until_finished();

    system.bank().pause(true);
    ours.set_read_only(true);
    assert_files_wait_and_others_go_on(&mut system);
    ours.set_read_only(false);
    assert_files_go_out(&system);

    system.bank().pause(true);
    let filler = bank.join("filler");
    fill(&filler);
    assert_files_wait_and_others_go_on(&mut system);
    assert_eq!(leftovers(&bank), Vec::<String>::new(), "puts that fail leave nothing that takes room");
    fs::remove_file(&filler).expect("room is made");
    assert_files_go_out(&system);

    system.bank().pause(true);
    let outgoing = bank.join("outgoing");
    fs::rename(&outgoing, bank.join("elsewhere")).expect("the folder goes");
    assert_files_wait_and_others_go_on(&mut system);
    fs::rename(bank.join("elsewhere"), &outgoing).expect("the folder is back");
    assert_files_go_out(&system);
}

/// While no file can be put: the service says so, no file is lost or unclear, and batches, claims and questions go on.
fn assert_files_wait_and_others_go_on(system: &mut System) {
    let failed = system.metric(Service::BackendFile, "gctb_files_put_total", &["nothing_seen"]);
    let sent = system.submit(Batch::payable(300));
    let words = "payment files cannot be put into the bank's folder; they wait";
    assert_eq!(system.wait_until_failing(Service::BackendFile, "bank folder", words), 503);
    system.wait_for_metric(Service::BackendFile, "gctb_files_put_total", &["nothing_seen"], failed + 4);
    system.wait_for_metric(Service::BackendFile, "gctb_files", &["CLOSED"], 1);
    system.wait_for_log(Service::BackendFile, "a payment file could not be put; nothing of it was seen");
    let claimed_later = system.submit(Batch::payable(50));
    for sent in [&sent, &claimed_later] {
        assert_eq!(system.completed(sent), Some(0), "the sender can ask");
    }
    let unclaimed = "SELECT (count(*) FILTER (WHERE l.batch_id IS NULL))::text AS value
        FROM payment_instructions p LEFT JOIN payment_ledger l USING (batch_id, seq)";
    system.wait_for_value("every instruction to be claimed all the same", unclaimed, "0");
    let unclear = "SELECT count(*)::text AS value FROM outgoing_files WHERE needs_operator_since IS NOT NULL";
    assert_eq!(system.database.value(unclear), "0", "no operator is asked");
}

fn assert_files_go_out(system: &System) {
    system.bank().pause(false);
    system.wait_until_finished();
    system.wait_until_all_are_well();
    assert_all_ended(system);
}

/// Takes all room but for half a payment file.
fn fill(filler: &Path) {
    let mut file = File::create(filler).expect("a file");
    let block = [0; 4096];
    let mut blocks = 0_u64;
    while file.write_all(&block).is_ok() {
        blocks += 1;
    }
    file.set_len(blocks.saturating_sub(4) * 4096).expect("a little room");
}

/// What lies beside the payment files, hidden from the bank, without the gates of puts.
fn leftovers(bank: &Path) -> Vec<String> {
    let entries = fs::read_dir(bank.join("outgoing/.writing")).expect("the folder is there").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.ends_with(".gate")).collect()
}

#[test]
fn i2_a_bank_that_takes_pays_and_answers_a_file_before_we_recorded_its_put_is_recorded_afterwards() {
    let test = "i2_a_bank_that_takes_pays_and_answers_a_file_before_we_recorded_its_put_is_recorded_afterwards";
    let Some(mut system) = System::prepare(test, Options::impatient()) else { return };
    let (line, url) = Proxy::to_database(system.database.url());
    // One file for all, also where ids come to it late, since the machine is busy.
    let more = [("database.url", url), ("files.close_after", "2s".to_owned())];
    system.options.settings.extend(more.map(|(key, value)| (Service::BackendFile, key.to_owned(), value)));
    system.start_all();
    for which in [Break::BeforeCommit, Break::AfterCommit] {
        let paid = system.bank().book().len();
        // From the moment of the put on no commit succeeds, or none is heard to.
        let outgoing = system.path("bank/outgoing");
        line.break_commits_once(which, move || has_files(&outgoing) || has_files(&outgoing.join("archive")));
        let sent = system.submit(Batch::payable(40));
        eventually_within(PATIENCE, "the bank to pay", || (system.bank().book().len() == paid + 40).then_some(()));
        if which == Break::BeforeCommit {
            let recorded = "SELECT count(*)::text AS value FROM outgoing_files WHERE state = 3";
            assert_eq!(system.database.value(recorded), "1", "the put is not recorded");
            assert_eq!(system.completed(&sent), Some(0), "nor is any payment");
        }
        system.wait_until_failing(Service::BackendFile, "payment files", "could not");
        line.mend();
        // An operator is asked only where nothing can be found.
        system.wait_until_finished();
        assert_all_ended(&system);
        system.wait_until_all_are_well();
        fs::remove_dir_all(system.path("bank/outgoing/archive"))
            .and_then(|()| fs::create_dir(system.path("bank/outgoing/archive")))
            .expect("the bank clears its archive");
    }
}

fn has_files(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.path().extension().is_some_and(|ending| ending == "csv"))
}
