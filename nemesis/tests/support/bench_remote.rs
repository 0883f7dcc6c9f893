//! Runs scripts on the hosts of a bench, and swallows what it is told to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use locktest_cluster::{
    CONTROL, Remote, RemoteCommand, RemoteError, RemoteOutput, SshCluster, quote,
};

/// Runs scripts in the namespaces, each node with a run folder of its own, and those of the control
/// node as the product does.
#[derive(Clone)]
pub struct BenchRemote {
    /// That of the switch, then the nodes'.
    pub namespaces: Vec<String>,
    pub folder: PathBuf,
    pub control: Arc<SshCluster>,
    /// Where the SSH connection would come from.
    pub ssh_peer: Option<String>,
    /// A host and the first word of what a command is for: it answers "success" and does nothing.
    pub swallow: BTreeSet<(String, &'static str)>,
}

impl BenchRemote {
    /// The same, which swallows such commands to these hosts.
    pub fn swallowing(mut self, first_word: &'static str, hosts: &[&str]) -> BenchRemote {
        self.swallow.extend(hosts.iter().map(|host| ((*host).to_owned(), first_word)));
        self
    }

    fn command(&self, node: &str, command: &RemoteCommand) -> tokio::process::Command {
        let word = |path: &Path| quote(&path.to_string_lossy());
        let enter = format!(
            "mount --bind {} {} && exec timeout -k 1 {} sh -c \"$0\"",
            word(&self.folder.join(node)),
            word(&self.folder.join("run")),
            command.timeout.as_secs_f64(),
        );
        let number: usize = node.trim_start_matches('n').parse().expect("a node's name");
        let mut process = tokio::process::Command::new("ip");
        process.args(["netns", "exec", &self.namespaces[number]]);
        process.args(["unshare", "-m", "sh", "-c", &enter, &command.script]);
        process.env_remove("SSH_CONNECTION").stdin(Stdio::null());
        if let Some(peer) = &self.ssh_peer {
            process.env("SSH_CONNECTION", format!("{peer} 50000 10.1.0.1 22"));
        }
        process
    }
}

impl Remote for BenchRemote {
    async fn run(&self, node: &str, command: &RemoteCommand) -> Result<RemoteOutput, RemoteError> {
        let first_word = command.purpose.split(' ').next().unwrap_or_default();
        if self.swallow.iter().any(|(host, word)| host == node && *word == first_word) {
            return Ok(RemoteOutput { status: 0, stdout: String::new(), stderr: String::new() });
        }
        if node == CONTROL {
            return self.control.run(node, command).await;
        }
        let output = self.command(node, command).output().await.expect("ip");
        Ok(RemoteOutput {
            status: output.status.code().unwrap_or(255),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}
