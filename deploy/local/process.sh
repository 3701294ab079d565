# Starting, recognising and stopping background processes by the id that started them. Sourced, never run.
#
# .local/STACK/run/NAME.pid holds the process id, its start time in clock ticks since boot, and the id of that boot. A
# number alone proves nothing: after a crash or a reboot it may be another process, which must neither be taken for ours nor
# be stopped. .local/STACK/run/NAME.as holds a digest of what it was started from.
# Processes get a session of their own: a Ctrl-C in the terminal reaches the script, not them.
# shellcheck shell=bash

# process_start PID: state-independent identity of a running process; nothing for a dead one or a zombie.
process_start() {
    local stat
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
    # The command's name, in parentheses, may itself contain spaces and parentheses.
    stat=${stat##*) }
    set -- $stat
    [[ $1 == [ZX] ]] || printf '%s %s' "${20}" "$(</proc/sys/kernel/random/boot_id)"
}

# record_process NAME PID
record_process() { printf '%s %s\n' "$2" "$(process_start "$2")" >"$STACK_DIR/run/$1.pid"; }

# process_id NAME: the id of the running process of that name, or nothing.
process_id() {
    local pid started
    { read -r pid started <"$STACK_DIR/run/$1.pid"; } 2>/dev/null || return 0
    [[ -n $started && $(process_start "$pid") == "$started" ]] && printf '%s' "$pid"
    return 0
}

is_running() { [[ -n $(process_id "$1") ]]; }

# launch NAME COMMAND…: starts it in the background, from /, with its output in logs/NAME.log (the last one kept as .1).
launch() {
    local name=$1 log=$STACK_DIR/logs/$1.log
    shift
    [[ ! -s $log ]] || mv -f "$log" "$log.1"
    # An interrupt between the two commands would leave a process that nobody knows of.
    trap '' INT
    (
        cd /
        exec setsid "$@" </dev/null >"$log" 2>&1 9>&-
    ) &
    record_process "$name" $!
    trap - INT
}

# stop_processes SIGNAL SECONDS NAME…: signals all of them at once, waits that long, then kills what is left.
stop_processes() {
    local signal=$1 seconds=$2 name pid deadline_us
    shift 2
    for name in "$@"; do
        pid=$(process_id "$name")
        # What ended in this very moment needs no signal.
        [[ -z $pid ]] || kill "-$signal" "$pid" || ! is_running "$name" || die "$name (process $pid) cannot be stopped by this user; run the same command as the user who started it."
    done
    deadline_us=$(($(now_us) + seconds * 1000000))
    for name in "$@"; do
        while is_running "$name" && (($(now_us) < deadline_us)); do sleep 0.1; done
        pid=$(process_id "$name")
        if [[ -n $pid ]]; then
            say "$name did not stop within $seconds s and is killed"
            kill -KILL "$pid"
            while is_running "$name"; do sleep 0.1; done
        fi
        rm -f "$STACK_DIR/run/$name.pid" "$STACK_DIR/run/$name.as"
    done
}

# --- What a process was started from --------------------------------------------------------------------------------

# note_origin NAME TEXT… and has_origin NAME TEXT…: a process whose program or settings changed is started again.
note_origin() { digest "${@:2}" >"$STACK_DIR/run/$1.as"; }
has_origin() { [[ -f $STACK_DIR/run/$1.as && $(<"$STACK_DIR/run/$1.as") == "$(digest "${@:2}")" ]]; }
digest() { printf '%s\0' "$@" | sha256sum | cut -c1-64; }

# --- Ports ------------------------------------------------------------------------------------------------------------

# listening_sockets PORT: the inodes of the sockets that listen on it, on any address.
listening_sockets() {
    awk -v port="$(printf ':%04X' "$1")" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10 }' \
        /proc/net/tcp /proc/net/tcp6 2>/dev/null || true
}

port_in_use() { [[ -n $(listening_sockets "$1") ]]; }

# listens_on PID PORT: whether that very process listens there, not some other one that came first.
listens_on() {
    local inode
    for inode in $(listening_sockets "$2"); do
        [[ -z $(find "/proc/$1/fd" -lname "socket:\[$inode\]" -print -quit 2>/dev/null) ]] || return 0
    done
    return 1
}

# free_port FROM: the first port from there on that nobody listens on.
free_port() {
    local port
    for ((port = $1; port < $1 + 200; port++)); do
        port_in_use "$port" || { printf '%d' "$port"; return; }
    done
    die "no port is free between $1 and $port."
}

# launch_on_port NAME KEY FROM SECONDS START READY: starts NAME on the first free port by calling START NAME PORT, waits until
# READY NAME PORT succeeds, and remembers the port as KEY. Another clone may take the port in between, then the next is tried.
launch_on_port() {
    local name=$1 key=$2 from=$3 seconds=$4 start=$5 ready=$6 port try
    for try in 1 2 3 4 5; do
        port=$(free_port "$from")
        remember "$key" "$port"
        "$start" "$name" "$port"
        ! answers "$name" "$port" "$seconds" "$ready" || return 0
        # It ended for want of its port when somebody listens there now; any other end has another reason.
        if is_running "$name" || ! port_in_use "$port" || ((try == 5)); then break; fi
    done
    local what="did not become ready within $seconds s"
    is_running "$name" || what="ended before it was ready"
    finish_as "not ready"
    tail -n 20 "$STACK_DIR/logs/$name.log" >&2 || true
    stop_processes TERM 10 "$name"
    die "$name $what; its log is ${STACK_DIR#"$ROOT_DIR"/}/logs/$name.log"
}

# answers NAME PORT SECONDS READY: waits until the process is ready, and fails at once when it ends.
answers() {
    local name=$1 port=${2:-0} ready=$4 pid deadline_us
    deadline_us=$(($(now_us) + $3 * 1000000))
    while pid=$(process_id "$name") && [[ -n $pid ]]; do
        if listens_on "$pid" "$port" && "$ready" "$name" "$port"; then return 0; fi
        (($(now_us) < deadline_us)) || return 1
        sleep 0.1
    done
    return 1
}

# http_ok PORT PATH: whether a GET of this path is answered with 200 within three seconds.
http_ok() {
    local status
    status=$(
        {
            exec 3<>"/dev/tcp/127.0.0.1/$1" || exit
            printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$2" >&3
            read -r -t 3 _ code _ <&3 && printf '%s' "$code"
        } 2>/dev/null
    ) || true
    [[ $status == 200* ]]
}

# http_body PORT PATH: what a GET of this path is answered with, which must come within three seconds.
http_body() {
    {
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit
        printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$2" >&3
        timeout 3 sed '1,/^\r*$/d' <&3
    } 2>/dev/null || true
}
