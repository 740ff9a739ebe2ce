//! Reserving a file's blocks on disk. Without that, a full disk ends the process with a signal (`SIGBUS`) as soon as it
//! writes to the mapped file.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, IFlags, SeekFrom, fallocate, fstatfs, ioctl_getflags, ioctl_setflags, seek};
use rustix::io::Errno;

/// Written where the file system cannot reserve space.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Bytes per write when a file is rewritten: the more, the fewer fragments.
const REWRITE_BYTES: usize = 1 << 20;

/// Magic numbers of copy-on-write file systems: statfs(2), and `ZFS_SUPER_MAGIC` of OpenZFS.
const BTRFS: i64 = 0x9123_683e;
const BCACHEFS: i64 = 0xca45_1a4e;
const ZFS: i64 = 0x2fc1_2fc1;

/// Whether changes to a file are written to new blocks, so that reserving has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CopyOnWrite {
    /// No.
    Off,
    /// Yes, but it can be switched off while the file is empty.
    On,
    /// Yes, and it cannot be switched off.
    Always,
}

/// The magic number of the file system; 0 if unknown.
fn file_system(file: &File) -> i64 {
    #[allow(clippy::unnecessary_cast, reason = "the type depends on the architecture")]
    fstatfs(file).map_or(0, |statistics| statistics.f_type as i64)
}

/// Determines it from the file system and the file's attributes.
pub(super) fn copy_on_write(file: &File) -> CopyOnWrite {
    match file_system(file) {
        BTRFS if ioctl_getflags(file).is_ok_and(|flags| flags.contains(IFlags::NOCOW)) => CopyOnWrite::Off,
        BTRFS => CopyOnWrite::On,
        BCACHEFS | ZFS => CopyOnWrite::Always,
        _ => CopyOnWrite::Off,
    }
}

/// Switches copy-on-write off for an empty file, if its file system supports that.
pub(super) fn disable_copy_on_write(file: &File) -> CopyOnWrite {
    if copy_on_write(file) == CopyOnWrite::On
        && let Ok(flags) = ioctl_getflags(file)
    {
        // Checked below.
        let _ = ioctl_setflags(file, flags | IFlags::NOCOW);
    }
    match copy_on_write(file) {
        CopyOnWrite::On => CopyOnWrite::Always,
        other => other,
    }
}

/// Reserves every block of a file without changing its contents: also blocks that it shares with a copy, and holes that
/// copying made of zeros.
///
/// # Errors
/// When the disk is full, see [`is_full`], or the file cannot be written.
pub(super) fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    let length = file.metadata()?.len().min(bytes);
    match fallocate(file, FallocateFlags::UNSHARE_RANGE, 0, bytes) {
        // Most file systems do not share blocks, nor support this flag.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => fill_holes(file, bytes)?,
        reserved => reserved?,
    }
    // With copy-on-write, rewriting has no effect: such a state is moved into another file.
    if file_system(file) == BTRFS && copy_on_write(file) == CopyOnWrite::Off { rewrite(file, length) } else { Ok(()) }
}

/// Rewrites a file with its own contents. On btrfs this is the only way to replace blocks that the file shares with a
/// clone or a snapshot. The contents are correct at every moment.
fn rewrite(file: &File, bytes: u64) -> io::Result<()> {
    let mut buffer = vec![0; REWRITE_BYTES];
    let mut at = 0;
    while at < bytes {
        let len = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = buffer.get_mut(..len).unwrap_or_default();
        file.read_exact_at(buffer, at)?;
        file.write_all_at(buffer, at)?;
        at += len as u64;
    }
    // Otherwise btrfs allocates the blocks later, when a full disk can no longer be reported.
    if bytes > 0 { file.sync_all() } else { Ok(()) }
}

/// Whether an error means that the disk or a quota is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    [ErrorKind::StorageFull, ErrorKind::QuotaExceeded].contains(&error.kind())
}

/// Writes zeros into a file's holes and beyond its end.
fn fill_holes(file: &File, bytes: u64) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut at = 0;
    while at < length.min(bytes) {
        // A file system that does not know holes reports none.
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
    fn reserving_fills_the_holes_of_a_file_and_keeps_its_contents() {
        for reserve in [reserve, fill_holes, rewrite] {
            let (file, whole) = sparse();
            reserve(&file, 1 << 20).unwrap();
            assert!(blocks(&file) >= 1 << 20, "{}", blocks(&file));
            let mut read = vec![1; 1 << 20];
            file.read_exact_at(&mut read, 0).unwrap();
            assert!(read == whole);
        }
    }

    #[test]
    fn reserving_extends_a_new_file() {
        for reserve in [reserve, fill_holes] {
            let file = tempfile::tempfile().unwrap();
            reserve(&file, 100_000).unwrap();
            assert_eq!(file.metadata().unwrap().len(), 100_000);
            assert!(blocks(&file) >= 100_000);
        }
    }
}
