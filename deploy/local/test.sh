#!/usr/bin/env bash
# Runs every check and test from nothing, beside a running demo: installs what is missing, checks, starts a Postgres and a Kafka
# of its own, builds, tests, and takes them down again whatever happens, Ctrl-C included. The last line is
# `N passed, N failed, N skipped`, before it the names of what failed and was skipped. DATABASE_URL=… and KAFKA=… are used if given.
#
# Tests find the servers by GCTB_TEST_DATABASE_URL (a superuser's; each makes databases of its own) and GCTB_TEST_KAFKA. A test that
# cannot run appends `SKIPPED name: reason` to the file named by GCTB_TEST_SKIPS, since cargo hides what passing tests print.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$LOCAL_DIR/process.sh"
source "$LOCAL_DIR/results.sh"

# The services that are tested can be killed at the points of tests/crash-points.toml. Nothing else is built like this.
CRASH_POINTS=(--features gctb-runtime/crash-points)

use_stack "test-$$"
printf '%s %s\n' $$ "$(process_start $$)" >"$STACK_DIR/owner"
WORK=$(mktemp -d)
RESULTS=$WORK/results
TESTS_LOG=$WORK/tests.log
export GCTB_TEST_SKIPS=$WORK/skips
touch "$RESULTS" "$TESTS_LOG" "$GCTB_TEST_SKIPS"

# Runs on every way out. The stack goes first, so that the numbers are the last line.
finish_run() {
    local status=$?
    trap '' INT TERM HUP
    trap - EXIT
    "$LOCAL_DIR/stack.sh" remove "$STACK" || result failed "taking the servers down"
    ((status == 0 || $(count failed) > 0)) || result failed "the run was cut short"
    print_results
    status=$(($(count failed) > 0))
    rm -rf "$WORK"
    exit "$status"
}
trap finish_run EXIT
trap 'result failed "the rest of the run: interrupted"; exit 130' INT TERM HUP

# step NAME COMMAND…: what the rest of the run depends on.
step() {
    "${@:2}" && return
    result failed "$1"
    exit 1
}

# Takes cargo's word for each test; what its output does not show (a test program that crashed, a build that failed) counts once.
count_tests() {
    local cargo_status=$1 line passed=0 failed=0 skips
    while read -r line; do
        [[ $line =~ ([0-9]+)\ passed\;\ ([0-9]+)\ failed ]] || continue
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
    done < <(grep '^test result:' "$TESTS_LOG")
    # A test that skipped itself has passed in cargo's eyes.
    skips=$(sed -n 's/^SKIPPED //p' "$GCTB_TEST_SKIPS" | sort -u)
    while read -r line; do [[ -z $line ]] || { result skipped "$line" && passed=$((passed - 1)); }; done <<<"$skips"
    while read -r line; do result skipped "$line: ignored"; done < <(sed -n 's/^test \(.*\) \.\.\. ignored.*/\1/p' "$TESTS_LOG")
    while read -r line; do result failed "$line"; done < <(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$TESTS_LOG" | head -n "$failed")
    ((cargo_status == 0 || $(count failed) > 0)) || result failed "cargo test"
    while ((passed-- > 0)); do result passed "test"; done
}

run_tests() {
    local status
    export CARGO_TERM_COLOR=never
    GCTB_TEST_DATABASE_URL=$(recall DATABASE_URL)
    GCTB_TEST_KAFKA=$(recall KAFKA)
    export GCTB_TEST_DATABASE_URL GCTB_TEST_KAFKA
    cargo test --locked --workspace "${CRASH_POINTS[@]}" --no-fail-fast 2>&1 | tee "$TESTS_LOG" && status=0 || status=$?
    count_tests "$status"
}

step "installing packages" "$LOCAL_DIR/packages.sh" stack
GCTB_RESULTS=$RESULTS "$LOCAL_DIR/check.sh" || true
step "starting Postgres and Kafka" "$LOCAL_DIR/stack.sh" servers "$STACK"
step "building the services" cargo build --locked --workspace --bins "${CRASH_POINTS[@]}"
run_tests
