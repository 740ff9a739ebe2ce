//! The command line and the environment -> a checked [`Invocation`].

#[cfg(test)]
mod tests;

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Args, Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueHint};

use super::flag::{STORAGE_FLAG, variable};
use super::healthcheck::{Healthcheck, HealthcheckFlags};
use super::parse::switch;
use super::serve::Config;
use super::simulate::{Simulate, SimulateFlags};
use super::spool::{SpoolCommand, SpoolFlags};
use super::state::{StateCommand, StateFlags};
use crate::domain::build;

const PROGRAM: &str = "openim-exporter";

/// The default subcommand.
const SERVE: &str = "serve";

/// A checked command line.
#[derive(Clone, Debug, PartialEq)]
pub enum Invocation {
    /// Serve.
    Serve(Config),
    /// Check the settings of [`Invocation::Serve`], print them and exit.
    CheckConfig(Config),
    /// Send made-up callbacks to an exporter.
    Simulate(Simulate),
    /// Ask an exporter whether it is healthy.
    Healthcheck(Healthcheck),
    /// Look at the state of an exporter, copy it, or change it.
    State(StateCommand),
    /// Look at the callbacks that wait for delivery, or change what happens to them.
    Spool(SpoolCommand),
}

#[derive(Parser)]
#[command(
    name = PROGRAM,
    version = build::VERSION,
    long_version = build::DETAILS,
    about = "Counts OpenIM's group messages from its callbacks and exposes them to Prometheus",
    long_about = "Counts OpenIM's group messages from its callbacks and exposes them to Prometheus.\n\n\
        Without a subcommand it serves. Point OpenIM at it in config/webhooks.yml (url: http://HOST:10006/callback, \
        afterSendGroupMsg.enable: true) and Prometheus at http://HOST:10006/metrics.\n\n\
        Every flag of serve is also an environment variable: OPENIM_EXPORTER_ and the flag's name in capitals, with _ \
        for each dot and hyphen. A flag takes precedence over its variable. An empty variable counts as unset, except \
        OPENIM_EXPORTER_STORAGE_PATH, where it means memory. The variable of a flag without a value takes true or false.\n\n\
        Numbers may have the unit k (1,000) or M (1,000,000), sizes KiB, MiB or GiB (in a size, k, M and G mean these too).",
    after_help = "Examples:\n  \
        openim-exporter\n  \
        openim-exporter --web.listen-address 127.0.0.1:10006 --groups.max-exported 200\n  \
        openim-exporter simulate --target http://127.0.0.1:10006 --rate 500 --duration 5m",
    args_conflicts_with_subcommands = true,
    subcommand_precedence_over_arg = true
)]
struct Cli {
    #[command(subcommand)]
    subcommand: Option<Subcommands>,
    #[command(flatten)]
    serve: ServeFlags,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Receive callbacks and serve metrics (the default)
    Serve(Box<ServeFlags>),
    Simulate(SimulateFlags),
    Healthcheck(HealthcheckFlags),
    #[command(subcommand)]
    State(StateFlags),
    #[command(subcommand)]
    Spool(SpoolFlags),
}

#[derive(Args)]
struct ServeFlags {
    #[command(flatten)]
    config: Config,

    /// Check the flags and the files that they name, print the settings and exit; status 0 if they are valid
    ///
    /// Checks each value, resolves host names, and reads the files of --web.config.file, --callback.secret-file,
    /// --callback.basic-auth-file, --stats.exclude-senders-file and --forward.config.file, those that they name, and the
    /// files for Redis. Does not listen on the addresses, so they may be in use or not on this machine, does not connect
    /// to Redis, and does not open or create the directory of --storage.path.
    #[arg(long = "check-config", value_parser = switch)]
    check_config: bool,
}

/// Reads the command line and the environment.
///
/// # Errors
/// When a flag is unknown or its value is not valid; also for `--help` and `--version`.
pub fn from_args<T: Into<OsString>>(args: impl IntoIterator<Item = T>) -> Result<Invocation, clap::Error> {
    let args = with_negative_values(args.into_iter().map(Into::into));
    let mut command = Cli::command();
    // The variables are `serve`'s: a wrong one must not stop another subcommand that runs in the same shell.
    let subcommand = args.get(1).and_then(|first| command.find_subcommand(first));
    if subcommand.is_none_or(|subcommand| subcommand.get_name() == SERVE) {
        command = with_flags_of_serve(command, with_set_variable);
    }
    let matches = command.try_get_matches_from_mut(args.clone()).map_err(|error| match unexpected_word(&error) {
        Some(problem) => command.error(ErrorKind::UnknownArgument, problem),
        None if error.kind() == ErrorKind::InvalidUtf8 => command.error(ErrorKind::InvalidUtf8, not_unicode(&args)),
        None => with_source(error, &args),
    })?;
    let cli = Cli::from_arg_matches(&matches)?;
    let invalid = |problem: String| {
        // Shows the usage of the subcommand, not of the whole program.
        let subcommand = matches.subcommand_name().and_then(|name| command.find_subcommand(name));
        subcommand.unwrap_or(&command).clone().error(ErrorKind::ValueValidation, problem)
    };
    let mut flags = match cli.subcommand {
        Some(Subcommands::Simulate(flags)) => return flags.check().map(Invocation::Simulate).map_err(invalid),
        Some(Subcommands::Healthcheck(flags)) => {
            return flags.check(config_of_environment, invalid).map(Invocation::Healthcheck);
        }
        Some(Subcommands::State(flags)) => return Ok(Invocation::State(flags.check())),
        Some(Subcommands::Spool(flags)) => return Ok(Invocation::Spool(flags.check())),
        Some(Subcommands::Serve(flags)) => *flags,
        None => cli.serve,
    };
    flags.config.reconcile(matches.subcommand_matches("serve").unwrap_or(&matches)).map_err(invalid)?;
    Ok(if flags.check_config { Invocation::CheckConfig(flags.config) } else { Invocation::Serve(flags.config) })
}

/// The whole command line, with the environment variables, for texts that are made from it.
#[must_use]
pub fn command() -> Command {
    with_completion(with_flags_of_serve(Cli::command(), with_variable))
}

/// The flags of `serve` are also those of the program, because it is the default.
fn with_flags_of_serve(command: Command, change: fn(Arg) -> Arg) -> Command {
    command.mut_args(change).mut_subcommand(SERVE, |serve| serve.mut_args(change))
}

/// Says what a shell completes: the placeholder of a value tells whether it is a file or a directory.
fn with_completion(command: Command) -> Command {
    let hinted = command.mut_args(|flag| match flag.get_value_names() {
        _ if !flag.get_action().takes_values() => flag,
        Some([name]) if name == "FILE" => flag.value_hint(ValueHint::FilePath),
        Some([name]) if name == "DIR" => flag.value_hint(ValueHint::DirPath),
        _ => flag.value_hint(ValueHint::Other),
    });
    hinted.mut_subcommands(with_completion)
}

/// The settings of an exporter that has only its environment variables.
fn config_of_environment() -> Result<Config, clap::Error> {
    match from_args([PROGRAM])? {
        Invocation::Serve(config) | Invocation::CheckConfig(config) => Ok(config),
        _ => Err(Cli::command().error(ErrorKind::InvalidSubcommand, "the variables are those of serve")),
    }
}

/// Joins a flag and its value if the value is a negative number, which clap would take for a flag. The flag's parser then
/// says what the value should be.
fn with_negative_values(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let is_flag = |arg: &OsString| arg.to_str().is_some_and(|arg| arg.starts_with("--") && !arg.contains('='));
    let is_negative = |arg: &OsString| matches!(arg.as_encoded_bytes(), [b'-', b'0'..=b'9' | b'.', ..]);
    let mut joined: Vec<OsString> = Vec::new();
    for arg in args {
        match joined.last_mut().filter(|last| is_flag(last) && is_negative(&arg)) {
            Some(flag) => {
                flag.push("=");
                flag.push(arg);
            }
            None => joined.push(arg),
        }
    }
    joined
}

/// Names the argument or the variable that is not UTF-8, which clap does not.
fn not_unicode(args: &[OsString]) -> String {
    let argument =
        args.iter().find(|arg| arg.to_str().is_none()).map(|arg| format!("argument {}", arg.to_string_lossy()));
    let variable = || {
        let is_wrong = |name: &String| std::env::var_os(name).is_some_and(|value| value.to_str().is_none());
        let mut names = serve_flags().into_iter().map(|[_, variable, _]| variable);
        names.find(is_wrong).map(|name| format!("environment variable {name}"))
    };
    format!("the {} is not UTF-8", argument.or_else(variable).unwrap_or_default())
}

/// What is wrong with a word that clap takes for a subcommand because no flag before it takes a value.
fn unexpected_word(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let is_subcommand = Cli::command().find_subcommand(word).is_some();
    (error.kind() == ErrorKind::ArgumentConflict && !is_subcommand).then(|| {
        format!(
            "unexpected argument '{word}'; a flag without a value takes none, and several values are separated by commas"
        )
    })
}

fn with_variable(flag: Arg) -> Arg {
    let name = variable(flag.get_long().unwrap_or_default());
    flag.env(name)
}

/// An empty variable counts as unset, because a Compose file passes an unset variable as an empty one. Not the path of
/// the state, where empty is a value.
fn with_set_variable(flag: Arg) -> Arg {
    let name = flag.get_long().unwrap_or_default();
    let is_empty = std::env::var_os(variable(name)).is_some_and(|value| value.is_empty());
    if is_empty && name != STORAGE_FLAG { flag } else { with_variable(flag) }
}

/// Names the environment variable in an error about its value, which clap reports as if the flag had been given.
fn with_source(mut error: clap::Error, args: &[OsString]) -> clap::Error {
    let is_url = |arg: &ContextValue| {
        ["--forward.url ", "--replicas.redis-url "].iter().any(|flag| arg.to_string().starts_with(flag))
    };
    if error.get(ContextKind::InvalidArg).is_some_and(is_url) {
        // It may have a password, and which part of a wrong URL that is, is unknown.
        error.insert(ContextKind::InvalidValue, ContextValue::String("(not shown)".to_owned()));
    }
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else { return error };
    let flag = shown.split([' ', '=']).next().unwrap_or_default();
    let is_given = args.iter().filter_map(|arg| arg.to_str()?.strip_prefix(flag));
    let is_given = is_given.into_iter().any(|rest| rest.is_empty() || rest.starts_with('='));
    let variable = variable(flag.trim_start_matches('-'));
    if !is_given && std::env::var_os(&variable).is_some() {
        let source = format!("{shown}' in the environment variable '{variable}");
        error.insert(ContextKind::InvalidArg, ContextValue::String(source));
    }
    error
}

/// The exporter's flags, each with its environment variable and its default, as the documentation must list them.
#[must_use]
pub fn serve_flags() -> Vec<[String; 3]> {
    let command = ServeFlags::augment_args(Command::new("serve")).mut_args(with_variable);
    let cells = |flag: &Arg| {
        let defaults: Vec<_> = flag.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let variable = flag.get_env().unwrap_or_default().to_string_lossy().into_owned();
        [format!("--{}", flag.get_long().unwrap_or_default()), variable, defaults.join(",")]
    };
    command.get_arguments().map(cells).collect()
}
