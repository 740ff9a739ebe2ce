#!/usr/bin/env bash
# Runs the exporter, Prometheus with all rules, a simulated OpenIM, and Alertmanager if it is installed, on this machine and
# without containers. Ctrl-C stops all of them and deletes their data.
#
#   deploy/demo.sh [--rate N] [--for SECONDS]
#
# Uses the exporter that the variable OPENIM_EXPORTER names, or else the one in the unpacked archive, or else the one on
# the PATH. If there is none, cargo builds it from the source.
# Ports: EXPORTER_PORT (10006), PROMETHEUS_PORT (9090), ALERTMANAGER_PORT (9093). Debian's packages start services on the last
# two. In that case, use `PROMETHEUS_PORT=9190 ALERTMANAGER_PORT=9193 deploy/demo.sh`.
set -euo pipefail
# A relative path starts from the caller's directory.
if [[ ${OPENIM_EXPORTER-} == */* && $OPENIM_EXPORTER != /* ]]; then OPENIM_EXPORTER=$PWD/$OPENIM_EXPORTER; fi
cd "$(dirname "$0")/.."

usage="usage: deploy/demo.sh [--rate N] [--for SECONDS]"

# The value of an option, which must be a whole number.
number() {
    [[ ${2-} =~ ^[1-9][0-9]*$ ]] || { printf '%s needs a whole number of at least 1\n%s\n' "$1" "$usage" >&2; exit 2; }
    echo "$2"
}

rate=50 seconds=
while [[ $# -gt 0 ]]; do
    case $1 in
        --rate) rate=$(number "$@"); shift 2 ;;
        --for) seconds=$(number "$@"); shift 2 ;;
        -h | --help) sed -n '2,3s/^# \{0,1\}//p; 7,10s/^# \{0,1\}//p' deploy/demo.sh; echo "$usage"; exit ;;
        *) printf 'unknown argument %s\n%s\n' "$1" "$usage" >&2; exit 2 ;;
    esac
done
exporter=127.0.0.1:${EXPORTER_PORT:-10006}
prometheus=127.0.0.1:${PROMETHEUS_PORT:-9090}
alertmanager=127.0.0.1:${ALERTMANAGER_PORT:-9093}

for needed in prometheus curl; do
    command -v $needed >/dev/null || { echo "$needed is missing: apt-get install $needed" >&2; exit 1; }
done
# Otherwise a program that already uses a port would be mistaken for ours, and would receive the simulated messages.
own=" " taken="" instead=""
for pair in "EXPORTER_PORT $exporter" "PROMETHEUS_PORT $prometheus" "ALERTMANAGER_PORT $alertmanager"; do
    variable=${pair%% *} port=${pair##*:} other=""
    if [[ $variable == ALERTMANAGER_PORT ]] && ! command -v prometheus-alertmanager >/dev/null; then continue; fi
    if [[ $own == *" $port "* ]] || (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        taken+="port $port is taken, "
        other=$((port > 65435 ? port - 100 : port + 100))
    fi
    own+="$port "
    if [[ -n $other || -n ${!variable:-} ]]; then instead+="$variable=${other:-$port} "; fi
done
if [[ -n $taken ]]; then
    echo "${taken}perhaps by a service; use another: ${instead}$0" >&2
    exit 1
fi
if [[ -n ${OPENIM_EXPORTER:-} ]]; then
    program=$OPENIM_EXPORTER
elif [[ -f openim-exporter ]]; then
    program=./openim-exporter
elif command -v openim-exporter >/dev/null; then
    program=openim-exporter
elif [[ -f Cargo.toml ]]; then
    cargo build --release --locked
    program=${CARGO_TARGET_DIR:-target}/release/openim-exporter
else
    echo "openim-exporter is missing: install it, or set OPENIM_EXPORTER to its path" >&2
    exit 1
fi

folder=$(mktemp -d)
started=()
end() {
    trap - EXIT
    trap '' INT TERM
    for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done
    for process in "${started[@]}"; do wait "$process" 2>/dev/null || true; done
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 0' INT TERM

start() {
    local name=$1
    shift
    "$@" >"$folder/$name.log" 2>&1 &
    started+=($!)
}

# Prints what happened to one of the programs and the end of its log, and exits.
give_up() {
    local name=$1 what=$2
    echo "$name $what:" >&2
    tail -n 5 "$folder/$name.log" >&2
    exit 1
}

# Waits until a page answers, without a proxy, because it is on this machine.
wait_for() {
    local name=$1 url=$2
    for _ in $(seq 150); do
        if curl -sf --noproxy '*' -o /dev/null "$url" && kill -0 "${started[-1]}" 2>/dev/null; then return; fi
        kill -0 "${started[-1]}" 2>/dev/null || break
        sleep 0.2
    done
    give_up "$name" "does not start"
}

start exporter "$program" --web.listen-address="$exporter" --storage.path="$folder/state"
wait_for exporter "http://$exporter/-/ready"

sed "s/localhost:10006/$exporter/; s/localhost:9093/$alertmanager/; s/_interval: 15s/_interval: 5s/" \
    prometheus.yml >"$folder/prometheus.yml"
# Prometheus looks for the rules next to its configuration.
ln -s "$PWD/prometheus" "$folder/prometheus"
start prometheus prometheus --config.file="$folder/prometheus.yml" --storage.tsdb.path="$folder/data" \
    --web.listen-address="$prometheus" --enable-feature=exemplar-storage
wait_for prometheus "http://$prometheus/-/ready"

if command -v prometheus-alertmanager >/dev/null; then
    start alertmanager prometheus-alertmanager --config.file=deploy/alertmanager.yml --cluster.listen-address= \
        --storage.path="$folder/alertmanager" --web.listen-address="$alertmanager"
    wait_for alertmanager "http://$alertmanager/-/ready"
    page="
  Alertmanager http://$alertmanager"
fi

start simulate "$program" simulate --target "http://$exporter" --rate "$rate" --duration "${seconds:-604800}s"

# Debian's Prometheus has only the classic pages.
classic=
curl -sf --noproxy '*' -o /dev/null "http://$prometheus/rules" || classic=/classic

cat <<END
Running, with $rate simulated messages per second:
  exporter     http://$exporter
  metrics      http://$exporter/metrics
  Prometheus   http://$prometheus
  rules        http://$prometheus$classic/rules
  alerts       http://$prometheus$classic/alerts
  a graph      http://$prometheus/graph?g0.expr=sum%20by%20(content_type)%20(rate(openim_group_messages_total%5B1m%5D))&g0.tab=0&g0.range_input=10m${page:-}
Dashboards: import grafana/dashboards/*.json into a Grafana that has this Prometheus as its data source.
Ctrl-C stops it.
END
wait "${started[-1]}" || give_up simulate "has ended"
