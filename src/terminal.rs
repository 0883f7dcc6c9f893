//! The only module that touches the terminal.
//!
//! Standard output carries the verdict or JSON; everything else goes to standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anstyle::{AnsiColor, Style as Ansi};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use locktest_reports::Style;

/// The width of a page when nobody tells the terminal's.
const DEFAULT_WIDTH: usize = 100;

/// How much to print on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors alone.
    Quiet,
    /// Steps, faults, and a live line.
    Normal,
    /// And what each step does.
    Verbose,
}

/// Where text for people goes. Clones share the live line.
#[derive(Clone)]
pub struct Terminal {
    verbosity: Verbosity,
    live: Arc<Mutex<Option<ProgressBar>>>,
}

impl Terminal {
    /// The process's own terminal.
    pub fn new(verbosity: Verbosity) -> Terminal {
        Terminal { verbosity, live: Arc::default() }
    }

    /// For one of several parts of the work: its steps are details of the whole.
    pub fn of_a_part(&self) -> Terminal {
        let verbosity = match self.verbosity {
            Verbosity::Verbose => Verbosity::Normal,
            Verbosity::Normal | Verbosity::Quiet => Verbosity::Quiet,
        };
        Terminal { verbosity, live: self.live.clone() }
    }

    /// Prints a result on standard output. A closed pipe is no error.
    pub fn print(&self, text: &str) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }

    /// How text on standard output may look.
    pub fn style(&self) -> Style {
        let width = terminal_width().unwrap_or(DEFAULT_WIDTH);
        let choice = anstream::AutoStream::choice(&io::stdout());
        Style { width, colour: choice != anstream::ColorChoice::Never }
    }

    /// A step of the work.
    pub fn step(&self, text: impl Display) {
        if self.verbosity >= Verbosity::Normal {
            self.line(&format!("{text}"));
        }
    }

    /// What a step does, for whoever asked to see it.
    pub fn detail(&self, text: impl Display) {
        if self.verbosity >= Verbosity::Verbose {
            self.line(&format!("  {text}"));
        }
    }

    /// Something is not as it should be.
    pub fn warning(&self, text: impl Display) {
        if self.verbosity >= Verbosity::Normal {
            let style = Ansi::new().fg_color(Some(AnsiColor::Yellow.into())).bold();
            self.line(&format!("{style}warning:{style:#} {text}"));
        }
    }

    /// The command failed.
    pub fn error(&self, text: impl Display) {
        self.end_live();
        let style = Ansi::new().fg_color(Some(AnsiColor::Red.into())).bold();
        self.line(&format!("{style}error:{style:#} {text}"));
    }

    /// Replaces the live line, which exists only on a terminal.
    pub fn live(&self, text: &str) {
        if self.verbosity < Verbosity::Normal || !io::stderr().is_terminal() {
            return;
        }
        let mut slot = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = slot.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        bar.set_message(text.to_owned());
    }

    /// Removes the live line.
    pub fn end_live(&self) {
        if let Some(bar) = self.live.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        let slot = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let write = || {
            // Nobody is left to hear of a closed standard error.
            let _ = writeln!(anstream::stderr().lock(), "{text}");
        };
        match &*slot {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

/// Prints why the command line cannot be used; there is no [`Terminal`] yet.
pub fn print_usage_error(text: &str) {
    Terminal::new(Verbosity::Normal).error(text);
}

fn terminal_width() -> Option<usize> {
    if let Some((width, _height)) = terminal_size::terminal_size_of(io::stdout()) {
        return Some(usize::from(width.0));
    }
    std::env::var("COLUMNS").ok()?.parse().ok()
}
