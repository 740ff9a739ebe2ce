//! The formats of a scrape.

/// The format of a scrape.
///
/// <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>
/// <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format, version 0.0.4.
    Text,
    /// OpenMetrics 1.0, which adds units, exemplars and the times when counters began.
    OpenMetrics,
}

impl Format {
    /// The `Content-Type` of a scrape in this format.
    #[must_use]
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}
