//! Where the servers of a run come from, and their version.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use locktest_cluster::{Installation, Release, Store, binary_version};
use locktest_lab::LabDirs;
use locktest_lab::packages::{PackageRequest, cached, obtain};

use crate::cli::RunArgs;
use crate::terminal::Terminal;

/// The version of a backend that is part of locktest.
pub const BUILT_IN: &str = "built-in";

/// The server program of a run.
#[derive(Clone, Debug)]
pub enum Program {
    /// Every node of a lab has it: it is of packages that nodes see.
    OnNodes(Installation),
    /// It is on the control node: the user's.
    Upload(PathBuf),
}

/// Finds the server program of the run: the user's, or that of packages from the cache or the
/// mirror. Returns also its version.
pub async fn find_program(
    args: &RunArgs,
    store: Store,
    dirs: &LabDirs,
    terminal: &Terminal,
) -> Result<(Program, String)> {
    if let Some(path) = &args.server_binary {
        return Ok((Program::Upload(path.clone()), version_of_binary(store, path).await?));
    }
    let release = release(args, store)?;
    if let Some(needed) = release.host_program() {
        ensure!(
            Path::new(needed.path).exists(),
            "{} needs {}, which this machine does not have; install {}",
            store.name(),
            needed.path,
            needed.package
        );
    }
    let request = package_request(release);
    if cached(dirs, &request).is_none() {
        terminal.step(format_args!(
            "fetching {} {} from the distribution's {} suite",
            store.name(),
            release.version,
            release.suite
        ));
    }
    let obtained = obtain(dirs, &request)
        .await
        .with_context(|| format!("cannot get version {}; {}", release.version, known(store)))?;
    let roots: Vec<PathBuf> = obtained.into_iter().map(|package| package.node_root).collect();
    Ok((Program::OnNodes(release.installation(&roots)), release.version.into()))
}

/// The version that a run would have, without fetching anything.
pub async fn expected_version(args: &RunArgs, store: Option<Store>) -> Result<String> {
    let Some(store) = store else { return Ok(BUILT_IN.into()) };
    match &args.server_binary {
        Some(path) => version_of_binary(store, path).await,
        None => Ok(release(args, store)?.version.into()),
    }
}

/// The release that was asked for, or the newest.
pub fn release(args: &RunArgs, store: Store) -> Result<&'static Release> {
    let Some(version) = &args.version else { return Ok(Release::newest(store)) };
    Release::of(store, version).ok_or_else(|| {
        anyhow!("no suite is known to have {} {version}; {}", store.name(), known(store))
    })
}

/// The packages of a release.
pub fn package_request(release: &Release) -> PackageRequest {
    PackageRequest::new(release.suite, release.packages).of_version(release.upstream_version())
}

async fn version_of_binary(store: Store, path: &Path) -> Result<String> {
    ensure!(
        !store.program_names().is_empty(),
        "--server-binary: the server of {} is no single program; choose one with --version",
        store.name()
    );
    Ok(binary_version(store, path).await?)
}

/// What can be had, in words.
fn known(store: Store) -> String {
    let versions: Vec<&str> = Release::all(store).iter().map(|release| release.version).collect();
    format!(
        "{} can be had as {} (`locktest versions` tells from where)",
        store.name(),
        versions.join(", ")
    )
}
