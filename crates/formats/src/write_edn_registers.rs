//! The registers of a run in Jepsen's own form.

use std::collections::HashMap;

use locktest_history::{ClientId, Detail, Event, Function, History, Phase};

use crate::run::{Contradictions, Pair, events, pair};
use crate::write_edn::{COMPLETE, INVOKE, Line};
use crate::{FormatError, Skipped};

/// What the clients of a run without locks asked of its registers: the value of a read or write, and
/// of a `:cas` what it expects and what it writes. A `:cas` that found another value fails without
/// an `:error`; whatever else fails has one.
pub(crate) fn register_lines(history: &History) -> Result<(Vec<Line>, Skipped), FormatError> {
    let mut contradictions = Contradictions::new(history, true)?;
    let (pairs, _) = pair(&events(history), &mut contradictions)?;
    let clients = pairs.iter().map(|(_, pair)| u64::from(pair.invoke.client.0) + 1).max();
    // A Jepsen process does nothing after an info: its client goes on as another.
    let mut processes: HashMap<ClientId, u64> = HashMap::new();
    let mut lines = Vec::with_capacity(pairs.len() * 2);
    for (_, Pair { invoke, completion }) in &pairs {
        let function = match (invoke.function, &invoke.detail) {
            (Function::Read, Detail::Register { .. }) => "read",
            (Function::Write, Detail::Register { .. }) => "write",
            (Function::Cas, Detail::Register { .. }) => "cas",
            _ => continue,
        };
        let process = processes.entry(invoke.client).or_insert(u64::from(invoke.client.0));
        for event in [Some(*invoke), *completion].into_iter().flatten() {
            lines.push(line(event, invoke, function, *process));
        }
        if completion.is_none_or(|event| event.phase == Phase::Info) {
            *process += clients.unwrap_or(1);
        }
    }
    Ok((lines, contradictions.skipped))
}

fn line(event: &Event, invoke: &Event, function: &'static str, process: u64) -> Line {
    let (kind, rank) = match event.phase {
        Phase::Invoke => ("invoke", INVOKE),
        Phase::Ok => ("ok", COMPLETE),
        Phase::Fail => ("fail", COMPLETE),
        Phase::Info => ("info", COMPLETE),
    };
    let text = |value: Option<u64>| value.map_or("nil".to_owned(), |value| value.to_string());
    let value = match (event.function, event.phase, &event.detail, &invoke.detail) {
        (Function::Read, Phase::Ok, Detail::Register { value, .. }, _) => text(*value),
        (Function::Read, ..) => text(None),
        (Function::Cas, _, _, Detail::Register { expected, value }) => {
            format!("[{} {}]", text(*expected), text(*value))
        }
        (_, _, _, Detail::Register { value, .. }) => text(*value),
        _ => text(None),
    };
    let is_refusal = matches!(event.detail, Detail::Register { .. });
    let error = (event.phase == Phase::Fail && !is_refusal).then_some("not-done");
    let Event { time_ns, key, .. } = *event;
    Line { time_ns, rank, process, kind, function, key, value, token: 0, error }
}
