"""The dashboard of all messages: for the person on call, and for a community's manager."""

from .messages import BY_GROUP, DAY, DISTINCT, NO_NATIVE, RATE, UNITED, buckets, by_platform, distinct, quantiles
from .panel import COUNT, bars, group_link, heatmap, lines, override, row, stat
from .reported import ONLINE, SINGLE, how, if_reported, online
from .table import Column, table
from .top import alerts_and_workers, first_row

# Rounded, because the sums of the two differ in their last digits.
NOT_BY_GROUP = f"round(clamp_min(1 - sum(rate({BY_GROUP}[$__rate_interval])) / ({RATE} > 0), 0), 1e-6)"
NO_GROUPS = "No messages, or --groups.max-exported is 0"
GROUP_LINKS = group_link("__data.fields.Group")
# OpenIM's documentation disagrees with its source code, which has these names.
STATUSES = {"1": "sending", "2": "sent", "3": "failed", "4": "deleted"}

# Each group's messages. Ten minutes are exact enough for a day, and an hour for a week, and much faster than each sample.
TODAY = f"sum by (group_id) (increase({BY_GROUP}[1d:10m]))"
YESTERDAY = f"sum by (group_id) (increase({BY_GROUP}[1d:10m] offset 1d))"
USUAL = f"sum by (group_id) (increase({BY_GROUP}[1w:1h] offset 1d)) / 7"
NOW = "sum by (group_id) (group:openim_group_messages:rate5m{$S})"
GROWTH = f"topk(10, {TODAY} - ({YESTERDAY} or 0 * {TODAY}) > 0)"
QUIET = f"topk(10, ({USUAL} > 10) unless {TODAY} > 0.1 * {USUAL})"


def by_window(family):
    return [(distinct(family, window), window) for window in ("5m", "1h", "24h", "7d", "30d")]


def by_label(title, description, label):
    rate = f"sum by ({label}) (rate(openim_group_messages_total{{$S}}[$__rate_interval]))"
    return lines(title, description, "mps", (f"{rate} > 0", f"{{{{{label}}}}}"), empty="No messages", stack=True)


def numbers():
    size = (5, 4)
    return [
        stat("Messages per second", "Group messages per second now.", "mps", (RATE, "")),
        stat("Messages (24 h)", "Group messages in the last 24 hours.", "short", (DAY, "")),
        stat("Active senders (1 h)", f"Distinct senders in the last hour, {DISTINCT}", "short", (distinct("openim_active_senders", "1h"), ""), size=size),
        stat("Active groups (1 h)", f"Distinct groups with messages in the last hour, {DISTINCT}", "short", (distinct("openim_active_groups", "1h"), ""), size=size),
        stat("Messages without a per-group series", "Share of messages in groups that have no series of their own, because they are not exported.", "percentunit", (NOT_BY_GROUP, ""), empty="no messages", limits=[(0.5, "orange")], decimals=1, size=(6, 4)),
    ]


def groups():
    group = Column("Group", "group_id", links=GROUP_LINKS)
    count = {"unit": COUNT, "decimals": 0}
    busiest, growing, size = f"topk(10, {NOW} > 0)", f"and on (group_id) {GROWTH}", (8, 9)
    return [
        table("Busiest now", "The ten groups with the most messages per second in the last five minutes, and their senders. With several exporters, the largest number of senders at one of them.", [group, Column("Now", busiest, "mps", decimals=2), Column("Senders (1 h)", f'max by (group_id) (openim_group_active_senders{{$S, window="1h"}}) and on (group_id) {busiest}', **count)], "Now", empty=NO_GROUPS, size=size),
        table("Fastest growing", "The ten groups whose messages increased most: the last 24 hours, compared with the 24 hours before.", [group, Column("Increase", GROWTH, **count), Column("Last 24 h", f"{TODAY} {growing}", **count)], "Increase", empty="No group grows, or there are less than 20 minutes of data", size=size),
        table("Gone quiet", "Groups that had more than 10 messages a day in the week before, but fewer than a tenth of that in the last 24 hours. In the first week, the average counts the days without data as empty.", [group, Column("Usual in 24 h", QUIET, **count), Column("Last 24 h", f"{TODAY} and on (group_id) {QUIET}", noValue="0", **count)], "Usual in 24 h", empty="No group has gone quiet", size=size),
        bars("Busiest groups in the time range", "The ten groups with the most messages in the selected time range. Click a bar for the group's dashboard.", COUNT, (f"topk(10, sum by (group_id) (increase({BY_GROUP}[$__range])))", "{{group_id}}"), empty=NO_GROUPS, size=(12, 10), decimals=0, links=group_link("__field.labels.group_id")),
        lines("Messages without a per-group series, by reason", "Share of messages that are in no group's series: the group is not exported, or does not fit into the table of groups.", "percentunit", (NOT_BY_GROUP, "not exported"), (f"sum by (reason) (rate(openim_group_messages_folded_total{{$S}}[$__rate_interval])) / on () group_left () ({RATE} > 0)", "folded: {{reason}}"), empty="No messages", size=(12, 10), most=1),
    ]


def breakdown():
    named = [override(status, displayName=f"{status} ({name})") for status, name in STATUSES.items()]
    status = "sum by (status) (rate(openim_group_messages_by_status_total{$S}[$__rate_interval]))"
    return [
        by_label("Content types", "Group messages per second by content type.", "content_type"),
        by_label("Platforms", "Group messages per second by the sender's platform.", "platform"),
        by_label("Users and administrators", "Group messages per second by source: users' apps, or scripts that use the REST API.", "source"),
        lines("Mentions", "Mentions per second: of one user, or of everyone.", "mps", ("sum by (kind) (rate(openim_group_mentions_total{$S}[$__rate_interval]))", "{{kind}}")),
        lines("Status", "Group messages per second by OpenIM's numeric status. The names are those in OpenIM's source code; its documentation has others.", "mps", (status, "{{status}}"), stack=True, overrides=named, size=(24, 8)),
    ]


def delays():
    return [
        heatmap("Delivery delay", "Time from sendTime to the callback. Each column has the messages of that time. With exemplars, if Prometheus stores them.", *buckets("openim_group_message_delivery_delay_seconds"), empty="No messages"),
        lines("Submit delay, quantiles", "Time from createTime, set by the app, to sendTime, which OpenIM's server sets unless the app already did.", "s", *quantiles("openim_group_message_submit_delay_seconds"), empty="No messages"),
        lines("Delivery delay by platform", "95 % of a platform's group messages arrived within this time, from sendTime to the callback. Needs native histograms.", "s", by_platform("group"), empty=NO_NATIVE),
        lines("Content size, quantiles", "Length of the messages' content.", "bytes", *quantiles("openim_group_message_content_bytes"), empty="No messages"),
    ]


def both_kinds():
    single = if_reported("sum(rate(openim_single_messages_total{$S}[$__rate_interval]))", SINGLE)
    week_ago = if_reported("sum(job:openim_users_online:max{$J} offset 1w)", ONLINE)
    return [
        lines("Group and single messages", "Messages per second in groups, and between two users. For the latter, enable afterSendSingleMsg in OpenIM's webhooks.yml.", "mps", (RATE, "group"), (single, "single")),
        lines("Users online, now and a week ago", f"Users online, and at the same time a week earlier. A user on two platforms counts twice. {UNITED} OpenimUsersOnlineHalved fires if there are fewer than half as many.", "short", (online(), "now"), (week_ago, "a week ago"), empty=how(ONLINE)),
    ]


def panels():
    week_ago = RATE.replace("[$__rate_interval]", "[1h] offset 1w")
    return [
        *first_row(),
        *alerts_and_workers(),
        row("Messages"),
        *numbers(),
        lines("Messages per second, now and a week ago", "Group messages per second, and the average of an hour a week earlier.", "mps", (RATE, "now"), (week_ago, "a week ago (1 h)")),
        lines("Delivery delay, quantiles", "Time from sendTime to the callback. Limited by the precision of the histogram's buckets: native ones are 9 % wide.", "s", *quantiles("openim_group_message_delivery_delay_seconds"), empty="No messages"),
        row("Groups"),
        *groups(),
        row("Senders"),
        lines("Active senders", f"Distinct senders by window, {DISTINCT}", "short", *by_window("openim_active_senders"), in_order=True),
        lines("Active groups", f"Distinct groups with messages by window, {DISTINCT}", "short", *by_window("openim_active_groups"), in_order=True),
        row("Single messages and people", *both_kinds()),
        row("Message breakdown", *breakdown()),
        row("Delays and sizes", *delays()),
    ]
