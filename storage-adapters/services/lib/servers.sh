# shellcheck shell=bash
# What every server has in common: names, ports, addresses, readiness, and how
# to bring one up, end it, and say what went wrong.

# --- names -----------------------------------------------------------------

# Prints the servers of ENGINE in the order in which they start.
servers_of() {
    local n
    case $1 in
        kafka | elasticsearch | opensearch) say "$1" ;;
        hbase)
            say hmaster
            say regionserver
            say thrift
            for ((n = 2; n <= THRIFT_SERVERS; n++)); do say "thrift$n"; done
            ;;
    esac
}

# Prints the engine of server NAME.
engine_of() {
    case $1 in
        hmaster | regionserver | thrift*) say hbase ;;
        *) say "$1" ;;
    esac
}

# Prints the port keys of NAME; the first is where it is asked.
port_keys() {
    case $1 in
        kafka) say kafka kafka-controller kafka-behind-proxy ;;
        elasticsearch | opensearch) say "$1" "$1-transport" ;;
        hmaster) say hmaster zookeeper ;;
        *) say "$1" ;;
    esac
}

address_of() {
    local port
    port=$(port_of "$1")
    case $1 in
        elasticsearch | opensearch) printf 'http://127.0.0.1:%s' "$port" ;;
        *) printf '127.0.0.1:%s' "$port" ;;
    esac
}

# --- state -----------------------------------------------------------------

# Puts the id of NAME's process into PID; fails when it does not run.
# Elasticsearch's launcher starts the server as a process of its own, whose id
# is in a file.
running() {
    local pid args
    if [[ $1 == elasticsearch ]]; then
        pid=$(first_line "$DIR/elasticsearch/pid")
        if [[ $pid =~ ^[0-9]+$ ]] && ! { pid_of "$1" && [[ $PID == "$pid" ]]; } \
            && { mapfile -d '' -t args <"/proc/$pid/cmdline"; } 2>/dev/null \
            && [[ " ${args[*]} " == *" $(mark_of "$1") "* ]]; then
            remember_pid "$1" "$pid" || true
        fi
    fi
    pid_of "$1"
}

# Whether NAME answers, and with it what it needs.
ready() {
    local port thrift
    port=$(port_of "$1")
    case $1 in
        kafka) probe_kafka "$port" ;;
        elasticsearch | opensearch) probe_documents "$port" ;;
        hmaster)
            probe_zookeeper "$(port_of zookeeper)" || return 1
            # It waits for a RegionServer before it calls itself initialised.
            ! pid_of regionserver || log_says hmaster 'Master has completed initialization'
            ;;
        regionserver)
            log_says regionserver 'Serving as ' || return 1
            # It is asked through a gateway, if one answers.
            for thrift in $(servers_of hbase | grep thrift); do
                if pid_of "$thrift" && ! is_paused "$thrift" && probe_thrift "$(port_of "$thrift")"; then
                    probe_meta "$(port_of "$thrift")"
                    return
                fi
            done
            ;;
        thrift*)
            if ! pid_of hmaster || is_paused hmaster; then
                ask "$port" '' 0
            else
                probe_thrift "$port" || return 1
                ! pid_of regionserver || is_paused regionserver || probe_meta "$port"
            fi
            ;;
    esac
}

# Prints stopped, paused, ready or unready.
state_of() {
    if ! running "$1"; then
        say stopped
    elif is_paused "$1"; then
        say paused
    elif ready "$1"; then
        say ready
    else
        say unready
    fi
}

# --- up --------------------------------------------------------------------

# Brings every NAME up that does not run, and waits until all of them answer.
bring_up() {
    local name began=() failed=0
    # shellcheck disable=SC2046
    ports_choose $(for name in "$@"; do port_keys "$name"; done)
    for name in "$@"; do
        if adopt "$name"; then
            ! is_paused "$name" || note "$name is paused: services resume $name"
            continue
        fi
        [[ $name == hmaster || $(engine_of "$name") != hbase ]] || await_zookeeper || true
        start_one "$name" || { failed=1; continue; }
        began+=("$name")
    done
    [[ $WAIT == 1 ]] || return $failed
    local until=$((SECONDS + TIMEOUT))
    for name in "$@"; do
        if [[ " ${began[*]} " == *" $name "* ]] || { running "$name" && ! is_paused "$name"; }; then
            await "$name" "$until" || failed=1
        fi
    done
    return $failed
}

# The other processes of HBase give up when ZooKeeper is not there soon.
await_zookeeper() {
    local until=$((SECONDS + 30))
    while pid_of hmaster && ! probe_zookeeper "$(port_of zookeeper)"; do
        ((SECONDS < until)) || return 1
        sleep 0.2
    done
}

start_one() {
    local name=$1 key port wait_s=0
    [[ -e $DIR/state/$name.served ]] && wait_s=$PORT_FREE_S
    for key in $(port_keys "$name"); do
        port=$(port_of "$key")
        port_free_within "$wait_s" "$port" && continue
        if [[ $NEW_PORTS == 1 || ! -e $DIR/state/$name.served ]]; then
            ports_forget "$key"
            ports_choose "$key"
        else
            note "$name: its port $port ($key) is taken by $(port_owner "$port")." \
                "End that process, or take another port: services up --new-ports --dir $DIR"
            return 1
        fi
    done
    rm -f "$DIR/state/$name.pid"
    case $name in
        thrift*) start_thrift "$name" ;;
        *) "start_$name" ;;
    esac || { complain "$name" "could not be started"; return 1; }
}

# await NAME UNTIL: waits until it answers. Another port is tried when the bind
# failed and nobody has been told of the old one.
await() {
    local name=$1 until=$2 tries=0
    while :; do
        if ! running "$name"; then
            # The launcher is gone an instant before its server is known.
            if adopt "$name"; then
                continue
            fi
            if [[ ! -e $DIR/state/$name.served ]] && ((tries++ < 3)) \
                && log_says "$name" 'BindException|Address already in use|Failed to bind|Could not start ZK'; then
                note "$name: a port was taken from under it, trying another"
                # shellcheck disable=SC2046
                ports_forget $(port_keys "$name")
                # shellcheck disable=SC2046
                ports_choose $(port_keys "$name")
                start_one "$name" || return 1
                continue
            fi
            complain "$name" "ended while it was starting"
            return 1
        fi
        if ready "$name"; then
            : >"$DIR/state/$name.served"
            return 0
        fi
        if ((SECONDS >= until)); then
            complain "$name" "did not answer within $TIMEOUT s (process $PID still runs; --timeout S waits longer)"
            return 1
        fi
        sleep 0.2
    done
}

# Says what is wrong with NAME, the end of its log, and what can be done.
complain() {
    local name=$1 log=$DIR/logs/$1.log
    shift
    {
        printf 'services: %s %s\n' "$name" "$*"
        printf -- '--- last lines of %s\n' "$log"
        log_since_start "$name" | tail -n 15 | cut -c 1-300
        printf -- '---\n'
        printf 'Whole log: services logs %s -n 200 --dir %s\n' "$name" "$DIR"
        printf 'If its data is damaged: services down --purge --dir %s, then up again (the data is gone then).\n' "$DIR"
    } >&2
}

# --- down ------------------------------------------------------------------

# Ends every NAME: TERM to all of them, KILL for those still there STOP_S
# seconds later.
bring_down() {
    local name failed=0 until
    for name in "$@"; do
        adopt "$name" || continue
        signal_to TERM "$name" || true
        # A paused process takes the TERM when it goes on.
        signal_to CONT "$name" || true
        # Regions are closed with the Master's help: it goes last.
        [[ $name != regionserver ]] || gone_within 10 "$name" || true
    done
    until=$((SECONDS + STOP_S))
    for name in "$@"; do
        running "$name" || continue
        if ! gone_within $((until > SECONDS ? until - SECONDS : 0)) "$name"; then
            note "$name did not end within $STOP_S s of TERM: KILL"
            signal_to KILL "$name" || true
            gone_within 10 "$name" || { note "$name (process $PID) is still there after KILL"; failed=1; }
        fi
        rm -f "$DIR/state/$name.pid"
    done
    return $failed
}
