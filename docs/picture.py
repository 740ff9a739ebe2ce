#!/usr/bin/env python3
"""Draws panels of grafana/dashboards/overview.json as an SVG, from a Prometheus' own answers: a rendering, not Grafana's.

    deploy/demo.sh &            # and some minutes later:
    python3 docs/picture.py http://localhost:9090 300 > docs/overview.svg
"""

import json
import pathlib
import sys
import time
import urllib.parse
import urllib.request
from html import escape

TITLES = ["Message rate", "Content types", "Platforms", "Delivery delay, quantiles", "Active senders", "Busiest groups"]
COLORS = ["#3b78c2", "#e0752d", "#4f9d45", "#bf3f3f", "#7e57c2", "#c2a51e", "#1f9e9e", "#8c6d5a"]
WIDTH, HEIGHT, COLUMNS = 480, 230, 2
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 34, 62


def ask(base, path, **query):
    with urllib.request.urlopen(f"{base}/api/v1/{path}?{urllib.parse.urlencode(query)}") as answer:
        return json.load(answer)["data"]["result"]


def name(legend, labels):
    for label, value in labels.items():
        legend = legend.replace("{{%s}}" % label, value)
    return legend


def series(base, panel, end, seconds):
    """Of each target: the legend, and pairs of time and value."""
    found = []
    for target in panel["targets"]:
        expression = target["expr"].replace("$__rate_interval", "30s").replace("$__range", f"{seconds}s")
        expression = expression.replace("$job", ".*").replace("$instance", ".*")
        if target["instant"]:
            answer = ask(base, "query", query=expression, time=end)
            found += [(name(target["legendFormat"], one["metric"]), [one["value"]]) for one in answer]
        else:
            answer = ask(base, "query_range", query=expression, start=end - seconds, end=end, step=seconds / 100)
            found += [(name(target["legendFormat"], one["metric"]), one["values"]) for one in answer]
    numbers = [(legend, [(float(at), float(value)) for at, value in values]) for legend, values in found]
    return sorted(numbers, key=lambda one: -one[1][-1][1])


def text(x, y, content, size=10, anchor="start", weight="normal", color="#444"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" fill="{color}">{escape(content)}</text>'


def bars(rows, unit):
    most = max(values[-1][1] for _, values in rows)
    drawn = []
    for number, (legend, values) in enumerate(rows[:10]):
        y, length = TOP + number * 18, (WIDTH - 190) * values[-1][1] / most
        drawn.append(text(118, y + 12, legend[:20], anchor="end"))
        drawn.append(f'<rect x="124" y="{y + 2}" width="{length:.1f}" height="13" fill="{COLORS[0]}"/>')
        drawn.append(text(130 + length, y + 12, shown(values[-1][1], unit)))
    return drawn


def shown(value, unit):
    return f"{value * 1000:.3g} ms" if unit == "s" and value < 1 else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def lines(rows, unit, stacked):
    if stacked:
        rows = stack(rows[:8])
    rows = rows[:8]
    most = max((value for _, values in rows for _, value in values if value == value), default=0) * 1.1 or 1
    first, last = min(v[0][0] for _, v in rows), max(v[-1][0] for _, v in rows)
    across = lambda at: LEFT + (WIDTH - LEFT - RIGHT) * (at - first) / max(last - first, 1)
    down = lambda value: HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / most
    drawn = []
    for part in range(5):
        y = down(most * part / 4)
        drawn.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#e4e4e4"/>')
        drawn.append(text(LEFT - 5, y + 3, shown(most * part / 4, unit), 9, "end"))
    for at, anchor in ((first, "start"), (last, "end")):
        drawn.append(text(across(at), HEIGHT - BOTTOM + 13, time.strftime("%H:%M:%S", time.gmtime(at)), 9, anchor))
    # The tallest first, so that the others lie before it.
    for number, (legend, values) in reversed(list(enumerate(rows))) if stacked else enumerate(rows):
        color, points = COLORS[number % 8], " ".join(f"{across(at):.1f},{down(v):.1f}" for at, v in values if v == v)
        if stacked:
            ends = f"{across(values[-1][0]):.1f},{down(0):.1f} {across(values[0][0]):.1f},{down(0):.1f}"
            drawn.append(f'<polygon points="{points} {ends}" fill="{color}"/>')
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>')
    for number, (legend, _) in enumerate(rows):
        x, y = LEFT + number % 4 * 104, HEIGHT - 30 + number // 4 * 15
        drawn.append(f'<rect x="{x}" y="{y - 8}" width="9" height="9" fill="{COLORS[number % 8]}"/>')
        drawn.append(text(x + 13, y, legend[:16], 9))
    return drawn


def stack(rows):
    """Each row with those before it added."""
    total, stacked = {}, []
    for legend, values in rows:
        for at, value in values:
            total[at] = total.get(at, 0) + value
        stacked.append((legend, [(at, total[at]) for at, _ in values]))
    return stacked


def main():
    base, seconds = sys.argv[1], int(sys.argv[2])
    folder = pathlib.Path(__file__).parent.parent
    dashboard = json.loads((folder / "grafana/dashboards/overview.json").read_text())
    panels = {panel["title"]: panel for panel in dashboard["panels"]}
    end, parts = time.time(), []
    for number, title in enumerate(TITLES):
        panel = panels[title]
        defaults, rows = panel["fieldConfig"]["defaults"], series(base, panel, end, seconds)
        stacked = defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal"
        drawn = bars(rows, defaults["unit"]) if panel["type"] == "bargauge" else lines(rows, defaults["unit"], stacked)
        x, y = number % COLUMNS * (WIDTH + 10), number // COLUMNS * (HEIGHT + 10)
        unit = {"cps": " (per second)"}.get(defaults["unit"], "")
        frame = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff" stroke="#d5d5d5" rx="3"/>'
        parts.append(f'<g transform="translate({x},{y})">{frame}{text(12, 20, title + unit, 12, weight="bold", color="#222")}{"".join(drawn)}</g>')
    width, height = COLUMNS * (WIDTH + 10) - 10, -(-len(TITLES) // COLUMNS) * (HEIGHT + 10) - 10
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">')
    print("\n".join(parts))
    print("</svg>")


main()
