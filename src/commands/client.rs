//! `locktest client`: the process that the control node starts for each client.

use locktest_workloads::client::run_client;

use crate::exit::Exit;
use crate::terminal;

/// Runs a client to its end.
pub fn client() -> Exit {
    match run_client() {
        Ok(()) => Exit::Ok,
        Err(error) => {
            terminal::print_usage_error(&error.to_string());
            Exit::SetUp
        }
    }
}
