//! Access to a mapping with known keys, and to its values by type.

use super::tree::{MappingEntry, Node, YamlValue};
use crate::config::file::{FileError, redact_name};
use crate::config::similar::did_you_mean;

/// A mapping of the file. All of its keys are known. A key without a value counts as missing, as in the toolkit.
pub(crate) struct Mapping<'a> {
    path: String,
    entries: &'a [MappingEntry],
}

/// A value of the file.
pub(crate) struct Field<'a> {
    /// The line of the key; for an item of a list, its own.
    line: usize,
    /// The keys that lead to it, with dots; empty for the whole file.
    path: String,
    value: &'a YamlValue,
}

impl<'a> Mapping<'a> {
    /// Whether no key has a value.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.iter().all(|entry| matches!(entry.node.value, YamlValue::Null))
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<Field<'a>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        let present = !matches!(entry.node.value, YamlValue::Null);
        present.then(|| Field { line: entry.line, path: join(&self.path, key), value: &entry.node.value })
    }

    /// The text of a key; empty text counts as missing.
    pub(crate) fn text(&self, key: &str) -> Result<Option<(Field<'a>, &'a str)>, FileError> {
        let Some(field) = self.get(key) else { return Ok(None) };
        let text = field.text()?;
        Ok((!text.is_empty()).then_some((field, text)))
    }

    /// The items of a list, none if the key is missing.
    pub(crate) fn items(&self, key: &str) -> Result<Vec<Field<'a>>, FileError> {
        self.get(key).map_or(Ok(Vec::new()), |field| field.items())
    }

    /// The value of a switch that is on by default.
    pub(crate) fn is_on(&self, key: &str) -> Result<bool, FileError> {
        let Some(field) = self.get(key) else { return Ok(true) };
        match field.value {
            YamlValue::Text(text) if ["true", "True", "TRUE"].contains(&text.as_str()) => Ok(true),
            YamlValue::Text(text) if ["false", "False", "FALSE"].contains(&text.as_str()) => Ok(false),
            _ => Err(field.wrong_type("true or false")),
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl<'a> Field<'a> {
    /// The whole file.
    pub(crate) const fn root(node: &'a Node) -> Self {
        Self { line: node.line, path: String::new(), value: &node.value }
    }

    /// An error about this value.
    pub(crate) fn error(&self, problem: impl Into<String>) -> FileError {
        FileError::at_line(self.line, self.path.as_str(), problem)
    }

    /// The mapping.
    ///
    /// # Errors
    /// When it is not a mapping, or has a key that is not `known`.
    pub(crate) fn mapping(&self, known: &[&str]) -> Result<Mapping<'a>, FileError> {
        let entries = self.entries()?;
        if let Some(unknown) = entries.iter().find(|entry| !known.contains(&entry.key.as_str())) {
            let advice = did_you_mean(&unknown.key, known.iter().copied());
            let problem = format!("unknown key; {advice}the known keys are {}", known.join(", "));
            return Err(FileError::at_line(unknown.line, join(&self.path, &redact_name(&unknown.key)), problem));
        }
        Ok(Mapping { path: self.path.clone(), entries })
    }

    pub(crate) fn text(&self) -> Result<&'a str, FileError> {
        match self.value {
            YamlValue::Text(text) => Ok(text),
            _ => Err(self.wrong_type("text")),
        }
    }

    /// The value that the text names.
    pub(crate) fn choice<T: Copy>(&self, names: &[(&str, T)]) -> Result<T, FileError> {
        let text = self.text()?;
        names.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<_> = names.iter().map(|(name, _)| *name).collect();
            self.error(format!("{} is not supported; give one of {}", redact_name(text), names.join(", ")))
        })
    }

    /// Whether it is a list.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self.value, YamlValue::List(_))
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Result<Vec<Self>, FileError> {
        let YamlValue::List(nodes) = self.value else { return Err(self.wrong_type("a list (- value)")) };
        Ok(nodes.iter().map(|node| Self { line: node.line, path: self.path.clone(), value: &node.value }).collect())
    }

    /// The entries of a mapping with any keys.
    pub(crate) fn pairs(&self) -> Result<Vec<(&'a str, Self)>, FileError> {
        let pair = |MappingEntry { line, key, node }: &'a MappingEntry| {
            (key.as_str(), Self { line: *line, path: join(&self.path, &redact_name(key)), value: &node.value })
        };
        Ok(self.entries()?.iter().map(pair).collect())
    }

    fn entries(&self) -> Result<&'a [MappingEntry], FileError> {
        match self.value {
            YamlValue::Map(entries) => Ok(entries),
            YamlValue::Null => Ok(&[]),
            _ => Err(self.wrong_type("a mapping (key: value)")),
        }
    }

    fn wrong_type(&self, expected: &str) -> FileError {
        let found = match self.value {
            YamlValue::Null => "nothing",
            YamlValue::Text(_) => "text",
            YamlValue::List(_) => "a list",
            YamlValue::Map(_) => "a mapping",
        };
        self.error(format!("expected {expected}, found {found}"))
    }
}
