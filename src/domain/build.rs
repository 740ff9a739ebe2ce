//! How the program was built. `build.rs` finds what cargo does not tell.

/// The version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The revision that it was built from; `unknown` if the source had no repository.
pub const REVISION: &str = env!("BUILD_REVISION");

/// The compiler's version.
pub const RUSTC: &str = env!("BUILD_RUSTC");

/// All of it, on several lines, for `--version`.
pub const DETAILS: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\nrevision: ",
    env!("BUILD_REVISION"),
    "\nrustc: ",
    env!("BUILD_RUSTC"),
    "\ntarget: ",
    env!("BUILD_TARGET"),
    ", ",
    env!("BUILD_LINKING"),
    "\nfeatures: ",
    env!("BUILD_FEATURES"),
);
