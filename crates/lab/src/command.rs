//! The one way in which this crate starts a program.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

/// Where programs are looked for; a shell that became root without a login may lack the sbin ones.
const PROGRAM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command that does nothing but set up the lab ends well within this time.
const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(30);

/// Why a child command did not succeed. Each variant names the whole command line.
#[derive(Debug, Error)]
pub enum CommandError {
    /// It could not be started, or its output could not be read.
    #[error("cannot run `{command}`: {error}")]
    NotRun {
        /// The command line.
        command: String,
        /// What the operating system says.
        error: io::Error,
    },
    /// It failed.
    #[error("`{command}` failed ({status}): {stderr}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// Its standard error.
        stderr: String,
    },
    /// It took too long and was killed.
    #[error("`{command}` did not end within {limit_s} s")]
    TimedOut {
        /// The command line.
        command: String,
        /// The limit.
        limit_s: u64,
    },
}

/// A child command. A dry run shows it by `Display`; a real run runs it.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    program: &'static str,
    args: Vec<OsString>,
    stdin: String,
    dir: PathBuf,
    time_limit: Duration,
}

impl Invocation {
    pub fn new(program: &'static str) -> Invocation {
        Invocation {
            program,
            args: Vec::new(),
            stdin: String::new(),
            dir: PathBuf::from("/"),
            time_limit: DEFAULT_TIME_LIMIT,
        }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Invocation {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Invocation {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub fn stdin(mut self, stdin: String) -> Invocation {
        self.stdin = stdin;
        self
    }

    pub fn dir(mut self, dir: &Path) -> Invocation {
        self.dir = dir.to_owned();
        self
    }

    pub fn time_limit(mut self, time_limit: Duration) -> Invocation {
        self.time_limit = time_limit;
        self
    }

    /// Runs it to its end and returns its standard output. Dropping the future kills it.
    pub async fn run(&self) -> Result<String, CommandError> {
        let mut child = self
            .command()
            // Ctrl-C in a terminal goes to the whole foreground group; a lab that is half made or
            // half removed must not lose the command that it waits for.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| self.not_run(error))?;
        let stdin = child.stdin.take();
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A program that ends before it has read all its input says why by its status.
                let _ = stdin.write_all(self.stdin.as_bytes()).await;
            }
        };
        let both = async { tokio::join!(feed, child.wait_with_output()).1 };
        let output = match tokio::time::timeout(self.time_limit, both).await {
            Ok(output) => output.map_err(|error| self.not_run(error))?,
            Err(_) => {
                return Err(CommandError::TimedOut {
                    command: self.line(),
                    limit_s: self.time_limit.as_secs(),
                });
            }
        };
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(CommandError::Failed {
            command: self.line(),
            status: output.status,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// Starts it and lets it live; what it prints goes to the end of `log`.
    pub fn spawn_logged(&self, log: &File) -> Result<Child, CommandError> {
        let log = || log.try_clone().map_err(|error| self.not_run(error));
        self.command()
            .stdin(Stdio::null())
            .stdout(log()?)
            .stderr(log()?)
            .spawn()
            .map_err(|error| self.not_run(error))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command.args(&self.args).current_dir(&self.dir).env("PATH", PROGRAM_PATH);
        command.env("LC_ALL", "C.UTF-8");
        command
    }

    fn not_run(&self, error: io::Error) -> CommandError {
        CommandError::NotRun { command: self.line(), error }
    }

    /// The command line without its input.
    fn line(&self) -> String {
        let mut line = self.program.to_owned();
        for arg in &self.args {
            line.push(' ');
            line.push_str(&quoted(arg));
        }
        line
    }
}

/// Runs commands that do not depend on each other, all at once, and waits for all of them even if
/// one fails, so that none is still at work while the caller cleans up.
pub(crate) async fn run_all(commands: Vec<Invocation>) -> Result<(), CommandError> {
    let mut running = JoinSet::new();
    for command in commands {
        running.spawn(async move { command.run().await });
    }
    running.join_all().await.into_iter().try_for_each(|result| result.map(drop))
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dir != Path::new("/") {
            write!(f, "cd {} && ", quoted(self.dir.as_os_str()))?;
        }
        f.write_str(&self.line())?;
        if !self.stdin.is_empty() {
            write!(f, " <<'EOF'\n{}EOF", self.stdin)?;
        }
        Ok(())
    }
}

/// The word as a shell reads it back.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Where a program is, if it is installed.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    PROGRAM_PATH.split(':').map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_names_the_command_its_status_and_its_own_words() {
        let error = Invocation::new("sh").args(["-c", "echo no luck >&2; exit 3"]).run().await;
        let text = error.unwrap_err().to_string();
        assert_eq!(text, "`sh -c 'echo no luck >&2; exit 3'` failed (exit status: 3): no luck");
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_ended() {
        let endless = Invocation::new("sleep").arg("600").time_limit(Duration::from_millis(50));
        assert!(matches!(endless.run().await, Err(CommandError::TimedOut { .. })));
    }

    #[tokio::test]
    async fn input_larger_than_a_pipe_reaches_the_command() {
        let input = "line\n".repeat(100_000);
        let output = Invocation::new("cat").stdin(input.clone()).run().await.unwrap();
        assert_eq!(output, input);
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let error = Invocation::new("locktest-no-such-program").run().await.unwrap_err();
        assert!(error.to_string().contains("locktest-no-such-program"), "{error}");
    }

    #[test]
    fn what_is_shown_can_be_pasted_into_a_shell() {
        let shown = Invocation::new("ip")
            .args(["-batch", "-", "it's", "$(x)", ""])
            .stdin("netns add a\n".into())
            .dir(Path::new("/tmp"))
            .to_string();
        let expected = r"cd /tmp && ip -batch - 'it'\''s' '$(x)' '' <<'EOF'
netns add a
EOF";
        assert_eq!(shown, expected);
    }
}
