//! TCP connections from one host to others, tried to see whether packets cross.

use std::net::SocketAddrV4;

use locktest_cluster::quote;

/// A connection that takes longer counts as none. `timeout` takes seconds.
const PROBE_LIMIT_S: &str = "0.3";

/// How a connection attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probed {
    /// It was established.
    Connected,
    /// It was refused: by the other host, where nobody listens, or by a rule that rejects packets.
    Refused,
    /// No answer in time, as when packets are dropped.
    TimedOut,
    /// Something else; it says nothing about the fault.
    Failed,
}

/// A connection to try, from where `enter` leads.
pub(crate) struct Try<'a> {
    pub(crate) enter: &'a [String],
    pub(crate) to: SocketAddrV4,
}

/// Tries all connections at once; [`read_probes`] understands the answer.
pub(crate) fn probe<'a>(tries: impl IntoIterator<Item = Try<'a>>) -> String {
    let mut script = format!(
        r#"try() {{
  number=$1 address=$2 port=$3
  shift 3
  status=0
  error=$("$@" timeout {PROBE_LIMIT_S} bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$address" "$port" 2>&1) || status=$?
  case "$status:$error" in
    0:*) echo "try $number connected" ;;
    124:*) echo "try $number timed-out" ;;
    *'Connection refused'*) echo "try $number refused" ;;
    *) echo "try $number failed" ;;
  esac
}}
export LC_ALL=C
"#
    );
    for (number, Try { enter, to }) in tries.into_iter().enumerate() {
        let enter: String = enter.iter().map(|word| format!(" {}", quote(word))).collect();
        script.push_str(&format!("try {number} {} {}{enter} &\n", to.ip(), to.port()));
    }
    script.push_str("wait\n");
    script
}

/// The answer of [`probe`], by the numbers of the tries; lines that are no such answer are left out.
pub(crate) fn read_probes(stdout: &str) -> Vec<(usize, Probed)> {
    let read = |line: &str| {
        let (number, outcome) = line.strip_prefix("try ")?.split_once(' ')?;
        let probed = match outcome {
            "connected" => Probed::Connected,
            "timed-out" => Probed::TimedOut,
            "refused" => Probed::Refused,
            "failed" => Probed::Failed,
            _ => return None,
        };
        Some((number.parse().ok()?, probed))
    };
    stdout.lines().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_read_and_nonsense_is_not() {
        let answer = "try 0 connected\ntry 1 timed-out\nbash: no such file\n\
            try 2 refused\ntry 3 failed\ntry connected\ntry 4 maybe\n";
        assert_eq!(
            read_probes(answer),
            [
                (0, Probed::Connected),
                (1, Probed::TimedOut),
                (2, Probed::Refused),
                (3, Probed::Failed)
            ]
        );
    }

    #[test]
    fn a_connection_is_tried_from_where_the_client_is() {
        let enter = ["ip".to_owned(), "netns exec".into()];
        let to = "10.1.0.2:2380".parse().expect("an address");
        let script = probe([Try { enter: &enter, to }, Try { enter: &[], to }]);
        assert!(script.contains("try 0 10.1.0.2 2380 ip 'netns exec' &\n"), "{script}");
        assert!(script.contains("try 1 10.1.0.2 2380 &\n"), "{script}");
    }
}
