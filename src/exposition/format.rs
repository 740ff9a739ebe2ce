//! The formats of a scrape.

use std::borrow::Cow;

/// The format of a scrape.
///
/// <https://prometheus.io/docs/instrumenting/exposition_formats/>
/// <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format, version 0.0.4.
    Text,
    /// Prometheus' text format, version 1.0.0.
    TextV1,
    /// OpenMetrics 1.0, which adds units and exemplars.
    OpenMetrics,
    /// Prometheus' protobuf format, which adds units, exemplars, start times and native histograms.
    Protobuf,
}

/// How to escape names that older readers do not accept. All readers accept the names of this exporter.
///
/// <https://prometheus.io/docs/instrumenting/escaping_schemes/>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    /// Special characters become underscores.
    #[default]
    Underscores,
    /// Underscores are doubled.
    Dots,
    /// Names that need it are marked, and their special characters encoded.
    Values,
    /// Names are written as they are.
    AllowUtf8,
}

impl Escaping {
    /// The escaped name of a metric or label. The names here have only letters, digits and underscores.
    pub(super) fn escaped(self, name: &str) -> Cow<'_, str> {
        match self {
            Self::Dots => Cow::Owned(name.replace('_', "__")),
            Self::Underscores | Self::Values | Self::AllowUtf8 => Cow::Borrowed(name),
        }
    }

    /// The scheme with this name in an `Accept` header.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "underscores" => Some(Self::Underscores),
            "dots" => Some(Self::Dots),
            "values" => Some(Self::Values),
            "allow-utf-8" => Some(Self::AllowUtf8),
            _ => None,
        }
    }
}

/// A media type with each escaping.
macro_rules! escaped {
    ($media_type:literal, $escaping:expr) => {
        match $escaping {
            Escaping::Underscores => concat!($media_type, "; escaping=underscores"),
            Escaping::Dots => concat!($media_type, "; escaping=dots"),
            Escaping::Values => concat!($media_type, "; escaping=values"),
            Escaping::AllowUtf8 => concat!($media_type, "; escaping=allow-utf-8"),
        }
    };
}

impl Format {
    /// The media type, as in an HTTP response. The older text format has no escaping.
    #[must_use]
    pub const fn content_type(self, escaping: Escaping) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::TextV1 => escaped!("text/plain; version=1.0.0; charset=utf-8", escaping),
            Self::OpenMetrics => escaped!("application/openmetrics-text; version=1.0.0; charset=utf-8", escaping),
            Self::Protobuf => escaped!(
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
                escaping
            ),
        }
    }
}
