//! The other build: this source with additional metrics, labels and buckets, each in the middle of its list.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::contributing;

/// A file, a text that occurs in it exactly once, and the text of the other build.
type Change = (&'static str, &'static str, &'static str);

const CONTENT_TYPE: &[Change] =
    &[("src/domain/codes.rs", r#"    (117, "advanced_text"),"#, r#"    (116, "poll"), (117, "advanced_text"),"#)];

const PLATFORM: &[Change] = &[
    ("src/domain/codes.rs", "PLATFORMS: [&str; 11]", "PLATFORMS: [&str; 12]"),
    ("src/domain/codes.rs", r#""web", "miniweb""#, r#""web", "wear", "miniweb""#),
];

/// Messages of groups without a slot whose names begin with `blocked`.
const REASON: &[Change] = &[
    (
        "src/stats/groups/table.rs",
        r#"FoldedForCapacity = "folded capacity","#,
        r#"FoldedForCapacity = "folded capacity", FoldedBlocked = "folded blocked","#,
    ),
    (
        "src/stats/groups/table.rs",
        "Recorded::Folded => self.counters.add(GroupCounter::FoldedForCapacity, 1),",
        r#"Recorded::Folded if name.starts_with("blocked") => self.counters.add(GroupCounter::FoldedBlocked, 1),
                Recorded::Folded => self.counters.add(GroupCounter::FoldedForCapacity, 1),"#,
    ),
    (
        "src/stats/groups/table.rs",
        "    pub(in crate::stats) fn folded_retired(",
        "    pub(in crate::stats) fn folded_blocked(&self) -> u64 { self.counters.sum(GroupCounter::FoldedBlocked) }

    pub(in crate::stats) fn folded_retired(",
    ),
    (
        "src/stats/readings.rs",
        "    /// Messages of retired groups.\n",
        "    /// Messages of blocked groups.
    #[must_use]
    pub fn folded_blocked(&self) -> u64 { self.groups.folded_blocked() }

    /// Messages of retired groups.\n",
    ),
    (
        "src/stats/state/checks.rs",
        "self.folded_retired(), self.folded_dismissed()]",
        "self.folded_retired(), self.folded_dismissed(), self.folded_blocked()]",
    ),
    (
        "src/exposition/catalog.rs",
        r#".sample(["retired"], stats.folded_retired())"#,
        r#".sample(["retired"], stats.folded_retired()).sample(["blocked"], stats.folded_blocked())"#,
    ),
];

/// Delays of over ten hours.
const CLOCK_ERROR: &[Change] = &[
    (
        "src/stats/delays.rs",
        r#"Future = "future","#,
        "Future = \"future\",\n        /// Over ten hours.\n        Ancient = \"ancient\",",
    ),
    (
        "src/stats/delays.rs",
        "            Ok(delay) if delay > MAX_DELAY_MS",
        "            Ok(delay) if delay > 10 * MAX_DELAY_MS => ClockError::Ancient,\n            Ok(delay) if delay > MAX_DELAY_MS",
    ),
];

/// Counts polls in a section of its own.
const SECTION: &[Change] = &[
    (
        "src/stats/recording.rs",
        "    pub(super) message_counters: Counters,\n",
        "    pub(super) message_counters: Counters,\n    pub(super) polls: Counters,\n",
    ),
    (
        "src/stats/recording.rs",
        "        Counters::reserve(&mut contents, MESSAGE_COUNTERS, vec![message_counter_keys()]);\n",
        r#"        Counters::reserve(&mut contents, MESSAGE_COUNTERS, vec![message_counter_keys()]);
        Counters::reserve(&mut contents, "polls", vec![keys(["all"])]);
"#,
    ),
    (
        "src/stats/recording.rs",
        "            message_counters: Counters::open(block, MESSAGE_COUNTERS)?,\n",
        "            message_counters: Counters::open(block, MESSAGE_COUNTERS)?,
            polls: Counters::open(block, \"polls\")?,\n",
    ),
    (
        "src/stats/recording.rs",
        "        self.group_messages.record_content(message);\n",
        "        self.group_messages.record_content(message);\n        self.polls.add(0, u64::from(message.content_type == 116));\n",
    ),
    (
        "src/stats/state/restoring.rs",
        "        self.users.carry_from(&old, USERS);\n",
        r#"        self.users.carry_from(&old, USERS);
        self.polls.carry_from(&old, "polls", |key| (key == "all").then_some(0));
"#,
    ),
    (
        "src/stats/readings.rs",
        "    /// Messages that mention everyone.\n",
        "    /// Polls.
    #[must_use]
    pub fn polls(&self) -> u64 { self.polls.sum(0) }

    /// Messages that mention everyone.\n",
    ),
    (
        "src/exposition/catalog.rs",
        r#".sample(["all"], stats.mentioned_all())"#,
        r#".sample(["all"], stats.mentioned_all()).sample(["poll"], stats.polls())"#,
    ),
];

const BOUNDS: &[Change] = &[
    ("src/stats/messages.rs", "256, 1024, 4096", "256, 1024, 2048, 4096"),
    ("src/stats/delays.rs", "500, 1000, 2500", "500, 750, 1000, 2500"),
];

/// Another version. Cargo considers packages of the same name and version in one build directory the same, and would not
/// build this one again after the other build.
fn version() -> [[String; 3]; 2] {
    let package = |version| format!("name = \"openim-exporter\"\nversion = \"{version}\"");
    let this = env!("CARGO_PKG_VERSION");
    ["Cargo.toml", "Cargo.lock"]
        .map(|file| [file.to_owned(), package(this.to_owned()), package(format!("{this}+other"))])
}

/// Builds the program with all of these changes, and the examples of CONTRIBUTING.md. Its source is kept, so that the next build is fast.
pub(crate) fn build() -> PathBuf {
    let this = Path::new(env!("CARGO_BIN_EXE_openim-exporter"));
    let target = this.ancestors().nth(2).unwrap();
    let folder = target.join("other-build");
    let source = folder.join("source");
    write_all(&source, &changed_source());
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The variables that cargo sets for this test would cause some dependencies to be built again.
    let of_this_package = |name: &str| {
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"].iter().any(|start| name.starts_with(start))
    };
    for (name, _) in env::vars_os().filter(|(name, _)| of_this_package(&name.to_string_lossy())) {
        cargo.env_remove(name);
    }
    // The dependencies share the build directory of this build. The program has its own target directory.
    cargo.env("CARGO_BUILD_BUILD_DIR", target).arg("build").args(["--locked", "--offline", "--bin", "openim-exporter"]);
    cargo.arg("--target-dir").arg(&folder).arg("--manifest-path").arg(source.join("Cargo.toml"));
    let built = cargo.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    folder.join("debug/openim-exporter")
}

/// The files of the other build, by path.
fn changed_source() -> BTreeMap<PathBuf, Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let paths = ["Cargo.toml", "Cargo.lock", "build.rs"].map(|name| root.join(name)).into_iter();
    let paths = paths.chain(["src", "benches"].iter().flat_map(|name| files_in(&root.join(name))));
    let mut files: BTreeMap<_, _> =
        paths.map(|path| (path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap())).collect();
    // A separate workspace, although the folder is inside another package.
    files.get_mut(Path::new("Cargo.toml")).unwrap().extend(b"\n[workspace]\n");
    let changes = [CONTENT_TYPE, PLATFORM, REASON, CLOCK_ERROR, SECTION, BOUNDS].concat().into_iter();
    let changes = changes.map(|(path, from, to)| [path, from, to].map(str::to_owned));
    for [path, from, to] in changes.chain(version()).chain(contributing::examples()) {
        let text =
            files.get_mut(Path::new(&path)).unwrap_or_else(|| panic!("{path} does not exist: adapt this change"));
        let before = String::from_utf8(std::mem::take(text)).unwrap();
        assert_eq!(before.matches(&from).count(), 1, "{path} must contain this once; adapt this change: {from}");
        *text = before.replace(&from, &to).into_bytes();
    }
    files
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] }).collect()
}

/// Writes exactly these files to a folder. Unchanged files keep their time, so that cargo does not rebuild them.
fn write_all(folder: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    for (path, text) in files {
        let path = folder.join(path);
        if fs::read(&path).ok().as_ref() != Some(text) {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
        }
    }
    let is_wanted = |path: &PathBuf| files.contains_key(path.strip_prefix(folder).unwrap());
    files_in(folder).iter().filter(|path| !is_wanted(path)).for_each(|path| fs::remove_file(path).unwrap());
}
