//! A file system of its own, mounted until it is dropped.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct Volume {
    pub(crate) kind: &'static str,
    /// The image and the mount's directory.
    directory: tempfile::TempDir,
}

/// What takes all the room that is left, until it is dropped.
pub(crate) struct Full(PathBuf);

impl Volume {
    /// Mounts an empty one, which takes root; `None`, and a line that says so, if the kernel does not know the file system.
    pub(crate) fn of(kind: &'static str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let (image, at) = (directory.path().join("image"), directory.path().join("mount"));
        fs::create_dir(&at).unwrap();
        if kind == "tmpfs" {
            run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "none"]).arg(&at));
            return Some(Self { kind, directory });
        }
        // Every machine has ext4.
        if kind != "ext4" && !is_known(kind) {
            // Not with the macro, whose lines are only shown of a test that fails.
            let said =
                format!("NOT SHOWN: what a full disk does on {kind}, which this machine's kernel does not know\n");
            std::io::stderr().write_all(said.as_bytes()).unwrap();
            return None;
        }
        // The smallest that all of them take is 300 MiB, of which the image has only what is written.
        File::create(&image).unwrap().set_len(320 << 20).unwrap();
        run(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image));
        run(Command::new("mount").args(["-t", kind, "-o", "loop"]).arg(&image).arg(&at));
        Some(Self { kind, directory })
    }

    /// A snapshot of everything, which shares every block with it.
    pub(crate) fn snapshot(&self, name: &str) {
        let mut snapshot = Command::new("btrfs");
        run(snapshot.args(["subvolume", "snapshot"]).arg(self.path()).arg(self.path().join(name)));
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("mount")
    }

    /// Writes until there is no room left, to the disk too: some file systems find out late.
    pub(crate) fn fill(&self) -> Full {
        let full = Full(self.path().join("full"));
        let mut file = File::create(&full.0).unwrap();
        // Most of it at once, and the rest piece by piece.
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
        // Freed blocks can be had again once this is on disk.
        let _ = Command::new("sync").arg("-f").arg(self.0.parent().unwrap_or(Path::new("/"))).status();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Whether the kernel can mount a file system of this kind; a module of it is loaded.
fn is_known(kind: &str) -> bool {
    let _ = Command::new("modprobe").arg(kind).output();
    let known = fs::read_to_string("/proc/filesystems").unwrap();
    known.lines().any(|line| line.split_whitespace().last() == Some(kind))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
