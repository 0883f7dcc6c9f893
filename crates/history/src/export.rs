//! A history as JSON lines, for people and other tools. `docs/history-format.md` is its schema.

use std::io::{self, Write};

use serde::Serialize;

use crate::{Detail, Event, Function, History, Phase, Plan, Record};

/// One exported line: an event with names in place of indices, or any other record as it is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "record")]
enum ExportedLine<'a> {
    /// The first line.
    Run(&'a crate::Run),
    /// One end of a client's operation.
    Event {
        /// Nanoseconds of the run's clock.
        time_ns: u64,
        /// Such as `c1`.
        client: String,
        /// The owner is (client, attempt).
        attempt: u64,
        /// Pairs the invoke with its completion.
        op: u64,
        /// The lock's name.
        key: String,
        /// The server's name.
        server: Option<String>,
        /// What was asked.
        function: Function,
        /// `invoke`, `ok`, `fail` or `info`.
        phase: Phase,
        /// The rest.
        detail: &'a Detail,
    },
    /// Everything that is not an event.
    Other {
        /// The record; nodes are indices into the plan's list.
        body: &'a Record,
    },
    /// What could not be read; the last line of a damaged history.
    Damage {
        /// In words.
        what: &'a str,
    },
}

fn event_line<'a>(plan: &Plan, event: &'a Event) -> ExportedLine<'a> {
    ExportedLine::Event {
        time_ns: event.time_ns,
        client: event.client.to_string(),
        attempt: event.attempt,
        op: event.op,
        key: plan.key_name(event.key),
        server: event.server.map(|node| plan.node_name(node)),
        function: event.function,
        phase: event.phase,
        detail: &event.detail,
    }
}

/// Writes the whole history, one JSON object a line.
pub fn export_json_lines(history: &History, out: &mut impl Write) -> io::Result<()> {
    let mut line = |line: ExportedLine<'_>| -> io::Result<()> {
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")
    };
    line(ExportedLine::Run(&history.run))?;
    for record in &history.records {
        match record {
            Record::Event(event) => line(event_line(&history.run.plan, event))?,
            body => line(ExportedLine::Other { body })?,
        }
    }
    for what in &history.damage {
        line(ExportedLine::Damage { what })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::run_for_tests;
    use crate::{ClientId, KeyId, NodeId};

    #[test]
    fn an_event_is_exported_with_names_in_place_of_indices() {
        let event = Event {
            time_ns: 5,
            client: ClientId(0),
            attempt: 1,
            op: 2,
            key: KeyId(0),
            server: Some(NodeId(0)),
            function: Function::TryAcquire,
            phase: Phase::Fail,
            detail: Detail::Reason("held".into()),
        };
        let history = History {
            run: run_for_tests(),
            records: vec![Record::Event(event)],
            damage: vec!["cut".into()],
        };
        let mut out = Vec::new();
        export_json_lines(&history, &mut out).expect("writes to memory");
        let text = String::from_utf8(out).expect("JSON is UTF-8");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            r#"{"record":"event","time_ns":5,"client":"c1","attempt":1,"op":2,"key":"lock-0","server":"sim","function":"try-acquire","phase":"fail","detail":{"reason":"held"}}"#
        );
        assert_eq!(lines[2], r#"{"record":"damage","what":"cut"}"#);
    }
}
