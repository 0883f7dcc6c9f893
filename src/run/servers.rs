//! Where the servers of a run come from, and their version.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use locktest_cluster::{Store, binary_version};
use locktest_lab::LabDirs;
use locktest_lab::packages::{PackageRequest, cached, obtain};

use crate::cli::RunArgs;
use crate::exit::Failure;
use crate::terminal::Terminal;

/// The version of a backend that is part of locktest.
pub const BUILT_IN: &str = "built-in";

/// Where the servers of the run come from.
#[derive(Clone, Debug)]
pub enum Binary {
    /// A path that every node of a lab has: a package's.
    OnNodes(PathBuf),
    /// A path on the control node: the user's.
    Upload(PathBuf),
}

/// Finds the servers of the run: the user's binary, or a package from the cache or the mirror.
/// Returns also their version.
pub async fn find_servers(
    store: Store,
    named: Option<&PathBuf>,
    dirs: &LabDirs,
    terminal: &Terminal,
) -> Result<(Binary, String)> {
    if let Some(path) = named {
        let version = binary_version(store, path).await?;
        return Ok((Binary::Upload(path.clone()), version));
    }
    let request = package_request(store);
    if cached(dirs, &request).is_none() {
        terminal.step(format_args!(
            "fetching {} from the distribution's {} suite",
            store.package().name,
            store.package().suite
        ));
    }
    let obtained = obtain(dirs, &request).await?;
    let package = obtained.first().ok_or_else(|| anyhow!("no package was obtained"))?;
    let binary = Binary::OnNodes(package.node_root.join(store.package().binary));
    Ok((binary, upstream(&package.version)))
}

/// The version that a run would find, as far as that is known without fetching anything.
pub async fn expected_version(
    args: &RunArgs,
    store: Option<Store>,
    dirs: &LabDirs,
) -> Result<String, Failure> {
    let Some(store) = store else { return Ok(BUILT_IN.into()) };
    if let Some(path) = &args.server_binary {
        return binary_version(store, path).await.map_err(Failure::set_up);
    }
    let cached = cached(dirs, &package_request(store));
    let version = cached.and_then(|packages| Some(upstream(&packages.first()?.version)));
    Ok(version.unwrap_or_else(|| store.package().version.into()))
}

/// The package that holds a store's server.
pub fn package_request(store: Store) -> PackageRequest {
    let package = store.package();
    PackageRequest { suite: package.suite.into(), packages: vec![package.name.into()] }
}

/// The upstream part of a Debian version: `1.8.7` of `1:1.8.7+dfsg1-2+deb11u1`.
fn upstream(version: &str) -> String {
    let version = version.split_once(':').map_or(version, |(_epoch, rest)| rest);
    let end = version.find(['-', '+', '~']).unwrap_or(version.len());
    version[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::upstream;

    #[test]
    fn the_upstream_version_is_what_stands_before_debians_own_part() {
        for (debian, expected) in [
            ("1.8.7+dfsg1-2+deb11u1", "1.8.7"),
            ("3.4.23-4+b5", "3.4.23"),
            ("5:7.0.15-1~deb12u5", "7.0.15"),
            ("3.4", "3.4"),
        ] {
            assert_eq!(upstream(debian), expected);
        }
    }
}
