//! What a command on a node prints, line by line, while it runs.

use std::sync::Arc;

use openssh::{Child, ChildStdout, Session};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::sync::SemaphorePermit;

use crate::audit::OpenEntry;

/// The lines of a command that was started by [`SshCluster::stream`](crate::SshCluster::stream). Once
/// this is dropped nobody reads them, which ends a command that writes more.
pub struct LineStream<'s> {
    lines: Option<Lines<BufReader<ChildStdout>>>,
    _child: Child<Arc<Session>>,
    _permit: SemaphorePermit<'s>,
    _entry: OpenEntry,
}

impl<'s> LineStream<'s> {
    pub(crate) fn new(
        mut child: Child<Arc<Session>>,
        permit: SemaphorePermit<'s>,
        entry: OpenEntry,
    ) -> LineStream<'s> {
        let lines = child.stdout().take().map(|stdout| BufReader::new(stdout).lines());
        LineStream { lines, _child: child, _permit: permit, _entry: entry }
    }

    /// The next line; `None` once the command has ended, or the connection has.
    pub async fn next(&mut self) -> Option<String> {
        self.lines.as_mut()?.next_line().await.ok().flatten()
    }
}
