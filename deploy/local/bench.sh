#!/usr/bin/env bash
# Measures the bridge on a Postgres and a Kafka of its own, floor beside ours: ingest, end to end through the file backend, payments
# over called rails, status, and what each process uses. The programs are release builds with their default settings, Postgres runs with fsync on. Prints a
# table; leaves target/bench.json and docs/bench.svg. Everything that it started is gone afterwards, Ctrl-C included.
# usage: bench.sh   (BENCH=full for the sizes of the design, BENCH=smoke to try the bench itself; without it some minutes;
# ONLY=rail for the called rails alone, ONLY=rail_mpesa_daraja for some of them, ONLY=rail-floors for the HTTP calls with no bridge around them)
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$LOCAL_DIR/process.sh"
source "$LOCAL_DIR/postgres.sh"
source "$LOCAL_DIR/jars.sh"

SIZE=${BENCH:-short}
[[ $SIZE =~ ^(smoke|short|full)$ ]] || die "BENCH=$SIZE is not a size; try BENCH=full, BENCH=short or BENCH=smoke."
ONLY=${ONLY:-all}
[[ $ONLY =~ ^(all|rail-floors|rail[a-z0-9_]*)$ ]] || die "ONLY=$ONLY is no part of the bench; try ONLY=rail, ONLY=rail_mpesa or ONLY=rail-floors."

# Servers that others use would be measured with what the others do to them.
unset DATABASE_URL KAFKA

use_stack bench
TARGET=$(target_dir)
JSON=$TARGET/bench.json
# A try of the bench is no news for the documents.
SVG=$ROOT_DIR/docs/bench.svg
[[ $SIZE != smoke ]] || SVG=$TARGET/bench.svg

# Runs on every way out.
finish_bench() {
    local status=$?
    trap '' INT TERM HUP
    trap - EXIT
    # What the services logged is gone with the stack, so what a failed run leaves is kept.
    ((status == 0 || status == 130)) || keep_logs
    "$LOCAL_DIR/stack.sh" remove "$STACK" 8>&-
    exit "$status"
}

keep_logs() {
    local kept=$TARGET/bench-logs
    rm -rf "$kept"
    mkdir -p "$kept"
    cp "$STACK_DIR"/logs/*.log "$STACK_DIR"/work/*.log "$kept" 2>/dev/null || true
    say "bench: the logs are kept in $kept"
}

# Postgres and Kafka keep what is measured; a disk that is full half-way costs more than being asked first.
must_have_room() {
    local needed free
    case $SIZE in
    full) needed=25 ;;
    short) needed=8 ;;
    smoke) needed=2 ;;
    esac
    free=$(df --output=avail --block-size=1G "$STACK_DIR" | tail -n 1)
    ((free >= needed)) || die "BENCH=$SIZE needs $needed GiB of free disk and there are ${free// /}; please make room."
}

commit() { GIT_OPTIONAL_LOCKS=0 git describe --always --dirty 2>/dev/null || printf unknown; }

# Two benches at once would measure each other.
exec 8>"$ROOT_DIR/.local/bench.lock"
flock -n 8 || die "another make bench is running in this clone; please wait for its end."
trap finish_bench EXIT
trap 'exit 130' INT TERM HUP

# What a bench that was killed left behind.
"$LOCAL_DIR/stack.sh" remove "$STACK" 8>&-
use_stack "$STACK"

must_have_room
"$LOCAL_DIR/packages.sh" stack 8>&-
cargo build --release --locked --workspace --bins 8>&- || die "the build failed."
"$LOCAL_DIR/stack.sh" servers "$STACK" 8>&-
mkdir -p "$STACK_DIR/work"

DATABASE_URL=$(recall DATABASE_URL) KAFKA=$(recall KAFKA) "$TARGET/release/gctb-bench" --size "$SIZE" --only "$ONLY" \
    --programs "$TARGET/release" --psql "$(postgres_bin)/psql" \
    --postgres-pid "$(process_id postgres)" --kafka-pid "$(process_id kafka)" --kafka-version "$KAFKA_VERSION" \
    --commit "$(commit)" --work "$STACK_DIR/work" --json "$JSON" --svg "$SVG" 8>&-
