//! Processes on one host that are killed or paused: the scripts that do it, undo it and look, and
//! what they answer.

use std::path::Path;

use locktest_cluster::{STATE_FUNCTION, Service, quote};

use crate::host::ClientProcess;
use crate::script::{self, MARK, MARK_END, PRELUDE};
use crate::tag::FaultTag;

/// A pause between two looks at a process that is about to change, in seconds.
const POLL_S: &str = "0.01";

/// So many looks are made before a process that does not stop or go on is given up.
const POLLS: u32 = 300;

/// What is done to processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Pause,
}

/// A process that a fault is done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    /// What it is, in a word: a server's name, or a client's.
    pub(crate) name: String,
    /// Shell functions: `alive` sets `pid` and tells whether the process is still that very one,
    /// `state PID` prints its state letter and start time.
    functions: String,
    /// Starts it again, if that is the undo of its death.
    start: Option<String>,
}

impl Subject {
    pub(crate) fn of_service(service: &Service) -> Subject {
        Subject {
            name: service.name.to_owned(),
            functions: service.functions(),
            start: Some(service.start().script),
        }
    }

    /// Another client takes the place of one that died, so nobody starts it again.
    pub(crate) fn of_client(process: &ClientProcess) -> Subject {
        let ClientProcess { client, pid, start_ticks } = process;
        Subject {
            name: client.to_string(),
            functions: format!(
                "{STATE_FUNCTION}\
                 alive() {{\n\
                 pid={pid}\n\
                 case $(state {pid}) in [ZX]*) return 1;; ?\" {start_ticks}\") return 0;; esac\n\
                 return 1\n\
                 }} 2>/dev/null"
            ),
            start: None,
        }
    }

    /// Starts it, unless it runs or nobody is to.
    fn start_again(&self) -> String {
        self.start.as_ref().map_or_else(String::new, |start| format!("(\nexec 9<&-\n{start})\n"))
    }

    /// Ends a look at a process that is not there, and says so if it is to be.
    fn miss(&self) -> String {
        match &self.start {
            Some(_) => format!("alive || {{ echo '{} does not run'; exit 0; }}", self.name),
            None => "alive || exit 0".to_owned(),
        }
    }

    /// Commands in a shell of their own, with this process's functions. They do not inherit the lock
    /// on the run folder, which a server that they start would keep.
    fn shell(&self, commands: &str) -> String {
        format!("(\nexec 9<&-\n{}\n{commands}\n)\n", self.functions)
    }
}

/// Kills or pauses the processes, and waits until that is so.
pub(crate) fn apply(run_dir: &Path, tag: &FaultTag, deed: Deed, subjects: &[Subject]) -> String {
    let (signal, wait) = match deed {
        Deed::Kill => ("KILL", format!("while alive; do sleep {POLL_S}; done")),
        Deed::Pause => ("STOP", until("T*", "does not stop")),
    };
    let send = format!("alive || exit 0\nkill -s {signal} $pid 2>/dev/null || true");
    let change: String = std::iter::once(MARK.to_owned())
        .chain(subjects.iter().map(|subject| subject.shell(&send)))
        .chain(subjects.iter().map(|subject| subject.shell(&wait)))
        .collect();
    script::apply(run_dir, tag, "", &change)
}

/// Starts them again, or lets them go on.
pub(crate) fn undo(run_dir: &Path, tag: &FaultTag, deed: Deed, subjects: &[Subject]) -> String {
    let start: String = subjects.iter().map(Subject::start_again).collect();
    let change = match deed {
        Deed::Kill => start,
        Deed::Pause => {
            let go_on = format!(
                "alive || exit 0\nkill -s CONT $pid 2>/dev/null || true\n{}",
                until("[!T]*", "does not go on")
            );
            let go_on: String = subjects.iter().map(|subject| subject.shell(&go_on)).collect();
            // One may have died while it was stopped.
            format!("{MARK}{go_on}{MARK_END}{start}")
        }
    };
    script::undo(run_dir, tag, &change)
}

/// Waits until the process is in such a state, or gone.
fn until(state: &str, problem: &str) -> String {
    format!(
        "tries=0\n\
         while alive; do\n\
         case $(state $pid) in {state}) break;; esac\n\
         tries=$((tries + 1))\n\
         if [ $tries -ge {POLLS} ]; then echo \"process $pid {problem}\" >&2; exit 1; fi\n\
         sleep {POLL_S}\n\
         done"
    )
}

/// Reads back what is left of the fault, as [`read_remains`](crate::script::read_remains)
/// understands it.
pub(crate) fn check(tag: &FaultTag, deed: Deed, subjects: &[Subject]) -> String {
    let tag = tag.chain();
    let mut script = format!("{PRELUDE}left=$(\n");
    for subject in subjects {
        let name = &subject.name;
        let look = match deed {
            Deed::Kill if subject.start.is_none() => continue,
            Deed::Kill => subject.miss(),
            Deed::Pause => format!(
                "{}\ncase $(state $pid) in T*) echo \"{name} is stopped, process $pid\";; esac",
                subject.miss()
            ),
        };
        script.push_str(&subject.shell(&look));
    }
    script.push_str(&format!(
        ")\nif [ -n \"$left\" ]; then\n\
         echo 'present {tag}'\n\
         printf '%s\\n' \"$left\"\n\
         else\n\
         echo 'absent {tag}'\n\
         fi\n"
    ));
    script
}

/// Tells the state of each process; [`read_states`] understands the answer.
pub(crate) fn look(subjects: &[Subject]) -> String {
    let looks = subjects.iter().zip(0..).map(|(subject, index): (_, u32)| {
        subject.shell(&format!(
            "pid=0\n\
             if alive; then state=$(state $pid); echo \"process {index} $pid ${{state%% *}}\"\n\
             else echo \"process {index} ${{pid:-0}} gone\"; fi"
        ))
    });
    script::look(&looks.collect::<String>())
}

/// Succeeds if the host has what the scripts of every fault need, and names what it lacks.
pub(crate) fn needs(programs: &[&str]) -> String {
    let programs: Vec<String> = programs.iter().map(|program| quote(program)).collect();
    format!(
        "PATH=$PATH:/usr/sbin:/sbin\n\
         missing=''\n\
         for program in {}; do\n\
         command -v $program >/dev/null || missing=\"$missing $program\"\n\
         done\n\
         if [ -n \"$missing\" ]; then echo \"not installed:$missing\" >&2; exit 1; fi\n",
        programs.join(" ")
    )
}

/// What a look finds of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessState {
    /// It is there and not stopped.
    Running,
    /// It is in state T.
    Stopped,
    /// It is not there any more.
    Gone,
}

/// The answer of [`look`]: the state and the process id, by the number of the subject. Lines that
/// are no such answer are left out.
pub(crate) fn read_states(stdout: &str) -> Vec<(usize, u32, ProcessState)> {
    let read = |line: &str| {
        let mut words = line.strip_prefix("process ")?.split(' ');
        let (index, pid) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let state = match words.next()? {
            "gone" => ProcessState::Gone,
            "T" => ProcessState::Stopped,
            state if state.len() == 1 => ProcessState::Running,
            _ => return None,
        };
        Some((index, pid, state))
    };
    stdout.lines().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use locktest_history::ClientId;

    use super::*;

    /// A process that was started for a test, killed at its end.
    struct Sleeper(std::process::Child);

    impl Sleeper {
        fn start() -> Sleeper {
            Sleeper(Command::new("sleep").arg("600").spawn().expect("a sleeper"))
        }

        fn subject(&self) -> Subject {
            let pid = self.0.id();
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a stat");
            let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
            let start_ticks = fields.split(' ').nth(19).expect("a start").parse().expect("ticks");
            Subject::of_client(&ClientProcess { client: ClientId(0), pid, start_ticks })
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    struct Scene {
        folder: tempfile::TempDir,
        tag: FaultTag,
    }

    impl Scene {
        fn new() -> Scene {
            let folder = tempfile::tempdir().expect("a folder");
            let tag = FaultTag::new("r1", 1).expect("a legal tag");
            std::fs::create_dir(folder.path().join(tag.chain())).expect("a folder");
            std::fs::write(folder.path().join(tag.chain()).join("armed"), "").expect("a permit");
            Scene { folder, tag }
        }

        fn apply(&self, deed: Deed, subject: &Subject) -> (i32, String) {
            run(&apply(self.folder.path(), &self.tag, deed, std::slice::from_ref(subject)))
        }

        fn undo(&self, deed: Deed, subject: &Subject) -> (i32, String) {
            run(&undo(self.folder.path(), &self.tag, deed, std::slice::from_ref(subject)))
        }

        fn check(&self, deed: Deed, subject: &Subject) -> String {
            run(&check(&self.tag, deed, std::slice::from_ref(subject))).1
        }
    }

    fn run(script: &str) -> (i32, String) {
        let output = Command::new("sh").args(["-c", script]).output().expect("sh");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().expect("no signal"), stdout)
    }

    fn state(subject: &Subject) -> ProcessState {
        read_states(&run(&look(std::slice::from_ref(subject))).1)[0].2
    }

    #[test]
    fn a_pause_stops_a_process_and_its_undo_lets_it_go_on() {
        let (scene, sleeper) = (Scene::new(), Sleeper::start());
        let subject = sleeper.subject();
        assert_eq!(state(&subject), ProcessState::Running);
        assert_eq!(scene.check(Deed::Pause, &subject), "absent LT-r1-1\n");
        let (status, stdout) = scene.apply(Deed::Pause, &subject);
        assert_eq!(status, 0);
        assert!(script::read_took(&stdout).is_some(), "{stdout}");
        assert_eq!(state(&subject), ProcessState::Stopped);
        let left = format!("present LT-r1-1\nc1 is stopped, process {}\n", sleeper.0.id());
        assert_eq!(scene.check(Deed::Pause, &subject), left);
        for _ in 0..2 {
            assert_eq!(scene.undo(Deed::Pause, &subject).0, 0);
            assert_eq!(state(&subject), ProcessState::Running);
        }
        assert_eq!(scene.check(Deed::Pause, &subject), "absent LT-r1-1\n");
    }

    #[test]
    fn an_apply_after_its_undo_is_refused() {
        let (scene, sleeper) = (Scene::new(), Sleeper::start());
        let subject = sleeper.subject();
        assert_eq!(scene.undo(Deed::Pause, &subject).0, 0);
        assert_eq!(scene.apply(Deed::Pause, &subject).0, 3);
        assert_eq!(state(&subject), ProcessState::Running);
    }

    #[test]
    fn a_killed_process_is_gone_and_one_with_its_id_that_started_later_is_left_alone() {
        let (scene, mut sleeper) = (Scene::new(), Sleeper::start());
        let subject = sleeper.subject();
        let later =
            Subject { functions: subject.functions.replace("?\" ", "?\" 9"), ..subject.clone() };
        assert_eq!(scene.apply(Deed::Kill, &later).0, 0);
        assert_eq!(state(&subject), ProcessState::Running);
        std::fs::remove_file(scene.folder.path().join("LT-r1-1/applied")).expect("a mark");
        assert_eq!(scene.apply(Deed::Kill, &subject).0, 0);
        assert_eq!(state(&subject), ProcessState::Gone);
        assert_eq!(scene.check(Deed::Kill, &subject), "absent LT-r1-1\n");
        assert!(!sleeper.0.wait().expect("dead").success());
    }

    #[test]
    fn states_are_read_and_nonsense_is_not() {
        let answer =
            "process 0 12 S\nprocess 1 13 T\nprocess 2 0 gone\nprocess x 1 S\nprocess 3 1\n";
        assert_eq!(
            read_states(answer),
            [
                (0, 12, ProcessState::Running),
                (1, 13, ProcessState::Stopped),
                (2, 0, ProcessState::Gone)
            ]
        );
    }
}
