# shellcheck shell=bash
# Kafka: one node that is broker and controller (KRaft).

kafka_config() {
    local home=$DIR/kafka
    mkdir -p "$home"
    # Not one of the server's own: whoever makes faults listens there.
    ports_choose kafka-proxy
    write_atomic "$home/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$(port_of kafka-controller)
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$(port_of kafka),PROXY://127.0.0.1:$(port_of kafka-behind-proxy),CONTROLLER://127.0.0.1:$(port_of kafka-controller)
# Clients of PROXY are sent on to a proxy's port: tests put faults there.
advertised.listeners=PLAINTEXT://127.0.0.1:$(port_of kafka),PROXY://127.0.0.1:$(port_of kafka-proxy)
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXY:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$home/data
# Sluice makes its topics itself, with the partitions it wants.
auto.create.topics.enable=false
# One node: nothing can be replicated.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Fewer files, a faster start, a smaller heap.
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
log.cleaner.dedupe.buffer.size=8388608
# A killed node that comes back is let in when its old session has run out.
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
# A consumer that joins is served at once.
group.initial.rebalance.delay.ms=0
EOF
}

kafka_java() {
    local class_path
    class_path="$(artifact_dir kafka)/jars/*"
    printf '%s\n' "$(java_for kafka)/bin/java" -Xms64m "-Xmx${SLUICE_SERVICES_KAFKA_HEAP:-384m}" \
        -XX:+UseSerialGC -Djava.net.preferIPv4Stack=true \
        -Dorg.slf4j.simpleLogger.showDateTime=true '-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS' \
        -Dorg.slf4j.simpleLogger.showShortLogName=true -Dorg.slf4j.simpleLogger.showThreadName=false \
        "$@" -cp "$class_path"
}

start_kafka() {
    local java
    kafka_config
    if [[ ! -e $DIR/kafka/data/meta.properties ]]; then
        # A cluster id is 22 characters of base64url: 16 bytes.
        mapfile -t java < <(kafka_java)
        local id
        id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'ab' | tr -d '=')
        "${java[@]}" kafka.tools.StorageTool format -t "$id" -c "$DIR/kafka/server.properties" \
            </dev/null >>"$DIR/logs/kafka.log" 2>&1 \
            || { note "Kafka's storage tool could not format $DIR/kafka/data"; return 1; }
    fi
    mapfile -t java < <(kafka_java "$(mark_of kafka)")
    spawn kafka "$DIR/kafka" "${java[@]}" kafka.Kafka "$DIR/kafka/server.properties"
}
