//! The undo journal on a real disk that is full. Needs root.

use std::fs::{self, File};
use std::path::PathBuf;

use locktest_nemesis::{Intent, Journal, read_journal};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// A file system of 64 KiB that only this thread sees, and that goes with it.
fn small_disk() -> PathBuf {
    let none = None::<&str>;
    let folder = std::env::temp_dir();
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace: run it as root");
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private mounts");
    mount(none, &folder, Some("tmpfs"), MsFlags::empty(), Some("size=64k")).expect("a tmpfs");
    folder
}

fn intent(fault: u32) -> Intent {
    // Such a run id makes a line longer than what is left of two pages on the disk.
    Intent { fault, run_id: "r".repeat(10_000), lab_id: None, deadline_s: 30, hosts: Vec::new() }
}

#[test]
fn an_intent_that_a_full_disk_tears_does_not_spoil_the_next() {
    let disk = small_disk();
    let path = disk.join("faults.jsonl");
    let mut journal = Journal::open(&path).expect("a new journal");
    journal.intend(&intent(1)).expect("there is room");
    let whole = fs::metadata(&path).expect("a journal").len();

    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).expect_err("the disk has an end");
    let full = File::options().write(true).open(&ballast).expect("a ballast");
    let length = full.metadata().expect("a ballast").len();
    full.set_len(length - 4096).expect("a page less");
    journal.intend(&intent(2)).expect_err("the disk is full");
    assert!(fs::metadata(&path).expect("a journal").len() > whole, "no line was torn");

    full.set_len(0).expect("an empty ballast");
    journal.intend(&intent(3)).expect("there is room again");
    let content = read_journal(&path).expect("readable");
    assert_eq!(content.open.into_keys().collect::<Vec<_>>(), [1, 3]);
    assert!(content.damage.is_empty(), "{:?}", content.damage);
}
