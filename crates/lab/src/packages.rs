//! Server packages from any suite of Debian, extracted and not installed, in a cache that the nodes
//! see.
//!
//! The mirror is the one that this machine's own apt uses, and apt itself fetches and checks the
//! packages, in a private state: nothing of the machine's own package lists is touched, and a
//! version older than the installed one can be had. What was fetched once is found again without
//! apt and without a network.

mod apt;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::error::io_at;
use crate::lock::LockFile;
use crate::{CommandError, LabDirs, LabError, NODE_BASE};

use apt::Apt;

/// Another process may be fetching the same packages over a slow line.
const CACHE_LOCK_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Packages to obtain from one suite, without their dependencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageRequest {
    /// The suite's code name, such as `bookworm`.
    pub suite: String,
    /// The packages' names.
    pub packages: Vec<String>,
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
    if request.missing(&cache).is_empty() {
        return request.found(&cache);
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

    fn missing(&self, cache: &Cache) -> Vec<String> {
        let absent = |package: &&String| cache.find(&self.suite, package).is_none();
        self.packages.iter().filter(absent).cloned().collect()
    }

    fn found(&self, cache: &Cache) -> Result<Vec<ObtainedPackage>, PackageError> {
        let find = |package: &String| {
            cache.find(&self.suite, package).ok_or_else(|| PackageError::NotFetched {
                suite: self.suite.clone(),
                package: package.clone(),
            })
        };
        self.packages.iter().map(find).collect()
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

/// The package cache: for each suite, the extracted packages, and for each package a record of
/// the version that was resolved.
struct Cache {
    root: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Resolution {
    version: String,
}

impl Cache {
    fn open(dirs: &LabDirs) -> Result<Cache, LabError> {
        Ok(Cache { root: dirs.create()?.package_cache })
    }

    fn find(&self, suite: &str, package: &str) -> Option<ObtainedPackage> {
        let record = fs::read(self.record(suite, package)).ok()?;
        let Resolution { version } = serde_json::from_slice(&record).ok()?;
        let below = Path::new(suite).join(folder_name(package, &version)?);
        let root = self.root.join(&below);
        root.is_dir().then(|| ObtainedPackage {
            name: package.to_owned(),
            version,
            root,
            node_root: Path::new(NODE_BASE).join("packages").join(below),
        })
    }

    /// Moves an extracted package in, then records it: a record never speaks of half a package.
    fn keep(&self, suite: &str, package: &str, version: &str, tree: &Path) -> Result<(), LabError> {
        let suite_dir = self.root.join(suite);
        fs::create_dir_all(&suite_dir).map_err(io_at("create", &suite_dir))?;
        let Some(folder) = folder_name(package, version) else { return Ok(()) };
        let root = suite_dir.join(folder);
        // If it is there it is whole, and servers may be running from it.
        if !root.exists() {
            fs::rename(tree, &root).map_err(io_at("create", &root))?;
        }
        let record = self.record(suite, package);
        let fresh = record.with_extension("new");
        serde_json::to_vec(&Resolution { version: version.to_owned() })
            .map_err(io::Error::from)
            .and_then(|json| fs::write(&fresh, json))
            .and_then(|()| fs::rename(&fresh, &record))
            .map_err(io_at("write", &record))
    }

    fn record(&self, suite: &str, package: &str) -> PathBuf {
        self.root.join(suite).join(format!("{package}.json"))
    }
}

/// A colon separates paths in many variables, so it is written as package files write it. `None`
/// if the version is none and could lead out of the cache.
fn folder_name(package: &str, version: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-.~:".contains(c);
    version.chars().all(plain).then(|| format!("{package}_{}", version.replace(':', "%3a")))
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

    fn dirs() -> (tempfile::TempDir, LabDirs) {
        let dir = tempfile::tempdir().unwrap();
        let dirs = LabDirs { state: dir.path().join("s"), package_cache: dir.path().join("c") };
        (dir, dirs)
    }

    fn request(suite: &str, packages: &[&str]) -> PackageRequest {
        let packages = packages.iter().map(|name| (*name).to_owned()).collect();
        PackageRequest { suite: suite.to_owned(), packages }
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
        let request = request("a-suite", &["thing"]);
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
            for request in [request(bad, &["thing"]), request("bookworm", &[bad])] {
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
        let commands = obtain_commands(&dirs, &request("bullseye", &["had", "wanted"])).unwrap();
        let text = commands.join("\n");
        assert!(text.contains("MIRROR bullseye main"), "{text}");
        assert!(text.contains("download wanted"), "{text}");
        assert!(!text.contains("had_"), "{text}");
    }
}
