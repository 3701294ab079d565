#!/usr/bin/env bash
# Draws batches and faults from seeds and checks every invariant after each one (docs/testing.md, "Soak"), on a Postgres and a
# Kafka of its own, which are taken down again whatever happens, Ctrl-C included. Each seed prints one line; the last line is
# `soak: N seeds, R received = P paid + F failed + 0 in flight; 0 lost; 0 paid twice`, or says which seeds failed.
# usage: soak.sh   (SEEDS=n seeds, 20 unless said, from START=x or from a number drawn from the clock; SEED=x: that one alone;
#                   JOBS=n runs n of them side by side, each on servers of its own; ONLY=rails: the rails that are called)
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$LOCAL_DIR/process.sh"

for setting in SEEDS SEED START JOBS; do
    [[ -z ${!setting:-} || ${!setting} =~ ^[0-9]{1,12}$ ]] || die "$setting=${!setting} is no whole number; try SEEDS=20."
done
[[ ${ONLY:-rails} == rails ]] || die "ONLY=$ONLY is not known; try ONLY=rails."
[[ -z ${DATABASE_URL:-}${KAFKA:-} ]] || die "a soak kills and freezes its servers; it starts its own. Please run it without DATABASE_URL and KAFKA."

SEEDS=${SEEDS:-20} JOBS=${JOBS:-1} START=${START:-$((EPOCHSECONDS % 1000000 * 1000))}
[[ -z ${SEED:-} ]] || { SEEDS=1 JOBS=1 START=$SEED; }
((SEEDS > 0 && JOBS > 0)) || die "SEEDS and JOBS begin at 1."
((JOBS <= SEEDS)) || JOBS=$SEEDS

WORK=$(mktemp -d)
stacks=()
jobs=()

# Runs on every way out. What is frozen cannot end, so it is woken up first.
finish_run() {
    local status=$? stack
    trap '' INT TERM HUP
    trap - EXIT
    # A job and the services that it started are one group.
    for job in "${jobs[@]}"; do kill -KILL -- "-$job" 2>/dev/null || true; done
    wait
    for stack in "${stacks[@]}"; do
        (
            use_stack "$stack"
            pid=$(process_id kafka)
            [[ -z $pid ]] || kill -CONT "$pid" 2>/dev/null || true
        )
        "$LOCAL_DIR/stack.sh" remove "$stack" >/dev/null || say "the servers of the stack $stack could not be taken down"
    done
    [[ ! -s $WORK/last ]] || cat "$WORK/last"
    rm -rf "$WORK"
    exit "$status"
}
trap finish_run EXIT
trap 'exit 130' INT TERM HUP

# begin_job NUMBER: servers of its own. Another `make test` would take them down, were they not owned by this run.
begin_job() {
    local stack=test-soak-$$-$1
    stacks+=("$stack")
    (use_stack "$stack" && printf '%s %s\n' $$ "$(process_start $$)" >"$STACK_DIR/owner")
    "$LOCAL_DIR/stack.sh" servers "$stack" || die "the servers of the stack $stack could not be started."
}

# soak NUMBER: every JOBS-th seed from START + NUMBER on.
soak() {
    use_stack "test-soak-$$-$1"
    GCTB_TEST_DATABASE_URL=$(recall DATABASE_URL) GCTB_TEST_KAFKA=$(recall KAFKA) GCTB_SOAK_KAFKA_PID=$(process_id kafka) \
        SEED='' START=$((START + $1)) STEP=$JOBS SEEDS=$(((SEEDS - $1 + JOBS - 1) / JOBS)) \
        GCTB_SOAK_RESULT=$WORK/result.$1 \
        exec setsid "$(target_dir)/debug/soak" 2>"$WORK/errors.$1"
}

# add_up: the last lines of all jobs in one.
add_up() {
    sed -n 's/^soak: \([0-9]*\) seeds, \([0-9]*\) received = \([0-9]*\) paid + \([0-9]*\) failed + 0 in flight.*/\1 \2 \3 \4/p' "$WORK"/result.* |
        awk '{ n += $1; r += $2; p += $3; f += $4 }
             END { printf "soak: %d seeds, %d received = %d paid + %d failed + 0 in flight; 0 lost; 0 paid twice\n", n, r, p, f }'
}

"$LOCAL_DIR/packages.sh" stack
say "building the services with their crash points"
cargo build --locked --workspace --bins --features gctb-runtime/crash-points
for ((job = 0; job < JOBS; job++)); do begin_job "$job"; done

say "soak: $SEEDS seeds from $START"
for ((job = 0; job < JOBS; job++)); do
    touch "$WORK/result.$job"
    soak "$job" &
    jobs+=($!)
done
wait "${jobs[@]}" || true

failed=$(sed -n 's/^soak: .* seeds FAILED: //p' "$WORK"/result.* | tr ' ' '\n' | sort -n | tr '\n' ' ')
if [[ -n ${failed// /} ]]; then
    cat "$WORK"/errors.*
    printf 'soak: FAILED: %s(each again with: make soak %sSEED=…)\n' "$failed" "${ONLY:+ONLY=$ONLY }" >"$WORK/last"
    exit 1
fi
if (($(cat "$WORK"/result.* | grep -c '^soak: [0-9]* seeds, ') != JOBS)); then
    cat "$WORK"/errors.*
    die "a job ended before its seeds did; what it said stands above."
fi
add_up >"$WORK/last"
