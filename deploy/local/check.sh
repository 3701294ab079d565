#!/usr/bin/env bash
# The checks that need no server: format, lints, documentation, and the fences between dependencies and licences (deny.toml).
# All of them run, even after one has failed. Prints `N passed, N failed, N skipped` and fails when one failed.
# usage: check.sh   (GCTB_RESULTS=FILE: a caller that counts itself gets a line `passed|failed|skipped NAME` per check instead)
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$LOCAL_DIR/results.sh"

DENY_VERSION=0.20.2
STEPS=5

# check NAME COMMAND…
check() {
    local name=$1
    shift
    begin_loud "check $name"
    if "$@"; then result passed "check $name"; else result failed "check $name"; fi
    finish_loud "check $name: $(last_result)"
}

documentation() { RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps --workspace; }

# find_deny: sets DENY to the pinned cargo-deny, installed into the cache that clones share where it is missing.
find_deny() {
    local dir
    dir=$(cache_dir)/cargo-deny-$DENY_VERSION
    DENY=$dir/bin/cargo-deny
    [[ ! -x $DENY ]] || return 0
    say "installing cargo-deny $DENY_VERSION once, into $dir (about three minutes)"
    cargo install --locked --version "$DENY_VERSION" --root "$dir" cargo-deny
}

# Without cargo-deny a developer goes on and is told; a pipeline must not pass for having checked less.
fences() {
    begin_loud "check fences"
    if find_deny; then
        if "$DENY" --workspace --locked check bans licenses sources; then result passed "check fences"; else result failed "check fences"; fi
    elif [[ ${CI:-} == true ]]; then
        result failed "check fences"
    else
        result skipped "check fences" "cargo-deny $DENY_VERSION could not be installed"
    fi
    finish_loud "check fences: $(last_result)"
}

open_results
[[ -n ${GCTB_RESULTS:-} ]] || "$LOCAL_DIR/packages.sh" build
check format cargo fmt --all --check
# The lints see the code of the crash points as well; what is deployed is built without them, and must build.
check lints cargo clippy --locked --workspace --all-targets --features gctb-runtime/crash-points -- -D warnings
check deployed cargo check --locked --workspace --bins
check documentation documentation
fences
close_results
