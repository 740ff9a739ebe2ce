//! Limits on the lengths and the nesting of values. The body's size is limited elsewhere.

/// The longest ID or command in bytes. OpenIM's own have up to 40, but apps choose their own.
pub(super) const MAX_ID_BYTES: usize = 8 * 1024;

/// The longest nickname or URL of a picture in bytes.
pub(super) const MAX_NAME_BYTES: usize = 16 * 1024;

/// The maximum nesting of objects and lists. OpenIM's body is an object with a list in it.
pub(super) const MAX_DEPTH: usize = 64;

/// The offset at which the nesting of JSON exceeds a depth. Misplaced brackets count too: such JSON is refused anyway.
pub(super) fn too_deep_at(body: &str, most: usize) -> Option<usize> {
    let brackets = memchr::memchr2_iter(b'{', b'[', body.as_bytes());
    // Nearly every body has too few brackets, including those in strings.
    if brackets.take(most + 1).count() > most { search(body.as_bytes(), most) } else { None }
}

fn search(body: &[u8], most: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut bytes = body.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                while bytes.next().is_some_and(|(_, byte)| *byte != b'"' && (*byte != b'\\' || bytes.next().is_some()))
                {
                }
            }
            b'{' | b'[' if depth == most => return Some(at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn too_deep_at(body: &str) -> Option<usize> {
        super::too_deep_at(body, MAX_DEPTH)
    }

    #[test]
    fn one_level_too_many_is_too_deep() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), (" [ ", " ]")] {
            let nested = |depth| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert_eq!(too_deep_at(&nested(MAX_DEPTH)), None);
            let at = too_deep_at(&nested(MAX_DEPTH + 1)).unwrap();
            assert_eq!(at, open.len() * MAX_DEPTH + open.find(['[', '{']).unwrap());
            assert_eq!(too_deep_at(&open.repeat(100_000)), Some(at));
        }
    }

    #[test]
    fn brackets_in_strings_and_in_sequence_do_not_nest() {
        for body in [
            format!("[\"{}\"]", "[".repeat(1000)),
            format!("[\"{}\"]", "\\\"[{".repeat(1000)),
            format!("[\"\\\\\",\"{}\"]", "{".repeat(1000)),
            format!("[{}1]", "[{}],".repeat(1000)),
            format!("\"{}", "[".repeat(1000)),
            format!("{}[", "]".repeat(1000)),
        ] {
            assert_eq!(too_deep_at(&body), None, "{body}");
        }
        let after_a_string = format!("[\"\\\\\",{}", "[".repeat(MAX_DEPTH));
        assert_eq!(too_deep_at(&after_a_string), Some(after_a_string.len() - 1));
    }
}
