//! Where unpacked packages are kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ObtainedPackage;
use crate::error::io_at;
use crate::{LabDirs, LabError, NODE_BASE};

/// The package cache: for each suite, the extracted packages, and for each package a record of
/// the version that was resolved.
pub(super) struct Cache {
    pub root: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Resolution {
    version: String,
}

impl Cache {
    pub fn open(dirs: &LabDirs) -> Result<Cache, LabError> {
        Ok(Cache { root: dirs.create()?.package_cache })
    }

    pub fn find(&self, suite: &str, package: &str) -> Option<ObtainedPackage> {
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
    pub fn keep(
        &self,
        suite: &str,
        package: &str,
        version: &str,
        tree: &Path,
    ) -> Result<(), LabError> {
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

    pub fn record(&self, suite: &str, package: &str) -> PathBuf {
        self.root.join(suite).join(format!("{package}.json"))
    }
}

/// A colon separates paths in many variables, so it is written as package files write it. `None`
/// if the version is none and could lead out of the cache.
fn folder_name(package: &str, version: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-.~:".contains(c);
    version.chars().all(plain).then(|| format!("{package}_{}", version.replace(':', "%3a")))
}
