#!/usr/bin/env bash
# Runs both commands of the README as a newcomer would, on a Debian 12 that has only Rust's toolchain, git, make and gcc: once as
# root, once as a user without sudo, who is told one apt command that root then types. What is checked is the last commit of this
# clone. Prints `N passed, N failed, N skipped`.
# usage: check-fresh.sh   (CHECK_FRESH_STEPS="root-demo root-test user-demo user-test": only these of them;
#                         CHECK_FRESH_TARGET=FOLDER: where compiled dependencies are kept from one run to the next)
#
# The machine is a folder made by debootstrap, entered by chroot within namespaces of its own: when this script ends, however it
# ends, its mounts and its processes end with it, and the folder is removed. The downloads of this machine's cargo and Maven are
# copied in; the second newcomer gets the compiled dependencies of the first.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$LOCAL_DIR/results.sh"
source "$LOCAL_DIR/debian.sh"

WANTED=" ${CHECK_FRESH_STEPS:-root-demo root-test user-demo user-test} "
PLACES=/var/tmp/gctb-fresh
USER_ID=1000
TARGET=${CHECK_FRESH_TARGET:-}

# --- Outside: the folder and the namespaces --------------------------------------------------------------------------

# A run that was killed could not tidy up. Nobody holds its lock any more.
remove_orphans() {
    local place
    for place in "$PLACES".*; do
        [[ -d $place ]] || continue
        (exec 8>"$place/lock" && flock -n 8 && rm -rf --one-file-system "$place") || true
    done
}

outside() {
    ((EUID == 0)) || die "a machine of its own needs root; please run: sudo make check-fresh"
    unshare --mount --pid --fork true 2>/dev/null || die "this machine allows no namespaces, which a machine of its own needs."
    command -v rustup >/dev/null || die "rustup is missing, whose toolchain the machine gets; please install it from https://rustup.rs"
    need_command debootstrap debootstrap
    [[ -z $(git status --porcelain) ]] || say "note: what is not committed is not checked"
    STEPS=1
    ensure_debian
    remove_orphans
    PLACE=$(mktemp -d "$PLACES.XXXXXX")
    exec 8>"$PLACE/lock"
    flock 8
    trap 'rm -rf --one-file-system "$PLACE"' EXIT
    trap 'exit 130' INT TERM HUP
    unshare --mount --propagation private --pid --fork --kill-child --mount-proc "${BASH_SOURCE[0]}" inside "$PLACE"
}

# --- Inside: a machine, and what its newcomer types ------------------------------------------------------------------

# on_machine USER_ID HOME COMMAND…: runs it there, with the environment of a new login.
on_machine() {
    local variable environment=()
    for variable in http_proxy https_proxy no_proxy; do
        [[ -z ${!variable:-} ]] || environment+=("$variable=${!variable}")
    done
    chroot --userspec="$1:$1" --groups="$1" "$MACHINE" /usr/bin/env --ignore-environment \
        HOME="$2" TERM=dumb RUSTUP_HOME=/opt/rustup RUSTUP_AUTO_INSTALL=0 \
        PATH="$2/.cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "${environment[@]}" "${@:3}"
}

as_machines_root() { on_machine 0 /root "$@"; }

# The machine before anybody uses it: apt's lists as after an installation, and what the README asks for.
make_pristine() {
    begin "making a machine with git, make and gcc"
    MACHINE=$PLACE/pristine
    mkdir "$MACHINE"
    tar --extract --numeric-owner --directory "$MACHINE" --file "$DEBIAN_TAR"
    give_network "$MACHINE"
    as_machines_root bash -c 'apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ca-certificates gcc git libc6-dev make && useradd --create-home --shell /bin/bash --uid "$0" newcomer' "$USER_ID" \
        >"$PLACE/pristine.log" 2>&1 || { tail -n 20 "$PLACE/pristine.log" >&2; die "the machine could not be made."; }
    finish made
}

# boot NAME: a copy of it, with the file systems that the kernel gives and with Rust's toolchain.
boot() {
    local toolchain
    toolchain=$(rustup show active-toolchain | cut -d ' ' -f 1)
    MACHINE=$PLACE/$1
    cp -a "$PLACE/pristine" "$MACHINE"
    mkdir -p "$MACHINE/opt/rustup/toolchains/$toolchain"
    printf 'version = "12"\ndefault_toolchain = "%s"\n' "$toolchain" >"$MACHINE/opt/rustup/settings.toml"
    mount -t proc proc "$MACHINE/proc"
    mount --rbind /sys "$MACHINE/sys"
    mount --rbind /dev "$MACHINE/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$MACHINE/dev/shm"
    mount --bind "$(rustc --print sysroot)" "$MACHINE/opt/rustup/toolchains/$toolchain"
    mount -o remount,bind,ro "$MACHINE/opt/rustup/toolchains/$toolchain"
}

# move_in USER_ID HOME: the newcomer's clone, Rust's commands, and what cargo and Maven have downloaded before.
move_in() {
    local home=$MACHINE$2 cargo=${CARGO_HOME:-$HOME/.cargo} target=${TARGET:-$PLACE/target} file
    mkdir -p "$home/.cargo/registry" "$home/.m2" "$target"
    cp -a "$cargo/bin" "$home/.cargo/"
    for file in "$cargo"/config.toml "$cargo"/registry/index "$cargo"/registry/cache; do
        [[ ! -e $file ]] || cp -a "$file" "$home/.cargo/${file#"$cargo"/}"
    done
    for file in "$HOME"/.m2/settings.xml "$HOME"/.m2/repository; do
        [[ ! -e $file ]] || cp -a "$file" "$home/.m2/"
    done
    git clone --quiet --no-hardlinks "$ROOT_DIR" "$home/gctb"
    mkdir "$home/gctb/target"
    chown -R "$1:$1" "$home" "$target"
    mount --bind "$target" "$home/gctb/target"
}

# types USER_ID HOME LOG COMMAND: what the newcomer types in the clone, shown and kept.
types() {
    say "\$ $4"
    on_machine "$1" "$2" bash -c 'cd "$HOME/gctb" && '"$4" 2>&1 </dev/null | tee "$3"
}

# types_until_done USER_ID HOME LOG COMMAND: the same; when an apt command is asked for, root types that and it is tried again.
types_until_done() {
    local asked
    ! types "$@" || return 0
    asked=$(sed -n 's/^gctb: please have an administrator run this, then try again: \(apt-get .*\)$/\1/p' "$3")
    [[ $1 != 0 && -n $asked ]] || return 1
    say "# $asked"
    as_machines_root env DEBIAN_FRONTEND=noninteractive bash -c "$asked" || return 1
    types "$@"
}

# step NAME USER_ID HOME COMMAND LAST_LINE: passes when the command succeeds and its last line is as the README says.
step() {
    local log=$PLACE/$1.log
    if [[ $WANTED != *" $1 "* ]]; then
        result skipped "$1" "not among CHECK_FRESH_STEPS"
        return
    fi
    begin_loud "$1"
    if types_until_done "$2" "$3" "$log" "$4" && [[ $(tail -n 1 "$log") =~ $5 ]]; then result passed "$1"; else result failed "$1"; fi
    finish_loud "$1: $(last_result)"
}

# leave NAME USER_ID HOME: `make down` ends every process of the machine.
leave() {
    local process left=0
    types "$2" "$3" "$PLACE/$1.log" "make down" || true
    for process in /proc/[0-9]*; do
        [[ $(readlink "$process/root") != "$MACHINE" ]] || left=$((left + 1))
    done
    if ((left == 0)); then result passed "$1"; else result failed "$1"; fi
}

# newcomer NAME USER_ID HOME
newcomer() {
    [[ $WANTED == *" $1-"* ]] || { result skipped "$1" "not among CHECK_FRESH_STEPS"; return; }
    boot "$1"
    move_in "$2" "$3"
    step "$1-demo" "$2" "$3" "make demo" '^demo: 1000 received = [0-9]+ paid \+ [0-9]+ failed \+ 0 in flight; in the books: file [0-9].*, mojaloop [0-9].*, mpesa [0-9].*, simple [0-9].*; 0 lost; 0 paid twice; '
    step "$1-test" "$2" "$3" "make test" '^[0-9]+ passed, 0 failed, [0-9]+ skipped$'
    leave "$1-down" "$2" "$3"
}

inside() {
    STEPS=5
    open_results
    make_pristine
    newcomer root 0 /root
    newcomer user "$USER_ID" /home/newcomer
    close_results
}

case ${1:-} in
'') outside ;;
inside) PLACE=$2 && inside ;;
*) die "usage: check-fresh.sh" ;;
esac
