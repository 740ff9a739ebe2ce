"""The dashboard of one or more groups."""

from .messages import RATE
from .panel import COUNT, DURATION, LONG, lines, override
from .table import Column, table
from .top import first_row

# Selects the same exporters on both pages: the job for /metrics/groups has the name of the other job, followed by `-groups`.
ALL_GROUPS = 'job=~"$job(-groups)?", instance=~"$instance"'
# A group that is not exported has series at /metrics/groups only, if that page is scraped. `or` never adds both.
EXPORTED = 'openim_group_messages_by_group_total{$S, group_id=~"$group"}'
TRACKED = f'openim_tracked_group_messages_total{{{ALL_GROUPS}, group_id=~"$group"}}'
# Of several exporters, one may export a group that another does not.
EACH = "sum by (instance, group_id)"


def by_group(first, second):
    return f"sum by (group_id) ({EACH} ({first}) or {EACH} ({second}))"


NOW = by_group(f"rate({EXPORTED}[$__rate_interval])", f"rate({TRACKED}{LONG})")
# 0 for a group that had no messages then.
BEFORE = f"({by_group(f'rate({EXPORTED}[$__rate_interval] offset 1h)', f'rate({TRACKED}{LONG} offset 1h)')} or 0 * {NOW})"
LAST_MESSAGE = f"max_over_time(timestamp((rate({EXPORTED}[5m]) or rate({EXPORTED}{LONG}) or rate({TRACKED}{LONG})) > 0)[$__range:1m])"
MESSAGES = by_group(f"increase({TRACKED}[$__range])", f"increase({EXPORTED}[$__range])")
# NaN for a group without a message in the time range, so that it has words.
SILENT = f"round(time() - max by (group_id) ({LAST_MESSAGE})) or 0 / 0 * ({MESSAGES})"


def week(offset=""):
    """Messages in seven days, from the series at /metrics/groups if that page is scraped."""
    return by_group(f"increase({TRACKED}[7d]{offset})", f"increase({EXPORTED}[7d]{offset})")


# Only if the group had messages in the earlier week.
CHANGE = f"{week()} / ({week(' offset 7d')} > 0) - 1"
NEVER = {"mappings": [{"type": "special", "options": {"match": "null+nan", "result": {"text": "the whole time range", "index": 0}}}]}
ONE_SEES = " (with several exporters, the largest number of one: a lower bound)"
NO_GROUP = "The selected groups have no series in this time range: see --groups.max-exported"


def senders(window):
    more = f'group_id=~"$group", window="{window}"'
    return (
        f"max by (group_id) (openim_group_active_senders{{$S, {more}}})"
        f" or max by (group_id) (openim_tracked_group_active_senders{{{ALL_GROUPS}, {more}}})"
    )


def panels():
    count = {"unit": COUNT, "decimals": 0}
    columns = [
        Column("Group", "group_id"),
        Column("Messages", MESSAGES, **count),
        Column("Senders (1 h)", senders("1h"), **count),
        Column("Senders (24 h)", senders("24h"), **count),
        Column("Last 7 days", week(), **count),
        Column("7 days before", week(" offset 7d"), **count),
        Column("Change", CHANGE, unit="percentunit", decimals=0),
        Column("Silent for", SILENT, **DURATION, **NEVER),
    ]
    dashed = override(".*, an hour before$", "byRegexp", custom__lineStyle={"fill": "dash", "dash": [8, 8]}, custom__fillOpacity=0)
    flood = "Messages per second in each selected group, and an hour before (dashed). OpenimGroupFlood can fire if an exported group has <<flood_factor>> times as many."
    return [
        *first_row(),
        lines("Messages per second, now and an hour before", flood, "mps", (NOW, "{{group_id}}"), (BEFORE, "{{group_id}}, an hour before"), empty=NO_GROUP, size=(24, 9), overrides=[dashed]),
        table("Selected groups", f"Messages in the selected time range, senders{ONE_SEES}, the messages of the last seven days compared with the seven days before, and the time since the last message. This time is accurate to within 5 minutes; for groups that are not exported, or at scrape intervals above two minutes, to within 20 minutes.", columns, "Messages", empty=NO_GROUP),
        lines("Share of all messages", "Share of each group in all group messages.", "percentunit", (f"{NOW} / on () group_left () ({RATE} > 0)", "{{group_id}}"), empty=NO_GROUP, top=0.01),
        lines("Active senders (1 h)", f"Distinct senders in the group in one hour{ONE_SEES}.", "short", (senders("1h"), "{{group_id}}"), empty=NO_GROUP),
        lines("Active senders (24 h)", f"Distinct senders in the group in 24 hours{ONE_SEES}.", "short", (senders("24h"), "{{group_id}}"), empty=NO_GROUP),
    ]
