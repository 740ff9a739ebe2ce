"""The table of the limits, which several dashboards show."""

from .panel import COUNT, OURS, steps
from .table import Column, table

# For each limit: the counter of its hits, what is in use, and the maximum.
LIMITS = {
    "groups": ('openim_group_messages_folded_total{$S, reason="capacity"}', "openim_exporter_groups_tracked{$S}", "openim_exporter_groups_capacity{$S}"),
    "exported_groups": (None, "openim_exporter_groups_exported{$S}", "openim_exporter_groups_exported_capacity{$S}"),
    "sender_pairs": ("openim_exporter_sender_pairs_evicted_total{$S}", "openim_exporter_sender_pairs_tracked{$S}", "openim_exporter_sender_pairs_capacity{$S}"),
    "message_ids": ("openim_exporter_message_ids_evicted_total{$S}", "openim_exporter_message_ids_tracked{$S}", "openim_exporter_message_ids_capacity{$S}"),
    "users_online": ("openim_exporter_users_online_overflow_total{$S}", "openim_users_online{$S}", "openim_exporter_users_online_capacity{$S}"),
    "open_files": ("openim_exporter_accept_failures_total{$S}", "process_open_fds{$S}", "process_max_fds{$S}"),
    "connections": ('openim_exporter_callbacks_rejected_total{$S, reason="too_many_connections"}', "openim_exporter_connections{$S}", None),
}


def by_limit(place, aggregated="{}"):
    """One of the expressions of all limits, with the limit's name in `cap`."""
    found = [(name, row[place]) for name, row in LIMITS.items() if row[place]]
    return " or ".join(f'label_replace(sum by (job, instance) ({aggregated.format(each)} {OURS}), "cap", "{name}", "", "")' for name, each in found)


def limit_hits():
    count = {"unit": COUNT, "decimals": 0}
    red = {"thresholds": steps((None, "text"), (0.5, "red")), "custom__cellOptions": {"type": "color-text"}}
    columns = [
        Column("Limit", "cap"),
        Column("Exporter", "instance"),
        Column("Hits (1 h)", by_limit(0, "increase({}[1h])"), **count, **red),
        Column("In use", by_limit(1), **count),
        Column("Maximum", f"({by_limit(2)}) > 0", **count),
        Column("Share", "max by (job, instance, cap) (instance:openim_exporter_cap_used:ratio{$S})", "percentunit", decimals=1),
    ]
    return table("Limit hits", "How often each limit was hit in the last hour, and how much of it is in use. A dash: the limit is off, or has no such number.", columns, "Hits (1 h)", hidden=["job"], size=(16, 9))
