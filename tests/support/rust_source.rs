//! Rust source as tokens: strings, comments and braces in them cannot be mistaken for code.

use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A source file.
pub(crate) struct Source {
    /// Its path from the package's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    tokens: Vec<TokenTree>,
}

/// A path that begins at the crate's root: its first segment there, and the next one if it is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    pub(crate) room: String,
    pub(crate) item: Option<String>,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) lines: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let tokens = text.parse::<TokenStream>().unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), text: text.to_owned(), tokens: tokens.into_iter().collect() }
    }

    /// Every Rust file in a folder of the package.
    pub(crate) fn all_in(folder: &str) -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        find(&root.join(folder), &mut files);
        files.sort();
        assert!(!files.is_empty(), "no source in {folder}");
        let relative = |file: &Path| file.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        files.iter().map(|file| Self::new(&relative(file), &std::fs::read_to_string(file).unwrap())).collect()
    }

    /// The room that a file of `src` belongs to: its folder, or the file's own name.
    pub(crate) fn room(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap();
        inside.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// How deep the file's module lies under the crate's root.
    fn depth(&self) -> usize {
        let inside = self.path.strip_prefix("src/").unwrap();
        let names = inside.trim_end_matches(".rs").split('/').filter(|name| !["mod", "lib", "main"].contains(name));
        names.count()
    }

    /// Every path that begins at the crate's root, by `crate`, by its name, or by `super` often enough.
    pub(crate) fn imports(&self) -> Vec<Import> {
        let mut found = Vec::new();
        imports(&self.tokens, self.depth(), 0, &mut found);
        found
    }

    /// What stands behind `room::`, wherever that is.
    pub(crate) fn items_of(&self, room: &str) -> Vec<String> {
        let mut found = Vec::new();
        items_of(&self.tokens, room, &mut found);
        found
    }

    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        functions(&self.tokens, &mut found);
        found
    }

    /// Lines on which this word stands as a token.
    pub(crate) fn lines_of_word(&self, word: &str) -> Vec<usize> {
        let mut lines = Vec::new();
        walk(&self.tokens, &mut |token| {
            if is_word(token, word) {
                lines.push(token.span().start().line);
            }
        });
        lines
    }

    /// The literals outside of tests, as written; comments of documentation are none. A file `tests.rs` is a room's own
    /// tests.
    pub(crate) fn literals(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.path.ends_with("/tests.rs") {
            return found;
        }
        walk(&without_tests(&self.tokens), &mut |token| {
            if let TokenTree::Literal(literal) = token {
                found.push(literal.to_string());
            }
        });
        found
    }
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn inside(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

fn is_punct(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

fn walk(tokens: &[TokenTree], look_at: &mut impl FnMut(&TokenTree)) {
    for (at, token) in tokens.iter().enumerate() {
        look_at(token);
        if let TokenTree::Group(group) = token
            && !is_doc(tokens, at)
        {
            walk(&inside(group), look_at);
        }
    }
}

/// Whether the group at this place is `[doc = ...]` of an attribute: what a comment of documentation is to the compiler.
fn is_doc(tokens: &[TokenTree], at: usize) -> bool {
    matches!(&tokens[at], TokenTree::Group(group) if inside(group).first().is_some_and(|token| is_word(token, "doc")))
        && at
            .checked_sub(1)
            .is_some_and(|before| is_punct(tokens.get(before), '#') || is_punct(tokens.get(before), '!'))
}

/// Leaves out each item that `#[cfg(test)]` stands before: up to its braces or its semicolon.
fn without_tests(tokens: &[TokenTree]) -> Vec<TokenTree> {
    let mut kept = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let attribute = tokens.get(at + 1).map(ToString::to_string).unwrap_or_default();
        if is_punct(Some(token), '#') && attribute.replace(' ', "") == "[cfg(test)]" {
            let is_end = |token: &TokenTree| {
                matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
                    || is_punct(Some(token), ';')
            };
            at += tokens[at..].iter().position(is_end).map_or(tokens.len(), |end| end + 1);
            continue;
        }
        kept.push(token.clone());
        at += 1;
    }
    kept
}

/// Where the `::` at this place ends, if there is one.
fn skip_path_sep(tokens: &[TokenTree], at: usize) -> Option<usize> {
    (is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')).then_some(at + 2)
}

/// `supers` is what stood in front of the braces of a `use`, in `super`s.
fn imports(tokens: &[TokenTree], depth: usize, supers: usize, found: &mut Vec<Import>) {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if let TokenTree::Group(group) = token {
            let is_module = at >= 2 && is_word(&tokens[at - 2], "mod");
            imports(&inside(group), depth + usize::from(is_module), supers, found);
            at += 1;
            continue;
        }
        let mut end = at;
        let mut climbed = supers;
        while tokens.get(end).is_some_and(|token| is_word(token, "super")) {
            let Some(next) = skip_path_sep(tokens, end + 1) else { break };
            (end, climbed) = (next, climbed + 1);
        }
        let by_name = is_word(token, "crate") || is_word(token, "openim_exporter");
        let root = if by_name { skip_path_sep(tokens, at + 1) } else { None };
        if let Some(next) = root.or_else(|| (end > at && climbed >= depth).then_some(end)) {
            rooms(tokens, next, found);
            at = next + 1;
        } else if end > at {
            if let Some(TokenTree::Group(group)) = tokens.get(end) {
                imports(&inside(group), depth, climbed, found);
                end += 1;
            }
            at = end;
        } else {
            at += 1;
        }
    }
}

/// What is named at the crate's root: a path, or several in braces.
fn rooms(tokens: &[TokenTree], at: usize, found: &mut Vec<Import>) {
    match tokens.get(at) {
        Some(TokenTree::Ident(room)) => {
            let item = skip_path_sep(tokens, at + 1).and_then(|next| tokens.get(next));
            let items = match item {
                Some(TokenTree::Group(group)) => names(&inside(group)),
                Some(TokenTree::Ident(item)) => vec![item.to_string()],
                _ => Vec::new(),
            };
            let import = |item| Import { room: room.to_string(), item };
            match items.is_empty() {
                true => found.push(import(None)),
                false => found.extend(items.into_iter().map(|item| import(Some(item)))),
            }
        }
        Some(TokenTree::Group(group)) => {
            let tokens = inside(group);
            (0..tokens.len()).filter(|at| begins(&tokens, *at)).for_each(|at| rooms(&tokens, at, found));
        }
        _ => {}
    }
}

/// Whether an element of a list begins here.
fn begins(tokens: &[TokenTree], at: usize) -> bool {
    at == 0 || is_punct(tokens.get(at - 1), ',')
}

fn names(tokens: &[TokenTree]) -> Vec<String> {
    (0..tokens.len()).filter(|at| begins(tokens, *at)).map(|at| tokens[at].to_string()).collect()
}

fn items_of(tokens: &[TokenTree], room: &str, found: &mut Vec<String>) {
    for (at, token) in tokens.iter().enumerate() {
        // Behind `crate::` it is an import, which is checked as one.
        let is_import = at.checked_sub(2).is_some_and(|before| skip_path_sep(tokens, before).is_some());
        if is_word(token, room)
            && !is_import
            && let Some(next) = skip_path_sep(tokens, at + 1)
            && let Some(TokenTree::Ident(item)) = tokens.get(next)
        {
            found.push(item.to_string());
        }
        if let TokenTree::Group(group) = token {
            items_of(&inside(group), room, found);
        }
    }
}

fn functions(tokens: &[TokenTree], found: &mut Vec<Function>) {
    for (at, token) in tokens.iter().enumerate() {
        if let (true, Some(TokenTree::Ident(name))) = (is_word(token, "fn"), tokens.get(at + 1)) {
            let body = tokens[at..].iter().find_map(|token| match token {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(Some(group)),
                // Only declared, in a trait.
                token => is_punct(Some(token), ';').then_some(None),
            });
            if let Some(Some(body)) = body {
                let lines = body.span_close().end().line - token.span().start().line + 1;
                found.push(Function { name: name.to_string(), lines });
            }
        }
        if let TokenTree::Group(group) = token {
            functions(&inside(group), found);
        }
    }
}
