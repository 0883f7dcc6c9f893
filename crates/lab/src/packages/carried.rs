//! Which versions a suite carries, without fetching any package.

use std::collections::BTreeMap;

use super::apt::{self, Apt};
use super::{PackageError, PackageRequest, upstream};
use crate::error::io_at;

/// The upstream versions of those requested packages that their suite carries, by name. The
/// mirror is asked each time.
pub async fn carried_versions(
    request: &PackageRequest,
) -> Result<BTreeMap<String, String>, PackageError> {
    request.check()?;
    // Beside the cache, which belongs to root.
    let folder = tempfile::Builder::new().prefix("locktest-apt-").tempdir();
    let folder = folder.map_err(io_at("create a folder in", &std::env::temp_dir()))?;
    let mirror = apt::mirror().await?;
    let apt = Apt::new(folder.path());
    apt.prepare(&mirror, &request.suite)?;
    let lists = |error| PackageError::Lists { suite: request.suite.clone(), error };
    apt.update_or_give_up().run().await.map_err(lists)?;
    let table = apt.list_versions(&request.packages).run().await.map_err(lists)?;
    Ok(parse(&table))
}

/// Lines of `package | version | source`, the newest version of a package first.
fn parse(table: &str) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    for line in table.lines() {
        let mut fields = line.split('|').map(str::trim);
        if let (Some(package), Some(version)) = (fields.next(), fields.next()) {
            versions.entry(package.to_owned()).or_insert_with(|| upstream(version).to_owned());
        }
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_of_each_package_is_read_from_apts_table() {
        let table = "\
etcd-server | 3.5.16-4 | http://mirror.example/debian trixie/main amd64 Packages
redis-server | 5:8.0.2-3+deb13u2 | http://mirror.example/debian trixie/main amd64 Packages
redis-server | 5:8.0.1-1 | http://mirror.example/debian trixie/main amd64 Packages
";
        let versions = parse(table);
        let versions: Vec<_> = versions.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(versions, [("etcd-server", "3.5.16"), ("redis-server", "8.0.2")]);
        assert!(parse("").is_empty());
    }
}
