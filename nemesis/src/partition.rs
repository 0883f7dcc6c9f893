//! Cut links on one server: the scripts that make, undo and look at its rules, and what they answer.
//!
//! Every rule lives in a chain of the fault's own. The chain is filled ahead of time, so that the
//! fault itself is but two jumps to it, in one transaction.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use locktest_cluster::quote;
use locktest_history::PacketFate;

use crate::links::Rules;
use crate::script::{self, MARK, MARK_END, PRELUDE, Remains, fault_dir, read_remains};
use crate::tag::FaultTag;

/// Fills the fault's chain, to which nothing leads yet. Does nothing once the permit to apply the fault
/// was withdrawn: nobody would remove the chain again.
pub(crate) fn prepare(run_dir: &Path, tag: &FaultTag, rules: &Rules, fate: PacketFate) -> String {
    let chain = tag.chain();
    let comment = comment(tag);
    let (targets, answer): (&[(&str, &str)], _) = match fate {
        PacketFate::Drop => (&[("", "DROP")], None),
        PacketFate::Reject => (&[("", "REJECT")], Some("-p icmp --icmp-type port-unreachable")),
        PacketFate::Reset => (
            &[("-p tcp ", "REJECT --reject-with tcp-reset"), ("", "DROP")],
            Some("-p tcp --tcp-flags RST RST"),
        ),
    };
    // Where both ways are cut, the rules would stop what they answer themselves.
    let mut lines = answer
        .map_or_else(String::new, |answer| format!("-A {chain} {answer} {comment} -j RETURN\n"));
    let senders = rules.from.iter().map(|address| ("-s", address));
    for (option, address) in senders.chain(rules.to.iter().map(|address| ("-d", address))) {
        for (protocol, target) in targets {
            let rule = format!("-A {chain} {option} {address} {protocol}{comment} -j {target}\n");
            lines.push_str(&rule);
        }
    }
    format!(
        r#"{PRELUDE}exec 9<{run_dir}
flock -w 5 9
[ -e {dir}/armed ] || exit 0
if iptables -w -S {chain} >/dev/null 2>&1; then exit 0; fi
iptables-restore -w --noflush <<'RULES'
*filter
:{chain} - [0:0]
{lines}COMMIT
RULES
"#,
        run_dir = quote(&run_dir.to_string_lossy()),
        dir = fault_dir(run_dir, tag),
    )
}

/// Leads every packet through the fault's chain.
///
/// Refuses, and changes nothing, if one of the addresses is where this very SSH connection comes
/// from.
pub(crate) fn apply(run_dir: &Path, tag: &FaultTag, rules: &Rules) -> String {
    let chain = tag.chain();
    let comment = comment(tag);
    let addresses: Vec<String> = rules.addresses().iter().map(Ipv4Addr::to_string).collect();
    let before = format!(
        r#"[ -n "${{SSH_CONNECTION:-}}" ] || refuse 'SSH_CONNECTION is not set, so the control path is unknown'
peer=${{SSH_CONNECTION%% *}}
peer=${{peer#::ffff:}}
for address in {addresses}; do
  [ "$peer" != "$address" ] || refuse "$address is the control node or the jump host of this very connection; reach the node from an address outside the partition"
done
"#,
        addresses = addresses.join(" "),
    );
    let change = format!(
        r#"{MARK}iptables-restore -w --noflush <<'RULES'
*filter
-I INPUT 1 {comment} -j {chain}
-I OUTPUT 1 {comment} -j {chain}
COMMIT
RULES
"#
    );
    script::apply(run_dir, tag, &before, &change)
}

/// Ends the fault by a rule that leads out of its chain again, which takes effect at once; then
/// removes the chain and whatever jumps to it, for which the kernel takes its time.
pub(crate) fn undo(run_dir: &Path, tag: &FaultTag) -> String {
    let change = format!(
        r#"rules=$(iptables -w -S)
if printf '%s\n' "$rules" | grep -qx -e '-N {chain}'; then
  {MARK}  iptables-restore -w --noflush <<'RULES'
*filter
-I {chain} 1 {comment} -j RETURN
COMMIT
RULES
  {MARK_END}  {{
    echo '*filter'
    printf '%s\n' "$rules" | sed -n 's/^-A \(.* -j {chain}\)$/-D \1/p'
    echo '-F {chain}'
    echo '-X {chain}'
    echo COMMIT
  }} | iptables-restore -w --noflush
fi
"#,
        chain = tag.chain(),
        comment = comment(tag),
    );
    script::undo(run_dir, tag, &change)
}

/// Reads back what is left of the fault; [`read_remains`] understands the answer.
pub(crate) fn check(tag: &FaultTag) -> String {
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

/// Reads the fault's packet counters, after other commands; [`read_counters`] understands the
/// answer.
pub(crate) fn counters(tag: &FaultTag) -> String {
    format!(
        r#"rules=$(iptables -w -vS)
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

/// Succeeds if the host has what a partition needs, and names what it lacks.
pub(crate) const NEEDS: &str = r#"PATH=$PATH:/usr/sbin:/sbin
if ! error=$(printf '*filter\n:LT-test - [0:0]\n-A LT-test -p tcp -m comment --comment test -j REJECT --reject-with tcp-reset\nCOMMIT\n' | iptables-restore -w --noflush --test 2>&1); then
  echo "iptables cannot do it: $error" >&2
  exit 1
fi
"#;

fn comment(tag: &FaultTag) -> String {
    format!("-m comment --comment \"{}\"", tag.comment())
}

/// Packets of the links that are cut, which one server stopped, from and to each address.
pub(crate) type StoppedPackets = BTreeMap<Ipv4Addr, u64>;

/// The answer of [`counters`]: `Some(None)` if the chain is not there, `None` if it is no such
/// answer.
pub(crate) fn read_counters(chain: &str, stdout: &str) -> Option<Option<StoppedPackets>> {
    let rules = match read_remains(chain, stdout)? {
        Remains::Absent => return Some(None),
        Remains::Present(rules) => rules,
    };
    let mut stopped = StoppedPackets::new();
    for rule in rules.iter().filter(|rule| !rule.ends_with(" -j RETURN")) {
        let words: Vec<&str> = rule.split_whitespace().collect();
        let after = |option: &str| {
            let at = words.iter().position(|word| *word == option)?;
            words.get(at + 1).copied()
        };
        let address = after("-s").or_else(|| after("-d"))?.trim_end_matches("/32");
        let packets: u64 = after("-c")?.parse().ok()?;
        *stopped.entry(address.parse().ok()?).or_default() += packets;
    }
    Some(Some(stopped))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: &str = "LT-0a1b2c-3";

    fn prepared(fate: PacketFate) -> Vec<String> {
        let tag = FaultTag::new("0a1b2c", 3).expect("a legal tag");
        let address = |last| Ipv4Addr::new(10, 1, 0, last);
        let rules = Rules { from: vec![address(3)], to: vec![address(4)] };
        let script = prepare(Path::new("/run/lt"), &tag, &rules, fate);
        let rules = script.lines().filter_map(|line| line.strip_prefix("-A LT-0a1b2c-3 "));
        let comment = "-m comment --comment \"locktest run 0a1b2c fault 3\" ";
        rules.map(|rule| rule.replace(comment, "")).collect()
    }

    #[test]
    fn packets_are_stopped_as_the_fate_says_and_each_way_by_itself() {
        assert_eq!(prepared(PacketFate::Drop), ["-s 10.1.0.3 -j DROP", "-d 10.1.0.4 -j DROP"]);
        assert_eq!(
            prepared(PacketFate::Reject),
            [
                "-p icmp --icmp-type port-unreachable -j RETURN",
                "-s 10.1.0.3 -j REJECT",
                "-d 10.1.0.4 -j REJECT",
            ]
        );
        assert_eq!(
            prepared(PacketFate::Reset),
            [
                "-p tcp --tcp-flags RST RST -j RETURN",
                "-s 10.1.0.3 -p tcp -j REJECT --reject-with tcp-reset",
                "-s 10.1.0.3 -j DROP",
                "-d 10.1.0.4 -p tcp -j REJECT --reject-with tcp-reset",
                "-d 10.1.0.4 -j DROP",
            ]
        );
    }

    #[test]
    fn counters_add_both_directions_of_an_address_and_leave_out_what_passes() {
        let answer = "present LT-0a1b2c-3\n\
            -A LT-0a1b2c-3 -p tcp -m tcp --tcp-flags RST RST -m comment --comment \"locktest run 0a1b2c fault 3\" -c 9 360 -j RETURN\n\
            -A LT-0a1b2c-3 -s 10.1.0.3/32 -m comment --comment \"locktest run 0a1b2c fault 3\" -c 5 300 -j DROP\n\
            -A LT-0a1b2c-3 -d 10.1.0.3/32 -p tcp -m comment --comment \"locktest run 0a1b2c fault 3\" -c 2 120 -j REJECT --reject-with tcp-reset\n\
            -A LT-0a1b2c-3 -s 10.1.0.4/32 -m comment --comment \"locktest run 0a1b2c fault 3\" -c 0 0 -j DROP\n";
        let expected = StoppedPackets::from([
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
}
