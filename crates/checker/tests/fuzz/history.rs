//! A history with what it is of, and the text that keeps it as a seed.
//!
//! ```text
//! # why this history is kept
//! model fenced-mutex
//! verdict linearizable
//! # process, invoke, complete, outcome, action
//! 0 1 4 ok acquire 7
//! 1 2 - info release
//! ```

use std::fmt;
use std::str::FromStr;

use locktest_checker::{Action, NEVER, Operation, Outcome, Specification, Value, Values};

/// Operations on one object.
#[derive(Clone, Debug)]
pub struct History {
    pub specification: Specification,
    /// In order of their invokes.
    pub operations: Vec<Operation>,
    pub values: Values,
}

/// What a seed calls the value that is there before the first write.
const NIL: &str = "nil";

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "model {}", self.specification)?;
        let text = |value: Value| match self.values.text(value).unwrap() {
            "" => NIL,
            text => text,
        };
        for operation in &self.operations {
            let Operation { process, invoke, complete, .. } = operation;
            write!(f, "{process} {invoke} ")?;
            match *complete {
                NEVER => write!(f, "- ")?,
                complete => write!(f, "{complete} ")?,
            }
            f.write_str(match operation.outcome {
                Outcome::Ok => "ok ",
                Outcome::Fail => "fail ",
                Outcome::Info => "info ",
            })?;
            match operation.action {
                Action::Acquire(token) => writeln!(f, "acquire {token}")?,
                Action::TryAcquire(token) => writeln!(f, "try-acquire {token}")?,
                Action::Release => writeln!(f, "release")?,
                Action::Renew => writeln!(f, "renew")?,
                Action::AcquireShared => writeln!(f, "acquire-shared")?,
                Action::TryAcquireShared => writeln!(f, "try-acquire-shared")?,
                Action::ReleaseShared => writeln!(f, "release-shared")?,
                Action::Read(value) => writeln!(f, "read {}", text(value))?,
                Action::Write(value) => writeln!(f, "write {}", text(value))?,
                Action::Cas { expected, new } => {
                    writeln!(f, "cas {} {}", text(expected), text(new))?;
                }
                Action::Get(value) => writeln!(f, "get {}", text(value))?,
                Action::Put(value) => writeln!(f, "put {}", text(value))?,
                Action::Append(value) => writeln!(f, "append {}", text(value))?,
                Action::GuardedRead(token) => writeln!(f, "guarded-read {token}")?,
                Action::GuardedWrite(token) => writeln!(f, "guarded-write {token}")?,
            }
        }
        Ok(())
    }
}

/// A history that is kept, with its true verdict.
pub struct Seed {
    pub history: History,
    pub linearizable: bool,
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Seed, String> {
        let mut specification = None;
        let mut linearizable = None;
        let mut operations = Vec::new();
        let mut values = Values::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                ["model", name] => {
                    specification = Some(name.parse().map_err(|error| format!("{line}: {error}"))?);
                }
                ["verdict", "linearizable"] => linearizable = Some(true),
                ["verdict", "not-linearizable"] => linearizable = Some(false),
                [process, invoke, complete, outcome, ref action @ ..] => {
                    let operation =
                        operation(process, invoke, complete, outcome, action, &mut values);
                    operations.push(operation.ok_or_else(|| format!("no operation: {line}"))?);
                }
                _ => return Err(format!("not a line of a seed: {line}")),
            }
        }
        let specification = specification.ok_or("the model is missing")?;
        let linearizable = linearizable.ok_or("the verdict is missing")?;
        Ok(Seed { history: History { specification, operations, values }, linearizable })
    }
}

fn operation(
    process: &str,
    invoke: &str,
    complete: &str,
    outcome: &str,
    action: &[&str],
    values: &mut Values,
) -> Option<Operation> {
    let mut value = |text: &str| values.number(if text == NIL { "" } else { text });
    let action = match *action {
        ["acquire", token] => Action::Acquire(token.parse().ok()?),
        ["try-acquire", token] => Action::TryAcquire(token.parse().ok()?),
        ["release"] => Action::Release,
        ["renew"] => Action::Renew,
        ["acquire-shared"] => Action::AcquireShared,
        ["try-acquire-shared"] => Action::TryAcquireShared,
        ["release-shared"] => Action::ReleaseShared,
        ["read", text] => Action::Read(value(text)),
        ["write", text] => Action::Write(value(text)),
        ["cas", expected, new] => Action::Cas { expected: value(expected), new: value(new) },
        ["get", text] => Action::Get(value(text)),
        ["put", text] => Action::Put(value(text)),
        ["append", text] => Action::Append(value(text)),
        ["guarded-read", token] => Action::GuardedRead(token.parse().ok()?),
        ["guarded-write", token] => Action::GuardedWrite(token.parse().ok()?),
        _ => return None,
    };
    let outcome = match outcome {
        "ok" => Outcome::Ok,
        "fail" => Outcome::Fail,
        "info" => Outcome::Info,
        _ => return None,
    };
    let complete = if complete == "-" { NEVER } else { complete.parse().ok()? };
    let invoke = invoke.parse().ok()?;
    Some(Operation { invoke, complete, action, process: process.parse().ok()?, outcome })
}
