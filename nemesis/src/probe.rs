//! TCP connections from one node to others, tried to see whether packets cross.

use std::net::SocketAddrV4;

/// A connection that takes longer counts as none. `timeout` takes seconds.
const PROBE_LIMIT_S: &str = "0.3";

/// How a connection attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// It was established.
    Connected,
    /// The other host answered that nobody listens: packets cross, in both directions.
    Refused,
    /// No answer in time, as when packets are dropped.
    TimedOut,
    /// Something else; it says nothing about the partition.
    Failed,
}

impl Probed {
    /// Whether packets went there and back.
    pub fn crossed(self) -> bool {
        matches!(self, Probed::Connected | Probed::Refused)
    }
}

/// Tries to connect to every address at once; [`read_probes`] understands the answer.
pub fn probe(addresses: &[SocketAddrV4]) -> String {
    let mut script = format!(
        r#"probe() {{
  error=$(timeout {PROBE_LIMIT_S} bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>&1)
  case "$?:$error" in
    0:*) echo "$1:$2 connected" ;;
    124:*) echo "$1:$2 timed-out" ;;
    *'Connection refused'*) echo "$1:$2 refused" ;;
    *) echo "$1:$2 failed" ;;
  esac
}}
export LC_ALL=C
"#
    );
    for address in addresses {
        script.push_str(&format!("probe {} {} &\n", address.ip(), address.port()));
    }
    script.push_str("wait\n");
    script
}

/// The answer of [`probe`]; lines that are no such answer are left out.
pub fn read_probes(stdout: &str) -> Vec<(SocketAddrV4, Probed)> {
    stdout.lines().filter_map(read_probe).collect()
}

fn read_probe(line: &str) -> Option<(SocketAddrV4, Probed)> {
    let (address, outcome) = line.split_once(' ')?;
    let probed = match outcome {
        "connected" => Probed::Connected,
        "timed-out" => Probed::TimedOut,
        "refused" => Probed::Refused,
        "failed" => Probed::Failed,
        _ => return None,
    };
    Some((address.parse().ok()?, probed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_read_and_nonsense_is_not() {
        let answer = "10.1.0.3:2380 connected\n10.1.0.4:2380 timed-out\nbash: no such file\n\
            10.1.0.5:2380 refused\n10.1.0.6:2380 failed\n10.1.0.7 connected\n10.1.0.8:1 maybe\n";
        let outcomes: Vec<Probed> =
            read_probes(answer).into_iter().map(|(_, outcome)| outcome).collect();
        assert_eq!(
            outcomes,
            [Probed::Connected, Probed::TimedOut, Probed::Refused, Probed::Failed]
        );
    }

    #[test]
    fn a_refusal_shows_that_packets_cross_and_a_timeout_does_not() {
        assert!(Probed::Connected.crossed() && Probed::Refused.crossed());
        assert!(!Probed::TimedOut.crossed() && !Probed::Failed.crossed());
    }
}
