//! A full disk at any moment: what cannot be appended is refused and counted, the rest is delivered, and everything works
//! again when there is space.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use openim_exporter::spool::{Dropped, Reader, Spool};

use crate::store::{NOW, deliver, maintain_until_empty, open, record};

/// Bytes of a disk's block.
const BLOCK: u64 = 4096;

/// A small disk in memory.
struct Disk(tempfile::TempDir);

impl Disk {
    /// Mounts one, which needs root.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k,nr_inodes=32", "none"])
            .arg(directory.path())
            .status();
        assert!(mount.unwrap().success());
        Self(directory)
    }

    fn spool(&self) -> PathBuf {
        self.0.path().join("spool")
    }

    /// Fills the disk, except for this number of blocks.
    fn fill(&self, except: u64) {
        let mut file = File::create(self.0.path().join("full")).unwrap();
        while file.write(&[7; 4096]).is_ok_and(|written| written > 0) {}
        let bytes = file.metadata().unwrap().len();
        file.set_len(bytes.saturating_sub(except * BLOCK)).unwrap();
    }

    /// Uses up the files that the disk can have.
    fn fill_names(&self) {
        fs::create_dir_all(self.0.path().join("names")).unwrap();
        let name = |number| self.0.path().join(format!("names/{number}"));
        let _ = (0..100).find(|number| File::create(name(*number)).is_err());
    }

    fn free(&self) {
        let _ = fs::remove_file(self.0.path().join("full"));
        let _ = fs::remove_dir_all(self.0.path().join("names"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Appends callbacks of about 900 bytes. Returns the numbers of those that were appended.
fn try_append(spool: &Spool, numbers: std::ops::Range<u32>) -> Vec<u32> {
    let long = "x".repeat(700);
    numbers.filter(|number| spool.append(&record(&format!("{number} {long}"))).is_ok()).collect()
}

/// Delivers what is there now, and returns its numbers.
fn deliver_long(reader: &mut Reader) -> Vec<u32> {
    let mut delivered = Vec::new();
    while let Some((position, entry)) = reader.next().unwrap() {
        let text = String::from_utf8(entry.body().to_vec()).unwrap();
        delivered.push(text.split(' ').next().unwrap().parse().unwrap());
        assert_eq!(text.split(' ').nth(1).unwrap().len(), 700);
        reader.delivered(position).unwrap();
    }
    delivered
}

/// Fills the disk before the spool is opened, before it is appended to, or in between.
fn fill_at(disk: &Disk, moment: u32, fill: &dyn Fn(&Disk)) {
    disk.free();
    let path = disk.spool();
    let _ = fs::remove_dir_all(&path);
    drop(open(&path));
    let when = |now| {
        if now == moment {
            fill(disk);
        }
    };
    when(0);
    let (spool, mut reader) = open(&path);
    when(1);
    let mut appended = try_append(&spool, 0..10);
    when(2);
    let _ = spool.maintain(NOW);
    appended.extend(try_append(&spool, 10..40));
    when(3);
    let mut delivered = deliver_long(&mut reader);
    let _ = spool.maintain(NOW);
    appended.extend(try_append(&spool, 40..80));
    when(4);
    let _ = spool.maintain(NOW);
    delivered.extend(deliver_long(&mut reader));
    assert_eq!(delivered, appended, "moment {moment}");
    let refused = 80 - appended.len() as u64;
    assert_eq!(spool.figures().dropped(Dropped::Disk), refused, "moment {moment}");

    disk.free();
    let _ = spool.maintain(NOW);
    assert_eq!(try_append(&spool, 80..90).len(), 10, "moment {moment}");
    assert_eq!(deliver_long(&mut reader), Vec::from_iter(80..90));
    let figures = maintain_until_empty(&spool, &path);
    assert_eq!((figures.dropped(Dropped::Damaged), figures.damaged_files), (0, 0), "moment {moment}");
    // What was torn by the full disk does not disturb the next process.
    drop((spool, reader));
    let (spool, mut reader) = open(&path);
    assert_eq!(deliver(&mut reader), [0; 0]);
    maintain_until_empty(&spool, &path);
}

#[test]
fn a_disk_without_space_at_any_moment() {
    let disk = Disk::new();
    for moment in 0..5 {
        for except in 0..20 {
            fill_at(&disk, moment, &|disk| disk.fill(except));
        }
    }
}

#[test]
fn a_disk_that_can_have_no_more_files_at_any_moment() {
    let disk = Disk::new();
    for moment in 0..5 {
        fill_at(&disk, moment, &Disk::fill_names);
    }
}

#[test]
fn a_dead_letter_that_cannot_be_written_is_still_pending() {
    let disk = Disk::new();
    let (spool, mut reader) = open(&disk.spool());
    assert_eq!(try_append(&spool, 0..2), [0, 1]);
    disk.fill(0);
    let (position, _) = reader.next().unwrap().unwrap();
    reader.bury(position, 400, "").unwrap_err();
    assert_eq!((spool.figures().pending, spool.figures().dead_letters), (2, 0));
    disk.free();
    spool.maintain(NOW).unwrap();
    reader.bury(position, 400, "").unwrap();
    assert_eq!((spool.figures().pending, spool.figures().dead_letters), (1, 1));
}

#[test]
fn what_follows_a_torn_record_is_delivered_when_a_new_file_can_be_created_again() {
    let disk = Disk::new();
    let (spool, mut reader) = open(&disk.spool());
    disk.fill(2);
    disk.fill_names();
    let long = format!("0 {}", "x".repeat(100_000));
    assert!(spool.append(&record(&long)).is_err());
    // There is space again, but not for another file.
    fs::remove_file(disk.0.path().join("full")).unwrap();
    File::create(disk.0.path().join("full")).unwrap();
    assert!(spool.maintain(NOW).is_err());
    assert_eq!(try_append(&spool, 1..3).len(), 2);
    disk.free();
    for _ in 0..2 {
        spool.maintain(NOW).unwrap();
    }
    assert_eq!(deliver_long(&mut reader), [1, 2]);
}
