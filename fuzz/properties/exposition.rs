//! A strict parser of the text formats, which knows nothing of how they are written.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md#abnf>

use openim_exporter::exposition::Format;

pub(super) type Labels = Vec<(String, String)>;

/// A family: its comment lines, and its samples.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) samples: Vec<Sample>,
}

/// A sample, with its value as written.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) value: String,
    pub(super) exemplar: Option<(Labels, String, String)>,
}

/// Reads a whole exposition.
///
/// # Errors
/// The line that is not valid, with the reason.
pub(super) fn parse(text: &str, format: Format) -> Result<Vec<Family>, String> {
    let text = match format {
        Format::OpenMetrics => text.strip_suffix("# EOF\n").ok_or("the end is missing")?,
        _ => text,
    };
    let mut families: Vec<Family> = Vec::new();
    // Only `\n` ends a line; a label may contain any other character.
    let lines = text.strip_suffix('\n').ok_or("the last line does not end")?.split('\n');
    for line in lines {
        let wrong = || line.to_owned();
        if let Some(comment) = line.strip_prefix("# ") {
            take_comment(comment, format, &mut families).ok_or_else(wrong)?;
        } else {
            let sample = sample(line, format).ok_or_else(wrong)?;
            let family = families.last_mut().ok_or_else(wrong)?;
            let suffix = sample.name.strip_prefix(&family.name).ok_or_else(wrong)?;
            if !suffixes(&family.kind, format).contains(&suffix) {
                return Err(wrong());
            }
            family.samples.push(sample);
        }
    }
    let mut names: Vec<_> = families.iter().map(|family| &family.name).collect();
    names.sort();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("duplicate family".to_owned());
    }
    Ok(families)
}

/// The exporter begins a family with `HELP`. `TYPE` follows, and perhaps `UNIT`.
fn take_comment(comment: &str, format: Format, families: &mut Vec<Family>) -> Option<()> {
    let (keyword, rest) = comment.split_once(' ')?;
    let (name, rest) = rest.split_once(' ')?;
    if !is_name(name) {
        return None;
    }
    let last = families.last_mut();
    match keyword {
        "HELP" => {
            families.push(Family { name: name.to_owned(), ..Family::default() });
            Some(())
        }
        "TYPE" => {
            let family = last.filter(|family| family.name == name && family.kind.is_empty())?;
            family.kind = rest.to_owned();
            ["counter", "gauge", "histogram"].contains(&rest).then_some(())
        }
        "UNIT" if format == Format::OpenMetrics => {
            let family = last.filter(|family| family.name == name && family.samples.is_empty())?;
            family.name.ends_with(&format!("_{rest}")).then_some(())
        }
        _ => None,
    }
}

fn suffixes(kind: &str, format: Format) -> &'static [&'static str] {
    match (kind, format) {
        ("counter", Format::OpenMetrics) => &["_total"],
        ("histogram", _) => &["_bucket", "_sum", "_count"],
        ("", _) => &[],
        _ => &[""],
    }
}

fn sample(line: &str, format: Format) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = labels(rest)?;
    let rest = rest.strip_prefix(' ')?;
    let (value, exemplar) = match rest.split_once(" # ") {
        None => (rest, None),
        Some(_) if format != Format::OpenMetrics => return None,
        Some((value, exemplar)) => (value, Some(self::exemplar(exemplar)?)),
    };
    let whole = is_name(name) && is_number(value);
    whole.then(|| Sample { name: name.to_owned(), labels, value: value.to_owned(), exemplar })
}

fn exemplar(text: &str) -> Option<(Labels, String, String)> {
    let (labels, rest) = labels(text)?;
    let (value, at) = rest.strip_prefix(' ')?.split_once(' ')?;
    // OpenMetrics, "Exemplars": names and values together have at most 128 characters.
    let len: usize = labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
    (len <= 128 && is_number(value) && is_number(at)).then(|| (labels, value.to_owned(), at.to_owned()))
}

/// The labels at the start of a text, if there are any, and the text after them.
fn labels(text: &str) -> Option<(Labels, &str)> {
    let Some(mut rest) = text.strip_prefix('{') else { return Some((Vec::new(), text)) };
    let mut labels: Labels = Vec::new();
    loop {
        let (name, behind) = rest.split_once("=\"")?;
        let (value, behind) = quoted(behind)?;
        if !is_name(name) || name.contains(':') || labels.iter().any(|(other, _)| other == name) {
            return None;
        }
        labels.push((name.to_owned(), value));
        match behind.as_bytes().first()? {
            b',' => rest = &behind[1..],
            b'}' => return Some((labels, &behind[1..])),
            _ => return None,
        }
    }
}

/// A label's unescaped value up to its closing quote, and the text after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    loop {
        match characters.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => value.push(match characters.next()?.1 {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                _ => return None,
            }),
            (_, character) => value.push(character),
        }
    }
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = |byte: u8| byte.is_ascii_alphabetic() || b"_:".contains(&byte);
    bytes.next().is_some_and(first) && bytes.all(|byte| first(byte) || byte.is_ascii_digit())
}

/// A number in the syntax of these formats: digits, `NaN`, or infinity.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match unsigned.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned) || ["inf", "nan"].contains(&unsigned.to_lowercase().as_str()),
    }
}
