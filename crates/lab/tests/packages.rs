//! Packages for real: these tests need the machine's apt to reach its mirror.

use std::fs;

use locktest_lab::LabDirs;
use locktest_lab::packages::{
    PackageError, PackageRequest, carried_versions, obtain, obtain_commands,
};

fn dirs() -> (tempfile::TempDir, LabDirs) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let dirs = LabDirs { state: dir.path().join("s"), package_cache: dir.path().join("c") };
    (dir, dirs)
}

/// A small package that every suite has, and an older suite than any that is installed.
fn request(packages: &[&str]) -> PackageRequest {
    PackageRequest::new("bullseye", packages)
}

#[tokio::test]
async fn two_that_want_the_same_package_at_once_both_get_it_whole() {
    let (_guard, dirs) = dirs();
    let wanted = request(&["hostname"]);
    assert!(!obtain_commands(&dirs, &wanted).expect("commands").is_empty());
    let (one, other) = tokio::join!(obtain(&dirs, &wanted), obtain(&dirs, &wanted));
    let one = one.expect("a package");
    assert_eq!(one, other.expect("a package"));
    assert!(one[0].root.join("bin/hostname").is_file(), "{one:?}");
    assert!(obtain_commands(&dirs, &wanted).expect("commands").is_empty());

    let left = fs::read_dir(&dirs.package_cache).expect("a cache");
    let mut left: Vec<_> = left.map(|entry| entry.expect("an entry").file_name()).collect();
    left.sort();
    assert_eq!(left, [".lock", "bullseye"]);
}

#[tokio::test]
async fn a_package_that_the_suite_lacks_is_refused_in_the_words_of_apt() {
    let (_guard, dirs) = dirs();
    let error = obtain(&dirs, &request(&["locktest-no-such-package"])).await.expect_err("none");
    assert!(matches!(&error, PackageError::Download { suite, .. } if suite == "bullseye"));
    let text = error.to_string();
    assert!(text.contains("Unable to locate package locktest-no-such-package"), "{text}");
    assert!(!dirs.package_cache.join(".fetch").exists());
}

#[tokio::test]
async fn a_suite_that_carries_another_version_is_refused_with_the_one_that_it_carries() {
    let (_guard, dirs) = dirs();
    let wanted = request(&["hostname", "locktest-no-such-package"]);
    let carried = carried_versions(&wanted).await.expect("the suite's versions");
    let [(name, version)] = &Vec::from_iter(&carried)[..] else { panic!("one: {carried:?}") };
    assert_eq!(name.as_str(), "hostname");

    let outdated = request(&["hostname"]).of_version("0.1");
    let error = obtain(&dirs, &outdated).await.expect_err("nobody carries it");
    assert_eq!(
        error.to_string(),
        format!("Debian bullseye carries hostname {version}, and not 0.1")
    );
    let current = request(&["hostname"]).of_version(version);
    assert_eq!(obtain(&dirs, &current).await.expect("a package")[0].upstream_version(), *version);
}
