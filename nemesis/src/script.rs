//! What the scripts of every fault share: the fault's folder on a host, the permit to apply it, and
//! the time that applying or undoing it took.
//!
//! A script may run twice, since a cut connection hides whether it ran. Those that change something
//! take turns by a lock on the run folder.

use std::path::Path;

use locktest_cluster::quote;

use crate::tag::FaultTag;

/// iptables is often outside the PATH of a non-interactive login.
pub(crate) const PRELUDE: &str = "set -eu\nPATH=$PATH:/usr/sbin:/sbin\n";

/// The host's own clock, for [`read_took`].
const NOW: &str = "$(date +%s%N)";

/// Stands in a change right before the command by which it comes about.
pub(crate) const MARK: &str = "changing=$(date +%s%N)\n";

/// Stands right after that command, if the change goes on with what nobody feels.
pub(crate) const MARK_END: &str = "changed=$(date +%s%N)\n";

/// Tells when the change was made, and of which kernel the host's clock is.
const TELL: &str = r#"took="$begin $changing ${changed:-$(date +%s%N)}"
read -r kernel </proc/sys/kernel/random/boot_id
echo "took $took $kernel"
"#;

/// The folder of a fault on a host: its dead-man timer, and the permit to apply it.
pub(crate) fn fault_dir(run_dir: &Path, tag: &FaultTag) -> String {
    quote(&run_dir.join(tag.chain()).to_string_lossy())
}

/// A script that applies a fault by `change`, once, if the dead-man timer is armed: an apply that
/// was lost on its way must not land after its undo. `before` may call `refuse REASON`.
pub(crate) fn apply(run_dir: &Path, tag: &FaultTag, before: &str, change: &str) -> String {
    format!(
        r#"{PRELUDE}begin={NOW}
changing=$begin
refuse() {{
  echo "refused, and changed nothing: $1" >&2
  exit 3
}}
{before}[ -d {run_dir} ] || refuse 'no dead-man timer is armed for {tag}'
exec 9<{run_dir}
flock -w 5 9
[ -e {dir}/armed ] || refuse 'no dead-man timer is armed for {tag}'
[ ! -e {dir}/applied ] || exit 0
: >{dir}/applied
{change}{TELL}"#,
        run_dir = quote(&run_dir.to_string_lossy()),
        dir = fault_dir(run_dir, tag),
    )
}

/// A script that withdraws the permit to apply a fault and then undoes it by `change`.
pub(crate) fn undo(run_dir: &Path, tag: &FaultTag, change: &str) -> String {
    format!(
        r#"{PRELUDE}begin={NOW}
changing=$begin
if [ -d {run_dir} ]; then
  exec 9<{run_dir}
  flock -w 5 9
  rm -f {dir}/armed
fi
{change}{TELL}"#,
        run_dir = quote(&run_dir.to_string_lossy()),
        dir = fault_dir(run_dir, tag),
    )
}

/// A script that changes nothing, and says like the others when it began and ended.
pub(crate) fn look(script: &str) -> String {
    format!("{PRELUDE}begin={NOW}\nchanging=$begin\n{script}{TELL}")
}

/// When a script did what, in nanoseconds of the host's own clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Took {
    pub(crate) begin: u64,
    /// Before its change was made.
    pub(crate) changing: u64,
    /// After.
    pub(crate) end: u64,
    /// The kernel that the host runs on: hosts of one kernel have one clock.
    pub(crate) kernel: String,
}

/// When a script did what; `None` if the answer does not say so.
pub(crate) fn read_took(stdout: &str) -> Option<Took> {
    let line = stdout.lines().find_map(|line| line.strip_prefix("took "))?;
    let mut words = line.split(' ');
    let mut time = || words.next()?.parse().ok();
    let (begin, changing, end) = (time()?, time()?, time()?);
    Some(Took { begin, changing, end, kernel: words.next()?.to_owned() })
}

/// What reading back found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Remains {
    /// Nothing of the fault is left.
    Absent,
    /// This is, a line each.
    Present(Vec<String>),
}

/// The answer of a script that reads back what is left of a fault; `None` if it is no such answer,
/// which is no proof of anything.
pub(crate) fn read_remains(tag: &str, stdout: &str) -> Option<Remains> {
    let mut lines = stdout.lines();
    match lines.next()?.split_once(' ')? {
        ("absent", name) if name == tag => Some(Remains::Absent),
        ("present", name) if name == tag => {
            Some(Remains::Present(lines.map(str::to_owned).collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "LT-0a1b2c-3";

    #[test]
    fn only_an_answer_that_names_the_fault_says_that_it_is_gone() {
        assert_eq!(read_remains(TAG, "absent LT-0a1b2c-3\n"), Some(Remains::Absent));
        for other in ["", "\n", "absent", "absent LT-0a1b2c-31\n", "absent LT-0a1b2c-", "gone\n"] {
            assert_eq!(read_remains(TAG, other), None, "{other:?}");
        }
    }

    #[test]
    fn what_is_left_is_told() {
        let answer = "present LT-0a1b2c-3\n-N LT-0a1b2c-3\n";
        let lines = vec!["-N LT-0a1b2c-3".to_owned()];
        assert_eq!(read_remains(TAG, answer), Some(Remains::Present(lines)));
    }

    #[test]
    fn the_times_of_a_script_are_read_and_nonsense_is_not() {
        let kernel = "5a-1".to_owned();
        let took = Took { begin: 1000, changing: 1200, end: 1250, kernel };
        assert_eq!(read_took("x\ntook 1000 1200 1250 5a-1\n"), Some(took));
        for nonsense in ["", "took 5", "took 1 2 3", "took a b c d", "1 2 3 4"] {
            assert_eq!(read_took(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn a_run_folder_with_a_blank_in_its_name_stays_one_word() {
        let tag = FaultTag::new("0a1b2c", 3).expect("a legal tag");
        let script = apply(Path::new("/a b"), &tag, "", "true\n");
        assert!(script.contains("exec 9<'/a b'\n"), "{script}");
        assert!(script.contains("[ -e '/a b/LT-0a1b2c-3'/armed ]"), "{script}");
    }
}
