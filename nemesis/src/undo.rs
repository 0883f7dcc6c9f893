//! Undoing one fault everywhere, from its intent alone, and reading back that it is gone.

use std::time::Duration;

use futures_util::future::join_all;
use locktest_cluster::{Remote, RemoteCommand, SshTarget, quote};
use serde::Serialize;

use crate::journal::{Intent, NodeUndo};
use crate::partition::{Remains, read_remains};

/// A node that cannot be undone is tried this often.
const TRIES: u32 = 3;

const PAUSE: Duration = Duration::from_millis(500);

/// What became of a fault on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeUndone {
    /// The node's name.
    pub node: String,
    /// Whether reading back shows that the fault is gone.
    pub gone: bool,
    /// What was read back, or what stands in the way.
    pub account: String,
    /// The command that undoes the fault by hand, unless it is gone.
    pub by_hand: Option<String>,
}

/// Undoes a fault on all of its nodes at once. A node that fails keeps no other from being undone.
pub(crate) async fn undo_everywhere(remote: &impl Remote, intent: &Intent) -> Vec<NodeUndone> {
    join_all(intent.nodes.iter().map(|node| undo_node(remote, intent, node))).await
}

async fn undo_node(remote: &impl Remote, intent: &Intent, node: &NodeUndo) -> NodeUndone {
    let name = &node.ssh.name;
    let mut result = undo_once(remote, intent, node).await;
    for _ in 1..TRIES {
        if result.is_ok() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        result = undo_once(remote, intent, node).await;
    }
    match result {
        Ok(account) => NodeUndone { node: name.clone(), gone: true, account, by_hand: None },
        Err(reason) => NodeUndone {
            node: name.clone(),
            gone: false,
            account: format!(
                "{reason} (tried {TRIES} times; the node's own timer undoes the fault {} s after \
                 it was armed)",
                intent.deadline_s
            ),
            by_hand: Some(by_hand(&node.ssh, &node.undo)),
        },
    }
}

/// The dead-man timer is disarmed only when reading back has shown that it is not needed.
async fn undo_once(
    remote: &impl Remote,
    intent: &Intent,
    node: &NodeUndo,
) -> Result<String, String> {
    let name = &node.ssh.name;
    let fault = format!("fault {} of run {}", intent.fault, intent.run_id);
    let undo = RemoteCommand::new(format!("undo {fault}"), &node.undo);
    let undone = remote.run_ok(name, &undo).await;
    let check = RemoteCommand::new(format!("check the undo of {fault}"), &node.check);
    let checked = remote.run_ok(name, &check).await;
    let chain = &node.chain;
    match checked.map(|output| read_remains(chain, &output.stdout)) {
        Ok(Some(Remains::Absent)) => {}
        Ok(Some(Remains::Present(rules))) => {
            let reason = undone.err().map_or_else(String::new, |error| format!(": {error}"));
            return Err(format!("{name} still has {} lines of {chain}{reason}", rules.len()));
        }
        Ok(None) => return Err(format!("{name} does not say whether {chain} is gone")),
        Err(error) => return Err(error.to_string()),
    }
    let disarm = RemoteCommand::new(format!("disarm the dead-man timer of {fault}"), &node.disarm);
    Ok(match remote.run_ok(name, &disarm).await {
        Ok(_) => format!("{name} has no rule of {chain} left, and no dead-man timer"),
        Err(error) => format!(
            "{name} has no rule of {chain} left; its dead-man timer ends by itself, since: {error}"
        ),
    })
}

/// A command line for a person at the control node.
fn by_hand(target: &SshTarget, script: &str) -> String {
    let mut words = vec!["ssh".to_owned(), "-p".into(), target.port.to_string()];
    if let Some(key) = &target.identity_file {
        words.extend(["-i".into(), quote(&key.to_string_lossy())]);
    }
    if let Some(known_hosts) = &target.known_hosts_file {
        let option = format!("UserKnownHostsFile={}", known_hosts.display());
        words.extend(["-o".into(), quote(&option)]);
    }
    words.push(quote(&format!("{}@{}", target.user, target.host)));
    words.push(quote(script));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_by_hand_is_one_shell_line_with_the_whole_script() {
        let target = SshTarget {
            name: "n1".into(),
            host: "10.1.0.1".into(),
            port: 2222,
            user: "root".into(),
            identity_file: Some("/a b/key".into()),
            known_hosts_file: Some("/a b/hosts".into()),
        };
        assert_eq!(
            by_hand(&target, "echo 'x'\n"),
            "ssh -p 2222 -i '/a b/key' -o 'UserKnownHostsFile=/a b/hosts' root@10.1.0.1 \
             'echo '\\''x'\\''\n'"
        );
    }
}
