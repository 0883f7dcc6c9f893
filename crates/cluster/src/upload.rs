//! Programs of the control node's that nodes are to run: copies of them, and the version of a server
//! binary that the user named.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::try_join_all;

use crate::cluster::ClusterError;
use crate::member::Member;
use crate::remote::{Remote, RemoteCommand};
use crate::service::{NodeLayout, quote};
use crate::ssh::SshCluster;
use crate::store::Store;

/// Copies a program of the control node's to every node, and returns its path there.
pub async fn upload(
    ssh: &SshCluster,
    members: &[Member],
    local: &Path,
    layout: &NodeLayout,
) -> Result<PathBuf, ClusterError> {
    let unusable = |reason: String| ClusterError::Binary { path: local.to_owned(), reason };
    let bytes = tokio::fs::read(local).await.map_err(|error| unusable(error.to_string()))?;
    let name = local.file_name().ok_or_else(|| unusable("it has no file name".into()))?;
    let remote = layout.bin().join(name);
    let script = format!(
        "mkdir -p {folder} && cat > {path}.new && chmod 755 {path}.new && mv {path}.new {path}",
        folder = quote(&layout.bin().to_string_lossy()),
        path = quote(&remote.to_string_lossy()),
    );
    let command = RemoteCommand::new(format!("copy {}", name.display()), script)
        .stdin(bytes)
        .timeout(Duration::from_secs(120));
    try_join_all(members.iter().map(|member| ssh.run_ok(&member.name, &command))).await?;
    Ok(remote)
}

/// Asks a server binary on the control node for its version.
pub async fn binary_version(store: Store, path: &Path) -> Result<String, ClusterError> {
    let unusable = |reason: String| ClusterError::Binary { path: path.to_owned(), reason };
    let output = tokio::process::Command::new(path)
        .args(store.version_arguments())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(10), output)
        .await
        .map_err(|_| unusable("it did not tell its version within 10 s".into()))?
        .map_err(|error| unusable(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    first_version(&text)
        .ok_or_else(|| unusable(format!("it did not tell its version but {:?}", text.trim())))
}

/// The first word of `text` that looks like `1.2.3`, without a leading `v` or `v=`. Valkey prints
/// what Redis does but for the name, which is then part of the version.
fn first_version(text: &str) -> Option<String> {
    let version = text
        .split_whitespace()
        .map(|word| word.trim_start_matches("v=").trim_start_matches('v'))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))?;
    let program = if text.starts_with("Valkey") { "valkey-" } else { "" };
    Some(format!("{program}{version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_the_servers_print() {
        let consul = "Consul v1.8.7\nRevision 1\nProtocol 2 spoken by default";
        assert_eq!(first_version(consul).as_deref(), Some("1.8.7"));
        let etcd = "etcd Version: 3.4.23\nGit SHA: Not provided\nGo Version: go1.19.5";
        assert_eq!(first_version(etcd).as_deref(), Some("3.4.23"));
        let redis = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64";
        assert_eq!(first_version(redis).as_deref(), Some("7.0.15"));
        let valkey = "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64";
        assert_eq!(first_version(valkey).as_deref(), Some("valkey-8.1.1"));
        assert_eq!(first_version("usage: frobnicate"), None);
    }

    #[tokio::test]
    async fn a_binary_that_is_not_there_is_named() {
        let error = binary_version(Store::Etcd, Path::new("/nowhere/etcd"))
            .await
            .expect_err("there is no such file");
        assert!(error.to_string().contains("/nowhere/etcd"), "{error}");
    }
}
