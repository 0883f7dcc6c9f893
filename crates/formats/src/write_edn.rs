//! A run in Jepsen's own form: one operation map a line.

use std::collections::HashMap;
use std::io::Write;

use locktest_history::{ClientId, History, KeyId};

use crate::run::{Answer, Tenure, beliefs};
use crate::write_edn_registers::register_lines;
use crate::{FormatError, Skipped};

/// Writes the locks of a run, or its registers, as Jepsen's tools read them: an operation map a line,
/// with `:index`, `:time` in nanoseconds, `:process`, `:type`, `:f`, `:value` and `:key`, and the
/// `:token` of a grant where it is known. Tells what of a damaged history was left out.
///
/// Of registers it is what clients asked and were told. Of locks it is what clients believed, as [`load_run`](crate::load_run) has it. Since a Jepsen process
/// does nothing after an `:info`, a client goes on as another process after one; the processes of
/// one client are the same modulo the number of clients. A try that was granted, or may have been,
/// is written as the acquire that it is to every model. A denial is a `:fail` of `try-acquire`,
/// which Jepsen's tools leave aside; it has an `:error`, and so tells nothing, in a key in which an
/// acquire of unknown outcome began before its end: that one may be what it met, and may since have
/// been released, which Jepsen's form cannot say of a process that ended with an `:info`.
///
/// Errors: `out` cannot be written.
pub fn write_jepsen_edn(history: &History, out: &mut impl Write) -> Result<Skipped, FormatError> {
    let (mut lines, skipped) = match history.run.plan.workload.takes_locks() {
        true => lock_lines(history)?,
        false => register_lines(history)?,
    };
    lines.sort_by_key(|line| (line.time_ns, line.rank));
    for (index, line) in lines.iter().enumerate() {
        let Line { time_ns, process, kind, function, value, token, .. } = line;
        let key = edn_string(&history.run.plan.key_name(line.key));
        write!(
            out,
            "{{:index {index}, :time {time_ns}, :process {process}, :type :{kind}, :f :{function}, \
             :value {value}, :key {key}"
        )?;
        if *token > 0 {
            write!(out, ", :token {token}")?;
        }
        if let Some(error) = line.error {
            write!(out, ", :error :{error}")?;
        }
        out.write_all(b"}\n")?;
    }
    Ok(skipped)
}

fn lock_lines(history: &History) -> Result<(Vec<Line>, Skipped), FormatError> {
    let beliefs = beliefs(history, true)?;
    let mut first_unknown_ns: HashMap<KeyId, u64> = HashMap::new();
    for tenure in &beliefs.tenures {
        if matches!(tenure.answer, Answer::Unknown(_)) {
            first_unknown_ns.entry(tenure.key).or_insert(tenure.invoke_ns);
        }
    }
    let mut processes = JepsenProcesses::new(&beliefs.tenures);
    let mut lines = Vec::with_capacity(beliefs.tenures.len() * 4);
    for tenure in &beliefs.tenures {
        let unknown_ns = first_unknown_ns.get(&tenure.key).copied();
        push_lines(&mut lines, tenure, processes.take(tenure), unknown_ns);
    }
    Ok((lines, beliefs.into_skipped()))
}

/// The order of lines of one time, which in a run are concurrent: invokes come first.
pub(crate) const INVOKE: u8 = 0;
/// The two ends of a hold that lasted no time stay next to each other.
const INSTANT: u8 = 1;
pub(crate) const COMPLETE: u8 = 2;

pub(crate) struct Line {
    pub(crate) time_ns: u64,
    pub(crate) rank: u8,
    pub(crate) process: u64,
    pub(crate) kind: &'static str,
    pub(crate) function: &'static str,
    pub(crate) key: KeyId,
    pub(crate) value: String,
    pub(crate) token: u64,
    pub(crate) error: Option<&'static str>,
}

fn push_lines(lines: &mut Vec<Line>, tenure: &Tenure, process: u64, unknown_ns: Option<u64>) {
    let mut push = |time_ns: u64, rank, kind, function, token, is_excused: bool| {
        let (key, value) = (tenure.key, "nil".to_owned());
        let error = is_excused.then_some("not-granted");
        lines.push(Line { time_ns, rank, process, kind, function, key, value, token, error });
    };
    let function = match tenure.answer {
        Answer::Denied(_) => "try-acquire",
        _ => "acquire",
    };
    push(tenure.invoke_ns, INVOKE, "invoke", function, 0, false);
    match (tenure.answer, tenure.end) {
        (Answer::Granted(ns), None) => push(ns, COMPLETE, "ok", function, tenure.token, false),
        (Answer::Granted(ns), Some(end)) => {
            let (ok, invoke) =
                if end.begin_ns == ns { (INSTANT, INSTANT) } else { (COMPLETE, INVOKE) };
            push(ns, ok, "ok", function, tenure.token, false);
            push(end.begin_ns, invoke, "invoke", "release", 0, false);
            if let Some(ok_ns) = end.ok_ns {
                push(ok_ns, COMPLETE, "ok", "release", 0, false);
            }
        }
        (Answer::Denied(ns), _) => {
            let is_excused = unknown_ns.is_some_and(|unknown_ns| unknown_ns <= ns);
            push(ns, COMPLETE, "fail", function, 0, is_excused);
        }
        (Answer::Failed(ns), _) => push(ns, COMPLETE, "fail", function, 0, true),
        (Answer::Unknown(Some(ns)), _) => push(ns, COMPLETE, "info", function, 0, false),
        (Answer::Unknown(None), _) => {}
    }
}

/// Numbers of processes as Jepsen gives them: a client's own, and after each info one that is
/// larger by the number of clients.
struct JepsenProcesses {
    clients: u64,
    current: HashMap<ClientId, Current>,
}

struct Current {
    process: u64,
    /// When its last operation was over; `None` if it is over for good.
    idle_since_ns: Option<u64>,
}

impl JepsenProcesses {
    fn new(tenures: &[Tenure]) -> JepsenProcesses {
        let largest = tenures.iter().map(|tenure| tenure.owner.0.0).max().unwrap_or(0);
        JepsenProcesses { clients: u64::from(largest) + 1, current: HashMap::new() }
    }

    /// The process that an attempt is of.
    fn take(&mut self, tenure: &Tenure) -> u64 {
        let client = tenure.owner.0;
        let idle_since_ns = match (tenure.answer, tenure.end) {
            (Answer::Granted(_), Some(end)) => end.ok_ns,
            (Answer::Denied(ns) | Answer::Failed(ns), _) => Some(ns),
            _ => None,
        };
        let process = match self.current.get(&client) {
            None => u64::from(client.0),
            Some(Current { process, idle_since_ns: Some(ns) }) if *ns < tenure.invoke_ns => {
                *process
            }
            Some(Current { process, .. }) => process + self.clients,
        };
        self.current.insert(client, Current { process, idle_since_ns });
        process
    }
}

fn edn_string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
