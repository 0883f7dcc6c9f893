//! Commands on the control node's own host: a child process where a server node has SSH.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

use crate::remote::{CONTROL, GRACE, RemoteCommand, RemoteError, RemoteOutput};

/// Runs `command` here, to its end.
pub(crate) async fn run(command: &RemoteCommand) -> Result<RemoteOutput, RemoteError> {
    let lost = |reason: String| RemoteError::Lost {
        node: CONTROL.to_owned(),
        purpose: command.purpose.clone(),
        reason,
    };
    match timeout(command.timeout + GRACE, execute(command)).await {
        Ok(result) => result.map_err(|error| lost(error.to_string())),
        Err(_) => Err(lost(format!("no answer within {:?}", command.timeout + GRACE))),
    }
}

async fn execute(command: &RemoteCommand) -> io::Result<RemoteOutput> {
    let seconds = format!("{:.3}", command.timeout.as_secs_f64());
    // It is not killed with the future: that would be the end of `timeout`, and of nothing that it
    // watches.
    let mut child = Command::new("timeout")
        .args(["-k", "1", &seconds, "sh", "-c", &command.script])
        .stdin(if command.stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C in a terminal goes to the whole foreground group; it must not cut an undo short.
        .process_group(0)
        .spawn()?;
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command that does not read its input ends the pipe; its status tells the rest.
            let _ = stdin.write_all(&command.stdin).await;
        }
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ((), stdout, stderr) = tokio::join!(feed, read_all(stdout), read_all(stderr));
    Ok(RemoteOutput { status: shell_status(child.wait().await?), stdout: stdout?, stderr: stderr? })
}

/// What a shell makes of it: `timeout` itself dies by the signal that it has to kill with.
fn shell_status(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(255)
}

/// All that a child has to say, lossily decoded; nothing without a stream.
pub(crate) async fn read_all(stream: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::audit::AuditLog;
    use crate::remote::Remote;
    use crate::ssh::SshCluster;

    /// The control node of a cluster without servers.
    fn control(audit: AuditLog) -> SshCluster {
        SshCluster::new(&[], "/nonexistent".as_ref(), audit)
    }

    fn command(script: &str) -> RemoteCommand {
        RemoteCommand::new("try something", script)
    }

    async fn output(command: RemoteCommand) -> RemoteOutput {
        control(AuditLog::none()).run(CONTROL, &command).await.expect("it ran to its end")
    }

    #[tokio::test]
    async fn a_command_has_its_status_its_input_and_both_its_outputs() {
        for status in [0, 1, 127, 255] {
            let script = format!("cat; echo no luck >&2; exit {status}");
            let RemoteOutput { status: told, stdout, stderr } =
                output(command(&script).stdin("input")).await;
            assert_eq!((told, stdout.as_str(), stderr.as_str()), (status, "input", "no luck\n"));
        }
        assert_eq!(output(command("cat")).await.stdout, "", "no input is an empty one");
        // More than a pipe holds, and nobody reads it.
        assert_eq!(output(command("exit 3").stdin(vec![b'x'; 1 << 20])).await.status, 3);
    }

    #[tokio::test]
    async fn a_command_that_runs_too_long_is_ended() {
        for (ignore, status) in [("", 124), ("trap '' TERM; ", 137)] {
            let overlong = command(&format!("{ignore}while :; do sleep 0.1; done"));
            let output = output(overlong.timeout(Duration::from_millis(200))).await;
            assert_eq!(output.status, status, "{ignore}");
        }
    }

    #[tokio::test]
    async fn a_background_process_with_streams_of_its_own_holds_no_command_up_and_outlives_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let go = dir.path().join("go");
        let script = format!(
            "setsid sh -c 'until [ -e {0} ]; do sleep 0.02; done' > /dev/null 2>&1 < /dev/null &
             echo $!",
            go.display()
        );
        let pid = output(command(&script)).await.stdout;
        let alive = format!("kill -0 {pid}");
        assert_eq!(output(command(&alive)).await.status, 0);
        std::fs::write(&go, "").expect("write");
        let gone = format!("while kill -0 {} 2> /dev/null; do sleep 0.02; done", pid.trim());
        assert_eq!(output(command(&gone)).await.status, 0);
    }

    #[tokio::test]
    async fn a_command_is_in_a_process_group_of_its_own() {
        let group = "sed 's/.*) //' /proc/$1/stat | cut -d' ' -f3";
        let script = format!("group() {{ {group}; }}; group $$; group {}", std::process::id());
        let output = output(command(&script)).await.stdout;
        let (of_command, of_test) = output.trim().split_once('\n').expect("two groups");
        assert_ne!(of_command, of_test);
    }

    #[tokio::test]
    async fn a_command_here_is_audited_like_any_other() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("audit.jsonl");
        let ticks = AtomicU64::new(1);
        let now_ns = Arc::new(move || ticks.fetch_add(1, Ordering::Relaxed));
        let control = control(AuditLog::open(&path, now_ns).expect("an audit log"));
        control.run_ok(CONTROL, &command("exit 3")).await.expect_err("it fails");
        let text = std::fs::read_to_string(&path).expect("an audit log");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("valid JSON")).collect();
        let [begin, end] = &lines[..] else { panic!("a begin and an end: {lines:?}") };
        assert_eq!((&begin["node"], &begin["script"]), (&"control".into(), &"exit 3".into()));
        assert_eq!((&end["event"], &end["status"]), (&"end".into(), &3.into()));
    }
}
