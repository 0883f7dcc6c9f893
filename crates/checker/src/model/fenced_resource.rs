//! A resource that refuses tokens smaller than the largest that it has seen.

use super::{DependsOn, Model};
use crate::operation::{Action, Operation, Outcome, Token};

/// Reads raise the largest token as writes do: else a late write could slip in between the read
/// and the write of a newer holder.
#[derive(Clone, Copy, Debug)]
pub struct FencedResource;

impl Model for FencedResource {
    /// The largest token that it has seen.
    type State = Token;

    fn initial(&self) -> Token {
        0
    }

    fn step(&self, largest: &Token, operation: &Operation) -> Option<Token> {
        let (Action::GuardedRead(token) | Action::GuardedWrite(token)) = operation.action else {
            return None;
        };
        match operation.outcome {
            Outcome::Fail => (token < *largest).then_some(*largest),
            Outcome::Ok | Outcome::Info => (token >= *largest).then_some(token),
        }
    }

    fn knows(&self, action: Action) -> bool {
        matches!(action, Action::GuardedRead(_) | Action::GuardedWrite(_))
    }

    fn effect_depends_on(&self) -> DependsOn {
        DependsOn::Action
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, knows_only};
    use super::*;
    use Action::*;
    use Outcome::*;

    #[test]
    fn it_refuses_exactly_what_is_smaller_than_the_largest_read_or_write() {
        check(
            &FencedResource,
            &[
                (0, GuardedWrite(1), Fail, false),
                (0, GuardedRead(3), Ok, true),
                (1, GuardedWrite(2), Ok, false),
                (1, GuardedWrite(2), Fail, true),
                (1, GuardedWrite(3), Fail, false),
                (1, GuardedWrite(3), Ok, true),
                (1, GuardedWrite(5), Info, true),
                (0, GuardedRead(4), Fail, true),
            ],
        );
        knows_only(&FencedResource, &[GuardedRead(0), GuardedWrite(0)]);
    }
}
