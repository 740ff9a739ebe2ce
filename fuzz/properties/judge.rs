//! Judging a target's answer: the whole of it counts, and of a field that occurs twice the last one.

use openim_exporter::wire::{Judged, UrlForm, judge, obeyed_refusal};

pub(crate) fn holds(bytes: &[u8]) {
    for form in [UrlForm::Path, UrlForm::Query, UrlForm::Body] {
        let judged = judge(bytes, form);
        assert_eq!(judge(&[b" \t", bytes, b"\r\n"].concat(), form), judged, "{form:?}");
        if judged == Judged::Unusable {
            continue;
        }
        for after in [b"}", b"x", b"\0"] {
            assert_eq!(judge(&[bytes, after].concat(), form), Judged::Unusable, "{form:?}");
        }
        if let Some(members) = bytes.trim_ascii_end().strip_suffix(b"}") {
            let comma: &[u8] = if members.trim_ascii() == b"{" { b"" } else { b"," };
            let refusal = obeyed_refusal(form, "no");
            let refused = [members, comma, refusal.trim_start_matches('{').as_bytes()].concat();
            assert_eq!(judge(&refused, form), Judged::Refuses, "{form:?}");
        }
    }
}
