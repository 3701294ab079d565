# A private single-node Apache Kafka (KRaft) on 127.0.0.1, data in .local/STACK/kafka. Sourced by stack.sh.
# shellcheck shell=bash

source "$LOCAL_DIR/jars.sh"

# render_kafka PORT CONTROLLER_PORT: its settings, from the template.
render_kafka() {
    local text
    text=$(<"$LOCAL_DIR/kafka/server.properties")
    text=${text//@PORT@/"$1"}
    text=${text//@CONTROLLER_PORT@/"$2"}
    printf '%s\n' "${text//@DATA@/"$STACK_DIR/kafka/data"}" >"$STACK_DIR/kafka/server.properties"
}

kafka_java() { printf '%s\0' java "$@" "-Dlog4j2.configurationFile=$LOCAL_DIR/kafka/log4j2.properties" -cp "$JARS_DIR/*"; }

# A formatting that was interrupted leaves no marker, and is done anew.
format_kafka() {
    local id command
    [[ ! -f $STACK_DIR/kafka/formatted ]] || return 0
    rm -rf "$STACK_DIR/kafka/data"
    # A cluster id is 16 random bytes in URL-safe base64; as an argument it must not begin with a dash.
    id=A$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c2-22)
    mapfile -d '' -t command < <(kafka_java -Xmx128m)
    "${command[@]}" kafka.tools.StorageTool format --cluster-id "$id" --config "$STACK_DIR/kafka/server.properties" \
        >"$STACK_DIR/logs/kafka-format.log" 2>&1 ||
        { tail -n 20 "$STACK_DIR/logs/kafka-format.log" >&2; die "could not format Kafka's data folder ${STACK_DIR#"$ROOT_DIR"/}/kafka"; }
    touch "$STACK_DIR/kafka/formatted"
}

# start_kafka NAME PORT
start_kafka() {
    local port=$2 command controller
    mkdir -p "$STACK_DIR/kafka"
    controller=$(free_port $((port + 100)))
    remember KAFKA_CONTROLLER_PORT "$controller"
    render_kafka "$port" "$controller"
    format_kafka
    mapfile -d '' -t command < <(kafka_java -Xms128m -Xmx384m -XX:+UseSerialGC)
    launch kafka "${command[@]}" kafka.Kafka "$STACK_DIR/kafka/server.properties"
}

# The port opens a moment before the broker is complete.
ready_kafka() { grep -q 'Kafka Server started' "$STACK_DIR/logs/kafka.log" 2>/dev/null; }

# ensure_kafka FROM_PORT: a Kafka that was named is used, otherwise our own runs.
ensure_kafka() {
    if [[ -n ${KAFKA:-} ]]; then
        begin "looking for Kafka at $KAFKA"
        reach_kafka "${KAFKA%%,*}" || die "nothing answers at KAFKA=$KAFKA; it must be host:port of a Kafka broker."
        remember KAFKA "$KAFKA"
        finish_as "it answers"
        return
    fi
    begin "starting Kafka $KAFKA_VERSION"
    local port
    port=$(recall KAFKA_PORT)
    if is_running kafka && answers kafka "$port" 30 ready_kafka; then
        finish_as "already running on port $port"
    else
        stop_processes TERM 30 kafka
        launch_on_port kafka KAFKA_PORT "$1" 60 start_kafka ready_kafka
        port=$(recall KAFKA_PORT)
        finish "ready on port $port"
    fi
    remember KAFKA "127.0.0.1:$port"
}

# reach_kafka HOST:PORT: whether somebody accepts a connection there within five seconds.
reach_kafka() {
    [[ $1 =~ ^[A-Za-z0-9.-]+:[0-9]+$ ]] || return 1
    timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "${1%:*}" "${1##*:}" 2>/dev/null
}

# Jars are needed only where Kafka is ours.
ensure_jars() {
    begin "fetching Kafka $KAFKA_VERSION from Maven Central (43 MB)"
    if [[ -n ${KAFKA:-} ]]; then
        finish_as "not needed, KAFKA=$KAFKA is used"
    elif has_jars; then
        finish_as "already in the cache"
    else
        fetch_jars
        finish "checked and kept in $JARS_DIR"
    fi
}
