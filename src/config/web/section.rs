//! A mapping whose keys are known beforehand, and its values by type.

use super::yaml::{Entry, Node, Value};
use crate::config::file::{FileError, shown};

/// A mapping of the file. Every key in it is known; what is null counts as missing, as it does for the toolkit.
pub(super) struct Section {
    path: String,
    entries: Vec<Entry>,
}

/// A value under a known key.
pub(super) struct Field {
    /// The line of the key.
    pub(super) line: usize,
    path: String,
    node: Node,
}

impl Section {
    /// A mapping at a path, empty for the whole file.
    ///
    /// # Errors
    /// When it is no mapping, or has a key that is not `known`.
    pub(super) fn new(path: &str, node: Node, known: &[&str]) -> Result<Self, FileError> {
        let field = Field { line: node.line, path: path.to_owned(), node };
        let entries = field.entries()?;
        if let Some(unknown) = entries.iter().find(|entry| !known.contains(&entry.key.as_str())) {
            let problem = format!("this key is unknown; there are {}", known.join(", "));
            return Err(FileError::at(unknown.line, join(path, &shown(&unknown.key)), problem));
        }
        Ok(Self { path: path.to_owned(), entries })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.iter().all(|entry| matches!(entry.node.value, Value::Null))
    }

    /// The value of a key, once.
    pub(super) fn take(&mut self, key: &str) -> Option<Field> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        let Entry { line, node, .. } = self.entries.swap_remove(at);
        let present = !matches!(node.value, Value::Null);
        present.then(|| Field { line, path: join(&self.path, key), node })
    }

    /// The text of a key; empty text counts as missing.
    pub(super) fn take_text(&mut self, key: &str) -> Result<Option<(Field, String)>, FileError> {
        let Some(field) = self.take(key) else { return Ok(None) };
        let text = field.text()?.to_owned();
        Ok((!text.is_empty()).then_some((field, text)))
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl Field {
    /// An error about this value.
    pub(super) fn refused(&self, problem: impl Into<String>) -> FileError {
        FileError::at(self.line, self.path.as_str(), problem)
    }

    pub(super) fn section(self, known: &[&str]) -> Result<Section, FileError> {
        Section::new(&self.path, self.node, known)
    }

    pub(super) fn text(&self) -> Result<&str, FileError> {
        match &self.node.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.wrong_type("text")),
        }
    }

    pub(super) fn boolean(&self) -> Result<bool, FileError> {
        match &self.node.value {
            Value::Text(text) if ["true", "True", "TRUE"].contains(&text.as_str()) => Ok(true),
            Value::Text(text) if ["false", "False", "FALSE"].contains(&text.as_str()) => Ok(false),
            _ => Err(self.wrong_type("true or false")),
        }
    }

    /// The one of `names` that is meant.
    pub(super) fn choice<T: Copy>(&self, names: &[(&str, T)]) -> Result<T, FileError> {
        let given = self.text()?;
        names.iter().find(|(name, _)| *name == given).map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<_> = names.iter().map(|(name, _)| *name).collect();
            self.refused(format!("{} cannot be used; give one of {}", shown(given), names.join(", ")))
        })
    }

    /// A list's values, each as a field of its own line.
    pub(super) fn items(self) -> Result<Vec<Self>, FileError> {
        let Value::List(nodes) = self.node.value else { return Err(self.wrong_type("a list (- value)")) };
        Ok(nodes.into_iter().map(|node| Self { line: node.line, path: self.path.clone(), node }).collect())
    }

    /// A mapping's entries whatever their keys are, each as a field of its own line; null has none.
    pub(super) fn pairs(self) -> Result<Vec<(String, Self)>, FileError> {
        let path = self.path.clone();
        let pairs = self.entries()?.into_iter().map(|Entry { line, key, node }| {
            let field = Self { line, path: join(&path, &shown(&key)), node };
            (key, field)
        });
        Ok(pairs.collect())
    }

    fn entries(self) -> Result<Vec<Entry>, FileError> {
        match self.node.value {
            Value::Map(entries) => Ok(entries),
            Value::Null => Ok(Vec::new()),
            _ => Err(self.wrong_type("keys and values (key: value)")),
        }
    }

    fn wrong_type(&self, wanted: &str) -> FileError {
        let found = match self.node.value {
            Value::Null => "nothing",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "keys and values",
        };
        self.refused(format!("{found} stands here; give {wanted}"))
    }
}
