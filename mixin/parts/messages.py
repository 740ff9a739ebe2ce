"""Expressions for messages that several dashboards use."""

BY_STATUS = "openim_group_messages_by_status_total{$S}"
BY_GROUP = "openim_group_messages_by_group_total{$S}"
RATE = f"sum(rate({BY_STATUS}[$__rate_interval]))"
DAY = f"sum(increase({BY_STATUS}[1d]))"

ESTIMATED = "estimated (standard error 0.81 %)"
UNITED = "With several exporters, from their union through Redis. Without it, the largest number of one exporter: a lower bound, because these numbers cannot be added."
DISTINCT = f"{ESTIMATED}. {UNITED}"


def distinct(family, window):
    """A number of distinct people or groups. All exporters report the same union."""
    return " or ".join(f'max({name}{{$S, window="{window}"}})' for name in (f"{family}_united", family))


def quantiles(family):
    """The median, the 95th and the 99th percentile of a histogram. Without messages, they have no value."""
    of = f"sum by (le) (rate({family}_bucket{{$S}}[$__rate_interval]))"
    return [(f"histogram_quantile({q}, {of}) >= 0", name) for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))]
