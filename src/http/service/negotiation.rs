//! Negotiates the format and the compression of a response, and whether the client needs it.
//!
//! <https://www.rfc-editor.org/rfc/rfc9110#name-content-negotiation>

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName, IF_NONE_MATCH};

use super::lists::split_unquoted;
use crate::exposition::{Escaping, Format};

/// A format that can be requested, its media type, and the media type's parameters.
type Offer = (Format, &'static str, &'static [(&'static str, &'static str)]);

/// The formats, the most capable first.
const OFFERS: [Offer; 4] = [
    (
        Format::Protobuf,
        "application/vnd.google.protobuf",
        &[("proto", "io.prometheus.client.MetricFamily"), ("encoding", "delimited")],
    ),
    (Format::OpenMetrics, "application/openmetrics-text", &[("version", "1.0.0"), ("charset", "utf-8")]),
    (Format::TextV1, "text/plain", &[("version", "1.0.0"), ("charset", "utf-8")]),
    (Format::Text, "text/plain", &[("version", "0.0.4"), ("charset", "utf-8")]),
];

/// A quality value: from 0, not acceptable, to 1.
type Quality = f32;

/// An entry of an `Accept` or `Accept-Encoding` header.
struct Preference<'a> {
    /// A media type, or a content coding.
    name: &'a str,
    /// The parameters, including `q`.
    parameters: &'a str,
    quality: Quality,
}

impl<'a> Preference<'a> {
    fn parse(preference: &'a str) -> Self {
        let name = split_unquoted(preference, b';').next().unwrap_or_default();
        let parameters = preference.get(name.len() + 1..).unwrap_or_default();
        let mut preference = Self { name: name.trim(), parameters, quality: 1.0 };
        if let Some(quality) = preference.parameter("q") {
            // `parse` also accepts signs, exponents and names.
            let is_decimal = quality.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let quality = quality.parse().ok().filter(|quality| is_decimal && *quality <= 1.0);
            // An invalid value counts as not acceptable.
            preference.quality = quality.unwrap_or(0.0);
        }
        preference
    }

    fn parameter(&self, name: &str) -> Option<Cow<'a, str>> {
        let parameters = split_unquoted(self.parameters, b';').filter_map(|parameter| parameter.split_once('='));
        let mut values = parameters.filter(|(found, _)| found.trim().eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| unquote(value.trim()))
    }

    /// How specifically this entry describes a format: with `*/*` (0), its type (1) or its media type (2), and 1 more
    /// for each parameter. `None` if it does not. Parameters that no format has, such as `escaping`, are ignored.
    fn specificity(&self, (format, media_type, parameters): &Offer) -> Option<usize> {
        if !self.name.eq_ignore_ascii_case(media_type) {
            let (kind, _) = media_type.split_once('/')?;
            return match self.name.strip_suffix("/*")? {
                "*" => Some(0),
                found => found.eq_ignore_ascii_case(kind).then_some(1),
            };
        }
        // Without a version, clients mean the older one, 0.0.4.
        if *format == Format::TextV1 && self.parameter("version").is_none() {
            return None;
        }
        let mut given = parameters.iter().filter_map(|(name, value)| Some((value, self.parameter(name)?)));
        given.try_fold(2, |specificity, (value, found)| found.eq_ignore_ascii_case(value).then_some(specificity + 1))
    }
}

/// The value of a parameter without its quotes and escapes. RFC 9110, 5.6.4.
fn unquote(value: &str) -> Cow<'_, str> {
    let Some(quoted) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return Cow::Borrowed(value);
    };
    let mut is_escaped = false;
    let chars = quoted.chars().filter(|char| {
        is_escaped = *char == '\\' && !is_escaped;
        !is_escaped
    });
    Cow::Owned(chars.collect())
}

fn preferences(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = Preference<'_>> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| split_unquoted(value, b',')).map(Preference::parse)
}

/// The entry that decides on a format: the most specific one. `None` if the format is not acceptable.
fn deciding<'a>(headers: &'a HeaderMap, offer: &Offer) -> Option<Preference<'a>> {
    let fits = preferences(headers, ACCEPT).filter_map(|preference| Some((preference.specificity(offer)?, preference)));
    let (specificity, decides) = fits.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    // Every client understands the old text format. The others must be requested by name.
    (decides.quality > 0.0 && (specificity >= 2 || offer.0 == Format::Text)).then_some(decides)
}

/// The format that a client prefers, and how to escape names. If it prefers several equally, the most capable one; if
/// it accepts none, the old text format. That one cannot say how names are escaped, so it never changes them.
pub(super) fn format(headers: &HeaderMap) -> (Format, Escaping) {
    let acceptable = OFFERS.iter().filter_map(|offer| Some((offer.0, deciding(headers, offer)?)));
    let preferred = acceptable.reduce(|best, next| if next.1.quality > best.1.quality { next } else { best });
    preferred.map_or((Format::Text, Escaping::default()), |(format, decides)| {
        let escaping = decides.parameter("escaping").filter(|_| format != Format::Text);
        (format, escaping.and_then(|name| Escaping::from_name(&name)).unwrap_or_default())
    })
}

/// Whether a client accepts gzip and does not prefer an uncompressed response.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let quality = |coding: &str| {
        let named =
            preferences(headers, ACCEPT_ENCODING).find(|preference| preference.name.eq_ignore_ascii_case(coding));
        named.map(|preference| preference.quality)
    };
    let gzip = quality("gzip").or_else(|| quality("*")).unwrap_or(0.0);
    gzip > 0.0 && gzip >= quality("identity").unwrap_or(0.0)
}

/// Whether a client has the content with this tag already. RFC 9110, 13.1.2.
pub(super) fn has_etag(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| split_unquoted(value, b',')).map(str::trim);
    // A proxy that compresses marks a tag as weak.
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}
