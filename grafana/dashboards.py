#!/usr/bin/env python3
"""Writes grafana/dashboards/*.json, and has what the dashboards share.

    python3 grafana/dashboards.py [FOLDER]
"""

import json
import pathlib
import sys

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# `$S` in an expression selects the exporters. `$J` selects the jobs, for recorded series without an instance.
SELECT = 'job=~"$job", instance=~"$instance"'
JOBS = 'job=~"$job"'
# Selects the same exporters on both pages: the job for /metrics/groups has the name of the other job, followed by `-groups`.
SELECT_ALL_GROUPS = 'job=~"$job(-groups)?", instance=~"$instance"'
# Four scrape intervals of five minutes. Used where $__rate_interval is not defined or too short: the scrape interval of
# /metrics/groups may be longer than that of the data source.
LONG = "[20m]"
WIDTH = 24


def filled(expression):
    return expression.replace("$S", SELECT).replace("$J", JOBS)


def table(total=False):
    footer = {"show": total, "reducer": ["sum"], "countRows": False}
    return {"showHeader": True, "cellHeight": "sm", "frameIndex": 0, "footer": footer}


OPTIONS = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
    },
    "bargauge": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "displayMode": "basic",
        "orientation": "horizontal",
        "valueMode": "color",
        "namePlacement": "auto",
        "showUnfilled": True,
        "sizing": "auto",
        "minVizWidth": 8,
        "minVizHeight": 16,
        "maxVizHeight": 300,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
    },
    "table": table(),
    "heatmap": {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange", "reverse": False},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": "s"},
    },
}


def panel(kind, title, description, unit, *targets, width=12, height=8, stack=False, most=None, limits=None, wanted=None, decimals=None, words=None):
    """A panel. Its targets are pairs of an expression and a legend. `words` are texts that replace 0, 1, ..., with their colours."""
    defaults = {"unit": unit, "color": {"mode": "palette-classic"}, "mappings": []}
    steps = [{"value": None, "color": "green"}]
    if wanted is not None:
        steps = [{"value": None, "color": "red"}, {"value": wanted, "color": "green"}]
    steps += [{"value": at, "color": color} for at, color in zip(limits or [], ["orange", "red"])]
    defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    if kind in ("stat", "bargauge"):
        defaults["color"] = {"mode": "thresholds"}
    if kind == "timeseries":
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if stack else 5,
            "showPoints": "never",
            "stacking": {"mode": "normal" if stack else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if limits else "off"},
        }
        defaults["min"] = 0
    if words is not None:
        shown = {str(value): {"text": text, "color": color, "index": value} for value, (text, color) in enumerate(words)}
        defaults["mappings"] = [{"type": "value", "options": shown}]
    if most is not None:
        defaults["max"] = most
    if decimals is not None:
        defaults["decimals"] = decimals
    at_once = kind in ("stat", "bargauge", "table")
    options, legend = OPTIONS[kind], targets[0][1]
    # For a single series, Grafana would show only the number, without its name.
    if legend and kind == "stat":
        options = options | {"textMode": "value_and_name"}
    elif legend and kind == "bargauge":
        defaults["displayName"] = legend.replace("{{", "${__field.labels.").replace("}}", "}")
    made = []
    for letter, (expression, legend) in zip("ABCDEFGH", targets):
        target = {"refId": letter, "datasource": SOURCE, "expr": filled(expression), "legendFormat": legend}
        target |= {"instant": at_once, "range": not at_once, "editorMode": "code"}
        target["format"] = {"table": "table", "heatmap": "heatmap"}.get(kind, "time_series")
        target["exemplar"] = kind == "heatmap"
        made.append(target)
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": made,
    }


def stat(*arguments, **more):
    return panel("stat", *arguments, **({"width": 4, "height": 4} | more))


def lines(*arguments, **more):
    return panel("timeseries", *arguments, **more)


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": WIDTH, "h": 1}}


def columns(made, *names):
    """Joins the queries of a table by their labels, names the columns and hides the time."""
    rename = {f"Value #{letter}": name for letter, name in zip("ABCDEFGH", names)}
    rename["Value"] = names[0]
    organize = {"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": rename}
    made["transformations"] = [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]
    return made


def placed(panels):
    """Gives the panels numbers, and places them side by side as far as they fit."""
    x = y = tallest = 0
    for number, each in enumerate(panels, 1):
        each["id"] = number
        at = each["gridPos"]
        if x + at["w"] > WIDTH:
            x, y, tallest = 0, y + tallest, 0
        at |= {"x": x, "y": y}
        x, tallest = x + at["w"], max(tallest, at["h"])
    return panels


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


def variables(group):
    source = {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "refresh": 1}
    source |= {"regex": "", "hide": 0, "multi": False, "includeAll": False, "options": []}
    source["description"] = "The Prometheus that scrapes the exporter"
    found = [
        source,
        question("job", "Job", "label_values(openim_exporter_build_info, job)"),
        question("instance", "Instance", f"label_values(openim_exporter_build_info{{{JOBS}}}, instance)"),
    ]
    if group:
        families = "openim_group_messages_by_group_total|openim_tracked_group_messages_total"
        query = f'label_values({{__name__=~"{families}", {SELECT_ALL_GROUPS}}}, group_id)'
        found.append(question("group", "Group", query, many=False))
    return found


def dashboard(uid, title, description, panels, since="now-6h", group=False):
    return {
        "uid": f"openim-{uid}",
        "title": f"OpenIM group messages: {title}",
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
        "templating": {"list": variables(group)},
        "annotations": {"list": []},
        "links": [
            {
                "type": "dashboards",
                "title": "OpenIM",
                "tags": ["openim"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "icon": "external link",
                "tooltip": "Other OpenIM dashboards",
            }
        ],
        "panels": placed(panels),
    }


def quantiles(family):
    return [
        (f"histogram_quantile({q}, sum by (le) (rate({family}_bucket{{$S}}[$__rate_interval])))", name)
        for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    ]


ALL = "sum(rate(openim_group_messages_by_status_total{$S}[$__rate_interval]))"
BY_GROUP = "sum(rate(openim_group_messages_by_group_total{$S}[$__rate_interval]))"

OVERVIEW = [
    stat("Messages", "Group messages per second now.", "cps", (ALL, "")),
    stat("Today", "Group messages in the last 24 hours.", "short", ("sum(increase(openim_group_messages_by_status_total{$S}[1d]))", "")),
    stat("Senders, 1 h", "Distinct senders in the last hour, estimated (standard error 0.81 %). With several exporters, the largest value, because these values cannot be added.", "short", ('max(openim_active_senders{$S, window="1h"})', "")),
    stat("Groups, 1 h", "Distinct groups with messages in the last hour, estimated (standard error 0.81 %). With several exporters, the largest value.", "short", ('max(openim_active_groups{$S, window="1h"})', "")),
    stat("Delivery p95", "95 % of the messages in the last 10 minutes reached the exporter within this time after they were sent.", "s", ("max(job:openim_group_message_delivery_delay_seconds:p95_10m{$J})", "")),
    stat("Not exported", "Share of messages in groups that have no series of their own, because they are not exported.", "percentunit", (f"clamp_min(1 - {BY_GROUP} / ({ALL} > 0), 0)", ""), limits=[0.5], decimals=1),
    row("Messages"),
    lines("Message rate", "Group messages per second, now and a week earlier.", "cps", (ALL, "now"), (ALL.replace("[$__rate_interval]", "[1h] offset 1w"), "a week ago (1 h)")),
    lines("Content types", "Group messages per second by content type.", "cps", ("sum by (content_type) (rate(openim_group_messages_total{$S}[$__rate_interval])) > 0", "{{content_type}}"), stack=True),
    lines("Platforms", "Group messages per second by the sender's platform.", "cps", ("sum by (platform) (rate(openim_group_messages_total{$S}[$__rate_interval])) > 0", "{{platform}}"), stack=True),
    lines("Users and administrators", "Group messages per second by source: users' apps, or scripts that use the REST API.", "cps", ("sum by (source) (rate(openim_group_messages_total{$S}[$__rate_interval]))", "{{source}}"), stack=True),
    lines("Mentions", "Mentions per second: of one user, or of everyone.", "cps", ("sum by (kind) (rate(openim_group_mentions_total{$S}[$__rate_interval]))", "{{kind}}")),
    lines("Status", "Group messages per second by OpenIM's numeric status.", "cps", ("sum by (status) (rate(openim_group_messages_by_status_total{$S}[$__rate_interval]))", "{{status}}"), stack=True),
    row("Senders and groups"),
    lines("Active senders", "Distinct senders by window, estimated (standard error 0.81 %).", "short", ("max by (window) (openim_active_senders{$S})", "{{window}}")),
    lines("Active groups", "Distinct groups with messages by window, estimated (standard error 0.81 %).", "short", ("max by (window) (openim_active_groups{$S})", "{{window}}")),
    panel("bargauge", "Busiest groups", "The ten groups with the most messages in the selected time range.", "short", ("topk(10, sum by (group_id) (increase(openim_group_messages_by_group_total{$S}[$__range])))", "{{group_id}}"), height=10),
    lines("Messages not exported by group", "Share of messages that are in no group's series: the group is not exported, or does not fit into the table of groups.", "percentunit", (f"clamp_min(1 - {BY_GROUP} / ({ALL} > 0), 0)", "not exported"), (f"sum by (reason) (rate(openim_group_messages_folded_total{{$S}}[$__rate_interval])) / on () group_left () ({ALL} > 0)", "folded: {{reason}}"), height=10, most=1),
    row("Delays and sizes"),
    panel("heatmap", "Delivery delay", "Time from sendTime to the callback. Each column has the messages of that time. With exemplars, if Prometheus stores them.", "s", ("sum by (le) (increase(openim_group_message_delivery_delay_seconds_bucket{$S}[$__rate_interval]))", "{{le}}")),
    lines("Delivery delay, quantiles", "Time from sendTime to the callback. Limited by the precision of the histogram's buckets.", "s", *quantiles("openim_group_message_delivery_delay_seconds")),
    lines("Submit delay, quantiles", "Time from createTime to sendTime, which the app itself needed.", "s", *quantiles("openim_group_message_submit_delay_seconds")),
    lines("Content size, quantiles", "Length of the messages' content.", "bytes", *quantiles("openim_group_message_content_bytes")),
]

# A group that is not exported has series at /metrics/groups only, if that page is scraped. `or` never adds both.
EXPORTED = 'openim_group_messages_by_group_total{$S, group_id=~"$group"}'
TRACKED = f'openim_tracked_group_messages_total{{{SELECT_ALL_GROUPS}, group_id=~"$group"}}'
OF_GROUP = f"(sum by (group_id) (rate({EXPORTED}[$__rate_interval])) or sum by (group_id) (rate({TRACKED}{LONG})))"
HOUR_BEFORE = (
    'sum by (group_id) (group:openim_group_messages:rate5m{$S, group_id=~"$group"})'
    ' / (sum by (group_id) (group:openim_group_messages:rate5m{$S, group_id=~"$group"} offset 1h) > 0)'
    f" or sum by (group_id) (rate({TRACKED}{LONG})) / (sum by (group_id) (rate({TRACKED}{LONG} offset 1h)) > 0)"
)
LAST_MESSAGE = f"max_over_time(timestamp((rate({EXPORTED}[5m]) or rate({EXPORTED}{LONG}) or rate({TRACKED}{LONG})) > 0)[$__range:1m])"


def senders(window):
    more = f'group_id=~"$group", window="{window}"'
    return (
        f"max by (group_id) (openim_group_active_senders{{$S, {more}}})"
        f" or max by (group_id) (openim_tracked_group_active_senders{{{SELECT_ALL_GROUPS}, {more}}})"
    )


GROUP = [
    lines("Message rate", "Messages per second in each selected group.", "cps", (OF_GROUP, "{{group_id}}"), width=24),
    lines("Share of all messages", "Share of each group in all group messages.", "percentunit", (f"{OF_GROUP} / on () group_left () ({ALL} > 0)", "{{group_id}}")),
    lines("Compared with an hour before", "The rate as a multiple of the rate an hour before. OpenimGroupFlood can fire above 10, for exported groups.", "none", (HOUR_BEFORE, "{{group_id}}"), limits=[10]),
    lines("Active senders, 1 h", "Distinct senders in the group in one hour.", "short", (senders("1h"), "{{group_id}}")),
    lines("Active senders, 24 h", "Distinct senders in the group in 24 hours.", "short", (senders("24h"), "{{group_id}}")),
    columns(panel("table", "Selected groups", "Messages in the selected time range, senders in the last 24 hours, and minutes since the last message: to within five minutes, or 20 at scrape intervals above two minutes and for groups that are not exported.", "short", (f"sum by (group_id) (increase({TRACKED}[$__range])) or sum by (group_id) (increase({EXPORTED}[$__range]))", ""), (senders("24h"), ""), (f"(time() - max by (group_id) ({LAST_MESSAGE})) / 60", ""), width=24, height=10, decimals=0), "Messages", "Senders, 24 h", "Minutes since last message"),
]

MEAN = "(sum(rate(openim_exporter_callback_duration_seconds_sum{$S}[$__rate_interval])) / (sum(rate(openim_exporter_callback_duration_seconds_count{$S}[$__rate_interval])) > 0))"

DAY = "sum(increase(openim_group_messages_by_status_total{$S}[1d]))"
# No value until that day is complete: compared with part of a first day, any installation grows.
WEEK_AGO = (
    "(sum(increase(openim_group_messages_by_status_total{$S}[1d] offset 1w))"
    " and on () sum(last_over_time(openim_group_messages_by_status_total{$S}[1h] offset 8d)))"
)


def in_ten_minutes(counter):
    """The increase in ten minutes. With one or no sample in that time, it is estimated from 20 minutes."""
    return f"sum(increase({counter}{{$S}}[10m]) or increase({counter}{{$S}}{LONG}) / 2)"


CAPACITY = [
    stat("Peak of the day", "Highest rate of messages in any ten minutes of the last day.", "cps", ("max_over_time(sum(job:openim_group_messages:rate10m{$J})[1d:5m])", "")),
    stat("Peak of the week", "Highest rate of messages in any ten minutes of the last week.", "cps", ("max_over_time(sum(job:openim_group_messages:rate10m{$J})[1w:10m])", "")),
    stat("Growth in a week", "Messages in the last 24 hours, compared with the same 24 hours a week before.", "percentunit", (f"{DAY} / ({WEEK_AGO} > 0) - 1", ""), decimals=1),
    stat("Workers busy at peak", "Share of their time that OpenIM's callback workers spend waiting for answers: the maximum of the last day. At 100 %, OpenIM drops callbacks.", "percentunit", ("max(job:openim_sender_workers_busy:max1d{$J})", ""), limits=[0.5, 0.7], decimals=2),
    stat("OpenIM can send", "Callbacks per second that OpenIM can send at the current answer time, with two workers per process. Network time is not included.", "cps", (f"scalar(2 * openim:processes:count) / {MEAN}", "")),
    stat("OpenIM processes", "OpenIM processes that Prometheus scrapes. If it scrapes none, 1 is assumed.", "short", ("max(openim:processes:count)", "")),
    row("Traffic"),
    lines("Peaks", "Highest rate of messages in any ten minutes of the day before and of the week before.", "cps", ("max_over_time(sum(job:openim_group_messages:rate10m{$J})[1d:10m])", "day"), ("max_over_time(sum(job:openim_group_messages:rate10m{$J})[1w:10m])", "week")),
    lines("Messages in a day", "Messages in the 24 hours before, in the same 24 hours a week earlier, and in 14 days at the same growth.", "short", (DAY, "this day"), (WEEK_AGO, "a week ago"), (f"{DAY} * ({DAY} / ({WEEK_AGO} > 0)) ^ 2", "in 14 days")),
    row("OpenIM's limit"),
    lines("Workers busy", "Share of their time that OpenIM's callback workers spend waiting for answers: now, at the peak of the day, at the peak of the week (the 80th percentile of the daily peaks), and in 14 days at the growth of the last week. At 100 %, the queue of 100 fills, then callbacks are dropped.", "percentunit", ("max(job:openim_sender_workers_busy:ratio5m{$J})", "now"), ("max(job:openim_sender_workers_busy:max1d{$J})", "peak of the day"), ("max(job:openim_sender_workers_busy:p80_1w{$J})", "peak of the week"), ("max(clamp_min(job:openim_sender_workers_busy:p80_1w{$J} + 2 * job:openim_sender_workers_busy:growth1w{$J}, 0))", "in 14 days"), limits=[0.7, 1]),
    lines("Headroom", "Callbacks per second that OpenIM can send at the current answer time, and that it sends.", "cps", (f"scalar(2 * openim:processes:count) / {MEAN}", "possible"), ("sum(rate(openim_exporter_callbacks_total{$S}[$__rate_interval]))", "sent")),
    row("Tables"),
    lines("Tables in use", "Share of each limit that is in use.", "percentunit", ("max by (cap, instance) (instance:openim_exporter_cap_used:ratio{$S})", "{{cap}} {{instance}}"), most=1, limits=[0.8, 1]),
    panel("bargauge", "Full in", "Days until a table is full, at the growth of the last week. No value for a table that does not grow, or in the first week.", "d", ("min by (cap) (7 * (1 - instance:openim_exporter_cap_used:ratio{$S}) / (instance:openim_exporter_cap_used:growth1w{$S} > 0))", "{{cap}}"), decimals=0),
    lines("Groups", "Tracked groups, exported groups, and the maximum of each.", "short", ("sum(openim_exporter_groups_tracked{$S})", "tracked"), ("sum(openim_exporter_groups_exported{$S})", "exported"), ("sum(openim_exporter_groups_capacity{$S})", "tracked, maximum"), ("sum(openim_exporter_groups_exported_capacity{$S})", "exported, maximum")),
    lines("Group-sender pairs", "Pairs that are remembered for 24 hours, and the maximum.", "short", ("sum(openim_exporter_sender_pairs_tracked{$S})", "remembered"), ("sum(openim_exporter_sender_pairs_capacity{$S})", "maximum")),
    lines("Dedup window", "Message IDs that are remembered, and the maximum; 0 if the window is off.", "short", ("sum(openim_exporter_message_ids_tracked{$S})", "remembered"), ("sum(openim_exporter_message_ids_capacity{$S})", "maximum")),
    lines("Limits hit", "How often each limit was hit in ten minutes. Also the retired groups, which lose nothing.", "short", ("sum by (cap) (instance:openim_exporter_cap_hits:increase10m{$S})", "{{cap}}"), (in_ten_minutes("openim_exporter_groups_retired_total"), "groups retired"), (in_ten_minutes("openim_exporter_sender_pairs_evicted_total"), "pairs evicted"), (in_ten_minutes("openim_exporter_message_ids_evicted_total"), "message IDs evicted")),
    row("Cost"),
    lines("Series", "Series per scrape, which determine the cost for Prometheus. Also the maximum, with as many exported groups as allowed and four series for each.", "short", ("openim_exporter_scrape_series{$S}", "{{instance}}"), ("openim_exporter_scrape_series{$S} + 4 * (openim_exporter_groups_exported_capacity{$S} - openim_exporter_groups_exported{$S})", "at most {{instance}}")),
    lines("Memory", "Resident memory of the exporter, and the size of its tables, which it reserves at the start.", "bytes", ("process_resident_memory_bytes{$S} and on (job, instance) openim_exporter_build_info", "{{instance}}"), ("128 * openim_exporter_groups_capacity{$S} + 16 * 2 ^ ceil(log2(2 * openim_exporter_sender_pairs_capacity{$S})) + 8 * openim_exporter_message_ids_capacity{$S} + 5 * 2^20", "tables at most {{instance}}")),
]

HEALTH = [
    stat("Up", "Exporters that answer scrapes.", "short", ("sum(up{$S} and on (job, instance) last_over_time(openim_exporter_build_info[1d]))", ""), width=3, wanted=1),
    stat("Last callback", "Time since the last accepted callback. No value before the first.", "s", ("min(time() - (openim_exporter_last_callback_timestamp_seconds{$S} > 0))", "")),
    stat("Refused, 1 h", "Refused requests in the last hour.", "short", ("sum(increase(openim_exporter_callbacks_rejected_total{$S}[1h]))", ""), width=3, limits=[1, 100]),
    stat("Answer p99", "99 % of callbacks were answered within this time.", "s", ("histogram_quantile(0.99, sum by (le) (rate(openim_exporter_callback_duration_seconds_bucket{$S}[$__rate_interval])))", ""), width=3, limits=[0.001, 0.1]),
    stat("Version", "Number of exporters by version.", "short", ("count by (version) (openim_exporter_build_info{$S})", "{{version}}")),
    stat("State at start", "How the state was opened at the last start: see docs/state.md.", "short", ("count by (outcome) (openim_exporter_state_start{$S} == 1)", "{{outcome}}")),
    stat("State file", "MISSING: the state file of at least one exporter is not at its path, so that exporter counts in memory only.", "none", ("max(openim_exporter_state_file_missing{$S})", ""), width=3, words=[("in place", "green"), ("MISSING", "red")]),
    row("Callbacks"),
    panel("heatmap", "Answer time", "Time from the end of reading a callback's head to writing its answer.", "s", ("sum by (le) (increase(openim_exporter_callback_duration_seconds_bucket{$S}[$__rate_interval]))", "{{le}}")),
    lines("Answer time, quantiles", "Time from the end of reading a callback's head to writing its answer. Limited by the precision of the histogram's buckets.", "s", *quantiles("openim_exporter_callback_duration_seconds")),
    lines("Accepted callbacks", "Accepted callbacks per second by command. Only group messages change the message statistics.", "cps", ("sum by (command) (rate(openim_exporter_callbacks_total{$S}[$__rate_interval])) > 0", "{{command}}"), stack=True),
    lines("Refused", "Refused requests per second by reason: see docs/errors.md.", "cps", ("sum by (reason) (rate(openim_exporter_callbacks_rejected_total{$S}[$__rate_interval])) > 0", "{{reason}}"), stack=True),
    lines("In flight and connections", "Callbacks being read or answered, and open connections.", "short", ("sum(openim_exporter_callbacks_in_flight{$S})", "in flight"), ("sum(openim_exporter_connections{$S})", "connections")),
    lines("Share of OpenIM's messages that arrived", "Messages that arrived, compared with OpenIM's own count if that is scraped. Normally less than 1, because OpenIM also counts typing and notification messages. It should stay constant.", "percentunit", ("job:openim_callbacks_arrived:ratio30m{$J}", "{{job}}")),
    row("Errors"),
    lines("Clock errors", "Messages per second with an impossible time, by kind. They are not included in the delays.", "cps", ("sum by (kind) (rate(openim_group_message_clock_errors_total{$S}[$__rate_interval]))", "{{kind}}")),
    lines("Duplicates", "Duplicate messages per second within the dedup window. They are not counted.", "cps", ("sum(rate(openim_exporter_callback_repeats_total{$S}[$__rate_interval]))", "duplicates")),
    lines("Connections not accepted", "Connections per second that could not be accepted, because the limit of open files is too low.", "cps", ("sum(rate(openim_exporter_accept_failures_total{$S}[$__rate_interval]))", "failed")),
    lines("Failed TLS handshakes", "Failed TLS handshakes per second. The client may not trust the certificate, or may use plain HTTP.", "cps", ("sum(rate(openim_exporter_tls_handshake_failures_total{$S}[$__rate_interval]))", "failed")),
    lines("Certificate", "Days until the TLS certificate expires. 0 without TLS, or if it has expired.", "d", ("clamp_min((openim_exporter_tls_certificate_expiry_timestamp_seconds{$S} - time()) / 86400, 0)", "{{instance}}")),
    lines("Settings", "Whether the last reload of the settings files succeeded (1 or 0), and the number of failures in an hour.", "short", ("min(openim_exporter_config_last_reload_successful{$S})", "success"), ("sum(increase(openim_exporter_config_reload_failures_total{$S}[1h]))", "failures")),
    lines("Counter resets", "How often the counters were reset in an hour.", "short", ("max by (instance) (resets(openim_group_messages_by_status_total{$S}[1h]))", "{{instance}}")),
    row("Scrapes and process"),
    lines("Time to write a scrape", "99th percentile and mean of 20 minutes.", "s", (f"histogram_quantile(0.99, sum by (le) (rate(openim_exporter_scrape_duration_seconds_bucket{{$S}}{LONG})))", "p99"), (f"sum(rate(openim_exporter_scrape_duration_seconds_sum{{$S}}{LONG})) / sum(rate(openim_exporter_scrape_duration_seconds_count{{$S}}{LONG}))", "mean")),
    lines("Scrape as Prometheus sees it", "Duration of a scrape, as Prometheus measures it.", "s", ("scrape_duration_seconds{$S} and on (job, instance) openim_exporter_build_info", "{{instance}}")),
    lines("CPU", "CPU cores that the exporter uses.", "none", ("rate(process_cpu_seconds_total{$S}[$__rate_interval]) and on (job, instance) openim_exporter_build_info", "{{instance}}")),
    lines("Memory", "Resident and virtual memory.", "bytes", ("process_resident_memory_bytes{$S} and on (job, instance) openim_exporter_build_info", "resident {{instance}}"), ("process_virtual_memory_bytes{$S} and on (job, instance) openim_exporter_build_info", "virtual {{instance}}")),
    lines("Open files", "Open files including connections, and the limit.", "short", ("process_open_fds{$S} and on (job, instance) openim_exporter_build_info", "open {{instance}}"), ("process_max_fds{$S} and on (job, instance) openim_exporter_build_info", "limit {{instance}}")),
    lines("Threads and uptime", "Threads, and hours since the start.", "short", ("process_threads{$S} and on (job, instance) openim_exporter_build_info", "threads {{instance}}"), ("(time() - process_start_time_seconds{$S}) / 3600 and on (job, instance) openim_exporter_build_info", "hours {{instance}}")),
]

DASHBOARDS = {
    "overview": dashboard("overview", "overview", "Messages in OpenIM's groups: how many, of which type, where, by how many senders, and how fast.", OVERVIEW),
    "group": dashboard("group", "one group", "One or more selected groups.", GROUP, group=True),
    "capacity": dashboard("capacity", "capacity", "Peaks, growth, and the time until a limit is reached.", CAPACITY, since="now-7d"),
    "exporter-health": dashboard("exporter-health", "exporter health", "Health of the exporter itself.", HEALTH, since="now-1h"),
}


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "dashboards"
    for name, made in DASHBOARDS.items():
        (folder / f"{name}.json").write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n")


main()
