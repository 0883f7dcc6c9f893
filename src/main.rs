//! `locktest`: the control node, the client process, and the commands around them.

mod catalog;
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

/// The first word of what nodes have this program do with the clocks of their servers. A server is
/// what such a process becomes, so nothing is done before that is not needed.
const CLOCK: &str = "clock";

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == CLOCK) {
        return locktest_skew::command(std::env::args_os().skip(2));
    }
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
        Command::Catalog(catalog) => commands::catalog(&catalog, &terminal),
        Command::Bench(bench) => commands::bench(&bench, &terminal),
        Command::Check(check) => commands::check(&check, &terminal),
        Command::Report(report) => commands::report(&report, &terminal),
        Command::Compare(compare) => commands::compare(&compare, &terminal),
        Command::Serve(serve) => commands::serve(&serve, &terminal),
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
