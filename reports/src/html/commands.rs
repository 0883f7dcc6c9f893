//! The exact commands of each fault, host by host.

use maud::{Markup, html};

use crate::background::FaultCommand;
use crate::text::{count, visible};

/// All scripts of a page together; the others are in the audit log.
const MAX_BYTES: usize = 256 * 1024;

/// A line of a script is cut to this length.
const MAX_LINE: usize = 2000;

/// What was sent for each fault, as far as there is room.
pub(crate) struct Commands<'a> {
    commands: &'a [FaultCommand],
    /// How many of them there is room for.
    shown: usize,
}

impl<'a> Commands<'a> {
    pub(crate) fn new(commands: &'a [FaultCommand]) -> Commands<'a> {
        let mut bytes = 0;
        let fits = |command: &&FaultCommand| {
            bytes += command.script.len();
            bytes <= MAX_BYTES
        };
        let shown = commands.iter().take_while(fits).count();
        Commands { commands, shown }
    }

    /// The commands of one fault, folded away; nothing if none is known.
    pub(crate) fn of_fault(&self, fault: u32) -> Option<Markup> {
        let all = self.commands.iter().filter(|command| command.fault == fault).count();
        let of_fault = |command: &&FaultCommand| command.fault == fault;
        let shown: Vec<_> = self.commands[..self.shown].iter().filter(of_fault).collect();
        (all > 0).then(|| {
            html! {
                details.commands {
                    summary { (count(all as u64, "command")) " that applied and undid fault " (fault) }
                    @for command in &shown {
                        details {
                            summary { (visible(&command.step, 40)) " on " (visible(&command.host, 40)) }
                            pre { code { (script(&command.script)) } }
                        }
                    }
                    @if all > shown.len() {
                        p.note { (count((all - shown.len()) as u64, "more command")) " in "
                            a href="audit.jsonl" { "audit.jsonl" } "." }
                    }
                }
            }
        })
    }
}

/// A script with its line breaks, and without what could reorder a line.
fn script(script: &str) -> String {
    script.lines().map(|line| visible(line, MAX_LINE)).collect::<Vec<_>>().join("\n")
}
