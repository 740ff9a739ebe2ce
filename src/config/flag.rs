//! How a setting is declared, together with its flag, and shown by `--check-config`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::address::ListenAddress;
use super::exclusions::ContentTypes;
use super::external_url::ExternalUrl;
use super::networks::Networks;
use crate::domain::{Calendar, FileSync, MessageSource};
use crate::telemetry::LogFormat;

/// Declares a struct of settings. A field with a flag's name in front is set by that flag: its doc comment is the
/// flag's help, and `#[arg(...)]` has the placeholder, the default and the parser of its value. The flag's environment
/// variable follows from its name. A field without a name is a part: another struct of settings, marked
/// `#[command(flatten)]`.
macro_rules! settings {
    ($(#[$about:meta])* pub struct $settings:ident {
        $($(#[$help:meta])* $($flag:literal)? $field:ident: $kind:ty,)+
    }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
        pub struct $settings {
            $($(#[$help])* $(#[arg(long = $flag)])? pub $field: $kind,)+
        }

        impl $crate::config::flag::Shown for $settings {
            fn show(&self, _: &str, text: &mut String) {
                $(self.$field.show(concat!($($flag)?), text);)+
            }
        }
    };
}
pub(super) use settings;

/// The start of the environment variables that set flags.
pub(super) const VARIABLES: &str = "OPENIM_EXPORTER_";

/// The flag whose empty variable is a value.
pub(super) const STORAGE_FLAG: &str = "storage.path";

/// The name of the environment variable that sets a flag.
pub(super) fn variable(flag: &str) -> String {
    format!("{VARIABLES}{}", flag.replace(['.', '-'], "_").to_uppercase())
}

/// What `--check-config` prints.
pub(super) trait Shown {
    /// Shown for a flag that is not set.
    fn unset(_flag: &str) -> &'static str {
        "(none)"
    }

    /// Appends a line `flag = value` for each value.
    fn show(&self, flag: &str, text: &mut String);
}

fn line(flag: &str, value: impl std::fmt::Display, text: &mut String) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{flag} = {value}");
}

macro_rules! show_by_display {
    ($($kind:ty),+) => {
        $(impl Shown for $kind {
            fn show(&self, flag: &str, text: &mut String) {
                line(flag, self, text);
            }
        })+
    };
}
show_by_display!(bool, usize, u64, String, ListenAddress, ExternalUrl, LevelFilter, Calendar);

impl<T: Shown> Shown for Option<T> {
    fn show(&self, flag: &str, text: &mut String) {
        match self {
            Some(value) => value.show(flag, text),
            None => line(flag, T::unset(flag), text),
        }
    }
}

impl<T: Shown> Shown for Vec<T> {
    fn show(&self, flag: &str, text: &mut String) {
        self.iter().for_each(|value| value.show(flag, text));
        if self.is_empty() {
            line(flag, T::unset(flag), text);
        }
    }
}

impl Shown for PathBuf {
    fn show(&self, flag: &str, text: &mut String) {
        line(flag, self.display(), text);
    }
}

impl Shown for Networks {
    fn unset(flag: &str) -> &'static str {
        if flag == "callback.allowed-networks" { "(all)" } else { "(none)" }
    }

    fn show(&self, flag: &str, text: &mut String) {
        line(flag, self, text);
    }
}

impl Shown for ContentTypes {
    fn show(&self, flag: &str, text: &mut String) {
        line(flag, self, text);
    }
}

impl Shown for Duration {
    fn show(&self, flag: &str, text: &mut String) {
        line(flag, format_args!("{}s", self.as_secs()), text);
    }
}

macro_rules! show_by_name {
    ($($kind:ty),+) => {
        $(impl Shown for $kind {
            fn show(&self, flag: &str, text: &mut String) {
                line(flag, self.name(), text);
            }
        })+
    };
}
show_by_name!(MessageSource, FileSync);

impl Shown for LogFormat {
    fn show(&self, flag: &str, text: &mut String) {
        line(flag, format!("{self:?}").to_lowercase(), text);
    }
}
