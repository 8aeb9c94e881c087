# shellcheck shell=bash
# What is told about a set: a table, JSON, and a config for Sluice.

# 3 s, 4 min, 5 h, 6 d.
human_time() {
    local s=$1
    if ((s < 120)); then
        printf '%d s' "$s"
    elif ((s < 7200)); then
        printf '%d min' $((s / 60))
    elif ((s < 172800)); then
        printf '%d h' $((s / 3600))
    else
        printf '%d d' $((s / 86400))
    fi
}

# A line for every NAME.
report_table() {
    local name state pid rss up
    printf '%-14s %-8s %-28s %8s %8s %8s\n' server state address pid up memory
    for name in "$@"; do
        state=$(state_of "$name")
        pid=- rss=- up=-
        if [[ $state != stopped ]] && running "$name"; then
            pid=$PID
            up=$(human_time "$(uptime_of "$name")")
            rss="$(($(rss_of "$name") / 1048576)) MB"
        fi
        printf '%-14s %-8s %-28s %8s %8s %8s\n' "$name" "$state" "$(address_of "$name")" "$pid" "$up" "$rss"
    done
}

# The same as JSON.
report_json() {
    local name state comma=""
    printf '{"dir":"%s","servers":{' "$DIR"
    for name in "$@"; do
        state=$(state_of "$name")
        printf '%s"%s":{"state":"%s","address":"%s","log":"%s"' \
            "$comma" "$name" "$state" "$(address_of "$name")" "$DIR/logs/$name.log"
        if [[ $state != stopped ]] && running "$name"; then
            printf ',"pid":%s,"up_s":%s,"rss_bytes":%s' "$PID" "$(uptime_of "$name")" "$(rss_of "$name")"
        fi
        printf '}'
        comma=,
    done
    printf '}}\n'
}

# Writes DIR/endpoints.json: addresses of all servers of the set, and the ids of
# those that run.
write_endpoints() {
    local names name comma="" thrifts=""
    names=$(set_servers)
    {
        printf '{'
        for name in $names; do
            case $name in
                kafka)
                    printf '%s"kafka":"%s","kafka_proxy":"127.0.0.1:%s","kafka_behind_proxy":"127.0.0.1:%s"' \
                        "$comma" "$(address_of kafka)" "$(port_of kafka-proxy)" "$(port_of kafka-behind-proxy)"
                    ;;
                elasticsearch | opensearch)
                    printf '%s"elasticsearch":"%s","documents_engine":"%s"' "$comma" "$(address_of "$name")" "$name"
                    ;;
                hmaster)
                    printf '%s"hbase_master":"%s","zookeeper":"127.0.0.1:%s"' \
                        "$comma" "$(address_of hmaster)" "$(port_of zookeeper)"
                    ;;
                regionserver) printf '%s"hbase_regionserver":"%s"' "$comma" "$(address_of regionserver)" ;;
                thrift*) thrifts+="${thrifts:+,}\"$(address_of "$name")\"" ;;
            esac
            comma=,
        done
        [[ -z $thrifts ]] || printf ',"hbase_thrift":[%s]' "$thrifts"
        printf '%s"pids":{' "$comma"
        comma=""
        for name in $names; do
            if running "$name"; then
                printf '%s"%s":%s' "$comma" "$name" "$PID"
                comma=,
            fi
        done
        printf '}}\n'
    } | write_atomic "$DIR/endpoints.json"
}

# The set as a config for Sluice, with the app of its documentation.
report_config() {
    local names documents
    names=" $(set_servers | tr '\n' ' ')"
    say "# Sluice on the servers of $DIR. The keys are in the documentation: loopback only."
    say "data_dir = \"$DIR/sluice\""
    if [[ $names == *" kafka "* ]]; then
        printf '\n[log]\nengine = "kafka"\n\n[kafka]\nbrokers = "%s"\n' "$(address_of kafka)"
    fi
    for documents in elasticsearch opensearch; do
        if [[ $names == *" $documents "* ]]; then
            printf '\n[documents]\nengine = "elasticsearch"\n\n[elasticsearch]\nnodes = ["%s"]\n' "$(address_of "$documents")"
        fi
    done
    if [[ $names == *" thrift "* ]]; then
        printf '\n[rows]\nengine = "hbase"\n\n[hbase]\nservers = [%s]\n' "$(thrift_list)"
    fi
    cat <<'EOF'

[apps.demo]
write_keys = ["demo-write-key"]
server_keys = [{ key = "demo-server-key" }]
read_tokens = ["demo-read-token"]
sensors_projects = [{ project = "demo" }, { project = "default" }]
EOF
}

thrift_list() {
    local name list=""
    for name in $(set_servers | grep '^thrift'); do
        list+="${list:+, }\"$(address_of "$name")\""
    done
    printf '%s' "$list"
}

# The set as lines for a shell.
report_env() {
    local name
    say "export SLUICE_SERVICES_DIR='$DIR'"
    for name in $(set_servers); do
        case $name in
            kafka) say "export KAFKA_BROKERS='$(address_of kafka)'" ;;
            elasticsearch | opensearch) say "export ELASTICSEARCH_URL='$(address_of "$name")'" ;;
            thrift) say "export HBASE_THRIFT='$(thrift_list | tr -d '" ')'" ;;
        esac
    done
}
