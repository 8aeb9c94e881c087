# shellcheck shell=bash
# HBase: a process each for the Master (with ZooKeeper inside), the RegionServer
# and the Thrift1 gateways, on the local file system. There is no fsync below
# it: it stands a killed process, not a power cut.

# hbase_site FOLDER DISTRIBUTED. The Master's copy says it is not distributed:
# that makes it bring ZooKeeper along.
hbase_site() {
    local folder=$1 distributed=$2 home=$DIR/hbase name value
    mkdir -p "$folder" "$home/data" "$home/tmp" "$home/zookeeper"
    {
        say '<configuration>'
        # With a port of its own choice (0) a RegionServer that comes back is a
        # stranger, and its regions wait 20 to 50 s for the old one to expire.
        while read -r name value; do
            printf '<property><name>%s</name><value>%s</value></property>\n' "$name" "$value"
        done <<EOF
hbase.rootdir file://$home/data
hbase.tmp.dir $home/tmp
hbase.cluster.distributed $distributed
hbase.unsafe.stream.capability.enforce false
hbase.zookeeper.quorum 127.0.0.1
hbase.zookeeper.property.clientPort $(port_of zookeeper)
hbase.zookeeper.property.clientPortAddress 127.0.0.1
hbase.zookeeper.property.dataDir $home/zookeeper
hbase.master.port $(port_of hmaster)
hbase.master.hostname localhost
hbase.master.ipc.address 127.0.0.1
hbase.master.info.port -1
hbase.regionserver.port $(port_of regionserver)
hbase.regionserver.hostname localhost
hbase.regionserver.ipc.address 127.0.0.1
hbase.regionserver.info.port -1
hbase.regionserver.msginterval 300
hbase.master.wait.on.regionservers.mintostart 1
hbase.master.wait.on.regionservers.maxtostart 1
hbase.envvars.logging.disabled true
EOF
        # Without these a call waits for minutes while the RegionServer is away.
        [[ $folder != */conf-thrift ]] || while read -r name value; do
            printf '<property><name>%s</name><value>%s</value></property>\n' "$name" "$value"
        done <<EOF
hbase.client.retries.number 3
hbase.client.operation.timeout 6000
hbase.client.meta.operation.timeout 6000
EOF
        say '</configuration>'
    } | write_atomic "$folder/hbase-site.xml"
    write_atomic "$folder/log4j.properties" <<'EOF'
log4j.rootLogger=INFO, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %-5p [%c{1}] %m%n
log4j.logger.org.apache.zookeeper=WARN
EOF
}

# hbase_spawn NAME CONF HEAP CLASS ARGUMENT…
hbase_spawn() {
    local name=$1 conf=$2 heap=$3 open opens=()
    shift 3
    for open in java.lang java.lang.reflect java.io java.net java.nio java.util java.util.concurrent \
        java.util.concurrent.atomic sun.nio.ch sun.nio.cs sun.security.action sun.util.calendar jdk.internal.ref; do
        opens+=("--add-opens=java.base/$open=ALL-UNNAMED")
    done
    spawn "$name" "$DIR/hbase" "$(java_for hbase)/bin/java" "$(mark_of "$name")" \
        -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xms64m "-Xmx$heap" \
        -Djava.net.preferIPv4Stack=true "-Djava.io.tmpdir=$DIR/hbase/tmp" "${opens[@]}" \
        -cp "$conf:$(artifact_dir hbase)/jars/*" "$@"
}

start_hmaster() {
    hbase_site "$DIR/hbase/conf-hmaster" false
    hbase_spawn hmaster "$DIR/hbase/conf-hmaster" "${SLUICE_SERVICES_HMASTER_HEAP:-320m}" \
        org.apache.hadoop.hbase.master.HMaster --localRegionServers=0 start
}

start_regionserver() {
    hbase_site "$DIR/hbase/conf-regionserver" true
    hbase_spawn regionserver "$DIR/hbase/conf-regionserver" "${SLUICE_SERVICES_REGIONSERVER_HEAP:-512m}" \
        org.apache.hadoop.hbase.regionserver.HRegionServer start
}

# start_thrift NAME: `thrift`, or a further one with a number.
start_thrift() {
    hbase_site "$DIR/hbase/conf-thrift" true
    hbase_spawn "$1" "$DIR/hbase/conf-thrift" "${SLUICE_SERVICES_THRIFT_HEAP:-192m}" \
        org.apache.hadoop.hbase.thrift.ThriftServer start -p "$(port_of "$1")" -b 127.0.0.1 --infoport -1
}
