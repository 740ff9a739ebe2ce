//! `openim-exporter`: see the library's documentation, and the README.

use std::process::ExitCode;

use openim_exporter::{app, config};

fn main() -> ExitCode {
    app::run(config::from_args(std::env::args_os()))
}
