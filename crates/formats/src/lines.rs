//! Input in pieces of bounded size: lines, or as much as a form needs.

use std::io::{self, Read};

use crate::{FormatError, Place};

/// How much is read at once, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// The longest line or form, in bytes. Built in memory it may take some fifty times as much.
pub(crate) const LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// A window on the input that moves forwards and grows up to the limit.
pub(crate) struct Window<R> {
    source: R,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    at_end: bool,
    /// The number of the line at the window's start, counted from 1.
    line: u64,
}

impl<R: Read> Window<R> {
    pub(crate) fn new(source: R) -> Window<R> {
        Window { source, bytes: Vec::new(), start: 0, end: 0, at_end: false, line: 1 }
    }

    /// What can be seen of the input.
    pub(crate) fn visible(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Whether nothing follows what can be seen.
    pub(crate) fn is_last(&self) -> bool {
        self.at_end
    }

    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Moves past `length` bytes and the line ends among them.
    pub(crate) fn advance(&mut self, length: usize) {
        let passed = &self.bytes[self.start..self.start + length];
        self.line += memchr::memchr_iter(b'\n', passed).count() as u64;
        self.start += length;
    }

    /// Lets more of the input be seen, unless it ends there.
    pub(crate) fn grow(&mut self) -> Result<(), FormatError> {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.bytes.len() {
            if self.end >= LIMIT_BYTES {
                let place = Place::line(self.line);
                return Err(FormatError::TooLong { place, limit_bytes: LIMIT_BYTES });
            }
            self.bytes.resize((self.end * 2).clamp(CHUNK_BYTES, LIMIT_BYTES), 0);
        }
        loop {
            match self.source.read(&mut self.bytes[self.end..]) {
                Ok(0) => self.at_end = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
            return Ok(());
        }
    }
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Counted from 1.
    pub(crate) number: u64,
    /// Without its end.
    pub(crate) bytes: &'a [u8],
    /// Whether its end is there; the last line may lack it.
    pub(crate) ended: bool,
}

/// The lines of an input.
pub(crate) struct Lines<R> {
    window: Window<R>,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(source: R) -> Lines<R> {
        Lines { window: Window::new(source) }
    }

    /// The next line; `None` after the last.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>, FormatError> {
        let mut searched = 0;
        let (length, ended) = loop {
            let visible = self.window.visible();
            if let Some(at) = memchr::memchr(b'\n', &visible[searched..]) {
                break (searched + at, true);
            }
            searched = visible.len();
            if self.window.is_last() {
                if searched == 0 {
                    return Ok(None);
                }
                break (searched, false);
            }
            self.window.grow()?;
        };
        let number = self.window.line;
        let begin = self.window.start;
        self.window.start += length + usize::from(ended);
        self.window.line += u64::from(ended);
        let bytes = &self.window.bytes[begin..begin + length];
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        Ok(Some(Line { number, bytes, ended }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time, as a pipe does.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(self.1).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn lines(text: &[u8], at_once: usize) -> Vec<(u64, Vec<u8>, bool)> {
        let mut lines = Lines::new(Trickle(text, at_once));
        let mut found = Vec::new();
        while let Some(line) = lines.next().expect("readable") {
            found.push((line.number, line.bytes.to_vec(), line.ended));
        }
        found
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let text = b"one\n\nthree\r\nfour";
        let expected = vec![
            (1, b"one".to_vec(), true),
            (2, vec![], true),
            (3, b"three".to_vec(), true),
            (4, b"four".to_vec(), false),
        ];
        for at_once in [1, 2, 3, 100] {
            assert_eq!(lines(text, at_once), expected);
        }
        assert_eq!(lines(b"", 1), []);
    }

    #[test]
    fn a_line_without_end_is_given_up_at_the_limit() {
        let mut lines = Lines::new(io::repeat(b'x'));
        let error = lines.next().expect_err("endless");
        assert!(matches!(error, FormatError::TooLong { place: Place { line: 1, .. }, .. }));
    }
}
