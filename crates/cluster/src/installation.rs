//! How a server program is run on a node.

use std::path::PathBuf;

/// A server program on a node, with whatever it takes to run it.
///
/// Redis' sentinel is the same program with another argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The program to execute.
    pub program: PathBuf,
    /// Arguments that go before the server's own.
    pub leading_arguments: Vec<String>,
    /// Variables that the program needs.
    pub environment: Vec<(String, String)>,
}

impl Installation {
    /// A program that runs as it is.
    pub fn of_binary(program: impl Into<PathBuf>) -> Installation {
        Installation {
            program: program.into(),
            leading_arguments: Vec::new(),
            environment: Vec::new(),
        }
    }
}
