//! The flags of `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

const SERVE_HELP: &str = "\
Examples:
  locktest serve                              browse store/ at http://127.0.0.1:8080
  locktest serve --store nightly --bind 127.0.0.1:9000

Pages show the runs with their verdicts, filtered and sorted by the address, the trend of each
store under each kind of fault, the matrix of them, the progress of a run that goes on, and every
file of a run. Nothing can be changed. Ctrl-C ends it.";

/// The flags of `serve`.
#[derive(Debug, Args)]
#[command(after_help = SERVE_HELP)]
pub struct ServeArgs {
    /// Where to listen. An address that is not loopback shows the runs to whoever can reach it.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    pub bind: SocketAddr,
    /// The folder of the run directories.
    #[arg(long, env = "LOCKTEST_STORE", default_value = "store", value_name = "DIR")]
    pub store: PathBuf,
}
