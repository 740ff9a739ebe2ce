"""Expressions for messages that several dashboards use."""

BY_STATUS = "openim_group_messages_by_status_total{$S}"
BY_GROUP = "openim_group_messages_by_group_total{$S}"
RATE = f"sum(rate({BY_STATUS}[$__rate_interval]))"
DAY = f"sum(increase({BY_STATUS}[1d]))"

ESTIMATED = "estimated (standard error 0.81 %)"
UNITED = "With several exporters, from their union through Redis. Without it, the largest number of one exporter: a lower bound, because these numbers cannot be added."
DISTINCT = f"{ESTIMATED}. {UNITED}"
NO_NATIVE = "No messages, or Prometheus does not store native histograms: see docs/prometheus.md"


def distinct(family, window):
    """A number of distinct people or groups. All exporters report the same union."""
    return " or ".join(f'max({name}{{$S, window="{window}"}})' for name in (f"{family}_united", family))


def quantile(q, family, rate="rate({family}[$__rate_interval])"):
    """A quantile of a histogram, from its native series, or else its classic ones. No value without observations."""
    native, classic = (rate.format(family=f"{series}{{$S}}") for series in (family, f"{family}_bucket"))
    return f"histogram_quantile({q}, sum({native})) >= 0 or histogram_quantile({q}, sum by (le) ({classic})) >= 0"


def quantiles(family):
    """The median, the 95th and the 99th percentile of a histogram."""
    return [(quantile(q, family), name) for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))]


def by_platform(kind):
    """The 95th percentile of each platform's delivery delay, which has no classic histogram."""
    family = f"openim_{kind}_message_delivery_delay_by_platform_seconds"
    return f"histogram_quantile(0.95, sum by (platform) (rate({family}{{$S}}[$__rate_interval]))) >= 0", "{{platform}}"


def total(what, family, window="[$__rate_interval]"):
    """The rate of a histogram's sum or count, from its native series or else from its classic ones."""
    return f"sum(histogram_{what}(rate({family}{{$S}}{window})) or rate({family}_{what}{{$S}}{window}))"


def buckets(family):
    """The expressions of a heatmap: all buckets of the native series, or else those of the classic ones."""
    native = f"sum(increase({family}{{$S}}[$__rate_interval]))"
    classic = f"sum by (le) (increase({family}_bucket{{$S}}[$__rate_interval]))"
    return [(native, ""), (f"{classic} unless on () {native}", "{{le}}")]
