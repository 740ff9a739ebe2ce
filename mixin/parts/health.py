"""The dashboard of the exporters themselves."""

from .limits import limit_hits
from .messages import buckets, quantile, quantiles, total
from .panel import DURATION, LONG, OURS, heatmap, lines, link, row, steps, words
from .table import Column, colored, counts, table
from .top import DOCS, SILENT, TARGETS, alerts_and_workers, first_row

EACH = "max by (job, instance)"
EACH_EXPORTER = "{{instance}}"
ANSWERS = "openim_exporter_callback_duration_seconds"
ANSWER_TIME = "The exporter's own time for a callback, from its last byte to its answer."
LAST_UNION = "openim_exporter_replicas_last_union_timestamp_seconds{$S}"
# An exporter without a union has been without one since its start. Not below 0, because Redis' clock may be ahead.
UNION_AGE = f"clamp_min(round(timestamp({LAST_UNION}) - ({LAST_UNION} > 0 or process_start_time_seconds{{$S}})), 0)"
ALONE = "No exporter unites its numbers with others: see --replicas.redis-url"
OPENIM_UNSEEN = "Prometheus does not scrape OpenIM's own metrics: see docs/prometheus.md"
STARTS = {
    "continued": ("continued", "green"),
    "restored": ("restored from a copy", "orange"),
    "counters_reset": ("counters reset", "orange"),
    "fresh": ("new", "blue"),
}


def exporters():
    live_page = [link("Live page", "http://${__value.raw}/"), link("Live page (TLS)", "https://${__value.raw}/")]
    up = colored({1: ("up", "green"), 0: ("DOWN", "red")})
    file = colored({0: ("in place", "green"), 1: ("MISSING", "red")})
    settings = colored({1: ("in use", "green"), 0: ("NOT USED", "red")})
    started = f"{EACH} (round(time() - process_start_time_seconds{{$S}}) {OURS})"
    expiry = "openim_exporter_tls_certificate_expiry_timestamp_seconds{$S}"
    old = {"thresholds": steps((None, "text"), (60, "orange")), "custom__cellOptions": {"type": "color-text"}}
    columns = [
        Column("Exporter", "instance", links=live_page),
        Column("Answers", f"{EACH} ({TARGETS})", "none", **up),
        Column("Version", "version"),
        Column("Uptime", started, **DURATION),
        Column("Last callback", f"{EACH} {SILENT}", **DURATION),
        Column("Workers busy", f"{EACH} (instance:openim_sender_workers_busy:ratio5m{{$S}})", "percentunit", decimals=1),
        Column("Last union", f"{EACH} ({UNION_AGE})", **DURATION, **old),
        Column("State at startup", "outcome", **colored(STARTS), links=[link("What it means", f"{DOCS}/state.md")]),
        Column("State file", f"{EACH} (openim_exporter_state_file_missing{{$S}})", "none", **file),
        Column("Settings", f"{EACH} (openim_exporter_config_last_reload_successful{{$S}})", "none", **settings),
        Column("Certificate expires in", f"{EACH} (round(({expiry} > 0) - time()) or 0 * {expiry})", **DURATION, mappings=words({0: ("no TLS", "text")})),
    ]
    labels = ["max by (job, instance, version) (openim_exporter_build_info{$S})", "max by (job, instance, outcome) (openim_exporter_state_start{$S} == 1)"]
    told = "Each exporter: whether it answers scrapes, its version, uptime, time since its last callback (or since its start), the workers that wait for it, the age of its last union with other exporters, and its state and settings. Click an exporter for its own page."
    return table("Exporters", told, columns, "Exporter", more=labels, hidden=["job"], empty="Prometheus scrapes no exporter", size=(24, 7), descending=False)


def errors():
    return counts(
        "Errors",
        "Errors in the last hour. For refused requests, see *Refused requests*.",
        "Error",
        "Last hour",
        ("sum by (kind) (increase(openim_group_message_clock_errors_total{$S}[1h]))", "Message with an impossible time: {{kind}}"),
        ("sum by (kind) (increase(openim_single_message_clock_errors_total{$S}[1h]))", "Single message with an impossible time: {{kind}}"),
        ("sum(increase(openim_exporter_callback_repeats_total{$S}[1h]))", "Duplicate message, not counted"),
        ("sum(increase(openim_exporter_accept_failures_total{$S}[1h]))", "Connection not accepted: limit of open files"),
        ("sum(increase(openim_exporter_tls_handshake_failures_total{$S}[1h]))", "Failed TLS handshake"),
        ("sum(increase(openim_exporter_config_reload_failures_total{$S}[1h]))", "Configuration files that cannot be loaded"),
        ("sum by (reason) (increase(openim_exporter_replicas_failures_total{$S}[1h]))", "Failed exchange with Redis: {{reason}}"),
        ("max by (part) (increase(openim_exporter_replicas_damaged_total{$S}[1h]))", "Damaged data in Redis: {{part}}"),
        ("sum(increase(openim_exporter_replicas_name_conflicts_total{$S}[1h]))", "Name conflict in Redis"),
        ("sum(increase(openim_exporter_replicas_disconnects_dropped_total{$S}[1h]))", "Disconnect not reported to other exporters"),
        ("sum(max by (job, instance) (resets(openim_group_messages_by_status_total{$S}[1h])))", "Counter reset"),
        size=(8, 9),
    )


def callbacks():
    refused = "sum by (reason) (rate(openim_exporter_callbacks_rejected_total{$S}[$__rate_interval])) > 0"
    accepted = "sum by (command) (rate(openim_exporter_callbacks_total{$S}[$__rate_interval])) > 0"
    arrived = "Messages that arrived, compared with OpenIM's own count if that is scraped. Normally less than 1, because OpenIM also counts typing and notification messages. It should stay constant."
    return [
        lines("Refused requests", "Refused requests per second by reason, also those for pages: see docs/errors.md.", "reqps", (refused, "{{reason}}"), empty="No request was refused", stack=True),
        lines("Accepted callbacks", "Accepted callbacks per second by command. Only those for group messages count in openim_group_messages_total; docs/metrics.md says what the others count in.", "reqps", (accepted, "{{command}}"), empty="No callbacks", stack=True),
        lines("Answer time, quantiles", f"{ANSWER_TIME} Limited by the precision of the histogram's buckets: native ones are 9 % wide.", "s", *quantiles(ANSWERS), empty="No callbacks"),
        lines("Callbacks received vs. processed by OpenIM", arrived, "percentunit", ("job:openim_callbacks_arrived:ratio30m{$J}", "{{job}}"), empty=OPENIM_UNSEEN),
    ]


def callbacks_in_detail():
    in_flight = [("sum(openim_exporter_callbacks_in_flight{$S})", "in flight"), ("sum(openim_exporter_connections{$S})", "connections")]
    received = "Time from a callback's first byte to its last, or over HTTP/2 from the end of its head. It is the client's and the network's time, not the exporter's."
    return [
        heatmap("Answer time", ANSWER_TIME, *buckets(ANSWERS), empty="No callbacks"),
        lines("Time to receive a callback, quantiles", received, "s", *quantiles("openim_exporter_callback_receive_seconds"), empty="No callbacks"),
        lines("In flight and connections", "Callbacks being read or answered, and open connections.", "short", *in_flight),
    ]


def several_exporters():
    callbacks = "sum by (instance) (rate(openim_exporter_callbacks_total{$S}[$__rate_interval]))"
    share = f"{callbacks} / on () group_left () (sum({callbacks}) > 0)"
    age = "Time since each exporter's last union with the others (or since its start), normally at most ten seconds. Its united numbers disappear after a minute. OpenimReplicasNotUnited fires if unions rarely succeed."
    skew = "Difference between each exporter's clock and Redis' clock. OpenimReplicasClockSkew fires above the line at <<clock_skew_seconds>> s."
    return [
        lines("Share of callbacks", "Each exporter's share of the accepted callbacks of all selected exporters.", "percentunit", (share, EACH_EXPORTER), empty="No callbacks", stack=True, most=1),
        lines("Age of the last union", age, "s", (UNION_AGE, EACH_EXPORTER), empty=ALONE, limits=[(60, "orange")]),
        lines("Exporters in the union", "Exporters that wrote to Redis in the minute before the last union, as each exporter sees it.", "short", ("openim_exporter_replicas_active{$S}", EACH_EXPORTER), empty=ALONE),
        lines("Difference from Redis' clock", skew, "s", ("abs(openim_exporter_replicas_clock_skew_seconds{$S})", EACH_EXPORTER), empty=ALONE, limits=[("<<clock_skew_seconds>>", "orange")]),
        lines("Duration of a union, quantiles", "Time that a union takes: reading the others' data from Redis, and counting.", "s", *quantiles("openim_exporter_replicas_union_duration_seconds"), empty=ALONE),
    ]


def process():
    of_ours = [(f"process_{what}{{$S}} {OURS}", EACH_EXPORTER) for what in ("resident_memory_bytes", "open_fds", "threads")]
    cpu = f"rate(process_cpu_seconds_total{{$S}}[$__rate_interval]) {OURS}"
    network = [(f"rate(process_network_{way}_bytes_total{{$S}}[$__rate_interval]) {OURS}", f"{{{{instance}}}} {way}") for way in ("receive", "transmit")]
    scrape = "openim_exporter_scrape_duration_seconds"
    p99 = quantile(0.99, scrape, f"rate({{family}}{LONG})")
    mean = f"{total('sum', scrape, LONG)} / {total('count', scrape, LONG)}"
    return [
        lines("Time to write a scrape", "99th percentile and mean of 20 minutes.", "s", (p99, "p99"), (mean, "mean")),
        lines("Scrape as Prometheus sees it", "Duration of a scrape, as Prometheus measures it.", "s", (f"scrape_duration_seconds{{$S}} {OURS}", EACH_EXPORTER)),
        lines("CPU", "CPU cores that the exporter uses.", "none", (cpu, EACH_EXPORTER)),
        lines("Memory", "Resident memory.", "bytes", of_ours[0]),
        lines("Open files", "Open files, including connections. *Limit hits* has the maximum.", "short", of_ours[1]),
        lines("Threads", "Threads of the exporter.", "short", of_ours[2]),
        lines("Network", "Bytes per second of the exporter's host or container, including those of other programs there.", "Bps", *network),
    ]


def panels():
    return [
        *first_row(),
        *alerts_and_workers(),
        exporters(),
        row("Callbacks"),
        *callbacks(),
        row("Errors and limits"),
        errors(),
        limit_hits(),
        row("Several exporters", *several_exporters()),
        row("Callbacks in detail", *callbacks_in_detail()),
        row("Scrapes and process", *process()),
    ]
