#!/usr/bin/env python3
"""Writes grafana/dashboards/*.json. The panels are in grafana/parts.

    python3 grafana/dashboards.py [FOLDER]
"""

import json
import pathlib
import sys

from parts import capacity, community, forwarding, group, health, overview
from parts.panel import JOBS, SOURCE, placed
from parts.top import annotations, links


def question(name, label, query, many=True):
    made = {
        "type": "query",
        "name": name,
        "label": label,
        "description": f"{label}, from Prometheus",
        "datasource": SOURCE,
        "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": 2,
        "sort": 1,
        "regex": "",
        "multi": True,
        "includeAll": many,
        "hide": 0,
        "options": [],
    }
    if many:
        made |= {"allValue": ".*", "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}
    return made


def variables(with_group):
    source = {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "refresh": 1}
    source |= {"regex": "", "hide": 0, "multi": False, "includeAll": False, "options": []}
    source["description"] = "The Prometheus that scrapes the exporter"
    found = [
        source,
        question("job", "Job", "label_values(openim_exporter_build_info, job)"),
        question("instance", "Instance", f"label_values(openim_exporter_build_info{{{JOBS}}}, instance)"),
    ]
    if with_group:
        families = "openim_group_messages_by_group_total|openim_tracked_group_messages_total"
        query = f'label_values({{__name__=~"{families}", {group.ALL_GROUPS}}}, group_id)'
        found.append(question("group", "Group", query, many=False))
    return found


def dashboard(uid, title, description, panels, since="now-6h", with_group=False):
    return {
        "uid": f"openim-{uid}",
        "title": f"OpenIM: {title}",
        "description": description,
        "tags": ["openim"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "fiscalYearStartMonth": 0,
        "refresh": "30s",
        "time": {"from": since, "to": "now"},
        "timezone": "browser",
        "timepicker": {},
        "templating": {"list": variables(with_group)},
        "annotations": {"list": annotations()},
        "links": links(),
        "panels": placed(panels),
    }


DASHBOARDS = {
    "overview": dashboard("overview", "overview", "Messages in OpenIM's groups: how many, of which type, where, by how many senders, and how fast.", overview.panels()),
    "community": dashboard("community", "community", "What people do apart from writing group messages: registrations, groups, friends, and what happens to messages.", community.panels(), since="now-24h"),
    "group": dashboard("group", "one group", "One or more selected groups.", group.panels(), with_group=True),
    "capacity": dashboard("capacity", "capacity", "Peaks, growth, and the time until a limit is reached.", capacity.panels(), since="now-7d"),
    "exporter-health": dashboard("exporter-health", "exporter health", "Health of the exporter itself.", health.panels(), since="now-1h"),
    "forwarding": dashboard("forwarding", "forwarding", "Callbacks that are passed through to other servers, delivered from a spool, and recorded.", forwarding.panels()),
}


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "dashboards"
    for name, made in DASHBOARDS.items():
        (folder / f"{name}.json").write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n")


main()
