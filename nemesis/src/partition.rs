//! A partition on one node: the scripts that make, undo and look at it, and what they answer.
//!
//! Every rule lives in a chain of the fault's own. A script may run twice, since a cut connection
//! hides whether it ran, and those that change rules take turns by a lock on the run folder.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use locktest_cluster::quote;

use crate::tag::FaultTag;

/// iptables is often outside the PATH of a non-interactive login.
const PRELUDE: &str = "set -eu\nPATH=$PATH:/usr/sbin:/sbin\n";

/// The folder of a fault on a node: its dead-man timer, and the permit to apply it.
pub(crate) fn fault_dir(run_dir: &Path, tag: &FaultTag) -> String {
    quote(&run_dir.join(tag.chain()).to_string_lossy())
}

/// Drops every packet from and to `others`, in one transaction.
///
/// Refuses, and changes nothing, if one of `others` is where this very SSH connection comes from,
/// or if no dead-man timer is armed: an apply that was lost on its way must not land after its
/// undo.
pub fn apply(run_dir: &Path, tag: &FaultTag, others: &[Ipv4Addr]) -> String {
    let chain = tag.chain();
    let comment = format!("-m comment --comment \"{}\"", tag.comment());
    let mut rules = String::new();
    for other in others {
        rules.push_str(&format!("-A {chain} -s {other} {comment} -j DROP\n"));
        rules.push_str(&format!("-A {chain} -d {other} {comment} -j DROP\n"));
    }
    let addresses: Vec<String> = others.iter().map(Ipv4Addr::to_string).collect();
    format!(
        r#"{PRELUDE}refuse() {{
  echo "refused, and changed nothing: $1" >&2
  exit 3
}}
[ -n "${{SSH_CONNECTION:-}}" ] || refuse 'SSH_CONNECTION is not set, so the control path is unknown'
peer=${{SSH_CONNECTION%% *}}
peer=${{peer#::ffff:}}
for address in {addresses}; do
  [ "$peer" != "$address" ] || refuse "$address is the control node or the jump host of this very connection; reach the node from an address outside the partition"
done
[ -d {run_dir} ] || refuse 'no dead-man timer is armed for {chain}'
exec 9<{run_dir}
flock -w 5 9
[ -e {fault_dir}/armed ] || refuse 'no dead-man timer is armed for {chain}'
if iptables -w -S {chain} >/dev/null 2>&1; then exit 0; fi
iptables-restore -w --noflush <<'RULES'
*filter
:{chain} - [0:0]
{rules}-I INPUT 1 {comment} -j {chain}
-I OUTPUT 1 {comment} -j {chain}
COMMIT
RULES
"#,
        addresses = addresses.join(" "),
        run_dir = quote(&run_dir.to_string_lossy()),
        fault_dir = fault_dir(run_dir, tag),
    )
}

/// Withdraws the permit to apply the fault, then removes its chain and whatever jumps to it, in one
/// transaction.
pub fn undo(run_dir: &Path, tag: &FaultTag) -> String {
    format!(
        r#"{PRELUDE}if [ -d {run_dir} ]; then
  exec 9<{run_dir}
  flock -w 5 9
  rm -f {fault_dir}/armed
fi
rules=$(iptables -w -S)
if ! printf '%s\n' "$rules" | grep -qx -e '-N {chain}'; then exit 0; fi
{{
  echo '*filter'
  printf '%s\n' "$rules" | sed -n 's/^-A \(.* -j {chain}\)$/-D \1/p'
  echo '-F {chain}'
  echo '-X {chain}'
  echo COMMIT
}} | iptables-restore -w --noflush
"#,
        chain = tag.chain(),
        run_dir = quote(&run_dir.to_string_lossy()),
        fault_dir = fault_dir(run_dir, tag),
    )
}

/// Reads back what is left of the fault; [`read_remains`] understands the answer.
pub fn check(tag: &FaultTag) -> String {
    format!(
        r#"{PRELUDE}rules=$(iptables -w -S)
if left=$(printf '%s\n' "$rules" | grep -E -e '(^| ){chain}( |$)'); then
  echo 'present {chain}'
  printf '%s\n' "$left"
else
  echo 'absent {chain}'
fi
"#,
        chain = tag.chain(),
    )
}

/// Reads the fault's packet counters; [`read_counters`] understands the answer.
pub fn counters(tag: &FaultTag) -> String {
    format!(
        r#"{PRELUDE}rules=$(iptables -w -vS)
if left=$(printf '%s\n' "$rules" | grep -e '^-A {chain} '); then
  echo 'present {chain}'
  printf '%s\n' "$left"
else
  echo 'absent {chain}'
fi
"#,
        chain = tag.chain(),
    )
}

/// What reading back found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remains {
    /// Nothing of the fault is left.
    Absent,
    /// These rules are.
    Present(Vec<String>),
}

/// The answer of [`check`]; `None` if it is no such answer, which is no proof of anything.
pub fn read_remains(chain: &str, stdout: &str) -> Option<Remains> {
    let mut lines = stdout.lines();
    match lines.next()?.split_once(' ')? {
        ("absent", name) if name == chain => Some(Remains::Absent),
        ("present", name) if name == chain => {
            Some(Remains::Present(lines.map(str::to_owned).collect()))
        }
        _ => None,
    }
}

/// Packets that one node dropped because of the fault, from and to each address of the other sides.
pub type DroppedPackets = BTreeMap<Ipv4Addr, u64>;

/// The answer of [`counters`]: `Some(None)` if the chain is not there, `None` if it is no such
/// answer.
pub fn read_counters(chain: &str, stdout: &str) -> Option<Option<DroppedPackets>> {
    let rules = match read_remains(chain, stdout)? {
        Remains::Absent => return Some(None),
        Remains::Present(rules) => rules,
    };
    let mut dropped = DroppedPackets::new();
    for rule in rules {
        let words: Vec<&str> = rule.split_whitespace().collect();
        let after = |option: &str| {
            let at = words.iter().position(|word| *word == option)?;
            words.get(at + 1).copied()
        };
        let address = after("-s").or_else(|| after("-d"))?.trim_end_matches("/32");
        let packets: u64 = after("-c")?.parse().ok()?;
        *dropped.entry(address.parse().ok()?).or_default() += packets;
    }
    Some(Some(dropped))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: &str = "LT-0a1b2c-3";

    fn tag() -> FaultTag {
        FaultTag::new("0a1b2c", 3).expect("a legal tag")
    }

    #[test]
    fn only_an_answer_that_names_the_chain_says_that_it_is_gone() {
        assert_eq!(read_remains(CHAIN, "absent LT-0a1b2c-3\n"), Some(Remains::Absent));
        for other in ["", "\n", "absent", "absent LT-0a1b2c-31\n", "absent LT-0a1b2c-", "gone\n"] {
            assert_eq!(read_remains(CHAIN, other), None, "{other:?}");
        }
    }

    #[test]
    fn rules_that_are_left_are_told() {
        let answer = "present LT-0a1b2c-3\n-N LT-0a1b2c-3\n";
        let rules = vec!["-N LT-0a1b2c-3".to_owned()];
        assert_eq!(read_remains(CHAIN, answer), Some(Remains::Present(rules)));
    }

    #[test]
    fn counters_add_both_directions_of_an_address() {
        let answer = "present LT-0a1b2c-3\n\
            -A LT-0a1b2c-3 -s 10.1.0.3/32 -m comment --comment \"locktest run 0a1b2c fault 3\" -c 5 300 -j DROP\n\
            -A LT-0a1b2c-3 -d 10.1.0.3/32 -m comment --comment \"locktest run 0a1b2c fault 3\" -c 2 120 -j DROP\n\
            -A LT-0a1b2c-3 -s 10.1.0.4/32 -m comment --comment \"locktest run 0a1b2c fault 3\" -c 0 0 -j DROP\n";
        let expected = DroppedPackets::from([
            (Ipv4Addr::new(10, 1, 0, 3), 7),
            (Ipv4Addr::new(10, 1, 0, 4), 0),
        ]);
        assert_eq!(read_counters(CHAIN, answer), Some(Some(expected)));
    }

    #[test]
    fn a_missing_chain_has_no_counters_and_nonsense_is_no_answer() {
        assert_eq!(read_counters(CHAIN, "absent LT-0a1b2c-3\n"), Some(None));
        for nonsense in ["", "present LT-0a1b2c-3\n-A LT-0a1b2c-3 -s", "present x\n"] {
            assert_eq!(read_counters(CHAIN, nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn a_run_folder_with_a_blank_in_its_name_stays_one_word() {
        let script = apply(Path::new("/a b"), &tag(), &[]);
        assert!(script.contains("exec 9<'/a b'\n"), "{script}");
        assert!(script.contains("[ -e '/a b/LT-0a1b2c-3'/armed ]"), "{script}");
    }
}
