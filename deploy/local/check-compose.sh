#!/usr/bin/env bash
# Runs docker-compose.yml with podman, from the images of deploy/Dockerfile: pays a batch over every simulated rail, another one
# with two mappers, and takes everything down. The programs are built here, for the same final stages. Prints
# `N passed, N failed, N skipped`; where podman cannot run, that is what is skipped.
# usage: check-compose.sh   (CHECK_COMPOSE_PROGRAMS=FOLDER: the programs that lie there, instead of a build)
#
# It needs root, and no registry of images: Debian is made by debootstrap, Postgres and Kafka are stand-ins with the official
# images' names (deploy/local/check-compose/). Everything happens in namespaces of its own, networks included, with a storage of its
# own in the cache: when this script ends, however it ends, its containers and networks end with it. Only the images stay.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$LOCAL_DIR/results.sh"
source "$LOCAL_DIR/debian.sh"
source "$LOCAL_DIR/kafka.sh"
source "$LOCAL_DIR/services.sh"

PODMAN_COMPOSE_VERSION=1.6.0
PODMAN_COMPOSE=$(cache_dir)/podman-compose-$PODMAN_COMPOSE_VERSION
STORAGE=$(cache_dir)/containers
TARGETS=(gctb gctb-simulator gctb-status gctb-mapper gctb-backend-file gctb-backend-mpesa gctb-backend-mojaloop gctb-api)
SERVERS=(postgres kafka)
JOBS=(gctb-migrate gctb-topics)
# The simulator is healthy before the others start: it makes M-Pesa's certificate.
SIMULATOR=gctb-simulator
BRIDGE=(gctb-status gctb-mapper gctb-backend-file gctb-backend-mpesa gctb-backend-simple gctb-backend-mojaloop gctb-api)
READY_SECONDS=300
# As many disbursements as give each partition of the mapper's topic a few messages of 500.
SCALED_COUNT=20000

use_stack check-compose
CONFIG=$STACK_DIR/config
export CONTAINERS_CONF=$CONFIG/containers.conf CONTAINERS_STORAGE_CONF=$CONFIG/storage.conf
# Nobody runs systemd here, which podman would ask to look at each container's health. This script looks.
export DISABLE_HC_SYSTEMD=true

# --- Outside: programs, packages, namespaces -------------------------------------------------------------------------

install_podman() {
    begin_loud "looking for podman"
    need_command podman podman buildah runc containernetworking-plugins golang-github-containernetworking-plugin-dnsname iptables iproute2
    need_command buildah buildah
    need_command runc runc
    need_command ip iproute2
    need_command debootstrap debootstrap
    [[ -x $PODMAN_COMPOSE/bin/podman-compose ]] || {
        need_command python3 python3 python3-venv
        rm -rf "$PODMAN_COMPOSE"
        { python3 -m venv "$PODMAN_COMPOSE" && "$PODMAN_COMPOSE/bin/pip" install --quiet "podman-compose==$PODMAN_COMPOSE_VERSION"; } ||
            die "podman-compose $PODMAN_COMPOSE_VERSION could not be installed from PyPI into $PODMAN_COMPOSE"
    }
    [[ -f /etc/containers/policy.json ]] || die "/etc/containers/policy.json is missing; Debian's package golang-github-containers-common brings it."
    finish_loud "all there"
}

# What podman needs where it is neither the first nor the only thing on a machine. Nothing in /etc/containers is touched.
write_podman_settings() {
    mkdir -p "$CONFIG/networks" "$STORAGE"
    cat >"$CONFIG/containers.conf" <<-SETTINGS
		[containers]
		default_ulimits = ["nofile=20000:20000", "nproc=30000:30000"]
		[engine]
		runtime = "runc"
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		[network]
		network_backend = "cni"
		network_config_dir = "$CONFIG/networks"
		cni_plugin_dirs = ["/usr/lib/cni"]
	SETTINGS
    cat >"$CONFIG/storage.conf" <<-SETTINGS
		[storage]
		driver = "overlay"
		graphroot = "$STORAGE"
		runroot = "/run/gctb-containers"
	SETTINGS
}

# The programs as they are now: a build that somebody starts meanwhile does not change the images.
keep_programs() {
    local target
    mkdir -p "$STACK_DIR/programs"
    for target in "${TARGETS[@]}"; do cp "$BIN_DIR/$target" "$STACK_DIR/programs/"; done
}

outside() {
    ((EUID == 0)) || { result skipped check-compose "needs root: sudo make check-compose"; return; }
    unshare --mount --net --pid --fork true 2>/dev/null || { result skipped check-compose "this machine allows no namespaces"; return; }
    "$LOCAL_DIR/packages.sh" stack
    install_podman
    ensure_debian
    ensure_jars
    if [[ -n ${CHECK_COMPOSE_PROGRAMS:-} ]]; then BIN_DIR=$CHECK_COMPOSE_PROGRAMS; else build_services; fi
    keep_programs
    write_podman_settings
    exec 8>"$STORAGE.lock"
    flock 8
    GCTB_RESULTS=$RESULTS unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
        "${BASH_SOURCE[0]}" inside "$STEP"
}

# --- Inside: images --------------------------------------------------------------------------------------------------

# What podman and its neighbours note outside of their storage goes with the namespace.
hide_run() {
    local place
    cp /etc/resolv.conf "$CONFIG/"
    mkdir -p /var/lib/cni
    for place in /run /var/lib/cni /dev/shm; do mount -t tmpfs tmpfs "$place"; done
    # On some machines the file lies below /run.
    [[ -e /etc/resolv.conf ]] || install -D "$CONFIG/resolv.conf" "$(readlink -m /etc/resolv.conf)"
}

import_debian() {
    local machine
    ! podman image exists docker.io/library/debian:bookworm-slim || return 0
    machine=$(mktemp -d /var/tmp/gctb-debian.XXXXXX)
    tar --extract --numeric-owner --directory "$machine" --file "$DEBIAN_TAR"
    give_network "$machine"
    tar --create --numeric-owner --directory "$machine" . | podman import --quiet - docker.io/library/debian:bookworm-slim
    rm -rf --one-file-system "$machine"
}

can_run() { podman run --rm --network none docker.io/library/debian:bookworm-slim true; }

# image TAG ARGUMENT…: builds it; what a step printed is shown when it fails. Health checks are no part of OCI's own format.
image() {
    buildah bud --isolation chroot --layers --format docker --tag "$1" "${@:2}" >"$STACK_DIR/logs/build.log" 2>&1 ||
        { tail -n 20 "$STACK_DIR/logs/build.log" >&2; return 1; }
}

# image_of SERVICE: the image that docker-compose.yml names.
image_of() { sed -n "/^  $1:/,/image:/s/^ *image: *//p" docker-compose.yml; }

stand_ins() {
    image "docker.io/library/$(image_of postgres)" "$LOCAL_DIR/check-compose/postgres" &&
        image "docker.io/$(image_of kafka)" --build-context "jars=$JARS_DIR" --build-context "config=$LOCAL_DIR/kafka" \
            "$LOCAL_DIR/check-compose/kafka"
}

images() {
    local target
    for target in "${TARGETS[@]}"; do
        image "localhost/$target:local" --file deploy/Dockerfile --target "$target" --build-context "programs=$STACK_DIR/programs" . || return 1
    done
}

inside() {
    hide_run
    # Left by a run that was killed.
    podman rm --all --force >/dev/null 2>&1 || true
    podman volume rm --all --force >/dev/null 2>&1 || true
    rm -f "$CONFIG"/networks/*
    begin "importing Debian"
    import_debian >/dev/null
    if ! can_run >"$STACK_DIR/logs/podman.log" 2>&1; then
        finish_as "podman cannot run containers here: $(tail -n 1 "$STACK_DIR/logs/podman.log")"
        result skipped check-compose "podman cannot run containers here"
        return
    fi
    finish imported
    begin "building stand-ins for Postgres and Kafka"
    stand_ins || { result failed "the stand-ins can be built"; return; }
    finish built
    begin "building an image per service"
    images || { result failed "the images can be built"; return; }
    finish built
    podman images --format '      {{.Repository}}:{{.Tag}} {{.Size}}' --filter reference='localhost/gctb*:local'
    unshare --net "${BASH_SOURCE[0]}" composed "$STEP"
}

# --- Inside, with a network of its own: the composed services --------------------------------------------------------

# `docker compose run` needs no word about the profile of what it runs, podman-compose does.
compose() { "$PODMAN_COMPOSE/bin/podman-compose" --profile simulator --profile tools "$@"; }

# start SERVICE…: `docker compose` waits by itself for what depends_on says. The podman of Debian 12 knows no health in it, and does
# not start what depends on a job that has ended. So this script starts one thing after the other, and waits.
start() { quietly compose up --detach --no-deps "$@"; }

# quietly COMMAND…: its output goes to a log, whose end is shown when it fails.
quietly() {
    "$@" >"$STACK_DIR/logs/compose.log" 2>&1 </dev/null || { tail -n 20 "$STACK_DIR/logs/compose.log" >&2; return 1; }
}

# containers SERVICE
containers() { podman ps --all --quiet --filter "label=com.docker.compose.service=$1"; }

# tell_of CONTAINER: what is known of one that is not as it should be.
tell_of() {
    podman inspect --format '{{.Name}} is {{.State.Status}} (exit status {{.State.ExitCode}}, restarted {{.RestartCount}} times)' "$1"
    podman healthcheck run "$1" || true
    podman logs --tail 20 "$1"
}

tell_of_all() {
    local container
    for container in $(podman ps --all --quiet); do tell_of "$container"; done
}

# until_healthy SERVICE…: what the image's or the compose file's health command says, asked until it agrees.
until_healthy() {
    local service container deadline_us=$(($(now_us) + READY_SECONDS * 1000000))
    for service in "$@"; do
        for container in $(containers "$service"); do
            until podman healthcheck run "$container" >/dev/null 2>&1; do
                (($(now_us) < deadline_us)) || return 1
                sleep 0.5
            done
        done
    done
}

servers_up() { start "${SERVERS[@]}" && until_healthy "${SERVERS[@]}"; }

jobs_done() {
    local job
    start "${JOBS[@]}" || return 1
    for job in "${JOBS[@]}"; do
        [[ $(podman wait "$(containers "$job")") == 0 ]] || return 1
    done
}

simulator_up() { start "$SIMULATOR" && until_healthy "$SIMULATOR"; }

services_up() { start "$@" "${BRIDGE[@]}" && until_healthy "${BRIDGE[@]}"; }

# simulate COUNT: pays a batch, and its last line is the demo's.
simulate() {
    local log=$STACK_DIR/logs/simulate.log
    compose run --rm -T gctb simulate /examples/disburse-1000.json --count "$1" --deadline 15m </dev/null 2>"$log.err" | tee "$log" | tail -n 1
    [[ $(tail -n 1 "$log") =~ ^demo:\ $1\ received\ =\ [0-9]+\ paid\ \+\ [0-9]+\ failed\ \+\ 0\ in\ flight\;\ in\ the\ books:\ file\ [0-9]+.*\;\ 0\ lost\;\ 0\ paid\ twice ]] ||
        { tail -n 20 "$log.err" >&2; return 1; }
}

# The README's submit: by the port that is published.
submit_from_outside() {
    quietly "$STACK_DIR/programs/gctb" submit docs/examples/disburse-small.json --api http://127.0.0.1:8080 &&
        quietly "$STACK_DIR/programs/gctb" status 5c1e7f0a-6e0f-4c58-9d3f-0f6f5a1f0003 --watch --deadline 15m --api http://127.0.0.1:8080
}

# handled CONTAINER PORT: messages that it has handled so far.
handled() {
    podman exec "$1" bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" && printf "GET /metrics HTTP/1.0\r\n\r\n" >&3 && cat <&3' "$2" |
        awk '/^gctb_consumer_messages_total/ { sum += $NF } END { print sum + 0 }'
}

two_mappers() {
    local container containers
    services_up --scale gctb-mapper=2 && simulate "$SCALED_COUNT" || return 1
    mapfile -t containers < <(containers gctb-mapper)
    ((${#containers[@]} == 2)) || return 1
    for container in "${containers[@]}"; do (($(handled "$container" 8081) > 0)) || return 1; done
}

nobody_is_root() {
    local service
    for service in "$SIMULATOR" "${BRIDGE[@]}"; do
        [[ $(podman exec "$(containers "$service" | head -n 1)" id -u) == 10001 ]] || return 1
    done
}

# Nothing is left: no container, volume or network.
taken_down() {
    local mappers
    # `docker compose` takes down every replica, podman-compose those alone that the file names.
    mapfile -t mappers < <(containers gctb-mapper)
    ((${#mappers[@]} < 2)) || quietly podman rm --force "${mappers[@]}" || return 1
    quietly compose down --volumes || return 1
    [[ -z $(podman ps --all --quiet; podman volume ls --quiet; podman network ls --format '{{.Name}}' | grep -v '^podman$') ]]
}

# verify NAME COMMAND…: what comes later is not tried when it fails, but for the end.
verify() {
    if [[ -n $broken ]]; then
        result skipped "$1" "after a failure"
        return
    fi
    begin_loud "$1"
    if "${@:2}"; then result passed "$1"; else broken=1 && result failed "$1" && tell_of_all; fi
    finish_loud "$1: $(last_result)"
}

composed() {
    broken=
    ip link set lo up
    verify "Postgres and Kafka become healthy" servers_up
    verify "migrations and topics are applied by their jobs" jobs_done
    verify "the simulator becomes healthy" simulator_up
    verify "every service becomes healthy" services_up
    verify "no service runs as root" nobody_is_root
    verify "a batch of 1000 is paid over every rail of the composed services" simulate 1000
    verify "a batch is submitted through the published port" submit_from_outside
    verify "two mappers share the work, and nobody is paid twice" two_mappers
    broken=
    verify "everything is taken down" taken_down
}

STEP=${2:-0} STEPS=16
open_results
case ${1:-} in
'')
    outside
    close_results
    ;;
inside) inside ;;
composed) composed ;;
*) die "usage: check-compose.sh" ;;
esac
