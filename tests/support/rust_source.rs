//! Rust source as tokens, so that strings and comments are not mistaken for code.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A source file.
pub(crate) struct Source {
    /// Its path from the package's root, separated by `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    tokens: Vec<TokenTree>,
}

/// A path from the crate's root, segment by segment.
pub(crate) type ModulePath = Vec<String>;

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

    /// The module of a file in `src`.
    pub(crate) fn module(&self) -> ModulePath {
        let inside = self.path.strip_prefix("src/").unwrap().trim_end_matches(".rs");
        inside.split('/').filter(|name| *name != "mod").map(str::to_owned).collect()
    }

    /// The top-level module of a file in `src`.
    pub(crate) fn top(&self) -> String {
        self.module().swap_remove(0)
    }

    /// Whether the file is only compiled for tests.
    pub(crate) fn is_test(&self) -> bool {
        ["/tests.rs", "/testing.rs"].iter().any(|end| self.path.ends_with(end)) || self.path.contains("/tests/")
    }

    /// Every path to an item of the crate, from the crate's root, in `use` and in code.
    pub(crate) fn paths(&self) -> Vec<ModulePath> {
        paths(&self.tokens, &self.module())
    }

    /// The same outside of tests.
    pub(crate) fn paths_outside_tests(&self) -> Vec<ModulePath> {
        if self.is_test() { Vec::new() } else { paths(&without_tests(&self.tokens), &self.module()) }
    }

    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        functions(&self.tokens, &mut found);
        found
    }

    /// Lines that have this word as a token.
    pub(crate) fn lines_of_word(&self, word: &str) -> Vec<usize> {
        let mut lines = Vec::new();
        walk(&self.tokens, &mut |token| {
            if is_word(token, word) {
                lines.push(token.span().start().line);
            }
        });
        lines
    }

    /// The literals outside of tests, as written, without doc comments.
    pub(crate) fn literals(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.is_test() {
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

/// Whether the group at this position is `[doc = ...]`, which is how the compiler represents a doc comment.
fn is_doc(tokens: &[TokenTree], at: usize) -> bool {
    matches!(&tokens[at], TokenTree::Group(group) if inside(group).first().is_some_and(|token| is_word(token, "doc")))
        && at
            .checked_sub(1)
            .is_some_and(|before| is_punct(tokens.get(before), '#') || is_punct(tokens.get(before), '!'))
}

/// Removes each item with `#[cfg(test)]`, up to its braces or its semicolon.
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

/// The end of the `::` at this position, if there is one.
fn skip_path_sep(tokens: &[TokenTree], at: usize) -> Option<usize> {
    (is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')).then_some(at + 2)
}

/// Every path to an item of the crate in these tokens of a module.
fn paths(tokens: &[TokenTree], module: &[String]) -> Vec<ModulePath> {
    let mut scan = Scan { aliases: HashMap::new(), found: Vec::new() };
    scan.code(tokens, module);
    scan.found
}

struct Scan {
    /// The names that `use` imported into the file, and their paths.
    aliases: HashMap<String, ModulePath>,
    found: Vec<ModulePath>,
}

impl Scan {
    fn code(&mut self, tokens: &[TokenTree], module: &[String]) {
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            if is_word(token, "use") {
                self.tree(&tokens[at + 1..], module, None);
                at += tokens[at..].iter().position(|token| is_punct(Some(token), ';')).unwrap_or(1);
            } else if at > 0 && is_word(&tokens[at - 1], "pub") && matches!(token, TokenTree::Group(_)) {
                // `pub(in crate::a)` says where something is visible, and imports nothing.
                at += 1;
            } else if let TokenTree::Group(group) = token {
                let name = at.checked_sub(1).map(|before| tokens[before].to_string()).unwrap_or_default();
                let is_module = at >= 2 && is_word(&tokens[at - 2], "mod");
                let inner: Vec<_> = module.iter().cloned().chain(is_module.then_some(name)).collect();
                self.code(&inside(group), &inner);
                at += 1;
            } else if let TokenTree::Ident(_) = token
                && skip_path_sep(tokens, at + 1).is_some()
            {
                let (segments, end) = segments(tokens, at);
                self.found.extend(self.resolve(&segments, module));
                at = end;
            } else {
                at += 1;
            }
        }
    }

    /// A `use` tree; `prefix` is the path before the current level.
    fn tree(&mut self, tokens: &[TokenTree], module: &[String], prefix: Option<&[String]>) {
        let (mut names, end) = segments(tokens, 0);
        if let Some(prefix) = prefix {
            names.splice(0..0, prefix.iter().cloned());
        }
        if let Some(TokenTree::Group(group)) = tokens.get(end) {
            let list = inside(group);
            let elements = list.split(|token| is_punct(Some(token), ','));
            elements.filter(|element| !element.is_empty()).for_each(|element| self.tree(element, module, Some(&names)));
            return;
        }
        if names.last().is_some_and(|name| name == "self") {
            names.pop();
        }
        let Some(path) = self.resolve(&names, module) else { return };
        let renamed = tokens.get(end).filter(|token| is_word(token, "as")).and_then(|_| tokens.get(end + 1));
        if let Some(alias) = renamed.map(ToString::to_string).or_else(|| path.last().cloned()) {
            self.aliases.insert(alias, path.clone());
        }
        self.found.push(path);
    }

    /// The path from the crate's root. A path that begins with any other name may begin with a child module.
    fn resolve(&self, segments: &[String], module: &[String]) -> Option<ModulePath> {
        let (first, rest) = segments.split_first()?;
        let supers = segments.iter().take_while(|segment| *segment == "super").count();
        let (base, rest) = match first.as_str() {
            "crate" | "openim_exporter" => (Vec::new(), rest),
            "self" => (module.to_vec(), rest),
            "super" => (module[..module.len().checked_sub(supers)?].to_vec(), &segments[supers..]),
            alias if self.aliases.contains_key(alias) => (self.aliases[alias].clone(), rest),
            _ => (module.to_vec(), segments),
        };
        Some([&base, rest].concat())
    }
}

/// The segments of the path that begins at this token, and its end, which is before any braces.
fn segments(tokens: &[TokenTree], mut at: usize) -> (Vec<String>, usize) {
    let mut segments = Vec::new();
    while let Some(TokenTree::Ident(segment)) = tokens.get(at) {
        segments.push(segment.to_string());
        match skip_path_sep(tokens, at + 1) {
            Some(next) => at = next,
            None => return (segments, at + 1),
        }
    }
    (segments, at)
}

fn functions(tokens: &[TokenTree], found: &mut Vec<Function>) {
    for (at, token) in tokens.iter().enumerate() {
        if let (true, Some(TokenTree::Ident(name))) = (is_word(token, "fn"), tokens.get(at + 1)) {
            let body = tokens[at..].iter().find_map(|token| match token {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(Some(group)),
                // A declaration in a trait, without a body.
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
