//! `locktest`: the control node, the client process, and the commands around them.

mod cli;
mod commands;
mod config;
mod dry_run;
mod exit;
mod plan;
mod run;
mod terminal;

use std::process::ExitCode;

use cli::Command;

fn main() -> ExitCode {
    let arguments = match cli::parse() {
        Ok(arguments) => arguments,
        Err(exit) => return exit.into(),
    };
    let terminal = terminal::Terminal::new(arguments.verbosity());
    let result = match arguments.command {
        Command::Client => return commands::client().into(),
        Command::Run(run) => commands::run(&run, &terminal),
        Command::Lab(lab) => commands::lab(&lab, &terminal),
        Command::Replay(replay) => commands::replay(&replay, &terminal),
        Command::Check(check) => commands::check(&check, &terminal),
        Command::Heal(heal) => commands::heal(&heal, &terminal),
        Command::Export(export) => commands::export(&export, &terminal),
        Command::Versions(versions) => commands::versions(&versions, &terminal),
    };
    let exit = result.unwrap_or_else(|failure| {
        terminal.error(&failure);
        failure.exit
    });
    exit.into()
}
