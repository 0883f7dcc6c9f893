//! Server packages from any suite of Debian, extracted and not installed, in a cache that the nodes
//! see.
//!
//! The mirror is the one that this machine's own apt uses, and apt itself fetches and checks the
//! packages, in a private state: nothing of the machine's own package lists is touched, and a
//! version older than the installed one can be had. What was fetched once is found again without
//! apt and without a network.

mod apt;
mod cache;
mod carried;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::error::io_at;
use crate::lock::LockFile;
use crate::{CommandError, LabDirs, LabError};

pub use carried::carried_versions;

use apt::Apt;
use cache::Cache;

/// Another process may be fetching the same packages over a slow line.
const CACHE_LOCK_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Packages to obtain from one suite, without their dependencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageRequest {
    /// The suite's code name, such as `bookworm`.
    pub suite: String,
    /// The packages' names.
    pub packages: Vec<String>,
    /// The upstream version that the first of them must have, if it matters: a suite may have
    /// moved on.
    pub version: Option<String>,
}

impl PackageRequest {
    /// Packages of whatever version the suite carries.
    pub fn new(suite: &str, packages: &[&str]) -> PackageRequest {
        let packages = packages.iter().map(|name| (*name).to_owned()).collect();
        PackageRequest { suite: suite.to_owned(), packages, version: None }
    }

    /// The same, if the first package is of this upstream version.
    pub fn of_version(mut self, version: &str) -> PackageRequest {
        self.version = Some(version.to_owned());
        self
    }
}

/// An extracted package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObtainedPackage {
    /// Its name.
    pub name: String,
    /// Its version, as Debian numbers it.
    pub version: String,
    /// The root of its files on the host.
    pub root: PathBuf,
    /// The same as the nodes of a lab see it.
    pub node_root: PathBuf,
}

impl ObtainedPackage {
    /// The version that its authors gave it.
    pub fn upstream_version(&self) -> &str {
        upstream(&self.version)
    }
}

/// The upstream part of a Debian version: `1.8.7` of `1:1.8.7+dfsg1-2+deb11u1`.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_epoch, rest)| rest);
    let end = version.find(['-', '+', '~']).unwrap_or(version.len());
    &version[..end]
}

/// Why a package cannot be had.
#[derive(Debug, Error)]
pub enum PackageError {
    /// The name of a suite or package is not one.
    #[error("'{name}' is not the name of a Debian suite or package")]
    BadName {
        /// What was given.
        name: String,
    },
    /// apt knows no mirror of Debian.
    #[error(
        "apt knows no mirror of Debian's main archive for this machine's own suite; run: apt-get update"
    )]
    NoMirror,
    /// The suite's package lists cannot be had.
    #[error("cannot read the package lists of Debian {suite}: {error}")]
    Lists {
        /// The suite.
        suite: String,
        /// apt's own words.
        error: CommandError,
    },
    /// The suite does not have them all, or they cannot be fetched.
    #[error("cannot get {} from Debian {suite}: {error}", .packages.join(", "))]
    Download {
        /// The suite.
        suite: String,
        /// The packages asked for.
        packages: Vec<String>,
        /// apt's own words.
        error: CommandError,
    },
    /// A package was not among what apt fetched.
    #[error("apt fetched no file of {package} from Debian {suite}")]
    NotFetched {
        /// The suite.
        suite: String,
        /// The package.
        package: String,
    },
    /// The suite carries another version than the one asked for.
    #[error("Debian {suite} carries {package} {carried}, and not {wanted}")]
    OtherVersion {
        /// The suite.
        suite: String,
        /// The package.
        package: String,
        /// The upstream version asked for.
        wanted: String,
        /// The upstream version that is there.
        carried: String,
    },
    /// Another command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] LabError),
}

/// Finds the packages in the cache, or fetches those that are not there.
pub async fn obtain(
    dirs: &LabDirs,
    request: &PackageRequest,
) -> Result<Vec<ObtainedPackage>, PackageError> {
    request.check()?;
    let cache = Cache::open(dirs)?;
    if let Ok(found) = request.found(&cache) {
        return Ok(found);
    }
    let _lock = LockFile::hold(&cache.root.join(".lock"), CACHE_LOCK_LIMIT).await?;
    // Whoever held the lock may have fetched the same.
    let missing = request.missing(&cache);
    if !missing.is_empty() {
        let fetch = cache.root.join(".fetch");
        remove_directory(&fetch)?;
        let fetched = fetch_into(&cache, &fetch, &request.suite, &missing).await;
        remove_directory(&fetch)?;
        fetched?;
    }
    request.found(&cache)
}

/// The packages, if the cache has them all.
pub fn cached(dirs: &LabDirs, request: &PackageRequest) -> Option<Vec<ObtainedPackage>> {
    request.check().ok()?;
    request.found(&Cache { root: dirs.package_cache.clone() }).ok()
}

/// Every command that [`obtain`] would run; none for what is in the cache. What only apt's answers
/// tell shows as `MIRROR`, `VERSION` and `ARCHITECTURE`.
pub fn obtain_commands(
    dirs: &LabDirs,
    request: &PackageRequest,
) -> Result<Vec<String>, PackageError> {
    request.check()?;
    let cache = Cache { root: dirs.package_cache.clone() };
    let missing = request.missing(&cache);
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let apt = Apt::new(&cache.root.join(".fetch"));
    let mut commands = vec![apt::mirror_query(), apt.update(), apt.download(&missing)];
    for package in &missing {
        let file = apt.debs().join(format!("{package}_VERSION_ARCHITECTURE.deb"));
        commands.push(apt::describe(&file));
        commands.push(apt::extract(&file, &apt.tree(package)));
    }
    let mut shown = vec![commands.remove(0).to_string()];
    for (path, text) in apt.files("MIRROR", &request.suite) {
        shown.push(format!("cat > {} <<'EOF'\n{text}EOF", path.display()));
    }
    shown.extend(commands.iter().map(ToString::to_string));
    Ok(shown)
}

impl PackageRequest {
    fn check(&self) -> Result<(), PackageError> {
        let good = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c))
        };
        match std::iter::once(&self.suite).chain(&self.packages).find(|name| !good(name)) {
            Some(name) => Err(PackageError::BadName { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// What has to be fetched. Libraries belong to their server: if it is of another version,
    /// all are fetched again.
    fn missing(&self, cache: &Cache) -> Vec<String> {
        let first = self.packages.first().and_then(|package| cache.find(&self.suite, package));
        let is_other = first.is_some_and(|package| self.is_other(&package));
        let absent = |package: &&String| is_other || cache.find(&self.suite, package).is_none();
        self.packages.iter().filter(absent).cloned().collect()
    }

    fn is_other(&self, first: &ObtainedPackage) -> bool {
        self.version.as_ref().is_some_and(|wanted| first.upstream_version() != wanted)
    }

    fn found(&self, cache: &Cache) -> Result<Vec<ObtainedPackage>, PackageError> {
        let find = |package: &String| {
            cache.find(&self.suite, package).ok_or_else(|| PackageError::NotFetched {
                suite: self.suite.clone(),
                package: package.clone(),
            })
        };
        let found = self.packages.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        match (&self.version, found.first()) {
            (Some(wanted), Some(first)) if self.is_other(first) => {
                Err(PackageError::OtherVersion {
                    suite: self.suite.clone(),
                    package: first.name.clone(),
                    wanted: wanted.clone(),
                    carried: first.upstream_version().to_owned(),
                })
            }
            _ => Ok(found),
        }
    }
}

/// Fetches packages into the directory `fetch`, which does not exist yet, and moves each that is
/// whole into the cache.
async fn fetch_into(
    cache: &Cache,
    fetch: &Path,
    suite: &str,
    packages: &[String],
) -> Result<(), PackageError> {
    let mirror = apt::mirror().await?;
    let apt = Apt::new(fetch);
    apt.prepare(&mirror, suite)?;
    let update = apt.update().run().await;
    update.map_err(|error| PackageError::Lists { suite: suite.to_owned(), error })?;
    apt.download(packages).run().await.map_err(|error| PackageError::Download {
        suite: suite.to_owned(),
        packages: packages.to_vec(),
        error,
    })?;
    for file in files_in(&apt.debs())? {
        let described = apt::describe(&file).run().await?;
        let Some((package, version)) = described.trim().split_once(' ') else { continue };
        let tree = apt.tree(package);
        apt::extract(&file, &tree).run().await?;
        cache.keep(suite, package, version, &tree)?;
    }
    Ok(())
}

fn files_in(dir: &Path) -> Result<Vec<PathBuf>, LabError> {
    let entries = fs::read_dir(dir).map_err(io_at("list", dir))?;
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    paths.map_err(io_at("list", dir))
}

fn remove_directory(dir: &Path) -> Result<(), LabError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(io_at("remove", dir)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NODE_BASE;

    fn dirs() -> (tempfile::TempDir, LabDirs) {
        let dir = tempfile::tempdir().unwrap();
        let dirs = LabDirs { state: dir.path().join("s"), package_cache: dir.path().join("c") };
        (dir, dirs)
    }

    fn extracted(dirs: &LabDirs) -> PathBuf {
        let tree = dirs.state.join("tree");
        fs::create_dir_all(tree.join("usr/bin")).unwrap();
        tree
    }

    #[tokio::test]
    async fn a_kept_package_is_found_without_apt() {
        let (_guard, dirs) = dirs();
        let cache = Cache::open(&dirs).unwrap();
        cache.keep("a-suite", "thing", "5:1.0-2+b1", &extracted(&dirs)).unwrap();
        let request = PackageRequest::new("a-suite", &["thing"]);
        assert_eq!(obtain_commands(&dirs, &request).unwrap(), [""; 0]);
        let obtained = obtain(&dirs, &request).await.unwrap();
        assert_eq!(obtained[0].version, "5:1.0-2+b1");
        assert!(obtained[0].root.join("usr/bin").is_dir());
        let node_root = Path::new(NODE_BASE).join("packages/a-suite/thing_5%3a1.0-2+b1");
        assert_eq!(obtained[0].node_root, node_root);
    }

    #[test]
    fn a_record_without_its_folder_is_not_a_package() {
        let (_guard, dirs) = dirs();
        let cache = Cache::open(&dirs).unwrap();
        cache.keep("a-suite", "thing", "1", &extracted(&dirs)).unwrap();
        fs::remove_dir_all(cache.root.join("a-suite/thing_1")).unwrap();
        assert!(cache.find("a-suite", "thing").is_none());
        fs::write(cache.record("a-suite", "thing"), "{\"version\": \"../../etc\"}").unwrap();
        assert!(cache.find("a-suite", "thing").is_none());
    }

    #[tokio::test]
    async fn a_name_that_could_be_a_path_or_an_option_is_refused() {
        let (_guard, dirs) = dirs();
        for bad in ["", "../x", "-o", "a b", "A", "a/b", "a=1"] {
            for request in
                [PackageRequest::new(bad, &["thing"]), PackageRequest::new("bookworm", &[bad])]
            {
                let error = obtain(&dirs, &request).await.unwrap_err();
                assert!(matches!(error, PackageError::BadName { .. }), "{bad}");
            }
        }
    }

    #[test]
    fn a_dry_run_names_the_suite_and_the_missing_packages_alone() {
        let (_guard, dirs) = dirs();
        let cache = Cache::open(&dirs).unwrap();
        cache.keep("bullseye", "had", "1", &extracted(&dirs)).unwrap();
        let commands =
            obtain_commands(&dirs, &PackageRequest::new("bullseye", &["had", "wanted"])).unwrap();
        let text = commands.join("\n");
        assert!(text.contains("MIRROR bullseye main"), "{text}");
        assert!(text.contains("download wanted"), "{text}");
        assert!(!text.contains("had_"), "{text}");
    }

    #[test]
    fn a_cached_package_of_another_version_is_fetched_again_with_its_libraries() {
        let (_guard, dirs) = dirs();
        let cache = Cache::open(&dirs).unwrap();
        cache.keep("a-suite", "server", "5:1.8.7+dfsg1-2", &extracted(&dirs)).unwrap();
        cache.keep("a-suite", "library", "9-1", &extracted(&dirs)).unwrap();
        let request = PackageRequest::new("a-suite", &["server", "library"]);
        assert!(cached(&dirs, &request.clone().of_version("1.8.7")).is_some());
        let other = request.of_version("1.8.8");
        assert!(cached(&dirs, &other).is_none());
        assert_eq!(other.missing(&cache), ["server", "library"]);
        let text = other.found(&cache).unwrap_err().to_string();
        assert_eq!(text, "Debian a-suite carries server 1.8.7, and not 1.8.8");
    }

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
