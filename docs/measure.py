#!/usr/bin/env python3
"""Measures the numbers of docs/capacity.md on this machine, and writes them to docs/measured/*.csv for docs/plots.py.

    cargo build --release && python3 docs/measure.py [traffic] [scrapes] [memory] [connections] [disk]

Without a name, it measures everything. This takes ten minutes, eight of them for `disk`, which needs Prometheus. Do not use
the machine meanwhile.
"""

import csv
import gzip
import http.client
import io
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from types import SimpleNamespace

ROOT = pathlib.Path(__file__).parent.parent
PROGRAM = os.environ.get("OPENIM_EXPORTER", ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release/openim-exporter")
PORT = int(os.environ.get("PORT", "21907"))
URL = f"http://127.0.0.1:{PORT}"
PROMETHEUS = f"http://127.0.0.1:{PORT + 1}"
# How much faster than real time `disk` runs: Prometheus scrapes every second instead of every 15 seconds.
HASTE = 15
# The Accept header of Prometheus 2.42.
FORMATS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


def get(url, method="GET"):
    with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:
        return answer.read()


@contextmanager
def running(command, ready):
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                get(ready)
                break
            except OSError:
                time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def exporter(*flags):
    with tempfile.TemporaryDirectory() as folder:
        command = [PROGRAM, f"--web.listen-address=127.0.0.1:{PORT}", f"--storage.path={folder}", *flags]
        with running(command, f"{URL}/-/ready") as process:
            yield process


def cpu_seconds(process):
    """The CPU time of a process, as the kernel counts it, in hundredths of a second."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ")[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def simulate(**flags):
    """Runs the simulated sender and returns its report."""
    with tempfile.NamedTemporaryFile() as report:
        given = [f"--{name}={value}" for name, value in flags.items()]
        command = [PROGRAM, "simulate", "--yes", f"--target={URL}", f"--report={report.name}", *given]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return json.load(report)


def metrics():
    lines = (line.rsplit(" ", 1) for line in get(f"{URL}/metrics").decode().splitlines() if line[0] != "#")
    return {name: float(value) for name, value in lines}


def sending(**flags):
    """Sends 100,000 callbacks to a new exporter. Returns the sender's report, the CPU seconds and the metrics of the fastest of
    five runs, because other programs can only slow a run down."""

    def once():
        with exporter() as process:
            sent = simulate(count=100000, **flags)
            return sent, cpu_seconds(process), metrics()

    return max((once() for _ in range(5)), key=lambda one: one[0]["answered_per_second"])


def traffic():
    """Time per callback and memory, by the number of groups."""
    for groups in (100, 1000, 20000, 100000):
        sent, cpu, found = sending(groups=groups, senders=groups * 10)
        answering = found["openim_exporter_callback_duration_seconds_sum"] / sent["answered"]
        yield {
            "groups": groups,
            "groups_tracked": int(found["openim_exporter_groups_tracked"]),
            "callbacks": sent["answered"],
            "cpu_us": round(1e6 * cpu / sent["answered"], 1),
            "answer_us": round(1e6 * answering, 1),
            "resident_bytes": int(found["process_resident_memory_bytes"]),
        }


def scrapes():
    """Size and time of a scrape in compressed OpenMetrics, by the number of series."""
    for exported in (100, 1000, 5000, 20000, 40000):
        with exporter(f"--groups.max-exported={exported}"):
            simulate(count=300000, groups=300000, senders=300000)
            # The exporter chooses the exported groups every ten seconds.
            time.sleep(11)
            seconds, wires, bodies = zip(*(scrape() for _ in range(20)))
            found = metrics()
            every = get(f"{URL}/metrics/groups")
        yield {
            "groups_exported": int(found["openim_exporter_groups_exported"]),
            "series": sum(line[:1] != b"#" for line in bodies[-1].splitlines()),
            "bytes": len(bodies[-1]),
            "wire_bytes": wires[-1],
            "seconds": round(min(seconds), 5),
            "groups_tracked": int(found["openim_exporter_groups_tracked"]),
            "every_group_bytes": len(every),
        }


def scrape():
    """Scrapes as Prometheus does. Returns the seconds, the bytes on the wire (with head and chunk sizes) and the body."""
    headers = {"Host": f"127.0.0.1:{PORT}", "Accept": FORMATS, "Accept-Encoding": "gzip", "Connection": "close"}
    lines = ["GET /metrics HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", PORT)) as connection:
        connection.sendall("\r\n".join(lines).encode())
        sent = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    seconds = time.monotonic() - begin
    answer = http.client.HTTPResponse(SimpleNamespace(makefile=lambda _: io.BytesIO(sent)))
    answer.begin()
    assert answer.status == 200 and answer.headers["Content-Encoding"] == "gzip", answer.headers
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text"), answer.headers
    return seconds, len(sent), gzip.decompress(answer.read())


def memory():
    """Resident memory of the statistics, by the number of groups, with as many group-sender pairs or just one."""
    built = subprocess.run(
        ["cargo", "bench", "--locked", "--no-run", "--bench=scale", "--message-format=json"],
        check=True, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )
    made = (json.loads(line) for line in built.stdout.splitlines())
    program = next(one["executable"] for one in made if one.get("target", {}).get("name") == "scale")
    for groups in (1000, 100000, 250000, 500000, 750000, 1000000):
        resident = [int(subprocess.check_output([program, "--fill", str(groups), str(pairs)])) for pairs in (groups, 1)]
        yield {"groups": groups, "resident_bytes": resident[0], "resident_bytes_without_pairs": resident[1]}


def connections():
    """CPU and latency, by the number of connections: each OpenIM process has two."""
    for count in (1, 2, 4, 8, 16, 32, 64):
        sent, cpu, _ = sending(connections=count)
        yield {
            "connections": count,
            "cpu_us": round(1e6 * cpu / sent["answered"], 1),
            "p50_us": round(1e6 * sent["answer_seconds"]["p50"], 1),
        }


def hastened(text):
    """A configuration or rules with all durations divided by HASTE."""
    seconds = {"s": 1, "m": 60, "h": 3600}
    return re.sub(r"(?<=[\[ ])(\d+)([smh])\b", lambda found: f"{max(1, int(found[1]) * seconds[found[2]] // HASTE)}s", text)


def disk():
    """What a real Prometheus writes in the two hours of a block: scrapes and rules, in eight minutes."""
    with tempfile.TemporaryDirectory() as name, exporter():
        folder = pathlib.Path(name)
        for rules in (ROOT / "prometheus/rules").glob("*.yml"):
            (folder / rules.name).write_text(hastened(rules.read_text()))
        config = (ROOT / "prometheus.yml").read_text().replace("localhost:10006", f"127.0.0.1:{PORT}")
        (folder / "prometheus.yml").write_text(hastened(config).replace("prometheus/rules/", ""))
        flags = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", "--web.enable-admin-api"]
        prometheus = ["prometheus", *flags, f"--web.listen-address=127.0.0.1:{PORT + 1}", "--log.level=error"]
        # 20 messages per second, HASTE times faster.
        flags = [f"--rate={20 * HASTE}", "--groups=5000", "--senders=50000", "--duration=1h"]
        simulated = [PROGRAM, "simulate", "--yes", f"--target={URL}", *flags]
        sender = subprocess.Popen(simulated, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            # Until the thousand exported groups have occurred.
            time.sleep(20)
            with running(prometheus, f"{PROMETHEUS}/-/ready"):
                begin = time.monotonic()
                for minutes in (30, 60, 120):
                    time.sleep(max(0, begin + minutes * 60 / HASTE - time.monotonic()))
                    yield {"minutes": minutes} | snapshot(folder / "data")
        finally:
            sender.terminate()
            sender.wait()


def snapshot(data):
    """The size of a snapshot, which is one block with everything that Prometheus has."""
    answer = json.loads(get(f"{PROMETHEUS}/api/v1/admin/tsdb/snapshot", "POST"))
    taken = data / "snapshots" / answer["data"]["name"]
    blocks = [json.loads(meta.read_text())["stats"] for meta in taken.glob("*/meta.json")]
    size = lambda pattern: sum(file.stat().st_size for file in taken.glob(pattern) if file.is_file())
    return {
        "series": max(block["numSeries"] for block in blocks),
        "samples": sum(block["numSamples"] for block in blocks),
        "chunk_bytes": size("*/chunks/*"),
        "index_bytes": size("*/index"),
    }


def main():
    parts = {part.__name__: part for part in (traffic, scrapes, memory, connections, disk)}
    for name in sys.argv[1:] or parts:
        rows = []
        for row in parts[name]():
            print(name, row, flush=True)
            rows.append(row)
        with open(ROOT / "docs/measured" / f"{name}.csv", "w", newline="") as file:
            table = csv.DictWriter(file, rows[0], lineterminator="\n")
            table.writeheader()
            table.writerows(rows)


main()
