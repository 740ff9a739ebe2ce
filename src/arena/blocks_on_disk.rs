//! A file's blocks on disk: reserved before the file is written to through memory, where a full disk would be a fatal
//! signal.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, IFlags, SeekFrom, fallocate, fstatfs, ioctl_getflags, ioctl_setflags, seek};
use rustix::io::Errno;

/// Written where the file system cannot reserve space.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Bytes that are written over at once: the more, the fewer fragments.
const WRITTEN_OVER_AT_ONCE: usize = 1 << 20;

/// Numbers of file systems that write changed blocks elsewhere: statfs(2), and `ZFS_SUPER_MAGIC` of OpenZFS.
const BTRFS: i64 = 0x9123_683e;
const BCACHEFS: i64 = 0xca45_1a4e;
const ZFS: i64 = 0x2fc1_2fc1;

/// Whether a file's changed blocks are written elsewhere, so that no reservation holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CopyOnWrite {
    /// They are not.
    Off,
    /// They are; for a file that is still empty, that can be switched off.
    On,
    /// They are, and it cannot be switched off.
    Always,
}

/// The number of the file system's kind; 0 where it cannot be had.
fn kind(file: &File) -> i64 {
    #[allow(clippy::unnecessary_cast, reason = "the number has another type on other machines")]
    fstatfs(file).map_or(0, |statistics| statistics.f_type as i64)
}

/// Looks at the file system and at the file's attributes.
pub(super) fn copy_on_write(file: &File) -> CopyOnWrite {
    match kind(file) {
        BTRFS if ioctl_getflags(file).is_ok_and(|flags| flags.contains(IFlags::NOCOW)) => CopyOnWrite::Off,
        BTRFS => CopyOnWrite::On,
        BCACHEFS | ZFS => CopyOnWrite::Always,
        _ => CopyOnWrite::Off,
    }
}

/// Switches copy-on-write off for a file that is still empty, if its file system supports that.
pub(super) fn switch_copy_on_write_off(file: &File) -> CopyOnWrite {
    if copy_on_write(file) == CopyOnWrite::On
        && let Ok(flags) = ioctl_getflags(file)
    {
        // Whether it worked is looked at below.
        let _ = ioctl_setflags(file, flags | IFlags::NOCOW);
    }
    match copy_on_write(file) {
        CopyOnWrite::On => CopyOnWrite::Always,
        other => other,
    }
}

/// Reserves every block of a file for itself, and leaves what it holds: also the blocks that it shares with a copy, and
/// those that a copy has left out because they are all zeros.
pub(super) fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    let held = file.metadata()?.len().min(bytes);
    match fallocate(file, FallocateFlags::UNSHARE_RANGE, 0, bytes) {
        // Most file systems share no blocks and do not support this flag.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => fill_holes(file, bytes)?,
        reserved => reserved?,
    }
    // With copy-on-write, writing does not help: such a file is moved.
    if kind(file) == BTRFS && copy_on_write(file) == CopyOnWrite::Off { write_over(file, held) } else { Ok(()) }
}

/// Writes what a file holds over it. On btrfs nothing else gives it blocks of its own in place of those that it shares with a
/// clone or a snapshot; it may be the original as well as the copy. At no moment does it hold anything else.
fn write_over(file: &File, bytes: u64) -> io::Result<()> {
    let mut piece = vec![0; WRITTEN_OVER_AT_ONCE];
    let mut at = 0;
    while at < bytes {
        let len = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(piece.len());
        let piece = piece.get_mut(..len).unwrap_or_default();
        file.read_exact_at(piece, at)?;
        file.write_all_at(piece, at)?;
        at += len as u64;
    }
    // Otherwise btrfs would choose the blocks later, when a full disk could not be reported any more.
    if bytes > 0 { file.sync_all() } else { Ok(()) }
}

/// Whether an error means that the disk is full, or that a quota or a file size limit is reached.
pub(super) fn is_full(error: &io::Error) -> bool {
    [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge].contains(&error.kind())
}

/// Writes zeros into a file's holes and after its end.
fn fill_holes(file: &File, bytes: u64) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut at = 0;
    while at < length.min(bytes) {
        // A file system that does not know where holes are says that there are none.
        let hole = seek(file, SeekFrom::Hole(at)).map_or(length, |hole| hole.max(at));
        let data = seek(file, SeekFrom::Data(hole)).unwrap_or(length).max(hole);
        write_zeros(file, hole, data.min(bytes))?;
        at = data.max(at + 1);
    }
    write_zeros(file, length, bytes)?;
    file.sync_all()
}

fn write_zeros(file: &File, mut from: u64, to: u64) -> io::Result<()> {
    while from < to {
        let len = usize::try_from(to - from).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_all_at(ZEROS.get(..len).unwrap_or_default(), from)?;
        from += len as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn blocks(file: &File) -> u64 {
        file.metadata().unwrap().blocks() * 512
    }

    /// Data, a hole, data, a hole at the end.
    fn sparse() -> (File, Vec<u8>) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(&[7; 4096], 0).unwrap();
        file.write_all_at(&[8; 4096], 512 * 1024).unwrap();
        assert!(blocks(&file) < 1 << 20);
        let mut whole = vec![0; 1 << 20];
        whole[..4096].fill(7);
        whole[512 * 1024..][..4096].fill(8);
        (file, whole)
    }

    #[test]
    fn the_holes_of_a_file_are_filled_and_what_it_holds_stays() {
        for reserve in [reserve, fill_holes, write_over] {
            let (file, whole) = sparse();
            reserve(&file, 1 << 20).unwrap();
            assert!(blocks(&file) >= 1 << 20, "{}", blocks(&file));
            let mut read = vec![1; 1 << 20];
            file.read_exact_at(&mut read, 0).unwrap();
            assert!(read == whole);
        }
    }

    #[test]
    fn a_new_file_is_as_long_as_it_is_to_be() {
        for reserve in [reserve, fill_holes] {
            let file = tempfile::tempfile().unwrap();
            reserve(&file, 100_000).unwrap();
            assert_eq!(file.metadata().unwrap().len(), 100_000);
            assert!(blocks(&file) >= 100_000);
        }
    }
}
