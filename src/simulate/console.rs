//! The subcommand `simulate`: a line of progress, and the report as text or JSON.

use std::collections::BTreeMap;
use std::fs::File;
use std::future::pending;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::Duration;

use super::commas::with_commas;
use super::counts::Failures;
use super::error::Error;
use super::question::confirm;
use super::replay::ReplayCounts;
use super::report::{Report, per_second};
use super::run::{RunProgress, run};
use super::tally::SendCount;
use crate::config::simulate::{Callbacks, Replay, ReportTo, Simulate};
use crate::domain::GROUP_MESSAGE;

/// A callback that starts this late means that the rate was not kept; less is a timer's resolution.
const LATE: Duration = Duration::from_millis(100);
/// Seconds between two lines of progress where standard error is not a terminal.
const LOG_INTERVAL: u64 = 10;
/// Groups in the summary.
const GROUPS_SHOWN: usize = 10;

/// Runs a simulation with its progress on standard error, and prints a summary and the full report. Asks first if the
/// target already has messages. Ctrl-C ends it early. Returns whether every callback was answered with success.
///
/// # Errors
/// When the run cannot start or is not wanted, or the report cannot be written.
pub(crate) async fn command(options: &Simulate) -> Result<bool, Error> {
    confirm(options).await?;
    // Opened first, so that a wrong path is an error before the run and not after it.
    let full: Option<Box<dyn Write>> = match &options.report {
        None => None,
        Some(ReportTo::Stdout) => Some(Box::new(io::stdout())),
        Some(ReportTo::File(path)) => {
            Some(Box::new(File::create(path).map_err(|error| Error::Report(path.clone(), error))?))
        }
    };
    let mut line = ProgressLine::new(io::stderr(), io::stderr().is_terminal());
    // A run continues if its progress cannot be printed.
    let result = run(options, interrupted(), |progress| drop(line.show(progress))).await;
    let _ = line.finish();
    let report = result?;
    // Standard output gets either text or JSON, never both.
    let printed = if options.report == Some(ReportTo::Stdout) {
        summarise(&report, options, &mut io::stderr())
    } else {
        summarise(&report, options, &mut io::stdout())
    };
    unless_unread(printed).map_err(Error::Print)?;
    if let Some(full) = full {
        unless_unread(write_full(&report, full)).map_err(|error| match &options.report {
            Some(ReportTo::File(path)) => Error::Report(path.clone(), error),
            _ => Error::Print(error),
        })?;
    }
    Ok(report.is_success())
}

/// It is no error if the reader has seen enough and ended, as `head` does.
fn unless_unread(printed: io::Result<()>) -> io::Result<()> {
    printed.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        pending::<()>().await;
    }
}

fn write_full(report: &Report, into: impl Write) -> io::Result<()> {
    let mut into = BufWriter::new(into);
    serde_json::to_writer_pretty(&mut into, report)?;
    into.write_all(b"\n")?;
    into.flush()
}

/// The progress: one line that is overwritten on a terminal, a line now and then elsewhere.
struct ProgressLine<W: Write> {
    into: W,
    terminal: bool,
    shown: bool,
    sent_before: u64,
}

impl<W: Write> ProgressLine<W> {
    const fn new(into: W, terminal: bool) -> Self {
        Self { into, terminal, shown: false, sent_before: 0 }
    }

    fn show(&mut self, progress: &RunProgress) -> io::Result<()> {
        let seconds = progress.elapsed.as_secs();
        let every = if self.terminal { 1 } else { LOG_INTERVAL };
        if !seconds.is_multiple_of(every) {
            return Ok(());
        }
        let lately = per_second(progress.sent - self.sent_before, Duration::from_secs(every));
        self.sent_before = progress.sent;
        self.shown = true;
        let (start, end) = if self.terminal { ("\r", "\x1b[K") } else { ("", "\n") };
        let (sent, failed) = (with_commas(progress.sent), with_commas(progress.sent - progress.answered));
        write!(self.into, "{start}{seconds} s · {sent} sent · {lately:.0}/s · {failed} failed")?;
        if progress.behind > LATE {
            write!(self.into, " · {:.1} s behind the rate", progress.behind.as_secs_f64())?;
        }
        write!(self.into, "{end}")?;
        self.into.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.terminal && self.shown { writeln!(self.into) } else { Ok(()) }
    }
}

fn summarise(report: &Report, options: &Simulate, into: &mut dyn Write) -> io::Result<()> {
    let commands = match options.callbacks {
        Callbacks::GroupMessages if options.replay.is_none() => GROUP_MESSAGE,
        _ => "COMMAND",
    };
    writeln!(into, "{}/{commands}", options.target)?;
    write!(into, "  {} connections of {}, ", report.connections, report.protocol)?;
    match &options.replay {
        Some(Replay { files, .. }) if files.len() == 1 => writeln!(into, "1 file of records")?,
        Some(Replay { files, .. }) => writeln!(into, "{} files of records", files.len())?,
        None => writeln!(
            into,
            "{} groups, {} senders, seed {}",
            with_commas(report.groups.into()),
            with_commas(report.senders.into()),
            report.seed
        )?,
    }
    writeln!(into, "  sent      {}", with_commas(report.sent))?;
    writeln!(into, "  answered  {}", with_commas(report.answered))?;
    writeln!(into, "  failed    {}", failures(&report.failed))?;
    if let Some(text) = &report.first_failure {
        // The text is the server's: control characters must not reach the terminal.
        let text = text.replace(char::is_control, " ");
        writeln!(into, "            first: {text}")?;
    }
    writeln!(into, "  rate      {:.0}/s over {:.1} s", report.answered_per_second, report.elapsed_seconds)?;
    let answers = [report.answer_seconds.p50, report.answer_seconds.p99, report.answer_seconds.max].map(|s| s * 1e3);
    let [p50, p99, max] = answers;
    writeln!(into, "  answers   p50 {p50:.3} ms, p99 {p99:.3} ms, max {max:.3} ms")?;
    pace(report, into)?;
    if let Some(replay) = &report.replay {
        replayed(replay, into)?;
        table("callback", &by_size(&report.by_command), usize::MAX, into)?;
        return into.flush();
    }
    writeln!(into, "  senders   {} distinct", with_commas(report.distinct_senders.sent))?;
    table("content type", &by_size(&report.by_content_type), usize::MAX, into)?;
    table("platform", &by_size(&report.by_platform), usize::MAX, into)?;
    table("group", &by_size(&report.by_group), GROUPS_SHOWN, into)?;
    if options.callbacks == Callbacks::All {
        all_callbacks(report, into)?;
    }
    into.flush()
}

fn replayed(replay: &ReplayCounts, into: &mut dyn Write) -> io::Result<()> {
    if replay.latest_start_seconds > LATE.as_secs_f64() {
        let late = replay.latest_start_seconds;
        writeln!(into, "  behind    up to {late:.1} s late; try more --connections or a lower --speed")?;
    }
    for (count, one, many) in [
        (replay.without_body, "record has no body", "records have no body"),
        (replay.skipped_lines, "line is not a record", "lines are not records"),
    ] {
        if count > 0 {
            writeln!(into, "  skipped   {} {}", with_commas(count), if count == 1 { one } else { many })?;
        }
    }
    match &replay.ended_by {
        // It may contain parts of a file: control characters must not reach the terminal.
        Some(problem) => {
            writeln!(into, "  ended     {}; --skip-invalid skips such lines", problem.replace(char::is_control, " "))
        }
        None => Ok(()),
    }
}

/// What only all callbacks report.
fn all_callbacks(report: &Report, into: &mut dyn Write) -> io::Result<()> {
    table("content type between two users", &by_size(&report.single_messages.by_content_type), usize::MAX, into)?;
    table("activity", &by_size(&report.activities), usize::MAX, into)?;
    table("went offline", &by_size(&report.disconnects), usize::MAX, into)?;
    writeln!(into, "\n{:<52} {:>14} {:>14}", "online at the end", "at least", "at most")?;
    for (platform, count) in &report.users_online {
        let [at_least, at_most] = [count.at_least, count.at_most].map(with_commas);
        writeln!(into, "{platform:<52} {at_least:>14} {at_most:>14}")?;
    }
    table("users", &[("distinct", report.distinct_users)], 1, into)?;
    table("callback", &by_size(&report.by_command), usize::MAX, into)
}

fn pace(report: &Report, into: &mut dyn Write) -> io::Result<()> {
    let Some(pace) = report.pace.filter(|pace| pace.latest_start_seconds > LATE.as_secs_f64() || pace.never_sent > 0)
    else {
        return Ok(());
    };
    writeln!(
        into,
        "  behind    --rate {} was not kept: up to {:.1} s late, {} not sent; try more --connections or a lower --rate",
        pace.wanted_per_second,
        pace.latest_start_seconds,
        with_commas(pace.never_sent)
    )
}

fn failures(failed: &Failures) -> String {
    let kinds = [
        (failed.not_connected, "not connected"),
        (failed.closed, "closed without an answer"),
        (failed.timeout, "no answer in 5 s"),
        (failed.status, "status not 200"),
        (failed.refused, "no success in the answer"),
    ];
    let nonzero = kinds.iter().filter(|(count, _)| *count > 0);
    let listed: Vec<_> = nonzero.map(|(count, kind)| format!("{kind}: {}", with_commas(*count))).collect();
    if listed.is_empty() { "0".to_owned() } else { format!("{} ({})", with_commas(failed.total), listed.join(", ")) }
}

fn by_size<K: AsRef<str>>(entries: &BTreeMap<K, SendCount>) -> Vec<(&str, SendCount)> {
    let mut entries: Vec<_> = entries.iter().map(|(name, count)| (name.as_ref(), *count)).collect();
    // Equal counts are sorted by name, so that two runs print the same.
    entries
        .sort_unstable_by(|(name, count), (other_name, other)| other.sent.cmp(&count.sent).then(name.cmp(other_name)));
    entries
}

fn table(title: &str, entries: &[(&str, SendCount)], shown: usize, into: &mut dyn Write) -> io::Result<()> {
    writeln!(into, "\n{title:<52} {:>14} {:>14}", "sent", "answered")?;
    for (name, SendCount { sent, answered }) in entries.iter().take(shown) {
        writeln!(into, "{name:<52} {:>14} {:>14}", with_commas(*sent), with_commas(*answered))?;
    }
    match entries.len().saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(into, "and {} more", with_commas(u64::try_from(more).unwrap_or(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(seconds: u64, sent: u64) -> RunProgress {
        RunProgress { elapsed: Duration::from_secs(seconds), sent, answered: sent, behind: Duration::from_millis(1500) }
    }

    #[test]
    fn a_terminal_gets_one_line_and_a_log_a_line_every_ten_seconds() {
        let mut terminal = ProgressLine::new(Vec::new(), true);
        let mut log = ProgressLine::new(Vec::new(), false);
        for second in 1..=20 {
            terminal.show(&progress(second, second * 1000)).unwrap();
            log.show(&progress(second, second * 1000)).unwrap();
        }
        terminal.finish().unwrap();
        log.finish().unwrap();
        let (terminal, log) = (String::from_utf8(terminal.into).unwrap(), String::from_utf8(log.into).unwrap());
        assert_eq!((terminal.matches('\r').count(), terminal.matches('\n').count()), (20, 1));
        let expected = "10 s · 10,000 sent · 1000/s · 0 failed · 1.5 s behind the rate\n";
        assert_eq!(log, format!("{expected}{}", expected.replace("10 s", "20 s").replace("10,000", "20,000")));
    }

    #[test]
    fn failures_are_listed_by_kind() {
        assert_eq!(failures(&Failures::default()), "0");
        let some = Failures { total: 1003, closed: 1000, status: 3, ..Failures::default() };
        assert_eq!(failures(&some), "1,003 (closed without an answer: 1,000, status not 200: 3)");
    }
}
