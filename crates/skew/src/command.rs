//! The commands by which a node starts servers with clocks of their own, sets those clocks and
//! reads them back. They are for scripts, so the arguments have one form and the answers one line
//! each.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::store_time::{Protocol, ask};
use crate::{Class, Error, Patched, Reading, Setting, Skew, check_support, launch};

const USAGE: &str = "\
check                                 can servers have clocks of their own here?
launch --file F -- PROGRAM ARG..      become the program, with the clock that F says
set --file F --class wall|monotonic --offset-ns N --rate-ppm N --strobe-ns N --expires-in-ms N PID..
clear --file F PID..                  set both clocks right
remains --file F --wait-ms N PID..    say what is not right
read [--class wall|monotonic] [--wait-ms N] [--redis ADDR:PORT | --http ADDR:PORT] PID..
                                      say what the clocks tell, a line each";

/// A process that was started just now gets its clock within this time.
const LAUNCH_PATIENCE: Duration = Duration::from_millis(500);

/// The exit code of a usage error.
const USAGE_ERROR: u8 = 2;

/// That of a program that cannot be run, as shells have it.
const CANNOT_RUN: u8 = 126;

/// That of a program that is not there.
const NOT_FOUND: u8 = 127;

/// Does what the arguments, without the program's name, say. Answers go to standard output, what
/// went wrong to standard error.
pub fn command(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    match Request::parse(&args).map(Request::run) {
        Ok(Ok(answer)) => match io::stdout().write_all(answer.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Ok(Err(failed)) => {
            say(&failed.words);
            ExitCode::from(failed.code)
        }
        Err(problem) => {
            say(&format!("{problem}\n\nusage:\n{USAGE}"));
            ExitCode::from(USAGE_ERROR)
        }
    }
}

fn say(words: &str) {
    let _ = writeln!(io::stderr(), "{words}");
}

/// What is asked for.
#[derive(Debug)]
enum Request {
    Check,
    Launch { file: PathBuf, program: PathBuf, args: Vec<OsString> },
    Set { file: PathBuf, class: Class, skew: Skew, lasts_ms: u64, pids: Vec<i32> },
    Clear { file: PathBuf, pids: Vec<i32> },
    Remains { file: PathBuf, patience: Duration, pids: Vec<i32> },
    Read { classes: Vec<Class>, patience: Duration, store: Option<Store>, pids: Vec<i32> },
}

type Store = (Protocol, SocketAddr);

/// What went wrong, and the exit code.
#[derive(Debug)]
struct Failed {
    words: String,
    code: u8,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        let code = match &error {
            Error::Exec { source, .. } if source.kind() == io::ErrorKind::NotFound => NOT_FOUND,
            Error::Exec { .. } => CANNOT_RUN,
            _ => 1,
        };
        Failed { words: error.to_string(), code }
    }
}

impl Request {
    fn parse(args: &[OsString]) -> Result<Request, String> {
        let mut words = Words { args };
        let verb = words.text("what to do")?;
        match verb.as_str() {
            "check" => words.end().map(|()| Request::Check),
            "launch" => {
                let file = words.flag("--file")?.into();
                words.literal("--")?;
                let (program, args) = words.args.split_first().ok_or("no program is named")?;
                Ok(Request::Launch { file, program: program.into(), args: args.to_vec() })
            }
            "set" => Ok(Request::Set {
                file: words.flag("--file")?.into(),
                class: words.class()?,
                skew: Skew {
                    offset_ns: words.number("--offset-ns")?,
                    rate_ppm: words.number("--rate-ppm")?,
                    strobe_period_ns: words.number("--strobe-ns")?,
                },
                lasts_ms: words.number("--expires-in-ms")?,
                pids: words.pids()?,
            }),
            "clear" => {
                Ok(Request::Clear { file: words.flag("--file")?.into(), pids: words.pids()? })
            }
            "remains" => Ok(Request::Remains {
                file: words.flag("--file")?.into(),
                patience: words.patience()?,
                pids: words.pids()?,
            }),
            "read" => Ok(Request::Read {
                classes: match words.comes("--class") {
                    true => vec![words.class()?],
                    false => Class::ALL.to_vec(),
                },
                patience: match words.comes("--wait-ms") {
                    true => words.patience()?,
                    false => Duration::ZERO,
                },
                store: words.store()?,
                pids: words.pids()?,
            }),
            other => Err(format!("'{other}' is nothing that can be done to clocks")),
        }
    }

    fn run(self) -> Result<String, Failed> {
        match self {
            Request::Check => check_support().map(|()| String::new()).map_err(Failed::from),
            Request::Launch { file, program, args } => match launch(&file, &program, &args) {
                Ok(never) => match never {},
                Err(error) => Err(error.into()),
            },
            Request::Set { file, class, skew, lasts_ms, pids } => {
                set(&file, class, skew, lasts_ms, &pids)
            }
            Request::Clear { file, pids } => clear(&file, &pids),
            Request::Remains { file, patience, pids } => remains(&file, patience, &pids),
            Request::Read { classes, patience, store, pids } => {
                read(&classes, patience, store, &pids)
            }
        }
    }
}

fn set(
    file: &Path,
    class: Class,
    skew: Skew,
    lasts_ms: u64,
    pids: &[i32],
) -> Result<String, Failed> {
    if class == Class::Monotonic {
        let is_jvm = |pid: &i32| Patched::find(*pid).and_then(|process| process.is_jvm());
        if let Some(pid) = pids.iter().find(|pid| matches!(is_jvm(pid), Ok(true))) {
            return Err(Error::Jvm(*pid).into());
        }
    }
    let setting = Setting::read(file)?.in_force()?.with(class, skew, lasts_ms)?;
    setting.write(file)?;
    of_all(of_each(pids, |process| process.set(class, &setting)))
}

/// A process that is gone has no wrong clock.
fn clear(file: &Path, pids: &[i32]) -> Result<String, Failed> {
    let removed = Setting::remove(file);
    let cleared = of_each(pids, Patched::clear).map(|result| match result {
        Err(Error::Gone(_)) => Ok(()),
        other => other,
    });
    of_all([removed].into_iter().chain(cleared))
}

/// Does this to each process; to those that are just being launched last, since that is waited for.
fn of_each(
    pids: &[i32],
    deed: impl Fn(&Patched) -> Result<(), Error>,
) -> impl Iterator<Item = Result<(), Error>> {
    let at_once = pids.iter().map(|pid| Patched::find(*pid).and_then(|process| deed(&process)));
    let at_once: Vec<Result<(), Error>> = at_once.collect();
    at_once.into_iter().map(move |result| match result {
        Err(Error::NotPatched(pid)) => deed(&Patched::find_within(pid, LAUNCH_PATIENCE)?),
        done => done,
    })
}

/// The others are done also if one cannot be.
fn of_all(results: impl Iterator<Item = Result<(), Error>>) -> Result<String, Failed> {
    let problems: Vec<String> =
        results.filter_map(|result| result.err().map(|error| error.to_string())).collect();
    match problems.is_empty() {
        true => Ok(String::new()),
        false => Err(Failed { words: problems.join("\n"), code: 1 }),
    }
}

/// A line for each clock that is not right.
fn remains(file: &Path, patience: Duration, pids: &[i32]) -> Result<String, Failed> {
    let mut left = String::new();
    if file.exists() {
        left.push_str(&format!("{} says how wrong the clock is\n", file.display()));
    }
    for pid in pids {
        match Patched::find_within(*pid, patience).and_then(|process| process.remains(patience)) {
            Ok(remains) => left.extend(remains.into_iter().map(|line| line + "\n")),
            Err(Error::Gone(_)) => {}
            Err(error) => left.push_str(&format!("{error}\n")),
        }
    }
    Ok(left)
}

fn read(
    classes: &[Class],
    patience: Duration,
    store: Option<Store>,
    pids: &[i32],
) -> Result<String, Failed> {
    let deadline = Instant::now() + patience;
    let left = || deadline.saturating_duration_since(Instant::now());
    let mut answer = String::new();
    for &pid in pids {
        let readings = Patched::find_within(pid, left())
            .and_then(|process| classes.iter().map(|class| process.read(*class, left())).collect());
        let readings: Vec<Reading> = match readings {
            Err(Error::Gone(pid)) => vec![Reading::Gone { pid }],
            Err(Error::NotPatched(pid)) => vec![Reading::Unpatched { pid }],
            readings => readings?,
        };
        answer.extend(readings.iter().map(|reading| format!("{reading}\n")));
    }
    if let Some((protocol, address)) = store {
        answer.push_str(&format!("{}\n", ask(protocol, address)));
    }
    Ok(answer)
}

/// The words of a command line.
struct Words<'a> {
    args: &'a [OsString],
}

impl Words<'_> {
    fn text(&mut self, what: &str) -> Result<String, String> {
        let (first, rest) = self.args.split_first().ok_or(format!("{what} is missing"))?;
        self.args = rest;
        first.to_str().map(str::to_owned).ok_or(format!("{what} is no text: {}", first.display()))
    }

    fn literal(&mut self, word: &str) -> Result<(), String> {
        let found = self.text(word)?;
        if found == word { Ok(()) } else { Err(format!("'{found}' stands where {word} is to")) }
    }

    /// Whether this word is the next.
    fn comes(&self, word: &str) -> bool {
        self.args.first().is_some_and(|next| next == word)
    }

    fn flag(&mut self, name: &str) -> Result<String, String> {
        self.literal(name)?;
        self.text(&format!("the value of {name}"))
    }

    fn number<T: std::str::FromStr>(&mut self, name: &str) -> Result<T, String> {
        let text = self.flag(name)?;
        text.parse().map_err(|_| format!("{name}: '{text}' is no number that it can have"))
    }

    fn class(&mut self) -> Result<Class, String> {
        let name = self.flag("--class")?;
        Class::named(&name).ok_or(format!("--class: no clock is named '{name}'"))
    }

    fn patience(&mut self) -> Result<Duration, String> {
        self.number("--wait-ms").map(Duration::from_millis)
    }

    fn store(&mut self) -> Result<Option<Store>, String> {
        let protocol = match () {
            () if self.comes("--redis") => Protocol::Redis,
            () if self.comes("--http") => Protocol::Http,
            () => return Ok(None),
        };
        let flag = self.text("how to ask")?;
        let address = self.text(&format!("the value of {flag}"))?;
        let parsed = address.parse().map_err(|_| format!("{flag}: '{address}' is no address"))?;
        Ok(Some((protocol, parsed)))
    }

    fn pids(&mut self) -> Result<Vec<i32>, String> {
        let mut pids = Vec::new();
        while !self.args.is_empty() {
            let text = self.text("a process")?;
            let pid = text.parse().ok().filter(|pid| *pid > 0);
            pids.push(pid.ok_or(format!("'{text}' is no process id"))?);
        }
        Ok(pids)
    }

    fn end(&self) -> Result<(), String> {
        match self.args.first() {
            Some(word) => Err(format!("'{}' is one word too many", word.display())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request, String> {
        Request::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_skew_is_read_with_its_clock_and_its_processes() {
        let line = "set --file /f --class wall --offset-ns -5 --rate-ppm 7 --strobe-ns 0 \
                    --expires-in-ms 9 12 13";
        let Ok(Request::Set { class, skew, lasts_ms, pids, .. }) = parse(line) else {
            panic!("{line}");
        };
        assert_eq!(skew, Skew { offset_ns: -5, rate_ppm: 7, strobe_period_ns: 0 });
        assert_eq!((class, lasts_ms, pids), (Class::Wall, 9, vec![12, 13]));
    }

    #[test]
    fn the_arguments_of_a_program_are_its_own() {
        let Ok(Request::Launch { program, args, .. }) = parse("launch --file /f -- /bin/x -- -y")
        else {
            panic!("a launch");
        };
        assert_eq!((program, args), ("/bin/x".into(), vec!["--".into(), "-y".into()]));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (line, named) in [
            ("", "what to do"),
            ("jump", "'jump'"),
            ("check now", "'now'"),
            ("launch --file /f --", "no program"),
            ("launch -- /bin/x", "'--'"),
            ("clear --file /f 12 -1", "'-1'"),
            ("clear --file /f 0", "'0'"),
            ("set --file /f --class dawn", "'dawn'"),
            ("read --wait-ms x 1", "--wait-ms"),
            ("read --class wall --wait-ms 1 --redis here 1", "'here'"),
        ] {
            let error = parse(line).map(|_| ()).expect_err(line);
            assert!(error.contains(named), "{line}: {error}");
        }
    }
}
