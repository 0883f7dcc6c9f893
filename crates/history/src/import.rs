//! An exported history read back: the inverse of [`export_json_lines`](crate::export_json_lines).

use std::collections::HashMap;
use std::io::{self, BufRead, Read};

use serde::Deserialize;
use thiserror::Error;

use crate::{ClientId, Detail, Event, Function, History, KeyId, NodeId, Phase, Plan, Record, Run};

/// The longest line, in bytes. The first one holds the whole plan.
const LINE_LIMIT_BYTES: u64 = 16 * 1024 * 1024;

/// Why an exported history could not be read back.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The input could not be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The first line is not that of a run.
    #[error("the first line is not a run's: {0}")]
    NotARun(String),
    /// A line is not one that an export has.
    #[error("line {line}: {what}")]
    Line {
        /// Its number, counted from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// A line, as the export writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "record")]
enum ImportedLine {
    Run(Box<Run>),
    Event {
        time_ns: u64,
        client: String,
        attempt: u64,
        op: u64,
        key: String,
        server: Option<String>,
        function: Function,
        phase: Phase,
        detail: Detail,
    },
    Other {
        body: Record,
    },
    Damage {
        what: String,
    },
}

/// What names stand for, which an export uses in place of indices.
struct Names {
    keys: HashMap<String, KeyId>,
    nodes: HashMap<String, NodeId>,
}

impl Names {
    fn new(plan: &Plan) -> Names {
        let keys = (0..).map(KeyId).zip(&plan.keys);
        let nodes = (0..=u16::MAX).map(NodeId).zip(&plan.nodes);
        Names {
            keys: keys.map(|(key, name)| (name.clone(), key)).collect(),
            nodes: nodes.map(|(node, name)| (name.clone(), node)).collect(),
        }
    }

    fn key(&self, name: &str) -> Option<KeyId> {
        let unplanned = || name.strip_prefix("key#")?.parse().ok().map(KeyId);
        self.keys.get(name).copied().or_else(unplanned)
    }

    fn node(&self, name: &str) -> Option<NodeId> {
        let unplanned = || name.strip_prefix("node#")?.parse().ok().map(NodeId);
        self.nodes.get(name).copied().or_else(unplanned)
    }
}

/// A client's name is its number, counted from one.
fn client(name: &str) -> Option<ClientId> {
    name.strip_prefix('c')?.parse::<u32>().ok()?.checked_sub(1).map(ClientId)
}

/// Reads what [`export_json_lines`](crate::export_json_lines) wrote. As with the history file, an
/// input that was cut short keeps what came before, and the damage is named.
pub fn import_json_lines(mut source: impl BufRead) -> Result<History, ImportError> {
    let mut text = Vec::new();
    let run = match next_line(&mut source, &mut text, 1)? {
        Next::Line(ImportedLine::Run(run)) => *run,
        Next::Line(_) | Next::End => {
            return Err(ImportError::NotARun("it is a line of another kind".into()));
        }
        Next::CutShort(what) => return Err(ImportError::NotARun(what)),
    };
    let names = Names::new(&run.plan);
    let mut history = History { run, records: Vec::new(), damage: Vec::new() };
    for line in 2.. {
        let wrong = |what: String| ImportError::Line { line, what };
        let imported = match next_line(&mut source, &mut text, line)? {
            Next::Line(imported) => imported,
            Next::End => break,
            Next::CutShort(what) => {
                history.damage.push(format!("the export is cut short in line {line}: {what}"));
                break;
            }
        };
        match imported {
            ImportedLine::Run(_) => return Err(wrong("it begins another run".into())),
            ImportedLine::Other { body } => history.records.push(body),
            ImportedLine::Damage { what } => history.damage.push(what),
            ImportedLine::Event {
                time_ns,
                client: client_name,
                attempt,
                op,
                key,
                server,
                function,
                phase,
                detail,
            } => {
                let unknown =
                    |what: &str, name: &str| wrong(format!("no {what} is called `{name}`"));
                let server = match server {
                    Some(name) => Some(names.node(&name).ok_or_else(|| unknown("server", &name))?),
                    None => None,
                };
                history.records.push(Record::Event(Event {
                    time_ns,
                    client: client(&client_name).ok_or_else(|| unknown("client", &client_name))?,
                    attempt,
                    op,
                    key: names.key(&key).ok_or_else(|| unknown("lock", &key))?,
                    server,
                    function,
                    phase,
                    detail,
                }));
            }
        }
    }
    Ok(history)
}

enum Next {
    Line(ImportedLine),
    End,
    /// The input ends within the line.
    CutShort(String),
}

fn next_line(
    source: &mut impl BufRead,
    text: &mut Vec<u8>,
    line: u64,
) -> Result<Next, ImportError> {
    text.clear();
    source.by_ref().take(LINE_LIMIT_BYTES).read_until(b'\n', text)?;
    if text.is_empty() {
        return Ok(Next::End);
    }
    let ended = text.ends_with(b"\n");
    if !ended && text.len() as u64 >= LINE_LIMIT_BYTES {
        let what = format!("it is longer than {LINE_LIMIT_BYTES} bytes");
        return Err(ImportError::Line { line, what });
    }
    match serde_json::from_slice(text) {
        Ok(imported) => Ok(Next::Line(imported)),
        Err(error) if !ended => Ok(Next::CutShort(error.to_string())),
        Err(error) if line == 1 => Err(ImportError::NotARun(error.to_string())),
        Err(error) => Err(ImportError::Line { line, what: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::tests::run_for_tests;
    use crate::{ClientExit, ExitCause, Milestone, Token, export_json_lines};

    fn event(time_ns: u64, server: Option<NodeId>, key: KeyId, detail: Detail) -> Record {
        Record::Event(Event {
            time_ns,
            client: ClientId(11),
            attempt: 3,
            op: u64::MAX,
            key,
            server,
            function: Function::TryAcquire,
            phase: Phase::Info,
            detail,
        })
    }

    fn history() -> History {
        let token = Some(Token { major: u64::MAX, minor: 1 });
        let entry = Detail::Entry { ours: true, token, at_revision: Some(4) };
        let exit = ClientExit { time_ns: 4, client: ClientId(0), cause: ExitCause::Killed(9) };
        History {
            run: run_for_tests(),
            records: vec![
                Record::Milestone { time_ns: 0, what: Milestone::ClusterReady },
                event(1, Some(NodeId(0)), KeyId(0), entry),
                event(2, Some(NodeId(7)), KeyId(9), Detail::Reason("a \"word\"\n".into())),
                event(3, None, KeyId(0), Detail::None),
                Record::ClientExit(exit),
            ],
            damage: vec!["the tail is lost".into()],
        }
    }

    fn exported(history: &History) -> Vec<u8> {
        let mut out = Vec::new();
        export_json_lines(history, &mut out).expect("writes to memory");
        out
    }

    #[test]
    fn what_is_exported_is_read_back() {
        let history = history();
        let read = import_json_lines(&exported(&history)[..]).expect("a good export");
        assert_eq!(read.run, history.run);
        assert_eq!(read.records, history.records);
        assert_eq!(read.damage, history.damage);
    }

    #[test]
    fn an_export_that_is_cut_short_keeps_its_whole_lines_and_names_the_damage() {
        let history = history();
        let bytes = exported(&history);
        let cut = bytes.len() - 60;
        let read = import_json_lines(&bytes[..cut]).expect("the whole lines");
        assert_eq!(read.records[..], history.records[..read.records.len()]);
        assert!(read.damage[0].contains("cut short in line"), "{:?}", read.damage);
    }

    #[test]
    fn a_line_that_no_export_has_is_named() {
        let text = String::from_utf8(exported(&history())).expect("JSON is UTF-8");
        for (what, instead, expected) in [
            ("\"c12\"", "\"c0\"", "line 3: no client is called `c0`"),
            ("\"key\":\"lock-0\"", "\"key\":\"lock-1\"", "line 3: no lock is called `lock-1`"),
            ("\"server\":\"sim\"", "\"server\":\"n1\"", "line 3: no server is called `n1`"),
            ("\"phase\":\"info\"", "\"phase\":\"perhaps\"", "line 3: unknown variant `perhaps`"),
            ("\"record\":\"run\"", "\"record\":\"damage\"", "the first line is not a run's"),
        ] {
            let text = text.replace(what, instead);
            let error = import_json_lines(text.as_bytes()).expect_err(what);
            assert!(error.to_string().starts_with(expected), "{what}: {error}");
        }
        let twice = format!("{text}{text}");
        let error = import_json_lines(twice.as_bytes()).expect_err("two runs");
        assert!(error.to_string().ends_with("it begins another run"), "{error}");
        assert!(matches!(import_json_lines(&b""[..]), Err(ImportError::NotARun(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_import_panic(
            at in any::<prop::sample::Index>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let history = history();
            let mut export = exported(&history);
            let at = at.index(export.len());
            let end = (at + bytes.len()).min(export.len());
            export.splice(at..end, bytes);
            if let Ok(read) = import_json_lines(&export[..]) {
                prop_assert!(read.records.len() <= history.records.len());
            }
        }
    }
}
