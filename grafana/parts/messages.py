"""Expressions for messages that several dashboards use."""

BY_STATUS = "openim_group_messages_by_status_total{$S}"
BY_GROUP = "openim_group_messages_by_group_total{$S}"
RATE = f"sum(rate({BY_STATUS}[$__rate_interval]))"
DAY = f"sum(increase({BY_STATUS}[1d]))"


def quantiles(family):
    """The median, the 95th and the 99th percentile of a histogram. Without messages, they have no value."""
    of = f"sum by (le) (rate({family}_bucket{{$S}}[$__rate_interval]))"
    return [(f"histogram_quantile({q}, {of}) >= 0", name) for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))]
