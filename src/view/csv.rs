//! Text in CSV: <https://www.rfc-editor.org/rfc/rfc4180>.

use std::borrow::Cow;

/// What spreadsheets take for the start of a formula: <https://owasp.org/www-community/attacks/CSV_Injection>. The last
/// four are the full-width `=`, `+`, `-` and `@`.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// A text as a field. One that a spreadsheet would take for a formula gets an apostrophe in front.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    let guard = if text.starts_with(FORMULA) { "'" } else { "" };
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{guard}{}\"", text.replace('"', "\"\"")).into()
    } else if guard.is_empty() {
        text.into()
    } else {
        format!("{guard}{text}").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_it_is_quoted_or_guarded() {
        for (plain, field) in [
            ("", ""),
            ("group-7", "group-7"),
            ("a b;c'd", "a b;c'd"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a\r\nb", "\"a\r\nb\""),
            ("=1+1", "'=1+1"),
            ("@SUM(A1,A2)", "\"'@SUM(A1,A2)\""),
            ("-7", "'-7"),
            ("\rx", "\"'\rx\""),
            ("\n=1", "\"'\n=1\""),
            ("\t=1", "'\t=1"),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("\u{ff0b}1", "'\u{ff0b}1"),
            ("\u{ff0d}1", "'\u{ff0d}1"),
            ("\u{ff20}a", "'\u{ff20}a"),
        ] {
            assert_eq!(text(plain), field, "{plain:?}");
        }
    }
}
