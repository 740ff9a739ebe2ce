//! README.zh-CN.md has the same facts as README.md.

use std::collections::BTreeMap;

use crate::{CHINESE_README, README};

/// Parts of a text that do not depend on its language.
#[derive(Debug, PartialEq)]
struct Facts {
    /// The level of each heading.
    headings: Vec<usize>,
    /// The fenced blocks without comments.
    blocks: Vec<String>,
    /// How often each of these occurs outside blocks: code, links to other pages, and numbers.
    code: BTreeMap<String, usize>,
    links: BTreeMap<String, usize>,
    numbers: BTreeMap<String, usize>,
    table_rows: usize,
    /// The items of lists.
    items: usize,
}

fn count<'a>(parts: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    parts.for_each(|part| *counts.entry(part.to_owned()).or_default() += 1);
    counts
}

fn facts(text: &str) -> Facts {
    let fenced: Vec<_> = text.split("```").collect();
    let prose: String = fenced.iter().step_by(2).copied().collect();
    let without_comment = |line: &str| line.split("# ").next().unwrap().trim_end().to_owned();
    let block = |block: &str| block.lines().map(without_comment).collect::<Vec<_>>().join("\n");
    let ticked: Vec<_> = prose.split('`').collect();
    let text_of_links: String = ticked.iter().step_by(2).copied().collect();
    let targets = text_of_links.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    let words = text_of_links.replace("](", ")(").split(')').filter(|part| !part.starts_with('(')).collect::<String>();
    let numbers = words.split(|it: char| !it.is_ascii_digit() && !",.".contains(it));
    let numbers = numbers.map(|number| number.trim_matches([',', '.'])).filter(|number| !number.is_empty());
    Facts {
        headings: prose.lines().filter(|line| line.starts_with('#')).map(|line| line.find(' ').unwrap()).collect(),
        blocks: fenced.iter().skip(1).step_by(2).copied().map(block).collect(),
        code: count(ticked.iter().skip(1).step_by(2).copied()),
        links: count(targets.filter(|target| !target.starts_with(['#', 'R']))),
        numbers: count(numbers),
        table_rows: prose.lines().filter(|line| line.starts_with('|')).count(),
        items: prose.lines().filter(|line| line.starts_with("- ")).count(),
    }
}

#[test]
fn the_chinese_readme_has_the_same_facts() {
    let english = facts(README.text);
    assert_eq!(facts(CHINESE_README.text), english);
    for (old, new) in [
        ("\n## 试用\n", "\n### 试用\n"),
        ("cargo run --release", "cargo run"),
        ("`--rate`", "`--speed`"),
        ("](docs/limits.md)", "](docs/errors.md)"),
        ("81 MiB", "80 MiB"),
        ("\n| [docs/page.md](docs/page.md) |", "\n[docs/page.md](docs/page.md) "),
        ("\n- **备份**", "\n**备份**"),
    ] {
        assert_ne!(facts(&CHINESE_README.spoilt(old, new)), english, "{old}");
    }
}

#[test]
fn each_readme_links_to_the_other() {
    assert!(README.text.contains("](README.zh-CN.md)") && CHINESE_README.text.contains("](README.md)"));
}
