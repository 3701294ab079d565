//! The whole table as people read it, and what holds for all of it.

use std::fmt::Write as _;

use super::*;

fn line(code: &str, meaning: Meaning) -> String {
    let mut text = format!(
        "{code:<20} {:<21}",
        format!("{:?}", meaning.learnt).replace("Refused { again: ", "Refused(again: ").replace(" }", ")")
    );
    write!(text, " {:<25}", meaning.reason.map_or("-", ReasonCode::as_str)).expect("a string takes it");
    write!(text, " {:<19}", meaning.hold.map_or("-".to_owned(), |hold| format!("{hold:?}")))
        .expect("a string takes it");
    let mut notes = Vec::new();
    notes.extend(meaning.slow_down.then_some("slow down"));
    notes.extend(meaning.token_refused.then_some("new token"));
    text.push_str(&notes.join(", "));
    text.trim_end().to_owned()
}

const GOLDEN: &str = include_str!("golden.txt");

#[test]
fn the_tables_are_what_was_agreed() {
    let mut told = String::from("result codes\n");
    for (code, meaning) in RESULTS {
        told += &format!("{}\n", line(code, meaning));
    }
    told += "\nerror codes of the gateway\n";
    for (code, _, meaning) in GATEWAY {
        told += &format!("{}\n", line(code, meaning));
    }
    told += "\nfaults of the gateway product\n";
    for (code, meaning) in FAULTS {
        told += &format!("{}\n", line(code.rsplit('.').next().unwrap_or_default(), meaning));
    }
    told += "\nfields that 400.002.02 refuses\n";
    for (field, meaning) in FIELDS {
        told += &format!("{}\n", line(field, meaning));
    }
    told += &format!("{}\n", line("(any other)", OTHER_FIELD));
    assert_eq!(told, GOLDEN, "src/codes/golden.txt should read:\n{told}");
}

#[test]
fn i3_a_code_that_nobody_knows_is_not_a_refusal() {
    for code in ["", "9999", "00", "0 ", "-1", "1.0", "SFC_IC9999", "null"] {
        assert_eq!(result(code).learnt, Learnt::Nothing, "{code:?}");
        assert_eq!(gateway(400, code, "Bad Request - Invalid Amount").learnt, Learnt::Nothing, "{code:?}");
    }
    for status in [200, 302, 400, 401, 404, 408, 500, 502, 503, 504] {
        assert_eq!(by_status(status, "").learnt, Learnt::Nothing, "{status}");
    }
}

#[test]
fn i3_a_code_with_another_http_status_than_its_own_proves_nothing() {
    for (code, statuses, _) in GATEWAY {
        for status in [200, 202, 302, 400, 401, 404, 405, 429, 500, 502, 503, 504] {
            if !statuses.contains(&status) {
                assert_eq!(gateway(status, code, "").learnt, Learnt::Nothing, "{code} with {status}");
            }
        }
    }
    assert_eq!(gateway(500, INVALID_FIELD, "Bad Request - Invalid Amount").learnt, Learnt::Nothing);
}

#[test]
fn i2_only_what_was_turned_away_unread_counts_as_not_sent() {
    let unread = |meaning: Meaning| meaning.learnt == Learnt::NotSent;
    assert!(RESULTS.iter().all(|(_, meaning)| !unread(*meaning)), "a result is always of something that was read");
    let codes: Vec<&str> = GATEWAY.iter().filter(|(_, _, meaning)| unread(*meaning)).map(|(code, ..)| *code).collect();
    let expected = [
        "400.003.01",
        "401.002.01",
        "401.003.01",
        "404.001.03",
        "404.001.01",
        "404.001.04",
        "404.002.01",
        "404.003.01",
        "405.001",
        "500.003.02",
        "500.003.03",
    ];
    assert_eq!(codes, expected);
    assert!(unread(by_status(429, "")));
}

#[test]
fn each_code_stands_in_its_table_once_and_a_refusal_always_has_a_reason() {
    let mut codes: Vec<&str> =
        RESULTS.iter().map(|(code, _)| *code).chain(GATEWAY.iter().map(|(code, ..)| *code)).collect();
    codes.sort_unstable();
    let count = codes.len();
    codes.dedup();
    assert_eq!(codes.len(), count);
    let meanings = RESULTS.iter().map(|(_, meaning)| *meaning).chain(GATEWAY.iter().map(|(_, _, meaning)| *meaning));
    for meaning in meanings.chain(FIELDS.iter().map(|(_, meaning)| *meaning)) {
        let refused = matches!(meaning.learnt, Learnt::Refused { .. });
        assert_eq!(meaning.reason.is_some(), refused, "{}", meaning.words);
    }
}

#[test]
fn the_field_that_the_gateway_refuses_decides_whose_fault_it_is() {
    let reason = |words| gateway(400, INVALID_FIELD, words).reason.expect("refused");
    assert_eq!(reason("Bad Request - Invalid PhoneNumber"), ReasonCode::PayeeFaInvalid);
    assert_eq!(reason("Bad Request - Invalid PartyB"), ReasonCode::PayeeFaInvalid);
    assert_eq!(reason("Bad Request - Invalid Amount"), ReasonCode::AmountInvalid);
    assert_eq!(reason("Bad Request - Invalid PartyA"), ReasonCode::PayerFaInvalid);
    let ours = gateway(400, INVALID_FIELD, "Bad Request - Invalid ResultURL");
    assert_eq!((ours.learnt, ours.hold), (Learnt::Refused { again: true }, Some(Hold::NotPermitted)));
    assert_eq!(gateway(400, INVALID_FIELD, "").hold, Some(Hold::NotPermitted));
}
