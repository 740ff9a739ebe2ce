//! The targets in the file.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::globs::Commands;
use super::headers::{authorization, headers};
use super::signing_secret::SigningSecret;
use super::target::Target;
use super::tls::ClientTls;
use super::url::Url;
use super::values::{Files, as_flag, commands, globs, list, number, time};
use super::{breaker, policies, tls};
use crate::config::exclusions::ContentTypes;
use crate::config::file::{FileError, redact_name};
use crate::config::parse::{age, disk_bytes};
use crate::config::yaml::{Field, Mapping};

/// Maximum number of targets: each has threads and files.
const MAX_TARGETS: usize = 16;

/// Longest name of a target, in bytes.
const MAX_NAME: usize = 63;

/// Maximum number of secrets: the new one and the old one.
const MAX_SECRETS: usize = 2;

/// The keys of a target.
pub(super) const KEYS: [&str; 20] = [
    "name",
    "url",
    "answers",
    "commands",
    "content_types",
    "groups",
    "headers",
    "basic_auth",
    "bearer_token_file",
    "tls",
    "signing_secret_files",
    "connect_timeout",
    "answer_timeout",
    "delivery_timeout",
    "concurrency",
    "max_in_flight",
    "policies",
    "breaker",
    "max_bytes",
    "max_age",
];

/// The keys that have a meaning only for the target that answers.
const OF_ANSWERS: [&str; 3] = ["answer_timeout", "max_in_flight", "policies"];

/// The targets; at least one, with unique names. At most one answers.
pub(super) fn parse(
    root: &Field,
    files: &mut Files,
    (max_bytes, max_age): (u64, Duration),
) -> Result<Vec<Arc<Target>>, FileError> {
    let file = root.mapping(&["targets"])?;
    let field =
        file.get("targets").ok_or_else(|| root.error("targets is missing; give a list with a name and a url"))?;
    let mut targets: Vec<Arc<Target>> = Vec::new();
    let mut names = HashSet::new();
    let (mut answering, mut is_decided) = (false, false);
    for item in list(&field, MAX_TARGETS, "a target")? {
        let mapping = item.mapping(&KEYS)?;
        let target = target(&item, &mapping, files, (max_bytes, max_age))?;
        if !names.insert(target.name.clone()) {
            return Err(item.error(format!("the name {} is given twice; change one", target.name)));
        }
        let answers = mapping.get("answers");
        is_decided |= answers.is_some();
        if let Some(answers) = answers.filter(|_| target.answers.is_some()) {
            if answering {
                return Err(answers.error("another target answers too; OpenIM obeys one answer, so remove one"));
            }
            answering = true;
        }
        targets.push(Arc::new(target));
    }
    if is_decided {
        return Ok(targets);
    }
    Err(field.error(
        "no target has answers; give answers: true to the one that OpenIM must obey, or answers: false to one if all get \
         copies only",
    ))
}

fn target(
    item: &Field,
    mapping: &Mapping,
    files: &mut Files,
    (max_bytes, max_age): (u64, Duration),
) -> Result<Target, FileError> {
    let missing = |key: &str| item.error(format!("{key} is missing"));
    let name = mapping.get("name").ok_or_else(|| missing("name")).and_then(|field| name(&field))?;
    let url = mapping.get("url").ok_or_else(|| missing("url"))?;
    let url = Url::parse(url.text()?).map_err(|problem| url.error(problem))?;
    let tls = tls_of(mapping, &url, files)?;
    let commands = mapping.get("commands").map_or_else(|| Ok(Commands::all()), |field| commands(&field))?;
    let answers = answers(mapping)?;
    check_effect(mapping, answers.as_ref(), &commands)?;
    let is_answered = |name: &str| answers.as_ref().is_some_and(|set| set.contains(name)) && commands.contains(name);
    let policies = mapping.get("policies").map(|field| policies::parse(&field, &is_answered)).transpose()?;
    Ok(Target {
        name,
        answers,
        commands,
        content_types: mapping.get("content_types").map(|field| content_types(&field)).transpose()?,
        groups: mapping.get("groups").map(|field| globs(&field)).transpose()?,
        headers: mapping.get("headers").map_or_else(|| Ok(Vec::new()), |field| headers(&field))?,
        authorization: authorization(mapping, files)?,
        tls,
        secrets: mapping.get("signing_secret_files").map_or_else(|| Ok(Vec::new()), |field| secrets(&field, files))?,
        policies: policies.unwrap_or_default(),
        breaker: mapping.get("breaker").map(|field| breaker::parse(&field)).transpose()?.unwrap_or_default(),
        max_bytes: as_flag(mapping, "max_bytes", max_bytes, disk_bytes)?,
        max_age: as_flag(mapping, "max_age", max_age, age)?,
        ..timing(mapping, Target::simple(url))?
    })
}

/// Checks that nothing about answers is without effect.
fn check_effect(mapping: &Mapping, answers: Option<&Commands>, commands: &Commands) -> Result<(), FileError> {
    let without_effect = OF_ANSWERS.iter().find_map(|key| mapping.get(key)).filter(|_| answers.is_none());
    if let Some(field) = without_effect {
        return Err(field.error("this target gets copies only, so it has no effect; remove it, or set answers: true"));
    }
    let (Some(answers), Some(field)) = (answers, mapping.get("commands")) else { return Ok(()) };
    // A set without a known command may be for a newer OpenIM.
    let has_known = |set: &Commands| set.known().next().is_some();
    if has_known(answers) && has_known(commands) && !answers.known().any(|name| commands.contains(name)) {
        return Err(
            field.error("the target gets none of the commands that it answers; add them, or set answers: false")
        );
    }
    Ok(())
}

/// The target with its timeouts and limits.
fn timing(mapping: &Mapping, target: Target) -> Result<Target, FileError> {
    let (least, millis) = (Duration::from_millis(10), Duration::from_millis);
    Ok(Target {
        connect_timeout: time(mapping, "connect_timeout", target.connect_timeout, least..=millis(60_000))?,
        answer_timeout: time(mapping, "answer_timeout", target.answer_timeout, least..=millis(4500))?,
        delivery_timeout: time(mapping, "delivery_timeout", target.delivery_timeout, least..=millis(300_000))?,
        concurrency: number(mapping, "concurrency", target.concurrency, 1..=256)?,
        max_in_flight: number(mapping, "max_in_flight", target.max_in_flight, 1..=10_000)?,
        ..target
    })
}

/// A name that can be a label value and a directory.
fn name(field: &Field) -> Result<String, FileError> {
    let text = field.text()?;
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_valid = text.len() <= MAX_NAME
        && text.bytes().next().is_some_and(is_plain)
        && text.bytes().all(|byte| is_plain(byte) || b"_-".contains(&byte));
    if is_valid {
        Ok(text.to_owned())
    } else {
        Err(field
            .error(format!("give 1 to {MAX_NAME} lower-case letters, digits, _ and -, with a letter or digit first")))
    }
}

/// Which commands it answers: those of a list, or with `true` those that OpenIM waits for.
fn answers(mapping: &Mapping) -> Result<Option<Commands>, FileError> {
    let Some(field) = mapping.get("answers") else { return Ok(None) };
    if field.is_list() {
        return commands(&field).map(Some);
    }
    match field.text() {
        Ok("true") => Ok(Some(Commands::obeyed())),
        Ok("false") => Ok(None),
        _ => Err(field.error("give true, false, or a list of commands")),
    }
}

fn content_types(field: &Field) -> Result<ContentTypes, FileError> {
    let items = list(field, usize::MAX, "a content type")?;
    let texts = items.iter().map(Field::text).collect::<Result<Vec<_>, _>>()?;
    // Anything else may be a misplaced secret.
    if let Some((item, _)) = items.iter().zip(&texts).find(|(_, text)| redact_name(text) != **text) {
        return Err(item.error("this is not a content type; give names, numbers, or ranges such as 1000-5000"));
    }
    ContentTypes::parse(&texts.join(",")).map_err(|problem| field.error(problem))
}

fn secrets(field: &Field, files: &mut Files) -> Result<Vec<SigningSecret>, FileError> {
    let items = list(field, MAX_SECRETS, "a file with a secret")?;
    let mut secret = |(number, item): (usize, &Field)| {
        let which = if items.len() > 1 { format!("file {number}: ") } else { String::new() };
        files.secret(item, SigningSecret::parse).map_err(|error| error.about(&which))
    };
    (1..).zip(&items).map(&mut secret).collect()
}

fn tls_of(mapping: &Mapping, url: &Url, files: &mut Files) -> Result<ClientTls, FileError> {
    match mapping.get("tls") {
        Some(field) if !url.is_https() => {
            Err(field.error("the url begins with http://, so it has no effect; remove it, or use https://"))
        }
        Some(field) => tls::parse(&field, files),
        None => Ok(ClientTls::default()),
    }
}
