#!/usr/bin/env bash
# Shows that the tests can fail: breaks the invariants one at a time (tests/prove.toml) in a copy of the work tree, outside the
# clone, and expects a named test to turn red each time. It needs a Postgres and a Kafka of its own for most of them, which are
# taken down again whatever happens, Ctrl-C included. The results go into docs/testing.md, "Seen to fail"; the last line is
# `prove: N broken, N red; M min`, and the exit status is 1 where one stayed green.
# usage: prove.sh   (ONLY=text: the entries whose name, invariant, package or test contains it)
#
# The copy and what is built in it stay in the cache, so that the next run builds only what has changed.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$LOCAL_DIR/process.sh"

PROVE_DIR=$(cache_dir)/prove
TREE=$PROVE_DIR/tree
LOGS=$PROVE_DIR/logs
WORK=$(mktemp -d)
job=

# Runs on every way out.
finish_run() {
    local status=$?
    trap '' INT TERM HUP
    trap - EXIT
    # The proof and the cargo and tests that it started are one group, but for the test in hand, which ends by itself.
    [[ -z $job ]] || kill -TERM -- "-$job" 2>/dev/null || true
    wait
    [[ -z ${STACK:-} ]] || "$LOCAL_DIR/stack.sh" remove "$STACK" 8>&- >/dev/null || say "the servers of the stack $STACK could not be taken down"
    rm -rf "$WORK"
    exit "$status"
}
trap finish_run EXIT
trap 'exit 130' INT TERM HUP

# Brings the copy up to date. A file that is the same keeps its time, so that cargo builds nothing for it.
copy_tree() {
    local path
    git ls-files -z --cached --others --exclude-standard >"$WORK/tracked" || die "make prove copies what git knows; this is no clone."
    while IFS= read -r -d '' path; do
        # What was removed from the work tree and not yet committed.
        [[ -f $path ]] || continue
        printf '%s\0' "$path"
        cmp -s "$path" "$TREE/$path" && continue
        mkdir -p "$(dirname "$TREE/$path")"
        cp "$path" "$TREE/$path"
    done <"$WORK/tracked" >"$WORK/copied"
    (cd "$TREE" && find . -type f -printf '%P\0') | sort -z | comm -z -13 <(sort -zu "$WORK/copied") - >"$WORK/gone"
    (cd "$TREE" && xargs -0 -r rm -f) <"$WORK/gone"
}

start_servers() {
    use_stack "test-prove-$$"
    # Another `make test` would take them down, were they not owned by this run.
    printf '%s %s\n' $$ "$(process_start $$)" >"$STACK_DIR/owner"
    "$LOCAL_DIR/stack.sh" servers "$STACK" 8>&- || die "the servers could not be started."
    GCTB_TEST_DATABASE_URL=$(recall DATABASE_URL)
    GCTB_TEST_KAFKA=$(recall KAFKA)
    export GCTB_TEST_DATABASE_URL GCTB_TEST_KAFKA
}

mkdir -p "$TREE" "$LOGS"
exec 8>"$PROVE_DIR/lock"
flock -n 8 || die "another make prove is at work on the same cache; please wait for its end."
rm -f "$LOGS"/*

"$LOCAL_DIR/packages.sh" stack
say "copying the work tree to $TREE"
copy_tree
# No debug information: nobody looks into these programs, and it is most of what a linker writes.
export CARGO_TARGET_DIR=$PROVE_DIR/target CARGO_PROFILE_DEV_DEBUG=0
say "building in the copy (the first time takes some minutes)"
(cd "$TREE" && cargo build --locked -p gctb-system-tests --bin prove)
# Its own program is built anew with much of what is broken.
cp "$CARGO_TARGET_DIR/debug/prove" "$WORK/prove"
[[ $(cd "$TREE" && "$WORK/prove" needs) != servers ]] || start_servers

export GCTB_PROVE_LOGS=$LOGS GCTB_PROVE_DOCUMENT=$ROOT_DIR/docs/testing.md
say "what cargo and the tests say stands in $LOGS"
(cd "$TREE" && exec setsid "$WORK/prove" 8>&-) &
job=$!
status=0
wait "$job" || status=$?
job=
exit "$status"
