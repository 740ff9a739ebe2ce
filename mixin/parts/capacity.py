"""The dashboard for capacity planning."""

from .limits import limit_hits
from .messages import BY_STATUS, DAY, total
from .panel import LONG, OURS, bars, lines, row, stat
from .top import first_row

ANSWERS = "openim_exporter_callback_duration_seconds"
MEAN = f"({total('sum', ANSWERS)} / ({total('count', ANSWERS)} > 0))"
POSSIBLE = f"scalar(2 * openim:processes:count) / {MEAN}"
# No value until that day is complete: compared with part of a first day, any installation grows.
WEEK_AGO = f"(sum(increase({BY_STATUS}[1d] offset 1w)) and on () sum(last_over_time({BY_STATUS}[1h] offset 8d)))"
USED = "instance:openim_exporter_cap_used:ratio{$S}"
FULL = f"sort(clamp_min(min by (cap) (7 * (1 - {USED}) / (instance:openim_exporter_cap_used:growth1w{{$S}} > 0)), 0))"
EACH_EXPORTER = "{{instance}}"
NO_CALLBACKS = "No callbacks, or the rules are not loaded"


def peak(window, step):
    return f"max_over_time(sum(job:openim_group_messages:rate10m{{$J}})[{window}:{step}])"


def in_ten_minutes(counter):
    """The increase in ten minutes. With one or no sample in that time, it is estimated from 20 minutes."""
    return f"sum(increase({counter}{{$S}}[10m]) or increase({counter}{{$S}}{LONG}) / 2)"


def numbers():
    return [
        stat("Peak rate (24 h)", "Highest rate of messages in any ten minutes of the last day.", "mps", (peak("1d", "5m"), ""), empty="no data yet, or no rules"),
        stat("Peak rate (7 d)", "Highest rate of messages in any ten minutes of the last week.", "mps", (peak("1w", "10m"), ""), empty="no data yet, or no rules"),
        stat("Week-over-week growth", "Messages in the last 24 hours, compared with the same 24 hours a week before.", "percentunit", (f"{DAY} / ({WEEK_AGO} > 0) - 1", ""), empty="needs eight days of data", decimals=1),
        stat("Busy at the peak (24 h)", "Share of their time that OpenIM's callback workers spend waiting for answers: the maximum of the last day. At 100 %, OpenIM drops callbacks.", "percentunit", ("max(job:openim_sender_workers_busy:max1d{$J})", ""), empty="no callbacks", limits=[(0.5, "orange"), ("<<busy_share>>", "red")], decimals=2),
        stat("Maximum callback rate", "Callbacks per second that OpenIM can send at the current answer time, with two workers per process. Network time is not included.", "reqps", (POSSIBLE, ""), empty="no callbacks"),
        stat("OpenIM processes", "OpenIM processes that Prometheus scrapes. If it scrapes none, 1 is assumed. Those of all jobs.", "short", ("max(openim:processes:count)", ""), empty="the rules are not loaded"),
    ]


def openims_limit():
    busy = "job:openim_sender_workers_busy"
    shown = [
        (f"max({busy}:ratio5m{{$J}})", "now"),
        (f"max({busy}:max1d{{$J}})", "peak of the day"),
        (f"max({busy}:p80_1w{{$J}})", "peak of the week"),
        (f"max(clamp_min({busy}:p80_1w{{$J}} + 2 * {busy}:growth1w{{$J}}, 0))", "in 14 days"),
    ]
    return [
        lines("Workers busy, with forecast", "Share of their time that OpenIM's callback workers spend waiting for answers: now, at the peak of the day, at the peak of the week (the 80th percentile of the daily peaks), and in 14 days at the growth of the last week. OpenimAnswersSlow fires above <<busy_share%>> %. At 100 %, the queue of 100 fills, then callbacks are dropped.", "percentunit", *shown, empty=NO_CALLBACKS, limits=[("<<busy_share>>", "orange"), (1, "red")]),
        lines("Callback rate and its maximum", "Callbacks per second that OpenIM can send at the current answer time, and that it sends. The axis is logarithmic.", "reqps", (POSSIBLE, "maximum"), ("sum(rate(openim_exporter_callbacks_total{$S}[$__rate_interval]))", "sent"), empty=NO_CALLBACKS, log=True),
    ]


def traffic():
    in_14_days = f"{DAY} * ({DAY} / ({WEEK_AGO} > 0)) ^ 2"
    return [
        lines("Peak rates", "Highest rate of messages in any ten minutes of the day before and of the week before.", "mps", (peak("1d", "10m"), "day"), (peak("1w", "10m"), "week"), empty="Less than ten minutes of data, or the rules are not loaded"),
        lines("Messages in a day", "Messages in the 24 hours before, in the same 24 hours a week earlier, and in the 24 hours that end 14 days later, at the same growth.", "short", (DAY, "this day"), (WEEK_AGO, "a week ago"), (in_14_days, "in 14 days")),
    ]


def tables():
    retired = [(in_ten_minutes(f"openim_exporter_{family}_total"), name) for family, name in (("groups_retired", "groups retired"), ("sender_pairs_evicted", "pairs evicted"), ("message_ids_evicted", "message IDs evicted"))]
    return [
        lines("Share of each limit in use", "Share of each limit that is in use.", "percentunit", (f"max by (cap, instance) ({USED})", "{{cap}} {{instance}}"), empty="The rules are not loaded", most=1, limits=[("<<cap_used_share>>", "orange"), (1, "red")], size=(24, 8)),
        lines("Groups", "Tracked groups of each exporter, and those of them that are exported. *Limit hits* has the maximum of each.", "short", ("openim_exporter_groups_tracked{$S}", f"tracked {EACH_EXPORTER}"), ("openim_exporter_groups_exported{$S}", f"exported {EACH_EXPORTER}")),
        lines("Group-sender pairs", "Pairs that each exporter remembers for 24 hours.", "short", ("openim_exporter_sender_pairs_tracked{$S}", EACH_EXPORTER)),
        lines("Dedup window", "Message IDs that each exporter remembers; 0 if the window is off.", "short", ("openim_exporter_message_ids_tracked{$S}", EACH_EXPORTER)),
        lines("Retired and evicted", "Groups, pairs and message IDs that were removed in ten minutes. Retired groups lose nothing.", "short", *retired),
    ]


def cost():
    return [
        lines("Series", "Series per scrape, which determine the cost for Prometheus: three for each exported group, and a few hundred others (see docs/capacity.md).", "short", ("openim_exporter_scrape_series{$S}", EACH_EXPORTER)),
        lines("Memory", "Resident memory of the exporter. docs/capacity.md says how much the tables need.", "bytes", (f"process_resident_memory_bytes{{$S}} {OURS}", EACH_EXPORTER)),
    ]


def panels():
    urgent = [(None, "text"), (0, "red"), (14, "orange"), (30, "green")]
    return [
        *first_row(),
        *numbers(),
        row("OpenIM's limit"),
        *openims_limit(),
        row("Traffic"),
        *traffic(),
        row("Limits"),
        limit_hits(),
        bars("Time until full", "Days until a table is full, at the growth of the last week: the most urgent first. No bar for a table that does not grow.", "d", (FULL, "{{cap}}"), empty="No table grows, no exporter is up, or there are less than eight days of data", limits=urgent, size=(8, 9), decimals=0, max=90),
        row("Tables", *tables()),
        row("Cost", *cost()),
    ]
