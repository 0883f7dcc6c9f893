//! What the lock protects: a number that every critical section reads and then writes plus one.
//!
//! The control node keeps it in memory, so that it needs none of the stores under test. Each lock
//! has two copies: one takes every access, one refuses a token smaller than any it has seen
//! (reads raise that bound too, else a late write could slip between a newer holder's read and
//! write).

use std::collections::HashMap;

use locktest_history::{Function, KeyId, Resource, Token};

#[derive(Default)]
pub(crate) struct ProtectedResources {
    copies: HashMap<(KeyId, Resource), Copy>,
}

#[derive(Default)]
struct Copy {
    value: u64,
    newest: Option<Token>,
}

/// The answer to one access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) accepted: bool,
    /// What the copy held just before.
    pub(crate) value: u64,
}

impl ProtectedResources {
    /// Reads a copy, or writes `read_value + 1` to it.
    pub(crate) fn access(
        &mut self,
        key: KeyId,
        resource: Resource,
        function: Function,
        token: Option<Token>,
        read_value: u64,
    ) -> Answer {
        let copy = self.copies.entry((key, resource)).or_default();
        let value = copy.value;
        if resource == Resource::Fenced {
            if token < copy.newest {
                return Answer { accepted: false, value };
            }
            copy.newest = token;
        }
        if function == Function::Write {
            copy.value = read_value.wrapping_add(1);
        }
        Answer { accepted: true, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: KeyId = KeyId(0);

    fn token(major: u64) -> Option<Token> {
        Some(Token { major, minor: 0 })
    }

    fn fenced(
        resources: &mut ProtectedResources,
        function: Function,
        number: u64,
        read_value: u64,
    ) -> Answer {
        resources.access(KEY, Resource::Fenced, function, token(number), read_value)
    }

    #[test]
    fn a_write_with_an_older_token_than_a_read_is_refused() {
        let mut resources = ProtectedResources::default();
        assert!(fenced(&mut resources, Function::Read, 1, 0).accepted);
        assert!(fenced(&mut resources, Function::Read, 2, 0).accepted);
        assert!(!fenced(&mut resources, Function::Write, 1, 0).accepted);
        assert!(fenced(&mut resources, Function::Write, 2, 0).accepted);
        assert_eq!(fenced(&mut resources, Function::Read, 2, 0).value, 1);
    }

    #[test]
    fn the_unfenced_copy_takes_every_access_and_shows_the_value_it_overwrites() {
        let mut resources = ProtectedResources::default();
        let mut write =
            |value| resources.access(KEY, Resource::Unfenced, Function::Write, token(1), value);
        assert_eq!(write(0), Answer { accepted: true, value: 0 });
        assert_eq!(write(0), Answer { accepted: true, value: 1 }, "an update was lost");
    }

    #[test]
    fn a_fenced_access_without_a_token_is_refused_once_a_token_was_seen() {
        let mut resources = ProtectedResources::default();
        assert!(fenced(&mut resources, Function::Read, 1, 0).accepted);
        assert!(!resources.access(KEY, Resource::Fenced, Function::Write, None, 0).accepted);
    }
}
