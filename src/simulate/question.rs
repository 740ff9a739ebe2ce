//! Made-up messages cannot be removed from an exporter's numbers. So before a run adds them to an exporter that already
//! has messages, somebody must agree.

use std::io::{self, IsTerminal as _, Write};

use hyper::StatusCode;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::commas::with_commas;
use super::error::Error;
use super::sender::{ANSWER_TIMEOUT, TARGET_FLAG};
use crate::client::{Endpoint, Link, get};
use crate::config::simulate::{Simulate, Target};

/// How many folders of the target's prefix may be the external URL of an exporter behind a proxy.
const MAX_FOLDERS: usize = 4;

/// What is known about the target.
enum Found {
    /// There is no exporter, or none answers. If nothing is there, the run says so.
    NoExporter,
    /// An exporter that has counted this.
    Counted(Summary),
    /// An exporter that does not say what it has counted, and what it answers.
    Silent(String),
    /// Something that does not answer in time.
    Slow,
}

/// The part of an exporter's summary that is needed here.
#[derive(Deserialize)]
struct Summary {
    messages: Total,
    single_messages: Total,
    callbacks: Total,
    groups: Groups,
}

#[derive(Deserialize)]
struct Total {
    total: u64,
}

#[derive(Deserialize)]
struct Groups {
    tracked: u64,
}

/// Returns without an error if the run may begin.
///
/// # Errors
/// When the answer is no, or nobody can be asked.
pub(super) async fn confirm(options: &Simulate) -> Result<(), Error> {
    if options.is_confirmed {
        return Ok(());
    }
    let target = &options.target;
    let found = timeout_at(Instant::now() + ANSWER_TIMEOUT, find(target)).await;
    let Some(what) = describe(found.unwrap_or(Found::Slow)) else { return Ok(()) };
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Error::NotConfirmed(target.to_string(), what));
    }
    let kind = if options.replay.is_some() { "recorded" } else { "made-up" };
    let question = format!("{target} {what}. Add {kind} ones? They cannot be removed. [y/N] ");
    if is_yes(&question).map_err(Error::Question)? { Ok(()) } else { Err(Error::Declined) }
}

/// What speaks against adding messages; `None` if nothing does.
fn describe(found: Found) -> Option<String> {
    match found {
        Found::NoExporter => None,
        Found::Slow => Some(format!("does not answer within {ANSWER_TIMEOUT:?}, so it may have messages")),
        Found::Silent(answer) => Some(format!("is an openim-exporter that may have messages ({answer})")),
        Found::Counted(Summary { messages, single_messages, callbacks, groups }) => {
            let messages = messages.total + single_messages.total;
            let is_new = messages + groups.tracked + callbacks.total == 0;
            let counts = [(messages, "message"), (groups.tracked, "group"), (callbacks.total, "callback")];
            let [messages, groups, callbacks] = counts.map(|(count, noun)| counted(count, noun));
            (!is_new).then(|| format!("already has {messages}, {groups} and {callbacks}"))
        }
    }
}

fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", with_commas(number), if number == 1 { "" } else { "s" })
}

fn is_yes(question: &str) -> io::Result<bool> {
    io::stderr().write_all(question.as_bytes())?;
    let mut answer = String::new();
    // At the end of the input, the answer is no.
    io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

async fn find(target: &Target) -> Found {
    let mut answer = Vec::new();
    for base in bases(&target.prefix) {
        let healthy = page(target, &format!("{base}/-/healthy"), &mut answer).await;
        if healthy == Some(StatusCode::OK) && answer.starts_with(b"openim-exporter is ") {
            return match page(target, &format!("{base}/api/v1/summary"), &mut answer).await {
                Some(StatusCode::OK) => match serde_json::from_slice(&answer) {
                    Ok(summary) => Found::Counted(summary),
                    Err(_) => Found::Silent("another summary".to_owned()),
                },
                Some(status) => Found::Silent(status.to_string()),
                None => Found::Silent("no answer".to_owned()),
            };
        }
        if healthy.is_none() {
            break;
        }
    }
    Found::NoExporter
}

/// Where an exporter with this prefix for callbacks may have its pages: at the root, which every exporter has, or, behind a
/// proxy, in a folder of the prefix.
fn bases(prefix: &str) -> impl Iterator<Item = &str> {
    let ends = prefix.match_indices('/').map(|(position, _)| position).chain([prefix.len()]);
    ends.filter_map(|end| prefix.get(..end)).filter(|base| !base.ends_with('/')).take(1 + MAX_FOLDERS)
}

/// Gets a page over a new connection; `None` if there is no answer.
async fn page(target: &Target, path: &str, answer: &mut Vec<u8>) -> Option<StatusCode> {
    let endpoint = Endpoint::new(target, TARGET_FLAG).ok()?;
    let mut link = Link::open(&endpoint).await.ok()?;
    get(&mut link, target, path, answer).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_are_at_the_root_or_in_a_folder_of_the_prefix() {
        for (prefix, expected) in [
            ("", &[""][..]),
            ("/", &[""]),
            ("/callback", &["", "/callback"]),
            ("/x/callback/", &["", "/x", "/x/callback"]),
            ("//x", &["", "//x"]),
            ("/1/2/3/4/5/6", &["", "/1", "/1/2", "/1/2/3", "/1/2/3/4"]),
        ] {
            assert_eq!(bases(prefix).collect::<Vec<_>>(), expected, "{prefix}");
        }
    }
}
