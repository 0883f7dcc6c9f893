//! What `locktest clock` does, as a program of its own: for tests that have no `locktest`. The word
//! `clock` may stand first, as it does there.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1).peekable();
    words.next_if(|word| word == "clock");
    locktest_skew::command(words)
}
