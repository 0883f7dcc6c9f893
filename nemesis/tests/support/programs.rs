//! The programs that stand in for a server and give it its clock.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A server that takes connections and looks at its clocks all the time.
pub fn listener() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/listener.c");
        // Each test binary has its own, lest one runs it while another builds it.
        let own = format!("listener-{}", std::process::id());
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(own);
        let built = Command::new("cc").arg("-o").arg(&program).arg(source).status().expect("cc");
        assert!(built.success());
        program
    })
}

/// The program that gives servers clocks of their own.
pub fn clock_launcher() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let test = std::env::current_exe().expect("a path");
        let folder = test.ancestors().nth(2).expect("the folder of the profile");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "-p", "locktest-skew", "--bin", "locktest-clock"]);
        if folder.ends_with("release") {
            build.arg("--release");
        }
        build.arg("--target-dir").arg(folder.parent().expect("the target folder"));
        assert!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo").success());
        folder.join("locktest-clock")
    })
}
