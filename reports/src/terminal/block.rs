//! Text for a terminal: wrapped, indented and painted.

use std::ops::Range;

use anstyle::{AnsiColor, Color, Style as Ansi};

use crate::text::{ascii, wrap};
use crate::wording::Tone;

/// A sentence of the verdict is cut to this length; the page has more of it.
pub(crate) const MAX_SENTENCE: usize = 600;

/// Text is wrapped at this width even on a wider terminal: long lines are hard to read.
pub(crate) const MAX_WIDTH: usize = 160;

/// Text is not wrapped below this width, since the tables need it.
pub(crate) const MIN_WIDTH: usize = 64;

/// How the terminal shows a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// The terminal's width in columns; used between 64 and 160.
    pub width: usize,
    /// Whether ANSI colours are wanted.
    pub colour: bool,
}

/// The text so far.
pub(crate) struct Block {
    pub(crate) out: String,
    pub(crate) width: usize,
    colour: bool,
}

impl Block {
    pub(crate) fn new(style: Style) -> Block {
        Block {
            out: String::new(),
            width: style.width.clamp(MIN_WIDTH, MAX_WIDTH),
            colour: style.colour,
        }
    }

    pub(crate) fn item(&mut self, text: &str) {
        let mut head = "   - ".to_owned();
        for line in wrap(&ascii(text, MAX_SENTENCE), self.width - head.len()) {
            self.line(&format!("{head}{line}"));
            head = " ".repeat(5);
        }
    }

    /// `   why: ` and a text that hangs under itself.
    pub(crate) fn labelled(&mut self, label: &str, text: &str) {
        let mut head = format!("   {label} ");
        let indent = head.len();
        for line in wrap(&ascii(text, MAX_SENTENCE), self.width - indent) {
            self.line(&format!("{head}{line}"));
            head = " ".repeat(indent);
        }
    }

    pub(crate) fn paragraph(&mut self, indent: usize, text: &str) {
        for line in wrap(&ascii(text, MAX_SENTENCE), self.width - indent) {
            self.line(&format!("{:indent$}{line}", ""));
        }
    }

    pub(crate) fn doubt(&mut self, indent: usize, text: &str) {
        for line in wrap(&ascii(text, MAX_SENTENCE), self.width - indent) {
            let line = self.paint(Tone::Doubt, &line);
            self.line(&format!("{:indent$}{line}", ""));
        }
    }

    pub(crate) fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    pub(crate) fn gap(&mut self) {
        self.out.push('\n');
    }

    /// A heading.
    pub(crate) fn bold(&self, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let bold = Ansi::new().bold();
        format!("{bold}{text}{bold:#}")
    }

    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let (colour, bold) = match tone {
            Tone::Bad => (AnsiColor::Red, true),
            Tone::Doubt => (AnsiColor::Yellow, true),
            Tone::Good => (AnsiColor::Green, true),
            Tone::Quiet => (AnsiColor::BrightBlack, false),
        };
        let mut style = Ansi::new().fg_color(Some(Color::Ansi(colour)));
        if bold {
            style = style.bold();
        }
        format!("{style}{text}{style:#}")
    }
}

/// The columns of a table by the lines that they need: as many at a time as there is room for.
pub(crate) fn fold(widths: &[usize], room: usize) -> Vec<Range<usize>> {
    let mut lines: Vec<Range<usize>> = Vec::new();
    let mut used = 0;
    for (column, width) in widths.iter().enumerate() {
        used += width;
        match lines.last_mut() {
            Some(line) if used <= room => line.end = column + 1,
            _ => {
                lines.push(column..column + 1);
                used = *width;
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_folded_where_the_room_ends_and_none_is_left_out() {
        assert_eq!(fold(&[4, 4, 4], 12).len(), 1);
        assert_eq!(fold(&[4, 4, 4], 11), [0..2, 2..3]);
        assert_eq!(fold(&[20, 4, 4], 8), [0..1, 1..3]);
        assert!(fold(&[], 8).is_empty());
    }
}
