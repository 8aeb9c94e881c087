# shellcheck shell=bash
# Elasticsearch and OpenSearch: one node each, in the distribution their makers
# publish for integration tests: the real server without most of its modules.
#
# Both refuse to run as root. Where we are root they run as user 65534, with
# leave to walk through folders that are closed to it (a mktemp -d of the
# caller's, the cache in /root).

readonly NOBODY=65534

# Prints the words to put before a command so that it does not run as root.
unprivileged() {
    local drop=(setpriv "--reuid=$NOBODY" "--regid=$NOBODY" --clear-groups)
    [[ $(id -u) == 0 ]] || return 0
    command -v setpriv >/dev/null || die "$1 does not run as root, and setpriv (package util-linux) is not there"
    if ! "${drop[@]}" test -r "$DIR/$1/config/$1.yml" -a -r "$(artifact_dir "$1")/bin/$1"; then
        # Without no_setuid_fixup, access(2) would not count what is left to it.
        drop+=("--inh-caps=-all,+dac_override" "--ambient-caps=-all,+dac_override" "--securebits=+no_setuid_fixup")
        "${drop[@]}" test -r "$DIR/$1/config/$1.yml" 2>/dev/null \
            || die "$1 does not run as root, and user $NOBODY cannot reach $DIR or $CACHE:" \
                "chmod o+x the folders above, or give another --dir (and XDG_CACHE_HOME)"
    fi
    printf '%s\n' "${drop[@]}"
}

documents_config() {
    local name=$1 home=$DIR/$1
    mkdir -p "$home/config" "$home/data" "$home/tmp" "$home/logs"
    ln -sfn "../$name/logs/$name.log" "$DIR/logs/$name.log"
    touch "$home/logs/$name.log"
    {
        cat <<EOF
cluster.name: sluice-services
node.name: $name
discovery.type: single-node
network.host: 127.0.0.1
http.port: $(port_of "$name")
transport.port: $(port_of "$name-transport")
path.data: $home/data
path.logs: $home/logs
# A test machine's disk is often fuller than a cluster's may be.
cluster.routing.allocation.disk.threshold_enabled: false
EOF
        if [[ $name == elasticsearch ]]; then say "xpack.security.enabled: false"; fi
    } | write_atomic "$home/config/$name.yml"
    # Without a folder of its own for temporary files it takes /tmp, which may
    # hold its config: then it refuses to start. The rest is as in its own file,
    # with whole paths.
    {
        cat <<EOF
-Djava.net.preferIPv4Stack=true
-Djava.io.tmpdir=$home/tmp
-Duser.home=$home/tmp
-XX:+UseG1GC
-XX:+ExitOnOutOfMemoryError
-XX:ErrorFile=$home/logs/hs_err.log
21-:-Dorg.apache.lucene.store.MMapDirectory.sharedArenaMaxPermits=1
EOF
        if [[ $name == opensearch ]]; then
            say "-javaagent:$(artifact_dir opensearch)/agent/opensearch-agent.jar"
        fi
    } | write_atomic "$home/config/jvm.options"
    write_atomic "$home/config/log4j2.properties" <<EOF
status = error
appender.file.type = File
appender.file.name = file
appender.file.fileName = $home/logs/$name.log
appender.file.append = true
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = [%d{ISO8601}][%-5p][%c{1}] %m%n
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
EOF
    [[ $(id -u) != 0 ]] || chown -R "$NOBODY:$NOBODY" "$home"
}

# The launcher (-d) checks the config, starts the server, and ends.
start_elasticsearch() {
    local home=$DIR/elasticsearch heap=${SLUICE_SERVICES_ELASTICSEARCH_HEAP:-768m} drop
    documents_config elasticsearch
    drop=$(unprivileged elasticsearch)
    mapfile -t drop < <(printf '%s' "${drop:+$drop$'\n'}")
    rm -f "$home/pid"
    spawn elasticsearch "$home" "${drop[@]}" env -u JAVA_HOME "ES_JAVA_HOME=$(java_for elasticsearch)" \
        "ES_PATH_CONF=$home/config" "ES_TMPDIR=$home/tmp" \
        "ES_JAVA_OPTS=-Xms$heap -Xmx$heap $(mark_of elasticsearch)" \
        "$(artifact_dir elasticsearch)/bin/elasticsearch" -d -p "$home/pid"
}

start_opensearch() {
    local home=$DIR/opensearch heap=${SLUICE_SERVICES_OPENSEARCH_HEAP:-512m} drop
    documents_config opensearch
    drop=$(unprivileged opensearch)
    mapfile -t drop < <(printf '%s' "${drop:+$drop$'\n'}")
    spawn opensearch "$home" "${drop[@]}" env -u JAVA_HOME "OPENSEARCH_JAVA_HOME=$(java_for opensearch)" \
        "OPENSEARCH_PATH_CONF=$home/config" "OPENSEARCH_TMPDIR=$home/tmp" \
        "OPENSEARCH_JAVA_OPTS=-Xms$heap -Xmx$heap $(mark_of opensearch)" \
        "$(artifact_dir opensearch)/bin/opensearch"
}
