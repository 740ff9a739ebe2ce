//! The identity of a block's file, by which a copy is recognized: Prometheus may have seen later numbers than the
//! copy's.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

use rustix::fs::{fstatvfs, major};

/// What distinguishes a file from its copies, as far as the file system tells. Unknown numbers are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    /// When the inode was created, in nanoseconds since the epoch: inode numbers are reused.
    birth_time: u64,
    /// The file system's ID, which most file systems keep when they are mounted again.
    file_system: u64,
}

/// Where a block comes from, according to its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The exporter wrote it into this file.
    Original,
    /// It was copied from another file.
    Copied,
    /// The exporter has used a newer block in this directory.
    Older,
}

impl Identity {
    pub(super) const WORDS: usize = 4;

    /// Of no file: no file system has this inode number.
    pub(super) const ELSEWHERE: Self = Self { device: 0, inode: u64::MAX, birth_time: 0, file_system: 0 };

    pub(super) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let file_system = fstatvfs(file).map_or(0, |statistics| statistics.f_fsid);
        Ok(Self { device: metadata.dev(), inode: metadata.ino(), birth_time: birth_time(&metadata), file_system })
    }

    /// From the words of a header; `None` if none was stored.
    pub(super) const fn of_words([device, inode, birth_time, file_system]: [u64; Self::WORDS]) -> Option<Self> {
        if inode == 0 { None } else { Some(Self { device, inode, birth_time, file_system }) }
    }

    pub(super) const fn words(self) -> [u64; Self::WORDS] {
        [self.device, self.inode, self.birth_time, self.file_system]
    }

    /// Whether both are the same inode, by its number and its creation time. The device is ignored: its number may
    /// change with each mount.
    pub(super) const fn is_same_file(self, other: Self) -> bool {
        self.inode == other.inode && are_equal_if_known(self.birth_time, other.birth_time)
    }

    /// Whether both are on the same volume: a copy of a whole volume has the same inodes. Valid only for
    /// identities from the same boot, during which a device keeps its number. Virtual devices (major 0, for example an
    /// overlay's) change with each mount.
    pub(super) fn is_same_volume(self, other: Self) -> bool {
        let number = |device| if major(device) == 0 { 0 } else { device };
        are_equal_if_known(number(self.device), number(other.device))
            && are_equal_if_known(self.file_system, other.file_system)
    }
}

const fn are_equal_if_known(one: u64, other: u64) -> bool {
    one == other || one == 0 || other == 0
}

fn birth_time(metadata: &Metadata) -> u64 {
    let since_epoch = metadata.created().ok().and_then(|created| created.duration_since(UNIX_EPOCH).ok());
    since_epoch.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Identity =
        Identity { device: 0x0801, inode: 12, birth_time: 1_700_000_000_000_000_000, file_system: 7 };

    #[test]
    fn a_file_is_recognized_by_its_inode_and_creation_time() {
        assert!(FILE.is_same_file(Identity { device: 0x0811, file_system: 8, ..FILE }));
        assert!(FILE.is_same_file(Identity { birth_time: 0, ..FILE }), "a file system without creation times");
        assert!(!FILE.is_same_file(Identity { inode: 13, ..FILE }));
        assert!(!FILE.is_same_file(Identity { birth_time: FILE.birth_time + 1, ..FILE }));
        assert_eq!(Identity::of_words(FILE.words()), Some(FILE));
        assert_eq!(Identity::of_words([0; Identity::WORDS]), None);
    }

    #[test]
    fn a_volume_is_recognized_by_its_device_and_file_system() {
        assert!(FILE.is_same_volume(FILE));
        assert!(!FILE.is_same_volume(Identity { device: 0x0811, ..FILE }), "a snapshot of a block device");
        assert!(!FILE.is_same_volume(Identity { file_system: 8, ..FILE }), "a snapshot of a subvolume");
        let overlay = |device| Identity { device, ..FILE };
        assert!(overlay(0x21).is_same_volume(overlay(0x22)), "an overlay that was mounted again");
    }

    #[test]
    fn a_copy_has_a_different_identity() {
        let directory = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| directory.path().join(name));
        std::fs::write(&one, "x").unwrap();
        std::fs::copy(&one, &other).unwrap();
        let [one, other] = [one, other].map(|path| Identity::of(&File::open(path).unwrap()).unwrap());
        assert!(one.is_same_file(one) && one.is_same_volume(other) && !one.is_same_file(other));
    }
}
