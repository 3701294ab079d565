# A Debian 12 from nothing: made once by debootstrap, kept as an archive in the cache that clones share. The checks of the
# images and of a fresh machine start from it. Sourced; needs root.
# shellcheck shell=bash

DEBIAN_RELEASE=bookworm
DEBIAN_TAR=$(cache_dir)/debian-$DEBIAN_RELEASE-minbase.tar

# debian_mirror: where this machine's apt gets the release from.
debian_mirror() {
    local mirror
    # The placeholders are apt's, not the shell's.
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 'Component: main' 2>/dev/null |
        sed -n "s/^$DEBIAN_RELEASE //p;T;q")
    printf '%s' "${mirror:-http://deb.debian.org/debian/}"
}

# ensure_debian: makes the archive where it is missing. It takes its place whole, so that a run that was cut short leaves nothing.
ensure_debian() {
    local making
    begin "looking for a Debian 12 to start from"
    if [[ -f $DEBIAN_TAR ]]; then
        finish_as "already in the cache"
        return
    fi
    making=$(mktemp -d /var/tmp/gctb-debian.XXXXXX)
    if ! debootstrap --variant=minbase "$DEBIAN_RELEASE" "$making/root" "$(debian_mirror)" >"$making/log" 2>&1; then
        tail -n 20 "$making/log" >&2
        rm -rf --one-file-system "$making"
        die "debootstrap could not make a Debian 12 from $(debian_mirror)"
    fi
    tar --create --numeric-owner --directory "$making/root" --file "$making/tar" .
    mv "$making/tar" "$DEBIAN_TAR"
    rm -rf --one-file-system "$making"
    finish "made by debootstrap"
}

# give_network MACHINE: what lets apt and its neighbours out of that folder as they get out of this machine: names, sources, proxies,
# certificates. `update-ca-certificates` is the caller's, once there is one.
give_network() {
    local file
    cp /etc/resolv.conf /etc/hosts "$1/etc/"
    rm -f "$1/etc/apt/sources.list"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.*; do
        [[ ! -f $file ]] || cp "$file" "$1${file%/*}/"
    done
    for file in /etc/apt/apt.conf.d/*; do
        ! grep -qs '^Acquire' "$file" || cp "$file" "$1/etc/apt/apt.conf.d/"
    done
    mkdir -p "$1/usr/local/share/ca-certificates"
    cp -r /usr/local/share/ca-certificates/. "$1/usr/local/share/ca-certificates/"
    # Nothing that apt installs there may start a server.
    printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
    chmod 755 "$1/usr/sbin/policy-rc.d"
}

# need_command COMMAND PACKAGE…: installs the packages where the command is missing.
need_command() {
    command -v "$1" >/dev/null && return
    say "installing with apt: ${*:2}"
    { apt-get -o DPkg::Lock::Timeout=120 update && DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=120 install --yes --no-install-recommends "${@:2}"; } >/dev/null ||
        die "apt could not install what is missing; please see to it that this succeeds: apt-get install --yes ${*:2}"
}
