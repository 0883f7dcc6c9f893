//! Undoing one fault everywhere, from its intent alone, and reading back that it is gone.

use std::time::Duration;

use futures_util::future::join_all;
use locktest_cluster::{Remote, RemoteCommand, SshTarget, quote};
use locktest_history::TookEffect;
use serde::Serialize;

use crate::clocks::Clocks;
use crate::journal::{HostUndo, Intent};
use crate::script::{Remains, read_remains};
use crate::tag;

/// A host that cannot be undone is tried this often.
const TRIES: u32 = 3;

const PAUSE: Duration = Duration::from_millis(500);

/// What became of a fault on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostUndone {
    /// The host's name.
    pub host: String,
    /// Whether reading back shows that the fault is gone.
    pub gone: bool,
    /// What was read back, or what stands in the way.
    pub account: String,
    /// The command that undoes the fault by hand, unless it is gone.
    pub by_hand: Option<String>,
    /// When it was undone, if that is known.
    #[serde(skip)]
    pub took_effect: Option<TookEffect>,
}

/// Undoes a fault on all of its hosts at once. A host that fails keeps no other from being undone.
pub(crate) async fn undo_everywhere(
    remote: &impl Remote,
    intent: &Intent,
    clocks: &Clocks,
) -> Vec<HostUndone> {
    join_all(intent.hosts.iter().map(|host| undo_host(remote, intent, host, clocks))).await
}

async fn undo_host(
    remote: &impl Remote,
    intent: &Intent,
    host: &HostUndo,
    clocks: &Clocks,
) -> HostUndone {
    let mut took_effect = None;
    let mut result = undo_once(remote, intent, host, clocks, &mut took_effect).await;
    for _ in 1..TRIES {
        if result.is_ok() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        result = undo_once(remote, intent, host, clocks, &mut took_effect).await;
    }
    let name = host.host.clone();
    match result {
        Ok(account) => HostUndone { host: name, gone: true, account, by_hand: None, took_effect },
        Err(reason) => HostUndone {
            host: name,
            gone: false,
            account: format!(
                "{reason} (tried {TRIES} times; the host's own timer undoes the fault {} s after \
                 it was armed)",
                intent.deadline_s
            ),
            by_hand: Some(by_hand(host.ssh.as_ref(), &host.undo)),
            took_effect: None,
        },
    }
}

/// The dead-man timer is disarmed only when reading back has shown that it is not needed.
async fn undo_once(
    remote: &impl Remote,
    intent: &Intent,
    host: &HostUndo,
    clocks: &Clocks,
    took_effect: &mut Option<TookEffect>,
) -> Result<String, String> {
    let name = &host.host;
    let fault = tag::in_words(&intent.run_id, intent.fault);
    let undo = RemoteCommand::new(format!("undo {fault}"), &host.undo);
    let (undone, took) = clocks.timed(remote, name, &undo).await;
    if undone.is_ok() {
        took_effect.get_or_insert(took);
    }
    let check = RemoteCommand::new(format!("check the undo of {fault}"), &host.check);
    let checked = remote.run_ok(name, &check).await;
    let tag = &host.tag;
    match checked.map(|output| read_remains(tag, &output.stdout)) {
        Ok(Some(Remains::Absent)) => {}
        Ok(Some(Remains::Present(left))) => {
            let reason = undone.err().map_or_else(String::new, |error| format!("; {error}"));
            let left = match &left[..] {
                [one] => one.clone(),
                left => format!("{} lines of it", left.len()),
            };
            return Err(format!("{tag} is still on {name}: {left}{reason}"));
        }
        Ok(None) => return Err(format!("{name} does not say whether {tag} is gone")),
        Err(error) => return Err(error.to_string()),
    }
    let disarm = RemoteCommand::new(format!("disarm the dead-man timer of {fault}"), &host.disarm);
    // A timer that is left would undo a later fault of the same process.
    match remote.run_ok(name, &disarm).await {
        Ok(_) => Ok(format!("{name} has nothing of {tag} left, and no dead-man timer")),
        Err(error) => {
            Err(format!("{name} has nothing of {tag} left but its dead-man timer: {error}"))
        }
    }
}

/// A command line for a person at the control node.
fn by_hand(target: Option<&SshTarget>, script: &str) -> String {
    let Some(target) = target else { return format!("sh -c {}", quote(script)) };
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
            by_hand(Some(&target), "echo 'x'\n"),
            "ssh -p 2222 -i '/a b/key' -o 'UserKnownHostsFile=/a b/hosts' root@10.1.0.1 \
             'echo '\\''x'\\''\n'"
        );
    }
}
