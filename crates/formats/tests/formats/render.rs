//! Histories as short texts.

use locktest_checker::{Action, NEVER, Outcome, Value, Values};
use locktest_formats::{Format, FormatError, Loaded, Options, read};

/// Reads operations.
pub(crate) fn load(format: Format, text: &str, options: &Options) -> Result<Loaded, FormatError> {
    read(format, text.as_bytes(), options)?.operations(options)
}

pub(crate) fn options(model: &str) -> Options {
    let specification = (!model.is_empty()).then(|| model.parse().expect(model));
    Options { lenient: false, specification }
}

/// The operations of a history, a line each: `PROCESS ACTION INVOKE..COMPLETE OUTCOME`, below the
/// names of their keys.
pub(crate) fn rendered(loaded: &Loaded) -> String {
    let mut lines = Vec::new();
    for object in &loaded.objects {
        if !object.name.is_empty() {
            lines.push(format!("{}:", object.name));
        }
        for operation in &object.operations {
            let process = loaded.processes.name(operation.process).expect("a known process");
            let complete = match operation.complete {
                NEVER => String::new(),
                complete => complete.to_string(),
            };
            let outcome = match operation.outcome {
                Outcome::Ok => "ok",
                Outcome::Fail => "fail",
                Outcome::Info => "info",
            };
            assert_eq!(operation.complete == NEVER, operation.outcome == Outcome::Info);
            let action = action(operation.action, &loaded.values);
            lines.push(format!("{process} {action} {}..{complete} {outcome}", operation.invoke));
        }
    }
    lines.join("\n")
}

fn action(action: Action, values: &Values) -> String {
    let text = |value: Value| match values.text(value).expect("a known value") {
        "" => "nil".to_owned(),
        text => text.to_owned(),
    };
    let with = |name: &str, token: u64| match token {
        0 => name.to_owned(),
        token => format!("{name}#{token}"),
    };
    match action {
        Action::Acquire(token) => with("acquire", token),
        Action::TryAcquire(token) => with("try", token),
        Action::Release => "release".into(),
        Action::Renew => "renew".into(),
        Action::AcquireShared => "acquire-read".into(),
        Action::TryAcquireShared => "try-read".into(),
        Action::ReleaseShared => "release-read".into(),
        Action::Read(value) => format!("read({})", text(value)),
        Action::Write(value) => format!("write({})", text(value)),
        Action::Cas { expected, new } => format!("cas({},{})", text(expected), text(new)),
        Action::Get(value) => format!("get({})", text(value)),
        Action::Put(value) => format!("put({})", text(value)),
        Action::Append(value) => format!("append({})", text(value)),
        Action::GuardedRead(token) => with("guarded-read", token),
        Action::GuardedWrite(token) => with("guarded-write", token),
    }
}

/// Asserts what a reader makes of a history, or which error it gives.
pub(crate) fn check(format: Format, model: &str, text: &str, expected: &str) {
    let found = match load(format, text, &options(model)) {
        Ok(loaded) => rendered(&loaded),
        Err(error) => format!("error: {error}"),
    };
    let expected: Vec<&str> = expected.trim().lines().map(str::trim).collect();
    match expected[..] {
        [line] if line.starts_with("error: ") => {
            assert!(found.starts_with(line), "{text}\nfound    {found}\nexpected {line}");
        }
        _ => assert_eq!(found, expected.join("\n"), "{text}"),
    }
}
