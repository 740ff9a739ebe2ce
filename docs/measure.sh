#!/usr/bin/env bash
# Measures what docs/capacity.md says, on this machine: prints the rows of its table. Needs curl; takes about a minute.
#
#   cargo build --release && docs/measure.sh
set -euo pipefail
cd "$(dirname "$0")/.."
program=${OPENIM_EXPORTER:-target/release/openim-exporter}
folder=$(mktemp -d)
trap 'kill $process 2>/dev/null; rm -rf "$folder"' EXIT

metric() { awk -v name="$1" '$1 == name { print $2 }' "$folder/metrics"; }

echo "| Groups | Callbacks | a second | CPU µs each | Answer mean, µs | Resident MiB | Series | Scrape KiB | gzip KiB | Every group, KiB |"
for groups in 100 1000 20000; do
    "$program" --web.listen-address=127.0.0.1:${PORT:-21907} --storage.path="$folder/state-$groups" 2>"$folder/log" &
    process=$!
    url=http://127.0.0.1:${PORT:-21907}
    until curl -sf -o /dev/null "$url/-/ready"; do sleep 0.1; done
    begin=$(date +%s.%N)
    "$program" simulate --target "$url" --count 100000 --groups $groups --senders $((groups * 10)) >/dev/null 2>&1
    end=$(date +%s.%N)
    # The groups that are exported are chosen each ten seconds.
    sleep 11
    curl -s "$url/metrics" >/dev/null
    curl -s "$url/metrics" >"$folder/metrics"
    compressed=$(curl -s -H 'Accept-Encoding: gzip' "$url/metrics" | wc -c)
    every=$(curl -s "$url/metrics/groups" | wc -c)
    awk -v begin="$begin" -v end="$end" -v groups="$groups" -v cpu="$(metric process_cpu_seconds_total)" \
        -v sum="$(metric openim_exporter_callback_duration_seconds_sum)" \
        -v count="$(metric openim_exporter_callback_duration_seconds_count)" \
        -v memory="$(metric process_resident_memory_bytes)" -v series="$(metric openim_exporter_scrape_series)" \
        -v size="$(wc -c <"$folder/metrics")" -v compressed="$compressed" -v every="$every" 'BEGIN {
            printf "| %d | %d | %.0f | %.0f | %.0f | %.0f | %d | %.0f | %.0f | %.0f |\n", groups, count, count / (end - begin),
                1e6 * cpu / count, 1e6 * sum / count, memory / 1048576, series, size / 1024, compressed / 1024, every / 1024
        }'
    kill $process
    wait $process || true
done
