//! A directory with Debian 12 and nothing else, in which programs run on a network of their own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use super::must;
use super::support::namespace::Namespace;

/// The oldest release of Debian that is supported: its long-term support (LTS) ends in June 2028.
const RELEASE: &str = "bookworm";

/// Debian with the packages that every installation has. It outlives the test, because it takes a minute to make.
static DEBIAN: LazyLock<PathBuf> = LazyLock::new(|| {
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(RELEASE);
    if !made.exists() {
        let unfinished = made.with_extension("unfinished");
        let _ = fs::remove_dir_all(&unfinished);
        must(Command::new("debootstrap").args(["--variant=minbase", RELEASE]).arg(&unfinished));
        must(Command::new("chroot").arg(&unfinished).args([
            "sh",
            "-c",
            "apt-get clean && rm -rf /var/lib/apt/lists/*",
        ]));
        fs::rename(unfinished, &made).unwrap();
    }
    made
});

/// The same with systemd and what is normally installed with it. It outlives the test, too.
static WITH_SYSTEMD: LazyLock<PathBuf> = LazyLock::new(|| {
    let made = DEBIAN.with_extension("systemd-nss");
    if !made.exists() {
        let root = Root::new();
        // To find the mirror.
        fs::copy("/etc/resolv.conf", root.path("etc/resolv.conf")).unwrap();
        let install = "apt-get update -q && \
                       apt-get install -qy --no-install-recommends systemd-sysv libnss-systemd && apt-get clean";
        must(Command::new("chroot").arg(root.path("/")).args(["sh", "-ec", install]));
        fs::rename(root.directory.path(), &made).unwrap();
    }
    made
});

pub(super) struct Root {
    directory: TempDir,
    pub(super) network: Namespace,
}

impl Root {
    pub(super) fn new() -> Self {
        Self::copy(&DEBIAN)
    }

    pub(super) fn with_systemd() -> Self {
        Self::copy(&WITH_SYSTEMD)
    }

    fn copy(debian: &Path) -> Self {
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        must(
            Command::new("cp").args(["-a", "--reflink=auto", &format!("{}/.", debian.display())]).arg(directory.path()),
        );
        // Others than root must be able to enter it.
        must(Command::new("chmod").arg("755").arg(directory.path()));
        Self { directory, network: Namespace::new("ip link set lo up") }
    }

    /// A file inside.
    pub(super) fn path(&self, inside: &str) -> PathBuf {
        self.directory.path().join(inside.trim_start_matches('/'))
    }

    pub(super) fn read(&self, inside: &str) -> String {
        fs::read_to_string(self.path(inside)).unwrap_or_else(|error| panic!("{inside}: {error}"))
    }

    pub(super) fn write(&self, inside: &str, text: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(inside).parent().unwrap()).unwrap();
        fs::write(self.path(inside), text).unwrap();
    }

    /// A command inside, as root.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let root = self.directory.path().to_str().unwrap();
        let mut command = self.network.command(&[&["chroot", root], arguments].concat());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// Everything that a purge must restore: the kind and owner of each path, and the contents of the lists of users.
    pub(super) fn tree(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        self.collect(self.directory.path(), &mut found);
        found
    }

    fn collect(&self, directory: &Path, found: &mut BTreeMap<String, String>) {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            let inside = path.strip_prefix(self.directory.path()).unwrap().to_str().unwrap().to_owned();
            // What every installation of a package changes.
            let is_bookkeeping = ["var/lib/dpkg", "var/log", "var/cache", "dev", "run"].contains(&inside.as_str())
                || (inside.starts_with("etc/") && inside.ends_with('-'));
            if is_bookkeeping {
                continue;
            }
            let data = path.symlink_metadata().unwrap();
            let mut shown = format!("{:o} {} {}", data.mode(), data.uid(), data.gid());
            if ["etc/passwd", "etc/group", "etc/shadow", "etc/gshadow"].contains(&inside.as_str()) {
                shown += &fs::read_to_string(&path).unwrap();
            }
            found.insert(inside, shown);
            if data.is_dir() {
                self.collect(&path, found);
            }
        }
    }
}
