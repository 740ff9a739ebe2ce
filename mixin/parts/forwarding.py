"""The dashboard of what the exporter forwards and records."""

from .messages import quantiles
from .panel import COUNT, DURATION, LONG, lines, link, row, steps
from .table import Column, colored, table
from .top import DOCS, first_row

NOTHING = "Nothing is forwarded: set --forward.url, see docs/forwarding.md"
NO_RECORDS = "Nothing is recorded: set --record.path, see docs/records.md"
EACH = "sum by (job, instance, target)"
BREAKER = {0: ("closed", "green"), 1: ("half-open", "orange"), 2: ("OPEN", "red")}


def family(name):
    return f"openim_exporter_forward_{name}{{$S}}"


def rate(name, *labels):
    """The rate of a counter for each target and each value of these labels."""
    return f"sum by ({', '.join(('target', *labels))}) (rate({family(name)}[$__rate_interval]))"


def by_target(name):
    return (f"sum by (target, instance) ({family(name)})", "{{target}} {{instance}}")


def targets():
    count = {"unit": COUNT, "decimals": 0}
    text = {"custom__cellOptions": {"type": "color-text"}}
    late = {"thresholds": steps((None, "text"), ("<<pending_seconds>>", "orange"))} | text
    bad = {"thresholds": steps((None, "text"), (0.5, "red"))} | text
    configured = [link("Configure targets", f"{DOCS}/forwarding.md")]
    columns = [
        Column("Target", "target", links=configured),
        Column("Exporter", "instance"),
        Column("Breaker", f"max by (job, instance, target) ({family('breaker_state')})", "none", **colored(BREAKER)),
        Column("Pending", f"{EACH} ({family('pending_callbacks')})", **count),
        Column("Oldest pending", f"max by (job, instance, target) ({family('oldest_pending_age_seconds')})", **DURATION, **late),
        Column("Delivered per second", f"{EACH} (rate({family('delivered_total')}{LONG}))", "reqps", decimals=1),
        Column("Dropped (1 h)", f"{EACH} (increase({family('dropped_total')}[1h]))", **count, **bad),
        Column("Dead letters", f"{EACH} ({family('dead_letters_stored')})", **count, **bad),
        Column("Spool", f"{EACH} ({family('pending_bytes')})", "bytes"),
    ]
    return table("Targets", "Each server to which callbacks are forwarded, now. See docs/forwarding.md.", columns, "Oldest pending", hidden=["job"], empty=NOTHING)


def answers():
    verdicts = "What OpenIM got for the callbacks that are passed through, per second: the target's answer, by what OpenIM reads in it, or the answer of the policy. `ineffective_refusal` looks like a refusal, but OpenIM v3.7 and newer lets the user go on."
    return [
        lines("Answers to OpenIM", verdicts, "reqps", (rate("answers_total", "verdict"), "{{target}} {{verdict}}"), empty=NOTHING, stack=True),
        lines("Time until the target answers, quantiles", "For callbacks that are passed through. OpenIM waits for it. Timeouts count too, but not failed connections, and not callbacks that are not sent because the circuit breaker is open or too many requests are in progress.", "s", *quantiles("openim_exporter_forward_answer_duration_seconds"), empty=NOTHING),
    ]


def deliveries():
    return [
        lines("Received and delivered", "Callbacks per second that go to the spool, and that are delivered from it. After an outage, more are delivered than received.", "reqps", (rate("received_total"), "{{target}} received"), (rate("delivered_total"), "{{target}} delivered"), empty=NOTHING),
        lines("Age of the oldest pending callback", "OpenimForwardBacklog fires above the line at <<pending_seconds>> s.", "s", by_target("oldest_pending_age_seconds"), empty=NOTHING, limits=[("<<pending_seconds>>", "orange")]),
        lines("Pending callbacks", "Callbacks in the spool that are not delivered yet.", "short", by_target("pending_callbacks"), empty=NOTHING),
        lines("Attempts", "Attempts to deliver a callback, per second, by outcome: `rejected` is a 4xx, after which the callback becomes a dead letter; `failed` is any other status except 2xx, after which it is retried.", "reqps", (rate("attempts_total", "outcome"), "{{target}} {{outcome}}"), empty=NOTHING, stack=True),
    ]


def failures():
    return [
        lines("No usable answer", "Callbacks per second that the target should answer but did not, by reason: see OpenimForwardUnanswered in the runbook.", "reqps", (rate("answer_failures_total", "reason"), "{{target}} {{reason}}"), empty=NOTHING),
        lines("Dropped", "Callbacks per second that the target will never get, by reason: see OpenimForwardDropped in the runbook.", "reqps", (rate("dropped_total", "reason"), "{{target}} {{reason}}"), empty=NOTHING),
        lines("Rejected by the target", "Callbacks per second that became dead letters.", "reqps", (rate("dead_letters_total"), "{{target}}"), empty=NOTHING),
        lines("Stalls", "Times per second that delivery stalled because too many groups or senders were waiting for a retry.", "reqps", (rate("stalls_total"), "{{target}}"), empty=NOTHING),
        lines("Breaker of each target", "0: closed, requests are sent. 1: half-open, one request probes the target. 2: open, no requests are sent.", "none", by_target("breaker_state"), empty=NOTHING, most=2),
    ]


def spool():
    return [
        lines("Dead letters on disk", "Callbacks that the target rejected and that are not replayed, dropped or too old yet.", "short", by_target("dead_letters_stored"), empty=NOTHING),
        lines("Pending bytes", "Size of the callbacks in the spool that are not delivered yet. At the limit, the oldest are dropped.", "bytes", by_target("pending_bytes"), empty=NOTHING),
        lines("Duration of delivery attempts, quantiles", "From the start of a request from the spool to its answer.", "s", *quantiles("openim_exporter_forward_duration_seconds"), empty=NOTHING),
    ]


def if_recorded(expression):
    """The expression, if there are records now or were within the last day."""
    return f"{expression} and on () (sum(max_over_time(openim_exporter_record_bytes{{$S}}[1d])) > 0)"


def records():
    written = if_recorded("sum by (instance) (rate(openim_exporter_record_written_total{$S}[$__rate_interval]))")
    failed = if_recorded("sum by (reason) (rate(openim_exporter_record_failures_total{$S}[$__rate_interval]))")
    removed = if_recorded("sum by (reason) (increase(openim_exporter_record_files_removed_total{$S}[1h]))")
    kept = if_recorded("sum by (instance) (openim_exporter_record_bytes{$S})")
    return [
        lines("Recorded callbacks", "Callbacks per second that are written to the records.", "reqps", (written, "{{instance}}"), empty=NO_RECORDS),
        lines("Failures to record", "Problems with the records per second, by reason: see OpenimRecordFailures in the runbook.", "reqps", (failed, "{{reason}}"), empty=NO_RECORDS),
        lines("Records on disk", "Size of all record files. At the limit, the oldest files are removed.", "bytes", (kept, "{{instance}}"), empty=NO_RECORDS),
        lines("Records removed", "Record files that were removed in an hour, by the limit that they reached.", "short", (removed, "{{reason}}"), empty=NO_RECORDS),
    ]


def panels():
    return [
        *first_row(),
        targets(),
        row("Passed through"),
        *answers(),
        row("Delivered from the spool"),
        *deliveries(),
        row("Failures", *failures()),
        row("Spool", *spool()),
        row("Records", *records()),
    ]
