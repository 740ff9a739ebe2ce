//! The name of a callback's command, as it was sent.

use std::borrow::Cow;

use hyper::Uri;
use percent_encoding::percent_decode_str;

use super::router::name_in_query;
use crate::wire::{self, Command, UrlForm};

/// The name of a callback's command, and where OpenIM put it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named<'a> {
    /// As it was sent, without the whitespace around it.
    pub(super) command: Cow<'a, str>,
    /// The last segment of the path as it was sent, with its slash, if it names the command; otherwise nothing, because
    /// the path may be a secret.
    pub(super) path: &'a str,
    pub(super) form: UrlForm,
}

/// Finds a command's name where [`route`](super::router::route) and `callback` find the command.
pub(super) fn named<'a>(uri: &'a Uri, body: &'a [u8]) -> Option<Named<'a>> {
    let in_query = uri.query().and_then(name_in_query);
    if Command::from_path(uri.path()).is_some() {
        let path = uri.path().trim_end_matches('/');
        let path = path.get(path.rfind('/').unwrap_or_default()..).unwrap_or_default();
        let name = percent_decode_str(path).decode_utf8().ok()?;
        let command = match name {
            Cow::Borrowed(name) => Cow::Borrowed(last_segment(name)),
            Cow::Owned(name) => Cow::Owned(last_segment(&name).to_owned()),
        };
        // An encoded slash may have the secret before it.
        let path = if path.contains("%2F") || path.contains("%2f") { "" } else { path };
        // OpenIM 3.0 to 3.4.0 append the query also to a URL that ends with a command.
        let form = if in_query.is_some() { UrlForm::Query } else { UrlForm::Path };
        return Some(Named { command, path, form });
    }
    if let Some(command) = in_query {
        return Some(Named { command: trimmed(command), path: "", form: UrlForm::Query });
    }
    let command = trimmed(wire::decode_command_name(body).ok()?);
    Some(Named { command, path: "", form: UrlForm::Body })
}

/// As in [`Command::from_name`].
fn trimmed(name: Cow<'_, str>) -> Cow<'_, str> {
    match name {
        Cow::Borrowed(name) => Cow::Borrowed(name.trim()),
        Cow::Owned(name) => Cow::Owned(name.trim().to_owned()),
    }
}

/// As in [`Command::from_path`].
fn last_segment(path: &str) -> &str {
    let path = path.trim_end_matches(|char: char| char == '/' || char.is_whitespace());
    path.rsplit('/').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_named_as_it_was_sent() {
        let body = br#"{"callbackCommand":" CallbackBeforeXCommand\n"}"#;
        for (uri, command, path, form) in [
            (
                "/secret/callbackBeforeXCommand?key=a",
                "callbackBeforeXCommand",
                "/callbackBeforeXCommand",
                UrlForm::Path,
            ),
            ("/callbackNewCommand//", "callbackNewCommand", "/callbackNewCommand", UrlForm::Path),
            ("/callback%42eforeXCommand%20//", "callbackBeforeXCommand", "/callback%42eforeXCommand%20", UrlForm::Path),
            ("/secret%2fcallbackBeforeXCommand", "callbackBeforeXCommand", "", UrlForm::Path),
            ("/secret%2FcallbackBeforeXCommand%2F", "callbackBeforeXCommand", "", UrlForm::Path),
            ("/callback?command=CallbackBeforeYCommand", "CallbackBeforeYCommand", "", UrlForm::Query),
            ("/?a=b&command=callbackBefore%59Command", "callbackBeforeYCommand", "", UrlForm::Query),
            (
                "/callbackBeforeXCommand?command=callbackBeforeYCommand",
                "callbackBeforeXCommand",
                "/callbackBeforeXCommand",
                UrlForm::Query,
            ),
            ("/?command=+callbackBeforeYCommand%0A", "callbackBeforeYCommand", "", UrlForm::Query),
            ("/secret?command=", "CallbackBeforeXCommand", "", UrlForm::Body),
            ("/callbackExample", "CallbackBeforeXCommand", "", UrlForm::Body),
        ] {
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(named(&uri, body), Some(Named { command: command.into(), path, form }), "{uri}");
        }
        assert_eq!(named(&"/callback".parse().unwrap(), b"{"), None);
    }
}
