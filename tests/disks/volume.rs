//! A new file system, mounted until it is dropped.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct Volume {
    pub(crate) kind: &'static str,
    /// The image and the mount's directory.
    directory: tempfile::TempDir,
}

/// A file that fills the disk until it is dropped.
pub(crate) struct Full(PathBuf);

impl Volume {
    /// Mounts an empty file system, which needs root. If the kernel does not support it, prints a line and returns
    /// `None`.
    pub(crate) fn of(kind: &'static str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let (image, at) = (directory.path().join("image"), directory.path().join("mount"));
        fs::create_dir(&at).unwrap();
        if kind == "tmpfs" {
            run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "none"]).arg(&at));
            return Some(Self { kind, directory });
        }
        // Every kernel has ext4.
        if kind != "ext4" && !is_known(kind) {
            // Not with `eprintln!`, whose output is only shown if the test fails.
            let printed = format!("NOT TESTED: a full disk on {kind}, which this machine's kernel does not support\n");
            std::io::stderr().write_all(printed.as_bytes()).unwrap();
            return None;
        }
        // All of them support 320 MiB. The image is sparse.
        File::create(&image).unwrap().set_len(320 << 20).unwrap();
        run(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image));
        run(Command::new("mount").args(["-t", kind, "-o", "loop"]).arg(&image).arg(&at));
        Some(Self { kind, directory })
    }

    /// Creates a snapshot of the volume, which shares every block.
    pub(crate) fn snapshot(&self, name: &str) {
        let mut snapshot = Command::new("btrfs");
        run(snapshot.args(["subvolume", "snapshot"]).arg(self.path()).arg(self.path().join(name)));
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("mount")
    }

    /// Fills the disk, and syncs: some file systems report a full disk late.
    pub(crate) fn fill(&self) -> Full {
        let full = Full(self.path().join("full"));
        let mut file = File::create(&full.0).unwrap();
        // Most of it at once, and the rest in small writes.
        let room = rustix::fs::statvfs(self.path()).unwrap();
        let most = (room.f_bavail * room.f_frsize).saturating_sub(8 << 20);
        let _ = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, most.max(1));
        file.seek(SeekFrom::End(0)).unwrap();
        while file.write_all(&[7; 1 << 16]).is_ok() {}
        let _ = file.sync_all();
        full
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
        // Freed blocks are available only after this.
        let _ = Command::new("sync").arg("-f").arg(self.0.parent().unwrap_or(Path::new("/"))).status();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Whether the kernel supports a file system, after loading its module.
fn is_known(kind: &str) -> bool {
    let _ = Command::new("modprobe").arg(kind).output();
    let known = fs::read_to_string("/proc/filesystems").unwrap();
    known.lines().any(|line| line.split_whitespace().last() == Some(kind))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
