//! A reader of the part of EDN that Jepsen's histories are written in.
//!
//! It reads one form at a time from what is visible of the input, and says if that ends too early.
//! Forms that nobody asked for, such as exceptions, are passed over without being built.

use std::borrow::Cow;

use crate::Problem;
use crate::datum::Datum;
use crate::error::quoted;

/// How deep forms may be nested. Reading recurses as deep.
const DEPTH_LIMIT: u32 = 128;

/// Why a form could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EdnError {
    /// What is visible ends within it.
    Incomplete,
    /// It is wrong.
    Malformed(Problem),
}

type Read<T> = Result<T, EdnError>;

fn malformed<T>(what: impl Into<String>) -> Read<T> {
    Err(EdnError::Malformed(Problem::malformed(what)))
}

/// A position in the visible input.
pub(crate) struct EdnReader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether nothing follows what is visible.
    is_last: bool,
    /// How many forms are open.
    depth: u32,
}

/// What a form begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Vector,
    List,
    Map,
    Set,
}

impl Opening {
    fn closing(self) -> u8 {
        match self {
            Opening::Vector => b']',
            Opening::List => b')',
            Opening::Map | Opening::Set => b'}',
        }
    }
}

impl<'a> EdnReader<'a> {
    pub(crate) fn new(bytes: &'a [u8], is_last: bool) -> EdnReader<'a> {
        EdnReader { bytes, at: 0, is_last, depth: 0 }
    }

    /// How many bytes were read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The next byte that is neither space nor comment; `None` if the input ends before it.
    pub(crate) fn peek(&mut self) -> Read<Option<u8>> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | 0x0c) => self.at += 1,
                Some(b';') => match memchr::memchr(b'\n', &self.bytes[self.at..]) {
                    Some(length) => self.at += length + 1,
                    None if self.is_last => self.at = self.bytes.len(),
                    None => return Err(EdnError::Incomplete),
                },
                Some(b'#') if self.bytes.get(self.at + 1) == Some(&b'_') => {
                    self.at += 2;
                    self.pass()?;
                }
                Some(byte) => return Ok(Some(*byte)),
                None if self.is_last => return Ok(None),
                None => return Err(EdnError::Incomplete),
            }
        }
    }

    /// Moves past the byte that was peeked at.
    pub(crate) fn take(&mut self) {
        self.at += 1;
    }

    fn required(&mut self) -> Read<u8> {
        self.peek()?.ok_or(EdnError::Incomplete)
    }

    /// Begins a map, past its tag if it has one.
    pub(crate) fn open_map(&mut self) -> Read<()> {
        if self.required()? == b'#'
            && self.bytes.get(self.at + 1).is_some_and(u8::is_ascii_alphabetic)
        {
            self.at += 1;
            // A record's tag may touch its map.
            self.token()?;
        }
        match self.required()? {
            b'{' => {
                self.take();
                Ok(())
            }
            _ => malformed("it is not a map of an operation"),
        }
    }

    /// The next key of a map, past its colon; `None` at the map's end.
    pub(crate) fn map_key(&mut self) -> Read<Option<&'a [u8]>> {
        match self.required()? {
            b'}' => {
                self.take();
                Ok(None)
            }
            b':' => self.keyword().map(Some),
            other => malformed(format!(
                "an operation's fields are named by keywords, and `{}` begins none",
                quoted(&[other])
            )),
        }
    }

    /// A keyword, past its colon.
    pub(crate) fn keyword(&mut self) -> Read<&'a [u8]> {
        match self.required()? {
            b':' => {
                self.take();
                self.token()
            }
            _ => {
                let begin = self.at;
                self.pass()?;
                malformed(format!("`{}` is no keyword", quoted(&self.bytes[begin..self.at])))
            }
        }
    }

    /// Bytes up to the next delimiter.
    fn token(&mut self) -> Read<&'a [u8]> {
        let begin = self.at;
        while let Some(byte) = self.bytes.get(self.at) {
            if is_delimiter(*byte) {
                return Ok(&self.bytes[begin..self.at]);
            }
            self.at += 1;
        }
        if self.is_last { Ok(&self.bytes[begin..]) } else { Err(EdnError::Incomplete) }
    }

    /// Reads a form within another one. After an error the reader is of no more use.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth >= DEPTH_LIMIT {
            return malformed(format!("it is nested more than {DEPTH_LIMIT} deep"));
        }
        self.depth += 1;
        let form = read(self)?;
        self.depth -= 1;
        Ok(form)
    }

    /// Moves past one form.
    pub(crate) fn pass(&mut self) -> Read<()> {
        self.deeper(Self::pass_form)
    }

    /// Builds one form.
    pub(crate) fn datum(&mut self) -> Read<Datum<'a>> {
        self.deeper(Self::build_form)
    }

    /// Moves past one form, and tells whether it is anything but nil.
    pub(crate) fn presence(&mut self) -> Read<Datum<'a>> {
        self.required()?;
        let begin = self.at;
        self.pass()?;
        match &self.bytes[begin..self.at] {
            b"nil" => Ok(Datum::Nil),
            _ => Ok(Datum::Unordered),
        }
    }

    fn pass_form(&mut self) -> Read<()> {
        match self.required()? {
            b'"' => self.string().map(drop),
            b'\\' => self.character().map(drop),
            b')' | b']' | b'}' => malformed("a bracket closes what was not opened"),
            byte => match self.opening(byte)? {
                Some(opening) => {
                    let mut forms = 0u64;
                    while !self.closes(opening)? {
                        self.pass()?;
                        forms += 1;
                    }
                    if opening == Opening::Map && !forms.is_multiple_of(2) {
                        return malformed("a map has a key without a value");
                    }
                    Ok(())
                }
                None => match self.tag()? {
                    Some(_) => self.pass(),
                    None => self.token().and_then(require_token).map(drop),
                },
            },
        }
    }

    fn build_form(&mut self) -> Read<Datum<'a>> {
        let byte = self.required()?;
        match byte {
            b'"' => self.string().map(Datum::Text),
            b'\\' => self.character().and_then(utf8).map(|text| Datum::Plain(text.into())),
            b')' | b']' | b'}' => malformed("a bracket closes what was not opened"),
            b':' => self.keyword().and_then(require_token).and_then(utf8).map(Datum::Keyword),
            _ => match self.opening(byte)? {
                Some(opening) => {
                    let mut items = Vec::new();
                    while !self.closes(opening)? {
                        items.push(self.datum()?);
                    }
                    match opening {
                        Opening::Vector | Opening::List => Ok(Datum::Sequence(items)),
                        Opening::Map | Opening::Set => Ok(Datum::Unordered),
                    }
                }
                None => match self.tag()? {
                    Some(tag) => tagged(tag, self.datum()?),
                    None => self.token().and_then(require_token).and_then(atom),
                },
            },
        }
    }

    /// Moves past an opening bracket, if one is next.
    fn opening(&mut self, byte: u8) -> Read<Option<Opening>> {
        let opening = match byte {
            b'[' => Opening::Vector,
            b'(' => Opening::List,
            b'{' => Opening::Map,
            b'#' => match self.bytes.get(self.at + 1) {
                Some(b'{') => {
                    self.take();
                    Opening::Set
                }
                None if !self.is_last => return Err(EdnError::Incomplete),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        self.take();
        Ok(Some(opening))
    }

    /// Whether the form ends here; if so, moves past its end.
    fn closes(&mut self, opening: Opening) -> Read<bool> {
        let closes = self.required()? == opening.closing();
        if closes {
            self.take();
        }
        Ok(closes)
    }

    /// Moves past the tag of a tagged form, if one is next.
    fn tag(&mut self) -> Read<Option<&'a [u8]>> {
        if self.bytes.get(self.at) != Some(&b'#') {
            return Ok(None);
        }
        match self.bytes.get(self.at + 1) {
            None if !self.is_last => Err(EdnError::Incomplete),
            // A symbolic number such as ##Inf, which is a token.
            Some(b'#') => Ok(None),
            // A regular expression.
            Some(b'"') => {
                self.take();
                Ok(Some(b""))
            }
            _ => {
                self.take();
                self.token().and_then(require_token).map(Some)
            }
        }
    }

    fn string(&mut self) -> Read<Cow<'a, str>> {
        self.take();
        let begin = self.at;
        let mut escaped = false;
        loop {
            let Some(length) = memchr::memchr2(b'"', b'\\', &self.bytes[self.at..]) else {
                return Err(EdnError::Incomplete);
            };
            self.at += length;
            if self.bytes[self.at] == b'"' {
                break;
            }
            escaped = true;
            if self.bytes.len() < self.at + 2 {
                return Err(EdnError::Incomplete);
            }
            self.at += 2;
        }
        let text = utf8(&self.bytes[begin..self.at])?;
        self.take();
        if escaped { unescaped(text).map(Cow::Owned) } else { Ok(Cow::Borrowed(text)) }
    }

    fn character(&mut self) -> Read<&'a [u8]> {
        let begin = self.at;
        self.take();
        // A delimiter may be the character.
        if self.bytes.get(self.at).is_none() {
            return Err(EdnError::Incomplete);
        }
        self.take();
        self.token()?;
        Ok(&self.bytes[begin..self.at])
    }
}

fn is_delimiter(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'\t'
            | b'\n'
            | b'\r'
            | b','
            | 0x0c
            | b';'
            | b'"'
            | b'('
            | b')'
            | b'['
            | b']'
            | b'{'
            | b'}'
    )
}

fn require_token(token: &[u8]) -> Read<&[u8]> {
    if token.is_empty() { malformed("a name is missing") } else { Ok(token) }
}

fn utf8(bytes: &[u8]) -> Read<&str> {
    std::str::from_utf8(bytes).or_else(|_| malformed("it is not UTF-8"))
}

fn unescaped(text: &str) -> Read<String> {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        let meant = match characters.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some(same @ ('"' | '\\')) => same,
            Some('u') => {
                let digits: String = characters.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                match code.and_then(char::from_u32) {
                    Some(character) => character,
                    None => return malformed(format!("`\\u{digits}` is no character")),
                }
            }
            // Regular expressions have escapes of their own.
            Some(other) => {
                out.push('\\');
                other
            }
            None => return malformed("a string ends in the middle of an escape"),
        };
        out.push(meant);
    }
    Ok(out)
}

fn tagged<'a>(tag: &[u8], datum: Datum<'a>) -> Read<Datum<'a>> {
    match (&datum, datum.identity()) {
        // A record of a vector's kind is a vector, such as a key with its value.
        (Datum::Sequence(_), _) => Ok(datum),
        (_, Some(identity)) => Ok(Datum::Plain(format!("#{} {identity}", utf8(tag)?).into())),
        (_, None) => Ok(Datum::Unordered),
    }
}

/// A number, a symbol, or one of the three words.
fn atom(token: &[u8]) -> Read<Datum<'_>> {
    let text = utf8(token)?;
    if text == "nil" {
        return Ok(Datum::Nil);
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return Ok(Datum::Plain(text.into()));
    }
    let whole = digits.strip_suffix('N').unwrap_or(digits);
    if whole.bytes().all(|byte| byte.is_ascii_digit()) {
        let magnitude = whole.trim_start_matches('0');
        return Ok(Datum::Integer(match (magnitude, text.starts_with('-')) {
            ("", _) => "0".into(),
            (magnitude, false) => magnitude.into(),
            (magnitude, true) if text.len() == magnitude.len() + 1 => text.into(),
            (magnitude, true) => format!("-{magnitude}").into(),
        }));
    }
    match text.parse::<f64>() {
        // Beyond the range of doubles many numbers would be read as one.
        Ok(number) if number.is_infinite() || number == 0.0 && has_digit_above_zero(digits) => {
            malformed(format!(
                "`{}` is beyond the range of doubles; write such a value as a string",
                quoted(token)
            ))
        }
        // As the one who wrote it had it, a double, in one way of writing.
        Ok(number) => Ok(Datum::Plain(format!("{number:?}").into())),
        Err(_) => malformed(format!("`{}` is no number", quoted(token))),
    }
}

fn has_digit_above_zero(number: &str) -> bool {
    let exponent = number.find(['e', 'E']).unwrap_or(number.len());
    number[..exponent].bytes().any(|byte| matches!(byte, b'1'..=b'9'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datum(text: &str) -> Read<Datum<'_>> {
        EdnReader::new(text.as_bytes(), true).datum()
    }

    fn identity(text: &str) -> String {
        datum(text).expect(text).identity().expect(text).into_owned()
    }

    #[test]
    fn equal_values_have_one_identity_however_they_are_written() {
        for (written, expected) in [
            ("3", "3"),
            ("+3", "3"),
            ("3N", "3"),
            ("-0", "0"),
            ("-12", "-12"),
            ("1.50", "1.5"),
            ("15e-1", "1.5"),
            ("0.00e-1", "0.0"),
            ("1e308", "1e308"),
            ("\"a b\"", "\"a b\""),
            ("\"\\u0061 b\"", "\"a b\""),
            (":key/word", ":key/word"),
            ("[1, 2]", "[1 2]"),
            ("(1 2) ; a list", "[1 2]"),
            ("[1 #_ 9 2]", "[1 2]"),
            ("#inst \"2020\"", "#inst \"2020\""),
            ("#jepsen.Pair[1 nil]", "[1 nil]"),
            ("\\a", "\\a"),
            ("\\]", "\\]"),
            ("true", "true"),
            ("##Inf", "##Inf"),
        ] {
            assert_eq!(identity(written), expected, "{written}");
        }
        assert_eq!(datum("nil"), Ok(Datum::Nil));
        assert_eq!(datum("{:a 1}"), Ok(Datum::Unordered));
        assert_eq!(datum("#{1 2}"), Ok(Datum::Unordered));
        assert_eq!(datum("#object[Foo \"0x1\" {}]").expect("a form").identity(), None);
    }

    #[test]
    fn what_is_wrong_is_told_from_what_is_cut_short() {
        for text in ["", "[1", "\"a", "{:a", "#", "#{1", "[1 #_", "#tag", "\\", "\"\\"] {
            let incomplete = Err(EdnError::Incomplete);
            assert_eq!(EdnReader::new(text.as_bytes(), false).datum(), incomplete, "{text}");
        }
        for text in [
            ")",
            "[1)}",
            "12x",
            ":",
            "\"\\ud800\"",
            "[: 1]",
            "1e400",
            "-1e401",
            "1e-400",
            "0.01e-400",
        ] {
            assert!(matches!(datum(text), Err(EdnError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        for opening in ["[", "{", "#{", "(", "#a ", "#_", "[#_"] {
            let text = opening.repeat(100_000);
            for is_last in [false, true] {
                let mut reader = EdnReader::new(text.as_bytes(), is_last);
                assert!(matches!(reader.datum(), Err(EdnError::Malformed(_))), "{opening}");
                let mut reader = EdnReader::new(text.as_bytes(), is_last);
                assert!(matches!(reader.pass(), Err(EdnError::Malformed(_))), "{opening}");
            }
        }
    }
}
