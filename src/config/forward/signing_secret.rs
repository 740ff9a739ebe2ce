//! Secrets that sign requests.

use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Lengths that Standard Webhooks allows, in bytes.
/// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
const LENGTHS: RangeInclusive<usize> = 24..=64;

/// A secret of Standard Webhooks, 24 to 64 bytes. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

impl SigningSecret {
    /// Parses a secret as text: `whsec_` and base64.
    ///
    /// # Errors
    /// When it is not a secret. Shows nothing of it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let encoded = text.strip_prefix("whsec_").map(|encoded| encoded.trim_end_matches('='));
        let bytes = encoded.and_then(|encoded| STANDARD_NO_PAD.decode(encoded).ok());
        bytes.filter(|bytes| LENGTHS.contains(&bytes.len())).map(Self).ok_or(
            "a secret is one line, whsec_ and 24 to 64 bytes as base64; make one with: echo whsec_$(openssl rand -base64 32)",
        )
    }

    /// The key of the HMAC.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(..)")
    }
}
