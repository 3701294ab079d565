# The simulator and the services of a stack: built, configured by their environment, started, and started again when they
# ended or when their program or settings changed. Sourced by stack.sh.
# shellcheck shell=bash

# name:first port tried, in the order of starting. Consumers come before the API that feeds them.
SERVICES=(gctb-simulator:8090 gctb-status:8083 gctb-mapper:8081 gctb-backend-file:8082 gctb-backend-mpesa:8084
    gctb-backend-mojaloop:8085 gctb-backend-simple:8087 gctb-api:8080)

# The payment backends among them: each has a topic. `simple` is M-Pesa's backend with its other profile.
BACKENDS=file,mpesa,mojaloop,simple

# program_of gctb-backend-simple: the program that is started under this name.
program_of() { if [[ $1 == gctb-backend-simple ]]; then printf 'gctb-backend-mpesa'; else printf '%s' "$1"; fi; }

# port_key gctb-backend-file: GCTB_BACKEND_FILE_PORT
port_key() {
    local name=${1^^}
    printf '%s_PORT' "${name//-/_}"
}

# url_of NAME
url_of() { printf 'http://127.0.0.1:%s' "$(recall "$(port_key "$1")")"; }

build_services() {
    begin_loud "building (release; cargo shows how far it is)"
    cargo build --release --locked --workspace --bins || die "the build failed."
    BIN_DIR=$(target_dir)/release
    finish_loud "built"
}

# gctb COMMAND…: the command-line tool, pointed at what of this stack is known already.
gctb() (
    set -a
    GCTB_CLI__DATABASE__URL=$(recall DATABASE_URL)
    GCTB_CLI__KAFKA__BROKERS=$(recall KAFKA)
    GCTB_CLI__BACKENDS=$BACKENDS
    [[ -z $(recall GCTB_API_PORT) ]] || GCTB_CLI__API__URL=$(url_of gctb-api)
    [[ -z $(recall GCTB_SIMULATOR_PORT) ]] || GCTB_CLI__SIMULATOR__URL=$(url_of gctb-simulator)
    "$BIN_DIR/gctb" "$@"
)

ensure_schema_and_topics() {
    begin_loud "applying migrations and topics"
    gctb migrate || die "the migrations could not be applied."
    gctb topics apply || die "the topics could not be applied."
    finish_loud "applied"
}

# service_settings NAME PORT: the environment that points a service at this stack, one KEY=VALUE per word.
service_settings() {
    local prefix database=DATABASE__URL bind=ADMIN__BIND simulator
    prefix=$(program_of "$1")
    prefix=${prefix^^} prefix=${prefix//-/_}__
    simulator=$(url_of gctb-simulator)
    case $1 in
    gctb-simulator) return ;;
    gctb-api) bind=HTTP__BIND ;;
    gctb-mapper) printf '%s\0' "${prefix}MAPPER__URL=$simulator/mapper/sync/resolve" ;;
    gctb-backend-file) printf '%s\0' "${prefix}STORE__ROOT=$STACK_DIR/bank" ;;
    gctb-backend-mpesa) daraja_settings "${prefix}MPESA__DARAJA__" "$simulator" ;;
    gctb-backend-mojaloop) printf '%s\0' "${prefix}ADAPTER__URL=$simulator" ;;
    gctb-backend-simple) printf '%s\0' "${prefix}MPESA__SIMPLE__BASE_URL=$simulator" ;;
    esac
    printf '%s\0' "$prefix$database=$(recall DATABASE_URL)" "${prefix}KAFKA__BROKERS=$(recall KAFKA)" "$prefix$bind=127.0.0.1:$2"
}

# daraja_settings PREFIX SIMULATOR_URL: who is called, where callbacks come in, and for whom passwords are encrypted.
daraja_settings() {
    local callbacks
    callbacks=127.0.0.1:$(recall GCTB_CALLBACKS_PORT)
    printf '%s\0' "$1BASE_URL=$2" "$1CALLBACK_URL=http://$callbacks" "$1LISTENER__BIND=$callbacks" \
        "$1CALLBACK_TOKEN=$(recall GCTB_CALLBACK_TOKEN)" "$1CERTIFICATE_FILE=$STACK_DIR/mpesa-certificate.pem"
}

# prepare_service NAME: what must be there before its settings can name it.
prepare_service() {
    [[ $1 == gctb-backend-mpesa ]] || return 0
    is_running "$1" || remember GCTB_CALLBACKS_PORT "$(free_port 8086)"
    # Nobody else on this machine can guess where callbacks are taken.
    [[ -n $(recall GCTB_CALLBACK_TOKEN) ]] || remember GCTB_CALLBACK_TOKEN "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"
    # M-Pesa hands out its certificate through a portal; the simulator makes one of its own at its first start.
    http_body "$(recall GCTB_SIMULATOR_PORT)" /control/mpesa/certificate >"$STACK_DIR/mpesa-certificate.pem"
    grep -q 'BEGIN CERTIFICATE' "$STACK_DIR/mpesa-certificate.pem" || die "the simulator did not give M-Pesa's certificate."
}

# service_command NAME PORT: its program and arguments, one per word. Settings files say only what differs from the defaults.
service_command() {
    local settings=$LOCAL_DIR/demo/$1.toml
    printf '%s\0' "$BIN_DIR/$(program_of "$1")"
    if [[ $1 == gctb-simulator ]]; then
        printf '%s\0' --bind "127.0.0.1:$2" --bank-root "$STACK_DIR/bank" --book "$STACK_DIR/bank-book"
    elif [[ -f $settings ]]; then
        printf '%s\0' --config "$settings"
    fi
}

# service_origin NAME PORT: all that a running service was started from.
service_origin() {
    local settings=$LOCAL_DIR/demo/$1.toml
    service_settings "$@" | tr '\0' '\n'
    service_command "$@" | tr '\0' '\n'
    stat -c '%i %s %y' "$BIN_DIR/$(program_of "$1")"
    [[ ! -f $settings ]] || cat "$settings"
    [[ $1 != gctb-backend-mpesa ]] || cat "$STACK_DIR/mpesa-certificate.pem"
}

# start_service NAME PORT. Settings go by the environment, where passwords do not show in ps.
start_service() {
    local settings command
    mapfile -d '' -t settings < <(service_settings "$@")
    mapfile -d '' -t command < <(service_command "$@")
    mkdir -p "$STACK_DIR/bank/outgoing" "$STACK_DIR/bank/incoming"
    note_origin "$1" "$(service_origin "$@")"
    (
        ((${#settings[@]} == 0)) || export "${settings[@]}"
        launch "$1" "${command[@]}"
    )
}

# ready_service NAME PORT
ready_service() {
    if [[ $1 == gctb-simulator ]]; then http_ok "$2" /healthz; else http_ok "$2" /readyz; fi
}

# ensure_service NAME FROM_PORT: leaves alone what runs, is ready and was started from the program and settings of today.
ensure_service() {
    local name=$1 key port
    key=$(port_key "$name")
    port=$(recall "$key")
    begin "starting $name"
    prepare_service "$name"
    if is_running "$name" && has_origin "$name" "$(service_origin "$name" "$port")" && answers "$name" "$port" 10 ready_service; then
        finish_as "already running on port $port"
        return
    fi
    stop_processes TERM 15 "$name"
    launch_on_port "$name" "$key" "$2" 30 start_service ready_service
    finish "ready on port $(recall "$key")"
}

ensure_services() {
    local service
    for service in "${SERVICES[@]}"; do ensure_service "${service%:*}" "${service#*:}"; done
}
