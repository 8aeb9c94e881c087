# shellcheck shell=bash
# Questions to running servers, in their own protocols, over bash's /dev/tcp:
# a port that accepts is not yet a server that answers (and a stopped process
# accepts for ever). Every one ends within PROBE_S seconds.

PROBE_S=${PROBE_S:-3}

# ask PORT BYTES [MAX]: sends what printf makes of BYTES, prints what comes back
# until the other side closes, MAX bytes are there, or time is up.
ask() {
    # A process of its own: connecting has no time-out in bash.
    # shellcheck disable=SC2016
    timeout "$PROBE_S" bash -c '
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
        printf "$2" >&3
        head -c "$3" <&3
    ' _ "$1" "$2" "${3:-65536}" 2>/dev/null
}

# The same, as hexadecimal digits.
ask_hex() { ask "$@" | od -An -v -tx1 | tr -d ' \n'; }

# http_get PORT PATH: prints status line, headers and body.
http_get() { ask "$1" "GET ${2//%/%%} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"; }

# Kafka: Metadata v1 for no topic; the answer holds one broker or more, so the
# node is registered, unfenced, and sees its controller.
probe_kafka() {
    local hex
    hex=$(ask_hex "$1" '\x00\x00\x00\x0e\x00\x03\x00\x01\x00\x00\x00\x07\xff\xff\x00\x00\x00\x00' 12) || return 1
    [[ ${hex:8:8} == 00000007 && ${hex:16:8} != 00000000 && ${#hex} == 24 ]]
}

# Elasticsearch and OpenSearch: no shard is missing.
probe_documents() {
    [[ $(http_get "$1" '/_cluster/health') == *'"status":"'@(green|yellow)'"'* ]]
}

# ZooKeeper inside the Master: its four letter word.
probe_zookeeper() { [[ $(ask "$1" srvr) == *"Mode: "* ]]; }

# Thrift1: getTableNames, which the Master answers. A reply (type 2) whose first
# field is the list (0f 0000), not an error.
probe_thrift() {
    local hex
    hex=$(ask_hex "$1" '\x80\x01\x00\x01\x00\x00\x00\x0dgetTableNames\x00\x00\x00\x01\x00' 32)
    [[ $hex == 80010002* && ${hex:50:6} == 0f0000 ]]
}

# Thrift1: getRow on hbase:meta, which the RegionServer answers.
probe_meta() {
    local hex
    hex=$(ask_hex "$1" '\x80\x01\x00\x01\x00\x00\x00\x06getRow\x00\x00\x00\x01\x0b\x00\x01\x00\x00\x00\x0ahbase:meta\x0b\x00\x02\x00\x00\x00\x011\x0d\x00\x03\x0b\x0b\x00\x00\x00\x00\x00' 25)
    [[ $hex == 80010002* && ${hex:36:6} == 0f0000 ]]
}
