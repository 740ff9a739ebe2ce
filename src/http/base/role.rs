//! What a listening socket serves.

/// What a listening socket serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    All,
    /// Callbacks and the health checks.
    Callbacks,
    /// Everything but callbacks.
    Telemetry,
}

impl Role {
    pub(crate) const fn takes_callbacks(self) -> bool {
        !matches!(self, Self::Telemetry)
    }

    pub(crate) const fn has_pages(self) -> bool {
        !matches!(self, Self::Callbacks)
    }

    /// The flag that sets the address.
    pub(crate) const fn flag(self) -> &'static str {
        match self {
            Self::All | Self::Callbacks => "web.listen-address",
            Self::Telemetry => "web.telemetry-address",
        }
    }
}
