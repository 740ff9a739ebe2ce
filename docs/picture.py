#!/usr/bin/env python3
"""Draws panels of grafana/dashboards/overview.json as an SVG, with data from a Prometheus. Grafana's own look differs.

    deploy/demo.sh &            # then, after a few minutes:
    python3 docs/picture.py http://localhost:9090 300 > docs/overview.svg
"""

import json
import pathlib
import sys
import time
import urllib.parse
import urllib.request

from drawing import BOTTOM, COLORS, HEIGHT, LEFT, RIGHT, TOP, WIDTH, grid, legend, sheet, text

TITLES = [
    "Messages per second, now and a week ago",
    "Content types",
    "Platforms",
    "Delivery delay, quantiles",
    "Active senders",
    "Busiest groups in the time range",
]


def ask(base, path, **query):
    with urllib.request.urlopen(f"{base}/api/v1/{path}?{urllib.parse.urlencode(query)}") as answer:
        return json.load(answer)["data"]["result"]


def name(pattern, labels):
    for label, value in labels.items():
        pattern = pattern.replace("{{%s}}" % label, value)
    return pattern


def series(base, panel, end, seconds):
    """For each target, its legend and its pairs of time and value."""
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
    numbers = [(called, [(float(at), float(value)) for at, value in values]) for called, values in found]
    return sorted(numbers, key=lambda one: -one[1][-1][1])


def bars(rows, unit):
    most = max(values[-1][1] for _, values in rows)
    drawn = []
    for number, (called, values) in enumerate(rows[:10]):
        y, length = TOP + number * 18, (WIDTH - 190) * values[-1][1] / most
        drawn.append(text(118, y + 12, called[:20], anchor="end"))
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
    drawn, down = grid(most, lambda value: shown(value, unit))
    for at, anchor in ((first, "start"), (last, "end")):
        drawn.append(text(across(at), HEIGHT - BOTTOM + 13, time.strftime("%H:%M:%S", time.gmtime(at)), 9, anchor))
    # The tallest first, so that it does not hide the others.
    for number, (_, values) in reversed(list(enumerate(rows))) if stacked else enumerate(rows):
        color, points = COLORS[number % 8], " ".join(f"{across(at):.1f},{down(v):.1f}" for at, v in values if v == v)
        if stacked:
            ends = f"{across(values[-1][0]):.1f},{down(0):.1f} {across(values[0][0]):.1f},{down(0):.1f}"
            drawn.append(f'<polygon points="{points} {ends}" fill="{color}"/>')
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>')
    return drawn + legend(called for called, _ in rows)


def stack(rows):
    """Adds to each row the sum of the rows before it."""
    total, stacked = {}, []
    for called, values in rows:
        for at, value in values:
            total[at] = total.get(at, 0) + value
        stacked.append((called, [(at, total[at]) for at, _ in values]))
    return stacked


def main():
    base, seconds = sys.argv[1], int(sys.argv[2])
    folder = pathlib.Path(__file__).parent.parent
    dashboard = json.loads((folder / "grafana/dashboards/overview.json").read_text())
    shown = [inner for panel in dashboard["panels"] for inner in [panel, *panel.get("panels", [])]]
    panels = {panel["title"]: panel for panel in shown}
    end, drawings = time.time(), []
    for title in TITLES:
        panel = panels[title]
        defaults, rows = panel["fieldConfig"]["defaults"], series(base, panel, end, seconds)
        stacked = defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal"
        drawn = bars(rows, defaults["unit"]) if panel["type"] == "bargauge" else lines(rows, defaults["unit"], stacked)
        unit = {"mps": " (per second)"}.get(defaults["unit"], "")
        drawings.append((title + unit, drawn))
    print(sheet(drawings), end="")


main()
