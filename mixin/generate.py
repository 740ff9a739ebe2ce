#!/usr/bin/env python3
"""Writes prometheus/rules from mixin/rules, and grafana/dashboards from the panels in mixin/parts.

    python3 mixin/generate.py [--config FILE] [FOLDER]

FILE has the settings that differ from mixin/config.json. In rules and panels, `<<name>>` stands for the value of a
setting, and `<<name%>>` for its value in percent.
"""

import argparse
import json
import pathlib
import re
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


HERE = pathlib.Path(__file__).parent
GENERATED = "# Generated: edit mixin/rules/{name} and run `python3 mixin/generate.py`. docs/prometheus.md explains the settings.\n"


# Label matchers, as between the braces of a selector.
MATCHER = r'\s*\w+\s*(?:=~|!~|!=|=)\s*"(?:[^"\\]|\\.)*"\s*'
MATCHERS = re.compile(f"{MATCHER}(?:,{MATCHER})*")


def read(file):
    """The settings in a file."""
    try:
        changed = json.loads(pathlib.Path(file).read_text())
    except (OSError, ValueError) as error:
        sys.exit(f"{file}: {error}")
    return changed if isinstance(changed, dict) else sys.exit(f"{file}: must be an object, such as {{\"busy_share\": 0.6}}")


def settings(file):
    """The settings of mixin/config.json, overridden by those in the file."""
    known = json.loads((HERE / "config.json").read_text())
    changed = read(file) if file else {}
    for name, value in changed.items():
        if name not in known:
            sys.exit(f"{file}: unknown setting {name}; mixin/config.json lists all settings")
        if isinstance(value, str) != isinstance(known[name], str) or isinstance(value, bool | dict | list | None):
            sys.exit(f"{file}: {name} must be a {'string' if isinstance(known[name], str) else 'number'}")
        if name == "selector" and not MATCHERS.fullmatch(value):
            sys.exit(f'{file}: selector must be label matchers without braces, such as job="chat"')
        if name.endswith("_share") and not 0 < value < 1:
            sys.exit(f"{file}: {name} must be between 0 and 1")
    made = known | changed
    return made | {"docs_url": made["docs_url"].rstrip("/")}


def rising(steps):
    """The steps of a threshold that are below all later ones: a setting may be lower than a fixed step before it."""
    def is_below(step, later):
        return step["value"] is None or step["value"] < later["value"]

    return [step for at, step in enumerate(steps) if all(is_below(step, later) for later in steps[at + 1 :])]


def filled(value, config):
    """The value with the settings filled in. A string that is only a placeholder gets the type of its setting."""
    if isinstance(value, dict):
        made = {key: filled(each, config) for key, each in value.items()}
        return made | {"steps": rising(made["steps"])} if isinstance(made.get("steps"), list) else made
    if isinstance(value, list):
        return [filled(each, config) for each in value]
    if not isinstance(value, str):
        return value
    if whole := re.fullmatch(r"<<(\w+)>>", value):
        return config[whole[1]]
    numbers = {name: value for name, value in config.items() if not isinstance(value, str)}
    shown = config | {name: f"{number:g}" for name, number in numbers.items()}
    shown |= {f"{name}%": f"{100 * number:g}" for name, number in numbers.items()}
    return re.sub(r"<<(\w+%?)>>", lambda found: shown[found[1]], value)


def main():
    parser = argparse.ArgumentParser(description="Writes the rules and the dashboards.")
    parser.add_argument("--config", metavar="FILE", help="JSON with the settings that differ from mixin/config.json")
    parser.add_argument("folder", nargs="?", type=pathlib.Path, help="where to write; without --config, the repository")
    arguments = parser.parse_args()
    if arguments.config and not arguments.folder:
        parser.error("with --config, give a folder too: the repository's own files have the default settings")
    output = arguments.folder or HERE.parent
    config = settings(arguments.config)
    rules, dashboards = (output / path for path in ("prometheus/rules", "grafana/dashboards"))
    for folder in (rules, dashboards):
        folder.mkdir(parents=True, exist_ok=True)
    for file in (HERE / "rules").glob("*.yml"):
        (rules / file.name).write_text(GENERATED.format(name=file.name) + filled(file.read_text(), config))
    for name, made in DASHBOARDS.items():
        (dashboards / f"{name}.json").write_text(json.dumps(filled(made, config), indent=2, ensure_ascii=False) + "\n")


main()
