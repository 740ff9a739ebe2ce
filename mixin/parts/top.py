"""What each dashboard has in common: its first row, annotations and links."""

from .messages import quantile
from .panel import DURATION, LONG, OURS, SOURCE, filled, group_link, lines, link, override, stat
from .table import Column, colored, table

DOCS = "<<docs_url>>"

# The exporters that Prometheus should scrape: also one that never answered, if the selector matches it. The recorded
# series adds those whose metrics arrive without an `up`.
TARGETS = "(up{$S} and on (job) last_over_time(openim_exporter_build_info{$J}[1w]) or up{$S, <<selector>>} or instance:openim_exporter_up:max{$S})"
FIRING = 'ALERTS{alertname=~"Openim.*", alertstate="firing", job=~"$job", instance=~"$instance|"}'
# A target that is gone has no `up`. The alert knows it for an hour.
DOWN = f'count({TARGETS} == 0 or on (job, instance) ALERTS{{$S, alertname="OpenimExporterDown", alertstate="firing"}}) or 0 * count({TARGETS})'
# An exporter without a callback has been silent since its start.
SILENT = (
    "(round(time() - (last_over_time(openim_exporter_last_callback_timestamp_seconds{$S}[1d]) > 0"
    " or last_over_time(process_start_time_seconds{$S}[1d]) and on (job, instance) last_over_time(openim_exporter_build_info[1d])))"
    " and on (job, instance) (up or instance:openim_exporter_up:max))"
)
# The requests that OpenimCallbacksRejected or OpenimAccessRefused counts: the others concern pages or the load.
NOT_CALLBACKS = "not_found|method_not_allowed|bad_query|rate_limited|too_many_scrapes|too_many_viewers|too_many_connections"
REJECTED = f'openim_exporter_callbacks_rejected_total{{$S, reason!~"{NOT_CALLBACKS}"}}'
REFUSED = f"sum by (reason) (increase({REJECTED}[10m]) or increase({REJECTED}{LONG}) / 2)"
BUSY = "max(instance:openim_sender_workers_busy:ratio5m{$S} or job:openim_sender_workers_busy:ratio5m{$J})"
P95 = quantile(0.95, "openim_group_message_delivery_delay_seconds", "rate({family}[10m]) or rate({family}[20m])")

SEVERITIES = {"critical": "red", "warning": "orange"}
LIVE_PAGE = [link("Live page", "http://${__field.labels.instance}/"), link("Live page (TLS)", "https://${__field.labels.instance}/")]
HEALTH = [link("Exporter health", "/d/openim-exporter-health?${datasource:queryparam}&${__url_time_range}", False)]


def tile(*arguments, base="transparent", **more):
    return stat(*arguments, base=base, filled_in=True, **more)


def first_row():
    """Answers of instant queries. Only *Exporters down* is ever green, and only while all exporters answer."""
    severe = [override(f"/^{severity}/", "byRegexp", color={"mode": "fixed", "fixedColor": color}) for severity, color in SEVERITIES.items()]
    alerts = f"topk by (severity) (2, count by (severity, alertname) ({FIRING})) or on () 0 * max(openim:processes:count)"
    refused = f"topk(3, {REFUSED} > 0.5) or on () 0 * count({TARGETS} == 1)"
    runbook = [link("Runbook", f"{DOCS}/runbook.md")]
    return [
        tile("Firing alerts", "Alerts of the exporter and of OpenIM's callbacks that fire now: at most two of each severity. Each has a section in the runbook.", "none", (alerts, "{{severity}} {{alertname}}"), empty="the rules are not loaded", overrides=severe, links=runbook, limits=[(1, "orange")], size=(5, 4)),
        tile("Exporters down", "Exporters whose last scrape failed, and those that have disappeared according to OpenimExporterDown. Callbacks to an exporter that is really down are lost.", "none", (DOWN, ""), empty="no exporter is scraped", base="red", limits=[(0, "green"), (1, "red")], links=HEALTH, size=(3, 4)),
        tile("Since last callback", "Time since the last callback, of the exporter that has been silent longest. If it has had no callback at all: since its start. Behind a load balancer, one may be idle because the others get all callbacks.", DURATION["unit"], (f"topk(1, {SILENT})", "{{instance}}"), empty="no exporter is scraped", limits=[(600, "orange")], links=LIVE_PAGE),
        tile("Workers busy", "Share of their time that OpenIM's callback workers spend waiting for answers: the maximum of the whole job and of each selected exporter. OpenimAnswersSlow fires above <<busy_share%>> %. At 100 %, OpenIM drops callbacks.", "percentunit", (BUSY, ""), decimals=0, empty="not measured", limits=[(0.5, "orange"), ("<<busy_share>>", "red")], links=[link("What to do", f"{DOCS}/runbook.md#openimanswersslow")], size=(3, 4)),
        tile("Refused in 10 minutes", "Refused requests that OpenimCallbacksRejected or OpenimAccessRefused counts: the three most frequent reasons. These alerts fire above <<refused_requests>>.", "none", (refused, "refused {{reason}}"), decimals=0, empty="no exporter is up", limits=[(1, "yellow"), ("<<refused_requests>>", "orange")], links=[link("Reasons", f"{DOCS}/errors.md")]),
        tile("95 % of messages arrived within", "Time from sendTime to the callback, in the last 10 minutes. OpenimDeliveryDelayGrows can fire above <<delay_seconds>> s.", "s", (P95, ""), empty="not measured", limits=[("<<delay_seconds>>", "orange"), (10, "red")], links=[link("What to do", f"{DOCS}/runbook.md#openimdeliverydelaygrows")], size=(5, 4)),
    ]


def alerts_and_workers():
    """The second row: what is wrong, and how close OpenIM is to dropping callbacks."""
    severity = colored({severity: (severity, color) for severity, color in SEVERITIES.items()})
    what = [Column("Alert", "alertname", custom__width=240, links=[link("Runbook", f"{DOCS}/runbook.md#${{__value.raw}}")]), Column("Severity", "severity", **severity), Column("Exporter", "instance")]
    what += [Column(name, label) for name, label in (("Target", "target"), ("Reason", "reason"), ("Limit", "cap"), ("Clock error", "kind"))]
    what.append(Column("Group", "group_id", links=group_link("__data.fields.Group")))
    each = "max by (instance) (instance:openim_sender_workers_busy:ratio5m{$S})"
    hidden = ["__name__", "alertstate", "job", "Value"]
    return [
        table("Alerts that fire", "Click an alert for its section in the runbook, and a group for its dashboard.", what, "Severity", more=[FIRING], hidden=hidden, empty="No alert is firing", size=(12, 7), descending=False),
        lines("Workers busy over time", "Share of their time that OpenIM's callback workers spend waiting for answers. OpenimAnswersSlow fires above the line at <<busy_share%>> %. At 100 %, OpenIM drops callbacks.", "percentunit", (each, "{{instance}}"), ("max(job:openim_sender_workers_busy:ratio5m{$J})", "whole job"), limits=[("<<busy_share>>", "red")], size=(12, 7)),
    ]


def annotation(name, color, expression, title, text="{{instance}}", **more):
    made = {"name": name, "datasource": SOURCE, "enable": True, "hide": False, "iconColor": color, "expr": filled(expression)}
    return made | {"step": "60s", "titleFormat": title, "textFormat": text, "tagKeys": ""} | more


def annotations():
    builds = "openim_exporter_build_info{$S}"
    changed = f"{builds} unless last_over_time({builds}[1h] offset 5m) and on (job, instance) last_over_time({builds}[1d] offset 5m)"
    started = f"1000 * process_start_time_seconds{{$S}} {OURS}"
    return [
        annotation("Alerts", "red", FIRING, "{{alertname}}", "{{instance}} {{target}} {{reason}} {{cap}} {{kind}} {{group_id}}"),
        # The value is the time in milliseconds.
        annotation("Restarts", "blue", started, "Exporter started", useValueForTime=True),
        annotation("Version changes", "purple", changed, "Version {{version}}"),
    ]


def links():
    others = {"type": "dashboards", "title": "OpenIM", "tags": ["openim"], "asDropdown": True, "includeVars": True, "keepTime": True}
    others |= {"targetBlank": False, "icon": "external link", "tooltip": "Other OpenIM dashboards"}
    pages = {
        "Runbook": (f"{DOCS}/runbook.md", "What to do for each alert"),
        "Docs": (f"{DOCS}/prometheus.md", "The metrics, rules and dashboards"),
    }
    linked = [{"type": "link", "title": title, "url": url, "tooltip": tip, "targetBlank": True, "icon": "doc"} for title, (url, tip) in pages.items()]
    return [others, *linked]
