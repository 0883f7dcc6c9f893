//! What a history's fields hold, be it written in EDN or JSON.

use std::borrow::Cow;
use std::fmt::Write;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Datum<'a> {
    Nil,
    /// In digits, without a leading plus.
    Integer(Cow<'a, str>),
    /// The content of a string.
    Text(Cow<'a, str>),
    /// Without its colon.
    Keyword(&'a str),
    /// Anything else that is equal exactly if it is written the same.
    Plain(Cow<'a, str>),
    Sequence(Vec<Datum<'a>>),
    /// A map or a set, whose writing tells nothing of equality.
    Unordered,
}

impl<'a> Datum<'a> {
    /// The two halves of a pair.
    pub(crate) fn pair(&self) -> Option<(&Datum<'a>, &Datum<'a>)> {
        match self {
            Datum::Sequence(items) => match &items[..] {
                [first, second] => Some((first, second)),
                _ => None,
            },
            _ => None,
        }
    }

    /// A text that is the same exactly for equal values, and never empty; `None` if there is none.
    pub(crate) fn identity(&self) -> Option<Cow<'_, str>> {
        match self {
            Datum::Integer(text) | Datum::Plain(text) => Some(Cow::Borrowed(text)),
            _ => {
                let mut text = String::new();
                self.write(&mut text)?;
                Some(Cow::Owned(text))
            }
        }
    }

    fn write(&self, out: &mut String) -> Option<()> {
        match self {
            Datum::Nil => out.push_str("nil"),
            Datum::Integer(text) | Datum::Plain(text) => out.push_str(text),
            Datum::Text(text) => write!(out, "{text:?}").ok()?,
            Datum::Keyword(name) => write!(out, ":{name}").ok()?,
            Datum::Sequence(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(' ');
                    }
                    item.write(out)?;
                }
                out.push(']');
            }
            Datum::Unordered => return None,
        }
        Some(())
    }

    /// What people call it: a string without its quotes.
    pub(crate) fn label(&self) -> Option<Cow<'_, str>> {
        match self {
            Datum::Text(text) => Some(Cow::Borrowed(text)),
            _ => self.identity(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_differ_have_different_identities() {
        let number = |text: &'static str| Datum::Integer(text.into());
        let data = [
            Datum::Nil,
            number("1"),
            Datum::Text("1".into()),
            Datum::Text("".into()),
            Datum::Text("nil".into()),
            Datum::Keyword("a"),
            Datum::Text(":a".into()),
            Datum::Sequence(vec![]),
            Datum::Sequence(vec![number("1"), number("2")]),
            Datum::Sequence(vec![number("12")]),
            Datum::Sequence(vec![Datum::Text("1 2".into())]),
            Datum::Plain("true".into()),
        ];
        let identities: Vec<_> =
            data.iter().map(|d| d.identity().expect("one").into_owned()).collect();
        for (index, identity) in identities.iter().enumerate() {
            assert!(!identity.is_empty());
            assert!(!identities[..index].contains(identity), "{identity} twice");
        }
        assert_eq!(Datum::Sequence(vec![Datum::Unordered]).identity(), None);
    }
}
