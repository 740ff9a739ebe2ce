//! The tables agree with the code. If one does not, the test prints the expected rows. If `UPDATE_DOCS` is set, it writes
//! them to the page instead: `UPDATE_DOCS=1 cargo test --test docs`. It fails either way; the next run reads the new page.
//! The last cell of a new row may have to be filled by hand.

use std::fs;

use openim_exporter::config::{command, serve_flags};
use openim_exporter::domain::{Activity, AnswerUse, COMMANDS, Chat, KnownCommand, Reason, Subject};
use openim_exporter::exposition::catalog::CATALOG;
use openim_exporter::http::Limits;
use openim_exporter::simulate;

use crate::support::Exporter;
use crate::{API, CALLBACKS, ERRORS, FLAGS, LIMITS, METRICS, PERFORMANCE, Page, at};

/// The rows of the table with this first heading, as lines.
fn lines<'a>(text: &'a str, heading: &str) -> impl Iterator<Item = &'a str> {
    let begin = format!("| {heading} |");
    let lines = text.split_inclusive('\n').skip_while(move |line| !line.starts_with(&begin));
    lines.take_while(|line| line.starts_with('|')).skip(2)
}

/// The cells of these rows.
fn table(text: &str, heading: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    lines(text, heading).map(cells).collect()
}

/// `None` if the rows of a table begin with the expected cells. Otherwise the rows that the table must have: the
/// expected cells, and the remaining cells of the current row with the same first cell.
fn corrected<const CELLS: usize>(text: &str, heading: &str, expected: &[[String; CELLS]]) -> Option<String> {
    let found = table(text, heading);
    if found.iter().map(|row| &row[..CELLS.min(row.len())]).eq(expected) {
        return None;
    }
    let columns = found.iter().map(Vec::len).max().unwrap_or(CELLS);
    let rows = expected.iter().map(|cells| {
        let rest = found.iter().find(|row| row[0] == cells[0]).and_then(|row| row.get(CELLS..)).unwrap_or_default();
        let mut row = [cells.as_slice(), rest].concat();
        row.resize(columns, String::new());
        row.iter().map(|cell| if cell.is_empty() { "| ".into() } else { format!("| {cell} ") }).collect::<String>()
            + "|\n"
    });
    Some(rows.collect())
}

pub(crate) fn assert_table<const CELLS: usize>(
    page: &Page,
    heading: &str,
    expected: &[[String; CELLS]],
    spoils: &[(&str, &str)],
) {
    if let Some(rows) = corrected(page.text, heading, expected) {
        if std::env::var_os("UPDATE_DOCS").is_some() {
            let old: String = lines(page.text, heading).collect();
            fs::write(at(page.path), page.text.replacen(&old, &rows, 1)).unwrap();
            panic!(
                "{}: the table '{heading}' was updated; fill the last cell of each new row, and run the test again",
                page.path
            );
        }
        panic!(
            "{}: the rows of the table '{heading}' must be as below; run: UPDATE_DOCS=1 cargo test --test docs\n{rows}",
            page.path
        );
    }
    for row in table(page.text, heading) {
        assert!(
            row.iter().next_back().is_some_and(|cell| !cell.is_empty()),
            "{}: fill the last cell of {row:?}",
            page.path
        );
    }
    for (old, new) in spoils {
        assert!(corrected(&page.spoilt(old, new), heading, expected).is_some(), "{old}");
    }
}

/// Formats a text as code, unless it is empty.
pub(crate) fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

#[test]
fn the_table_of_metrics_matches_the_declarations() {
    let expected: Vec<_> = CATALOG
        .iter()
        .map(|family| {
            let labels: Vec<_> = family.labels.iter().map(|label| code(label)).collect();
            [code(family.name), family.kind.name().into(), labels.join(", "), family.help.into()]
        })
        .collect();
    let spoils = [
        ("| `openim_active_groups` |", "| `openim_active_group` |"),
        ("| counter | `kind` |", "| gauge | `kind` |"),
        ("`platform`, `source` |", "`platform` |"),
        ("| Open connections. |", "| Connections. |"),
    ];
    assert_table(&METRICS, "Metric", &expected, &spoils);
}

#[test]
fn the_table_of_flags_matches_the_code() {
    let expected: Vec<_> = serve_flags().iter().map(|flag| flag.each_ref().map(|cell| code(cell))).collect();
    let spoils = [
        ("| `--log.level` |", "| `--log.levels` |"),
        ("`OPENIM_EXPORTER_LOG_LEVEL`", "`LOG_LEVEL`"),
        ("| `1000` |", "| `2000` |"),
    ];
    assert_table(&FLAGS, "Flag", &expected, &spoils);
}

#[test]
fn the_tables_of_the_subcommands_flags_match_the_code() {
    let program = command();
    for (name, spoils) in
        [("healthcheck", [("| `2s` |", "| `3s` |")]), ("simulate", [("| `--report` |", "| `--reports` |")])]
    {
        let flags = program.find_subcommand(name).unwrap().get_arguments().map(|flag| {
            let defaults: Vec<_> = flag.get_default_values().iter().map(|value| value.to_str().unwrap()).collect();
            [code(&format!("--{}", flag.get_long().unwrap())), code(&defaults.join(","))]
        });
        assert_table(&FLAGS, &format!("Flag of `{name}`"), &flags.collect::<Vec<_>>(), &spoils);
    }
}

#[test]
fn the_table_of_reasons_matches_the_code() {
    let expected = Reason::ALL.map(|reason| [code(reason.name()), reason.status().to_string()]);
    assert_table(&ERRORS, "Reason", &expected, &[("| `not_found` | 404 |", "| `not_found` | 400 |")]);
}

/// What a callback about this subject counts.
fn counts(subject: Subject) -> &'static str {
    match subject {
        Subject::Nothing => "nothing else",
        Subject::Sent(Chat::Group) => {
            "the message: `openim_group_messages_total` and the other metrics of group messages"
        }
        Subject::Sent(Chat::Single) => {
            "the message: `openim_single_messages_total` and the other metrics of single messages"
        }
        Subject::Stored => "the message, depending on [`--callback.message-source`](flags.md)",
        Subject::Attempted(_) => "`openim_message_attempts_total`",
        Subject::Registration => "`openim_users_registered_total`, once for each user",
        Subject::Join => "`openim_group_members_joined_total`, once for each member",
        Subject::Removal => "`openim_group_members_removed_total`, once for each member",
        Subject::Invitation => "`openim_group_members_invited_total`, once for each user",
        Subject::Dismissal => "`openim_groups_dismissed_total`, once for each group; the group's series end",
        Subject::FriendImport => "`openim_friendships_started_total`, once for each user",
        Subject::Revocation => "`openim_message_revocations_total`",
        Subject::GroupRead => "`openim_messages_read_total`, `openim_active_users`",
        Subject::Read => "`openim_messages_read_total`, once for each message, `openim_active_users`",
        Subject::OfflinePush => "`openim_offline_pushes_total`, once for each receiver",
        Subject::Online => "`openim_users_online`, `openim_active_users`",
        Subject::Offline => "`openim_users_online`, `openim_user_disconnects_total`",
        Subject::Once(activity) => match activity {
            Activity::GroupsCreated => "`openim_groups_created_total`",
            Activity::MembersJoined => "`openim_group_members_joined_total`",
            Activity::MembersLeft => "`openim_group_members_left_total`",
            Activity::JoinRequests => "`openim_group_members_join_requests_total`",
            Activity::FriendRequests => "`openim_friend_requests_total`",
            Activity::FriendshipsStarted => "`openim_friendships_started_total`",
            Activity::FriendshipsEnded => "`openim_friendships_ended_total`",
            Activity::UserBlocks => "`openim_user_blocks_total`",
            Activity::UserUnblocks => "`openim_user_unblocks_total`",
            other => panic!("describe {other:?}"),
        },
    }
}

#[test]
fn the_table_of_callbacks_matches_the_code() {
    let answer = |known: &KnownCommand| match known.answer_use {
        AnswerUse::Ignored => "ignored",
        AnswerUse::Obeyed => "obeyed",
        AnswerUse::Copied => "copied",
    };
    let row = |known: &KnownCommand| [code(known.name), answer(known).into(), counts(known.subject).into()];
    let expected: Vec<_> = COMMANDS.iter().map(row).collect();
    let spoils = [
        ("| `callbackBeforeSetGroupInfoCommand` | copied |", "| `callbackBeforeSetGroupInfoCommand` | obeyed |"),
        ("| `openim_group_members_left_total` |", "| nothing else |"),
    ];
    assert_table(&CALLBACKS, "Command", &expected, &spoils);
}

#[test]
fn the_table_of_simulated_actions_matches_the_code() {
    let shown = |(command, chance)| match chance {
        100 => code(command),
        chance => format!("{chance} %: {}", code(command)),
    };
    let expected: Vec<_> = simulate::actions()
        .map(|(name, share, callbacks)| {
            let callbacks: Vec<_> = callbacks.into_iter().map(shown).collect();
            [name.to_owned(), share.to_string(), callbacks.join(", ")]
        })
        .collect();
    let spoils = [("| Comes online | 250 |", "| Comes online | 251 |"), ("99 %: `callbackAfterSendGroup", "9 %: `x")];
    assert_table(&PERFORMANCE, "Action", &expected, &spoils);
}

#[test]
fn the_parameters_of_the_api_are_listed_with_their_defaults() {
    let exporter = Exporter::start(&[]);
    let page = exporter.get("/api/v1/groups").json();
    let default = |name: &str| page[name].as_str().map_or_else(|| page[name].to_string(), str::to_owned);
    // The refusal of an unknown parameter ends with a list of the known ones.
    let (_, detail) = exporter.get("/api/v1/groups?x=").refusal(400);
    let names = detail.rsplit("; ").next().unwrap().split(", ").map(|part| part.split(' ').next_back().unwrap());
    let expected = names.map(|name| [code(name), if name == "q" { String::new() } else { code(&default(name)) }]);
    let expected: Vec<[String; 2]> = expected.collect();
    let spoils = [("| `limit` | `50` |", "| `limit` | `100` |"), ("| `offset` |", "| `from` |")];
    assert_table(&API, "Parameter", &expected, &spoils);
}

#[test]
fn the_rows_for_a_wrong_table_keep_the_cells_that_are_not_in_the_code() {
    let text = "| A | B | C |\n|---|---|---|\n| `x` | | old |\n| `z` | 3 | gone |\n";
    let expected = [["`x`", "1"], ["`y`", ""]].map(|row| row.map(str::to_owned));
    assert_eq!(corrected(text, "A", &expected).unwrap(), "| `x` | 1 | old |\n| `y` | | |\n");
}

#[test]
fn the_documented_limits_match_the_code() {
    let rows = |text: &str| table(text, "What").into_iter().map(|row| row[1].clone()).collect::<Vec<_>>().join("\n");
    let limits = Limits::default();
    let flags = serve_flags();
    let default = |name: &str| flags.iter().find(|[flag, ..]| flag == name).unwrap()[2].clone();
    let thousands = |name: &str| {
        let count: usize = default(name).parse().unwrap();
        format!("{},{:03}", count / 1000, count % 1000)
    };
    let expected = [
        format!("headers, within {} s", limits.head.as_secs()),
        format!("(`--callback.max-body-bytes`), within {} s", limits.body.as_secs()),
        format!("\n{0} s, and {0} s for each", limits.answer.as_secs()),
        format!("\n{} minutes\n", limits.idle.as_secs() / 60),
        format!("\n{}, and", thousands("--web.max-connections")),
        format!("\n{} (`--web.max-connections-per-address`)", thousands("--web.max-connections-per-address")),
        format!("\n{} in total (`--callback", default("--callback.max-buffered-bytes").replace("MiB", " MiB")),
        format!("\n{} (`--web.max-requests`)", default("--web.max-requests")),
        format!("\n{} (`--web.max-viewers`)", default("--web.max-viewers")),
        format!("\n{} (`--groups.max-exported`)", thousands("--groups.max-exported")),
        format!("\n{} (`--groups.max-tracked`)", thousands("--groups.max-tracked")),
    ];
    let shutdown = [
        format!("idle for {} s;", limits.idle_draining.as_secs()),
        format!("408 after {} s;", limits.request_draining.as_secs()),
        format!("exits within {} s,", limits.drain.as_secs()),
    ];
    let missing = |text: &str| -> Vec<String> {
        let rows = rows(text);
        let of_table = expected.iter().filter(|limit| !rows.contains(*limit));
        of_table.chain(shutdown.iter().filter(|limit| !text.contains(*limit))).cloned().collect()
    };
    assert_eq!(missing(LIMITS.text), [""; 0], "docs/limits.md must contain these");
    for (old, new) in [("| 10 minutes |", "| 90 s |"), ("| 5,000 (", "| 500 ("), ("408 after 3 s", "408 after 4 s")] {
        assert_eq!(missing(&LIMITS.spoilt(old, new)).len(), 1, "{old}");
    }
}
