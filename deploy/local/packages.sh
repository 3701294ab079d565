#!/usr/bin/env bash
# Installs what the local stack and the build need and this machine lacks: with apt-get, as root or by sudo. Where neither
# is possible it says in one sentence what to type. Nothing is asked of apt when everything is there.
# usage: packages.sh build|stack   (build: what cargo needs; stack: the servers too, but for those named by KAFKA=… or DATABASE_URL=…)
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$LOCAL_DIR/jars.sh"
source "$LOCAL_DIR/postgres.sh"

has() { command -v "$1" >/dev/null 2>&1; }

# A library counts as present when the build will find it.
has_library() { has pkg-config && pkg-config --exists "$1"; }

has_java() {
    local version
    has java && version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p;T;q') && ((${version:-0} >= 17))
}

missing_for_build() {
    has make || echo make
    has gcc || echo gcc
    # librdkafka builds its C++ wrapper along with the C library.
    has g++ || has c++ || echo g++
    has pkg-config || echo pkg-config
    has_library libpq || echo libpq-dev
    has_library openssl || echo libssl-dev
    has_library zlib || echo zlib1g-dev
}

missing_for_servers() {
    [[ -n ${DATABASE_URL:-} ]] || [[ -n $(postgres_bin) ]] || echo postgresql
    [[ -n ${KAFKA:-} ]] || has_java || echo openjdk-17-jre-headless
    [[ -n ${KAFKA:-} ]] || has_jars || has mvn || echo maven
}

# As root apt-get itself, else by sudo.
as_root() { if ((EUID == 0)); then "$@"; else sudo "$@"; fi; }

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 \
        apt-get -o DPkg::Lock::Timeout=120 install --yes --no-install-recommends "$@"
}

# Debian's postgresql makes and starts a server of its own on port 5432, which nobody here asked for.
without_main_cluster() {
    apt_install postgresql-common
    as_root sed -i 's/^#\?create_main_cluster *=.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
}

install_packages() {
    as_root apt-get -o DPkg::Lock::Timeout=120 update || return
    [[ " $* " != *" postgresql "* ]] || without_main_cluster || return
    apt_install "$@"
}

has cargo || [[ ! -x ${HOME:-}/.cargo/bin/cargo ]] || die 'cargo is installed but not on the PATH; please run: . "$HOME/.cargo/env"'
has cargo || die "Rust is missing; please install it from https://rustup.rs and run this command again."

mapfile -t missing < <(
    missing_for_build
    [[ ${1:?build or stack} == build ]] || missing_for_servers
)
((${#missing[@]})) || exit 0

advice="sudo apt-get install --yes --no-install-recommends ${missing[*]}"
has apt-get || die "please install what corresponds to these Debian packages and run this command again: ${missing[*]}"
((EUID == 0)) || has sudo || die "please have an administrator run this, then try again: ${advice#sudo }"
printf '\ninstalling with apt: %s\n' "${missing[*]}"
install_packages "${missing[@]}" || die "apt could not install what is missing; please see to it that this succeeds: $advice"
