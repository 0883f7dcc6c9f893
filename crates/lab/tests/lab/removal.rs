//! What is removed, and what is left alone.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use locktest_lab::{
    Lab, LabDirs, LabError, LabStatus, RemovedLabs, down_all, down_id, exists, list,
};

use crate::machine::{
    Machine, assert_gone, machine, processes, spec, ssh_ok, status_of, this_process, up,
};

/// The labs of others must all say whose they are, or this would take them for debris.
async fn down_all_safely(machine: &Machine, own: &[&str]) -> RemovedLabs {
    let owned = |lab: &LabStatus| {
        let problem = lab.problem.as_deref().unwrap_or_default();
        own.contains(&lab.id.as_str()) || problem.starts_with("belongs to the state directory ")
    };
    let listed = list(&machine.dirs).expect("a list");
    assert!(listed.iter().all(owned), "down_all would remove labs that are not ours: {listed:?}");
    down_all(&machine.dirs).await.expect("down")
}

/// Makes a lab look as if the process that made it had ended.
fn forget_maker(machine: &Machine, id: &str) {
    let path = machine.dirs.state.join("labs").join(id).join("lab.json");
    let state = fs::read(&path).expect("a state file");
    let mut state: serde_json::Value = serde_json::from_slice(&state).expect("JSON");
    state["maker"] = serde_json::Value::Null;
    fs::write(&path, state.to_string()).expect("a state file");
}

#[tokio::test(flavor = "multi_thread")]
async fn down_all_removes_labs_whose_state_is_damaged_or_gone() {
    let machine = machine().await;
    let mut ids = BTreeSet::new();
    let mut running = Vec::new();
    for servers in 1..=3 {
        let lab = up(&machine, servers, 1).await;
        let state = machine.dirs.state.join("labs").join(lab.id());
        match servers {
            1 => fs::remove_file(state.join("lab.json")).expect("a state file"),
            2 => fs::write(state.join("lab.json"), "{").expect("a state file"),
            _ => fs::remove_dir_all(state).expect("a state directory"),
        }
        running.extend(processes(lab.id()));
        ids.insert(lab.id().to_owned());
    }
    for id in &ids {
        assert!(status_of(&machine.dirs, id).problem.is_some());
        assert!(Lab::open(&machine.dirs, id).is_err());
    }

    let own: Vec<&str> = ids.iter().map(String::as_str).collect();
    let removed = down_all_safely(&machine, &own).await.removed;
    assert_eq!(BTreeSet::from_iter(removed), ids);
    for id in &ids {
        assert_gone(&machine, id, &running).await;
    }
    assert!(down_all_safely(&machine, &[]).await.removed.is_empty());
}

/// Why `down_all` left a lab alone.
fn reason(labs: &RemovedLabs, id: &str) -> String {
    assert!(!labs.removed.iter().any(|removed| removed == id), "{labs:?}");
    let skipped = labs.skipped.iter().find(|skipped| skipped.id == id);
    skipped.expect("it was skipped").reason.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn down_all_leaves_a_lab_that_is_in_use_and_down_by_id_does_not() {
    let machine = machine().await;
    let lab = up(&machine, 1, 0).await;
    let id = lab.id().to_owned();
    let in_use = format!("in use by a running locktest (pid {})", std::process::id());
    assert_eq!(reason(&down_all_safely(&machine, &[&id]).await, &id), in_use, "its maker runs");

    forget_maker(&machine, &id);
    assert_eq!(status_of(&machine.dirs, &id).in_use_by, None);
    let claim = lab.claim().await.expect("a claim");
    assert_eq!(status_of(&machine.dirs, &id).in_use_by, Some(this_process()));
    assert_eq!(reason(&down_all_safely(&machine, &[&id]).await, &id), in_use, "it is claimed");
    let error = lab.claim().await.expect_err("a second claim");
    assert!(matches!(error, LabError::InUse { .. }), "{error}");
    assert_eq!(ssh_ok(&lab, "n1", "echo alive"), "alive");

    drop(claim);
    assert_eq!(down_all_safely(&machine, &[&id]).await.removed, [id.as_str()]);
    assert_gone(&machine, &id, &[]).await;

    let lab = up(&machine, 1, 0).await;
    let _claim = lab.claim().await.expect("a claim");
    assert!(down_id(&machine.dirs, lab.id()).await.expect("down"));
    assert_gone(&machine, lab.id(), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_of_another_state_directory_is_left_alone_until_that_has_it_no_more() {
    let machine = machine().await;
    let lab = Lab::up(&machine.elsewhere, &spec(1, 0)).await.expect("a lab");
    let id = lab.id();
    let other = machine.elsewhere.state.display().to_string();
    let belongs = format!("belongs to the state directory {other}");
    assert_eq!(status_of(&machine.dirs, id).problem.as_ref(), Some(&belongs));
    assert_eq!(status_of(&machine.elsewhere, id).problem, None);
    let remedy = format!("{belongs}; remove it with LOCKTEST_STATE_DIR={other}");
    assert_eq!(reason(&down_all_safely(&machine, &[]).await, id), remedy);
    let refusals = [
        down_id(&machine.dirs, id).await.map(drop).expect_err("not ours"),
        Lab::open(&machine.dirs, id).map(drop).expect_err("not ours"),
    ];
    for error in refusals {
        assert!(matches!(&error, LabError::OtherStateDir { .. }) && error.is_usage(), "{error}");
        assert!(error.to_string().contains(&belongs), "{error}");
    }
    assert!(!exists(&machine.dirs, id).expect("an answer"));
    assert!(exists(&machine.elsewhere, id).expect("an answer"));
    assert_eq!(ssh_ok(&lab, "n1", "echo alive"), "alive");

    // The same directory by another name is no other directory.
    let link = machine.dirs.state.with_extension("link");
    std::os::unix::fs::symlink(&machine.elsewhere.state, &link).expect("a link");
    let by_link = LabDirs { state: link, ..machine.dirs.clone() };
    assert_eq!(status_of(&by_link, id).problem, None);

    fs::remove_dir_all(&machine.elsewhere.state).expect("a state directory");
    assert_eq!(down_all_safely(&machine, &[id]).await.removed, [id]);
    assert_gone(&machine, id, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_that_is_being_made_is_not_taken_for_debris() {
    let machine = machine().await;
    assert!(down_all_safely(&machine, &[]).await.removed.is_empty());
    let made = Cell::new(false);
    let makers = async {
        let small = spec(2, 1);
        let labs = tokio::join!(up(&machine, 2, 1), Lab::up(&machine.elsewhere, &small));
        made.set(true);
        labs
    };
    let sweeps = async {
        while !made.get() {
            let labs = down_all(&machine.dirs).await.expect("down");
            assert_eq!(labs.removed, Vec::<String>::new());
            tokio::task::yield_now().await;
        }
    };
    let ((a, b), ()) = tokio::join!(makers, sweeps);
    let b = b.expect("a lab");
    for lab in [a, b] {
        assert_eq!(ssh_ok(&lab, "n2", "cat /etc/hostname"), "n2");
        lab.down().await.expect("down");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_exists_until_its_namespaces_are_gone() {
    let machine = machine().await;
    let lab = up(&machine, 1, 0).await;
    let id = lab.id().to_owned();
    let id = id.as_str();
    let exists = |id: &str| exists(&machine.dirs, id);
    assert!(exists(id).expect("an answer"));
    assert!(!exists("none1").expect("an answer"));
    assert!(exists("../x").expect_err("no id").is_usage());

    // Damage makes it no less there.
    let root = machine.dirs.state.join("labs").join(id);
    let (state, kept) = (root.join("lab.json"), root.join("kept.json"));
    fs::rename(&state, &kept).expect("a state file");
    fs::write(&state, "{").expect("a state file");
    assert!(exists(id).expect("an answer"));
    fs::rename(&kept, &state).expect("a state file");

    let moved = root.with_extension("moved");
    fs::rename(&root, &moved).expect("a directory");
    assert!(exists(id).expect("an answer"), "its nodes may still have faults in force");
    fs::rename(&moved, &root).expect("a directory");

    let running = processes(id);
    for member in ["sw", "n1"] {
        let namespace = format!("lt-{id}-{member}");
        let delete = Command::new("ip").args(["netns", "del", &namespace]).status();
        assert!(delete.expect("ip runs").success());
    }
    assert!(!exists(id).expect("an answer"));
    lab.down().await.expect("down");
    assert_gone(&machine, id, &running).await;
}
