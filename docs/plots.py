#!/usr/bin/env python3
"""Draws docs/capacity.svg and writes the tables of docs/capacity.md, from the docs/measured/*.csv of docs/measure.py.

    python3 docs/plots.py [FOLDER]     # writes both files to FOLDER instead of docs
"""

import csv
import math
import pathlib
import re
import sys

from drawing import BOTTOM, COLORS, HEIGHT, LEFT, RIGHT, WIDTH, grid, legend, sheet, text

DOCS = pathlib.Path(__file__).parent
MIB = 1 << 20


def measured(name):
    with open(DOCS / f"measured/{name}.csv", newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def above(value):
    """The next larger number whose quarters have few digits."""
    size = 10 ** math.floor(math.log10(value))
    return next(times * size for times in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if times * size >= value)


def chart(title, rows, across, lines, logarithmic=False):
    """A panel of lines over one of the columns. Each line is its name, and a function from a row to a value."""
    place = math.log2 if logarithmic else float
    drawn, down = grid(above(max(make(row) for _, make in lines for row in rows)), number)
    first, last = (0 if not logarithmic else place(rows[0][across])), place(rows[-1][across])
    along = lambda row: LEFT + (WIDTH - LEFT - RIGHT) * (place(row[across]) - first) / (last - first)
    # The labels of the axis, from the last to the first, without those that would overlap.
    free = WIDTH
    for row in reversed(rows):
        if along(row) < free:
            drawn.append(text(along(row), HEIGHT - BOTTOM + 13, number(row[across]), 9, "end" if free == WIDTH else "middle"))
            free = along(row) - (65 if free == WIDTH else 45)
    for color, (_, make) in zip(COLORS, lines):
        points = [(along(row), down(make(row))) for row in rows]
        drawn.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{color}"/>' for x, y in points]
    return title, drawn + legend(name for name, _ in lines)


def column(name, of=1.0):
    return lambda row: row[name] / of


def picture():
    memory, traffic, scrapes, connections, disk = map(measured, ("memory", "traffic", "scrapes", "connections", "disk"))
    return sheet([
        chart("Memory of the statistics, MiB, by groups", memory, "groups", [("with pairs", column("resident_bytes", MIB)), ("without pairs", column("resident_bytes_without_pairs", MIB))]),
        chart("Time per callback, µs, by groups seen", traffic, "groups_tracked", [("CPU", column("cpu_us")), ("mean latency", column("answer_us"))], logarithmic=True),
        chart("Memory of the exporter, MiB, by groups seen", traffic, "groups_tracked", [("resident", column("resident_bytes", MIB))], logarithmic=True),
        chart("Size of a scrape, MiB, by series", scrapes, "series", [("uncompressed", column("bytes", MIB)), ("sent", column("wire_bytes", MIB))]),
        chart("Time of a scrape, ms, by series", scrapes, "series", [("fastest of 20", column("seconds", 1e-3))]),
        chart("CPU per callback, µs, by connections", connections, "connections", [("CPU", column("cpu_us"))], logarithmic=True),
        chart("Latency, µs, by connections", connections, "connections", [("p50", column("p50_us"))], logarithmic=True),
        chart("Prometheus' disk, bytes per sample, by minutes", disk, "minutes", [("all", lambda row: (row["chunk_bytes"] + row["index_bytes"]) / row["samples"]), ("without index", lambda row: row["chunk_bytes"] / row["samples"])]),
    ])


TABLES = {
    "traffic": [
        ("Groups", column("groups")), ("Groups seen", column("groups_tracked")), ("CPU per callback, µs", column("cpu_us")),
        ("Mean latency, µs", column("answer_us")), ("Resident memory, MiB", column("resident_bytes", MIB)),
    ],
    "connections": [
        ("Connections", column("connections")), ("CPU per callback, µs", column("cpu_us")),
        ("Latency p50, µs", column("p50_us")),
    ],
    "memory": [
        ("Groups", column("groups")), ("Resident memory with as many pairs, MiB", column("resident_bytes", MIB)),
        ("Without pairs, MiB", column("resident_bytes_without_pairs", MIB)),
    ],
    "scrapes": [
        ("Exported groups", column("groups_exported")), ("Series", column("series")), ("Uncompressed, KiB", column("bytes", 1024)),
        ("Sent, KiB", column("wire_bytes", 1024)), ("Time, ms", column("seconds", 1e-3)),
    ],
    "disk": [
        ("Minutes", column("minutes")), ("Series", column("series")), ("Samples", column("samples")), ("Chunks, KiB", column("chunk_bytes", 1024)),
        ("Index, KiB", column("index_bytes", 1024)), ("Bytes per sample", lambda row: (row["chunk_bytes"] + row["index_bytes"]) / row["samples"]),
    ],
}


def table(name):
    columns = TABLES[name]
    lines = [[head for head, _ in columns], ["---"] * len(columns)]
    lines += [[number(make(row)) for _, make in columns] for row in measured(name)]
    return "\n".join(f"| {' | '.join(line)} |" if line[0] != "---" else f"|{'|'.join(line)}|" for line in lines)


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS
    marked = r"(<!-- table: (\w+) -->\n)(?:\|.*\n)*"
    guide = re.sub(marked, lambda found: f"{found[1]}{table(found[2])}\n", (DOCS / "capacity.md").read_text())
    (folder / "capacity.md").write_text(guide)
    (folder / "capacity.svg").write_text(picture())


main()
