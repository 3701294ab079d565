# What every script of the local stack shares: where things lie, how progress is told, how a stack remembers.
# Sourced, never run. It knows nothing of Postgres, Kafka or the services.
# shellcheck shell=bash

set -euo pipefail

# Numbers and dates read the same on every machine, and the clone's path is resolved once.
export LC_ALL=C.UTF-8
LOCAL_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
ROOT_DIR=$(cd "$LOCAL_DIR/../.." && pwd -P)
cd "$ROOT_DIR"

# What a user passes to our make (N=…, -j) is not meant for the make that builds librdkafka.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES

say() { printf '%s\n' "$*"; }

# Ends the script with one sentence that says what to do.
die() {
    ((line_open == 0)) || printf '\n'
    printf 'gctb: %s\n' "$*" >&2
    exit 1
}

# --- Progress: "[3/8] starting Kafka … ready in 2.9 s" -----------------------------------------------------------

STEP=0
STEPS=${STEPS:-0}
step_started_us=0
# A script that begins a line and calls another one in it says so, that an error may have a line of its own.
line_open=${LINE_OPEN:-0}
unset LINE_OPEN

now_us() { printf '%s' "${EPOCHREALTIME/[.,]/}"; }

# begin WHAT: a step that prints nothing of its own; `finish` completes the line.
begin() {
    STEP=$((STEP + 1))
    step_started_us=$(now_us)
    line_open=1
    printf '[%d/%d] %s … ' "$STEP" "$STEPS" "$1"
}

# begin_loud WHAT: a step whose tool reports its own progress on the following lines.
begin_loud() {
    begin "$1"
    finish_as ''
}

# finish [WORD]: completes the line of `begin` with a word and the time that the step took.
finish() { finish_as "${1:-ready} in $(elapsed "$step_started_us")"; }

# finish_loud WORD: the same after `begin_loud`.
finish_loud() { printf '[%d/%d] %s in %s\n' "$STEP" "$STEPS" "$1" "$(elapsed "$step_started_us")"; }

# finish_as TEXT: completes the line where no time was spent.
finish_as() {
    line_open=0
    printf '%s\n' "$1"
}

# elapsed SINCE_US: the time since then in seconds with one decimal place.
elapsed() {
    local tenths=$((($(now_us) - $1) / 100000))
    printf '%d.%d s' $((tenths / 10)) $((tenths % 10))
}

# --- Places -------------------------------------------------------------------------------------------------------

# The cache that clones share. Where it cannot be written, the clone keeps its own.
cache_dir() {
    local shared=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/gctb
    if mkdir -p "$shared" 2>/dev/null && [[ -w $shared ]]; then
        printf '%s' "$shared"
    else
        mkdir -p "$ROOT_DIR/.local/cache"
        printf '%s' "$ROOT_DIR/.local/cache"
    fi
}

# Where cargo puts what it builds.
target_dir() {
    local dir=${CARGO_TARGET_DIR:-target}
    [[ $dir == /* ]] || dir=$ROOT_DIR/$dir
    printf '%s' "$dir"
}

# use_stack NAME: all that follows is about this stack, whose state lies in .local/NAME.
use_stack() {
    [[ $1 =~ ^[a-z][a-z0-9-]*$ ]] || die "a stack is named by small letters, digits and dashes, not \"$1\"."
    STACK=$1
    STACK_DIR=$ROOT_DIR/.local/$1
    mkdir -p "$STACK_DIR/logs" "$STACK_DIR/run"
    # Logs, passwords and data of a stack are nobody else's business.
    chmod 700 "$STACK_DIR"
}

# One command at a time works on a stack; a second one waits. The processes we start close descriptor 9.
lock_stack() {
    exec 9>"$STACK_DIR/lock"
    flock -n 9 && return
    say "another command is working on the stack $STACK; waiting for it (10 minutes at most)"
    flock -w 600 9 || die "the other command on the stack $STACK did not end; look for it with: ps ax | grep deploy/local"
}

unlock_stack() { exec 9>&-; }

# --- What a stack remembers: .local/STACK/env, lines of KEY=VALUE that a shell can read ------------------------------

# remember KEY VALUE
remember() {
    local file=$STACK_DIR/env
    touch "$file"
    { grep -v "^$1=" "$file" || true; printf '%s=%q\n' "$1" "$2"; } >"$file.new"
    mv "$file.new" "$file"
}

# recall KEY: its value, or nothing; never what the caller's environment happens to say.
recall() (
    unset "$1"
    [[ ! -f $STACK_DIR/env ]] || . "$STACK_DIR/env"
    printf '%s' "${!1-}"
)
