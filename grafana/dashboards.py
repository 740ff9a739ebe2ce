#!/usr/bin/env python3
"""Writes grafana/dashboards/*.json: all that the dashboards have in common stands here once.

    python3 grafana/dashboards.py [FOLDER]
"""

import json
import pathlib
import sys

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# `$S` and `$J` in an expression: which exporters, and which jobs where a recorded series has no instance.
SELECT = 'job=~"$job", instance=~"$instance"'
JOBS = 'job=~"$job"'
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
    """A panel; its targets are pairs of an expression and a legend. `words` are shown instead of 0, 1, ..., each with its colour."""
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
    # Of a single series Grafana would show the number, and leave out what it is of.
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
    """Of a table of several queries: joined by their labels, columns named, time left out."""
    rename = {f"Value #{letter}": name for letter, name in zip("ABCDEFGH", names)}
    rename["Value"] = names[0]
    organize = {"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": rename}
    made["transformations"] = [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]
    return made


def placed(panels):
    """Numbers them and sets them side by side, as far as they fit."""
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
        "description": f"{label}, as found in Prometheus",
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
        query = f"label_values(openim_group_messages_by_group_total{{{SELECT}}}, group_id)"
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
                "tooltip": "The other dashboards",
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
    stat("Messages", "Group messages a second now.", "cps", (ALL, "")),
    stat("Today", "Group messages of the last 24 hours.", "short", ("sum(increase(openim_group_messages_by_status_total{$S}[1d]))", "")),
    stat("Senders, 1 h", "Different people who wrote in the last hour; estimated to 0.8 %. Of several exporters the largest: they cannot be added.", "short", ('max(openim_active_senders{$S, window="1h"})', "")),
    stat("Groups, 1 h", "Different groups with messages in the last hour; estimated to 0.8 %. Of several exporters the largest.", "short", ('max(openim_active_groups{$S, window="1h"})', "")),
    stat("Delivery p95", "19 of 20 messages of the last 10 minutes were with us within this time of being sent.", "s", ("max(job:openim_group_message_delivery_delay_seconds:p95_10m{$J})", "")),
    stat("Not by group", "Part of the messages that has no series of its own: of groups that are not exported.", "percentunit", (f"clamp_min(1 - {BY_GROUP} / ({ALL} > 0), 0)", ""), limits=[0.5], decimals=1),
    row("What is sent"),
    lines("Message rate", "Group messages a second, and a week earlier.", "cps", (ALL, "now"), (ALL.replace("[$__rate_interval]", "[1h] offset 1w"), "a week ago (1 h)")),
    lines("Content types", "Group messages a second by what they are.", "cps", ("sum by (content_type) (rate(openim_group_messages_total{$S}[$__rate_interval])) > 0", "{{content_type}}"), stack=True),
    lines("Platforms", "Group messages a second by what they were sent from.", "cps", ("sum by (platform) (rate(openim_group_messages_total{$S}[$__rate_interval])) > 0", "{{platform}}"), stack=True),
    lines("Users and administrators", "Group messages a second by who sent them: people's apps, or scripts by the REST API.", "cps", ("sum by (source) (rate(openim_group_messages_total{$S}[$__rate_interval]))", "{{source}}"), stack=True),
    lines("Mentions", "Mentions a second: of one user, or messages that mention all.", "cps", ("sum by (kind) (rate(openim_group_mentions_total{$S}[$__rate_interval]))", "{{kind}}")),
    lines("Status", "Group messages a second by OpenIM's status, as its number.", "cps", ("sum by (status) (rate(openim_group_messages_by_status_total{$S}[$__rate_interval]))", "{{status}}"), stack=True),
    row("Who and where"),
    lines("Active senders", "Different people who wrote, by window; estimated to 0.8 %.", "short", ("max by (window) (openim_active_senders{$S})", "{{window}}")),
    lines("Active groups", "Different groups with messages, by window; estimated to 0.8 %.", "short", ("max by (window) (openim_active_groups{$S})", "{{window}}")),
    panel("bargauge", "Busiest groups", "The ten groups with the most messages in the time that is shown.", "short", ("topk(10, sum by (group_id) (increase(openim_group_messages_by_group_total{$S}[$__range])))", "{{group_id}}"), height=10),
    lines("Not exported by group", "Part of the messages that no group's series has: groups that are not exported, and those that no table has room for.", "percentunit", (f"clamp_min(1 - {BY_GROUP} / ({ALL} > 0), 0)", "not exported"), (f"sum by (reason) (rate(openim_group_messages_folded_total{{$S}}[$__rate_interval])) / on () group_left () ({ALL} > 0)", "folded: {{reason}}"), height=10, most=1),
    row("Delays and sizes"),
    panel("heatmap", "Delivery delay", "Time from sendTime to the callback; each column is the messages of its time. With exemplars where Prometheus keeps them.", "s", ("sum by (le) (increase(openim_group_message_delivery_delay_seconds_bucket{$S}[$__rate_interval]))", "{{le}}")),
    lines("Delivery delay, quantiles", "Time from sendTime to the callback, as exact as the histogram's buckets.", "s", *quantiles("openim_group_message_delivery_delay_seconds")),
    lines("Submit delay, quantiles", "Time from createTime to sendTime: what the app itself took.", "s", *quantiles("openim_group_message_submit_delay_seconds")),
    lines("Content size, quantiles", "Length of the messages' content.", "bytes", *quantiles("openim_group_message_content_bytes")),
]

GROUP_S = '$S, group_id=~"$group"'
OF_GROUP = f"sum by (group_id) (rate(openim_group_messages_by_group_total{{{GROUP_S}}}[$__rate_interval]))"

GROUP = [
    lines("Message rate", "Messages a second in each group that was chosen.", "cps", (OF_GROUP, "{{group_id}}"), width=24),
    lines("Share of all messages", "Part that each group has of all group messages.", "percentunit", (f"{OF_GROUP} / on () group_left () ({ALL} > 0)", "{{group_id}}")),
    lines("Against an hour before", "The rate as a multiple of an hour before; the alert of a flood is at 10.", "none", ("sum by (group_id) (group:openim_group_messages:rate5m{%s}) / (sum by (group_id) (group:openim_group_messages:rate5m{%s} offset 1h) > 0)" % (GROUP_S, GROUP_S), "{{group_id}}"), limits=[10]),
    lines("Active senders, 1 h", "Different people who wrote in the group in an hour.", "short", (f'max by (group_id) (openim_group_active_senders{{{GROUP_S}, window="1h"}})', "{{group_id}}")),
    lines("Active senders, 24 h", "Different people who wrote in the group in a day.", "short", (f'max by (group_id) (openim_group_active_senders{{{GROUP_S}, window="24h"}})', "{{group_id}}")),
    columns(panel("table", "The groups", "Messages in the time that is shown, people of the last day, and for how long the group has been silent, to five minutes.", "short", (f"sum by (group_id) (increase(openim_group_messages_by_group_total{{{GROUP_S}}}[$__range]))", ""), (f'max by (group_id) (openim_group_active_senders{{{GROUP_S}, window="24h"}})', ""), (f"(time() - max by (group_id) (max_over_time(timestamp(rate(openim_group_messages_by_group_total{{{GROUP_S}}}[5m]) > 0)[$__range:1m]))) / 60", ""), width=24, height=10, decimals=0), "Messages", "Senders, 24 h", "Silent for, minutes"),
]

MEAN = "(sum(rate(openim_exporter_callback_duration_seconds_sum{$S}[$__rate_interval])) / (sum(rate(openim_exporter_callback_duration_seconds_count{$S}[$__rate_interval])) > 0))"

DAY = "sum(increase(openim_group_messages_by_status_total{$S}[1d]))"
# Nothing until that was a whole day: against a part of the first one, any installation grows.
WEEK_AGO = (
    "(sum(increase(openim_group_messages_by_status_total{$S}[1d] offset 1w))"
    " and on () sum(last_over_time(openim_group_messages_by_status_total{$S}[1h] offset 8d)))"
)

CAPACITY = [
    stat("Peak of the day", "Most messages a second in any ten minutes of the last day.", "cps", ("max_over_time(sum(job:openim_group_messages:rate10m{$J})[1d:5m])", "")),
    stat("Peak of the week", "Most messages a second in any ten minutes of the last week.", "cps", ("max_over_time(sum(job:openim_group_messages:rate10m{$J})[1w:10m])", "")),
    stat("Growth in a week", "Messages of the last day against the same day a week before.", "percentunit", (f"{DAY} / ({WEEK_AGO} > 0) - 1", ""), decimals=1),
    stat("Sender busy at peak", "Part of OpenIM's callback workers' time that waits for answers, at the worst of the last day. At 1 it drops.", "percentunit", ("max(job:openim_sender_workers_busy:max1d{$J})", ""), limits=[0.5, 0.7], decimals=2),
    stat("OpenIM can send", "Callbacks a second at the present answer time: two workers for each process, without the network's time.", "cps", (f"scalar(2 * openim:processes:count) / {MEAN}", "")),
    stat("OpenIM processes", "As many as Prometheus scrapes; 1 is assumed where it scrapes none.", "short", ("max(openim:processes:count)", "")),
    row("Traffic"),
    lines("Peaks", "Most messages a second in any ten minutes of the day and of the week before.", "cps", ("max_over_time(sum(job:openim_group_messages:rate10m{$J})[1d:10m])", "day"), ("max_over_time(sum(job:openim_group_messages:rate10m{$J})[1w:10m])", "week")),
    lines("Messages in a day", "Messages of the 24 hours before, of those a week earlier, and of a day in 14 days at the growth between the two.", "short", (DAY, "this day"), (WEEK_AGO, "a week ago"), (f"{DAY} * ({DAY} / ({WEEK_AGO} > 0)) ^ 2", "in 14 days")),
    row("The sender's limit"),
    lines("Workers busy", "Part of OpenIM's callback workers' time that waits for answers: now, at the day's peak, at the week's, which is reached on a day and a half of it, and in 14 days at the growth of the last week. At 1 the queue of 100 fills, then callbacks are dropped.", "percentunit", ("max(job:openim_sender_workers_busy:ratio5m{$J})", "now"), ("max(job:openim_sender_workers_busy:max1d{$J})", "peak of the day"), ("max(job:openim_sender_workers_busy:p80_1w{$J})", "peak of the week"), ("max(clamp_min(job:openim_sender_workers_busy:p80_1w{$J} + 2 * job:openim_sender_workers_busy:growth1w{$J}, 0))", "in 14 days"), limits=[0.7, 1]),
    lines("Headroom", "How many callbacks a second OpenIM could send at the present answer time, and how many it sends.", "cps", (f"scalar(2 * openim:processes:count) / {MEAN}", "possible"), ("sum(rate(openim_exporter_callbacks_total{$S}[$__rate_interval]))", "sent")),
    row("Tables"),
    lines("Tables in use", "How full each table is.", "percentunit", ("max by (cap, instance) (instance:openim_exporter_cap_used:ratio{$S})", "{{cap}} {{instance}}"), most=1, limits=[0.8, 1]),
    panel("bargauge", "Full in", "Days until a table is full, at the growth of the last week; nothing where it does not grow, or has no second week yet.", "d", ("min by (cap) (7 * (1 - instance:openim_exporter_cap_used:ratio{$S}) / (instance:openim_exporter_cap_used:growth1w{$S} > 0))", "{{cap}}"), decimals=0),
    lines("Groups", "Groups that are counted, that have series, and that there is room for.", "short", ("sum(openim_exporter_groups_tracked{$S})", "counted"), ("sum(openim_exporter_groups_exported{$S})", "exported"), ("sum(openim_exporter_groups_capacity{$S})", "room for"), ("sum(openim_exporter_groups_exported_capacity{$S})", "series for")),
    lines("Pairs of group and sender", "Pairs that are remembered for a day, and that there is room for.", "short", ("sum(openim_exporter_sender_pairs_tracked{$S})", "remembered"), ("sum(openim_exporter_sender_pairs_capacity{$S})", "room for")),
    lines("Dedup window", "Messages that it knows, and that there is room for; 0 while it is off.", "short", ("sum(openim_exporter_message_ids_tracked{$S})", "known"), ("sum(openim_exporter_message_ids_capacity{$S})", "room for")),
    lines("What full tables cost", "Times that each limit was hit in ten minutes; and groups that were retired, which loses nothing.", "short", ("sum by (cap) (instance:openim_exporter_cap_hits:increase10m{$S})", "{{cap}}"), ("sum(increase(openim_exporter_groups_retired_total{$S}[10m]))", "groups retired"), ("sum(increase(openim_exporter_sender_pairs_evicted_total{$S}[10m]))", "pairs evicted"), ("sum(increase(openim_exporter_message_ids_evicted_total{$S}[10m]))", "message IDs evicted")),
    row("The exporter's budget"),
    lines("Series", "Series of a scrape, which is what it costs Prometheus; and with as many groups as can have series, at four each.", "short", ("openim_exporter_scrape_series{$S}", "{{instance}}"), ("openim_exporter_scrape_series{$S} + 4 * (openim_exporter_groups_exported_capacity{$S} - openim_exporter_groups_exported{$S})", "at most {{instance}}")),
    lines("Memory", "Resident memory of the exporter; and what its tables take when all of them are full, which it reserves at the start.", "bytes", ("process_resident_memory_bytes{$S} and on (job, instance) openim_exporter_build_info", "{{instance}}"), ("128 * openim_exporter_groups_capacity{$S} + 16 * 2 ^ ceil(log2(2 * openim_exporter_sender_pairs_capacity{$S})) + 8 * openim_exporter_message_ids_capacity{$S} + 5 * 2^20", "tables at most {{instance}}")),
]

HEALTH = [
    stat("Up", "Exporters that answer scrapes.", "short", ("sum(up{$S} and on (job, instance) last_over_time(openim_exporter_build_info[1d]))", ""), width=3, wanted=1),
    stat("Last callback", "How long ago the last callback was taken; nothing before the first.", "s", ("min(time() - (openim_exporter_last_callback_timestamp_seconds{$S} > 0))", "")),
    stat("Refused, 1 h", "Requests that were refused in the last hour.", "short", ("sum(increase(openim_exporter_callbacks_rejected_total{$S}[1h]))", ""), width=3, limits=[1, 100]),
    stat("Answer p99", "99 of 100 callbacks were answered within this time.", "s", ("histogram_quantile(0.99, sum by (le) (rate(openim_exporter_callback_duration_seconds_bucket{$S}[5m])))", ""), width=3, limits=[0.001, 0.1]),
    stat("Version", "The exporters' versions, and how many have each.", "short", ("count by (version) (openim_exporter_build_info{$S})", "{{version}}")),
    stat("Counters began", "How the counters began at the last start.", "short", ("count by (outcome) (openim_exporter_state_start{$S} == 1)", "{{outcome}}")),
    stat("State's file", "Whether each state's file is at its path. MISSING: at least one is not, and that exporter counts in memory only.", "none", ("max(openim_exporter_state_file_missing{$S})", ""), width=3, words=[("in place", "green"), ("MISSING", "red")]),
    row("Callbacks"),
    panel("heatmap", "Answer time", "Time from a callback's head being read to its answer being written.", "s", ("sum by (le) (increase(openim_exporter_callback_duration_seconds_bucket{$S}[$__rate_interval]))", "{{le}}")),
    lines("Answer time, quantiles", "The same, as exact as the histogram's buckets.", "s", *quantiles("openim_exporter_callback_duration_seconds")),
    lines("Callbacks taken", "Callbacks a second by command; only group messages are statistics.", "cps", ("sum by (command) (rate(openim_exporter_callbacks_total{$S}[$__rate_interval])) > 0", "{{command}}"), stack=True),
    lines("Refused", "Requests a second that were refused, by reason: see the README.", "cps", ("sum by (reason) (rate(openim_exporter_callbacks_rejected_total{$S}[$__rate_interval])) > 0", "{{reason}}"), stack=True),
    lines("In flight and connections", "Callbacks that are being read or answered, and open connections.", "short", ("sum(openim_exporter_callbacks_in_flight{$S})", "in flight"), ("sum(openim_exporter_connections{$S})", "connections")),
    lines("Arrived of what OpenIM processed", "Our messages against OpenIM's own count, where that is scraped. Not 1: OpenIM also counts typing and notifications. It should stay where it is.", "percentunit", ("job:openim_callbacks_arrived:ratio30m{$J}", "{{job}}")),
    row("What may be wrong"),
    lines("Clock errors", "Messages a second whose times cannot be, by kind; they are missing in the delays.", "cps", ("sum by (kind) (rate(openim_group_message_clock_errors_total{$S}[$__rate_interval]))", "{{kind}}")),
    lines("Repeats", "Messages a second that came again within the dedup window.", "cps", ("sum(rate(openim_exporter_callback_repeats_total{$S}[$__rate_interval]))", "repeats")),
    lines("Connections not accepted", "Connections a second that could not be accepted: too few open files.", "cps", ("sum(rate(openim_exporter_accept_failures_total{$S}[$__rate_interval]))", "failed")),
    lines("Handshakes that failed", "TLS handshakes a second that failed: a certificate that the client does not trust, or plain HTTP.", "cps", ("sum(rate(openim_exporter_tls_handshake_failures_total{$S}[$__rate_interval]))", "failed")),
    lines("Certificate", "Days until the TLS certificate expires; 0 without TLS, or when it has.", "d", ("clamp_min((openim_exporter_tls_certificate_expiry_timestamp_seconds{$S} - time()) / 86400, 0)", "{{instance}}")),
    lines("Settings", "Whether the settings' files could be used when they were last read, 1 or 0; and how often in an hour they could not.", "short", ("min(openim_exporter_config_last_reload_successful{$S})", "used"), ("sum(increase(openim_exporter_config_reload_failures_total{$S}[1h]))", "failures")),
    lines("Counters reset", "How often the counters began again from 0, in an hour.", "short", ("max by (instance) (resets(openim_group_messages_by_status_total{$S}[1h]))", "{{instance}}")),
    row("Scrapes and process"),
    lines("Time to write a scrape", "99 of 100 within, and the mean.", "s", ("histogram_quantile(0.99, sum by (le) (rate(openim_exporter_scrape_duration_seconds_bucket{$S}[5m])))", "p99"), ("sum(rate(openim_exporter_scrape_duration_seconds_sum{$S}[5m])) / sum(rate(openim_exporter_scrape_duration_seconds_count{$S}[5m]))", "mean")),
    lines("Scrape as Prometheus sees it", "Time from asking to having read it all.", "s", ("scrape_duration_seconds{$S} and on (job, instance) openim_exporter_build_info", "{{instance}}")),
    lines("CPU", "Cores that the exporter uses, in ten minutes: the counter is of whole seconds.", "none", ("rate(process_cpu_seconds_total{$S}[10m]) and on (job, instance) openim_exporter_build_info", "{{instance}}")),
    lines("Memory", "Resident and virtual memory.", "bytes", ("process_resident_memory_bytes{$S} and on (job, instance) openim_exporter_build_info", "resident {{instance}}"), ("process_virtual_memory_bytes{$S} and on (job, instance) openim_exporter_build_info", "virtual {{instance}}")),
    lines("Open files", "Open files, connections among them, and the limit.", "short", ("process_open_fds{$S} and on (job, instance) openim_exporter_build_info", "open {{instance}}"), ("process_max_fds{$S} and on (job, instance) openim_exporter_build_info", "limit {{instance}}")),
    lines("Threads and age", "Threads, and hours since the start.", "short", ("process_threads{$S} and on (job, instance) openim_exporter_build_info", "threads {{instance}}"), ("(time() - process_start_time_seconds{$S}) / 3600 and on (job, instance) openim_exporter_build_info", "hours {{instance}}")),
]

DASHBOARDS = {
    "overview": dashboard("overview", "overview", "What is written in OpenIM's groups: how much, what, where, by whom, how fast.", OVERVIEW),
    "group": dashboard("group", "one group", "One group, or several to compare.", GROUP, group=True),
    "capacity": dashboard("capacity", "capacity", "Peaks, growth, and when a limit will be reached.", CAPACITY, since="now-7d"),
    "exporter-health": dashboard("exporter-health", "exporter health", "Whether the exporter itself is well.", HEALTH, since="now-1h"),
}


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "dashboards"
    for name, made in DASHBOARDS.items():
        (folder / f"{name}.json").write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n")


main()
