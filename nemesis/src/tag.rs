//! The name of a fault on the nodes.

use std::fmt;

use thiserror::Error;

/// iptables takes chain names of up to 28 bytes.
const CHAIN_NAME_MAX_BYTES: usize = 28;

/// A run id that cannot be part of a chain's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "cannot name a firewall chain after run '{run_id}' and fault {fault}: the run id must be \
     letters and digits, and LT-RUN-FAULT at most {CHAIN_NAME_MAX_BYTES} characters"
)]
pub struct TagError {
    run_id: String,
    fault: u32,
}

/// Tags everything that a fault leaves on a node, so that nothing else is ever touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultTag {
    run_id: String,
    fault: u32,
}

impl FaultTag {
    /// The tag of a run's fault; fails unless [`chain`](FaultTag::chain) is a legal chain name.
    pub fn new(run_id: &str, fault: u32) -> Result<FaultTag, TagError> {
        let tag = FaultTag { run_id: run_id.to_owned(), fault };
        let legal = !run_id.is_empty() && run_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if legal && tag.chain().len() <= CHAIN_NAME_MAX_BYTES {
            return Ok(tag);
        }
        Err(TagError { run_id: tag.run_id, fault })
    }

    /// The name of the fault's own firewall chain, and of its folder on a node.
    pub fn chain(&self) -> String {
        format!("LT-{}-{}", self.run_id, self.fault)
    }

    /// What a command of the fault is for, as the audit log has it.
    pub fn purpose(&self, step: &str) -> String {
        format!("{step} {self}")
    }

    /// The step and the number of the fault that a command was for, if it was for one.
    pub fn of_purpose(purpose: &str) -> Option<(&str, u32)> {
        let (step, tag) = purpose.rsplit_once(" fault ")?;
        let (fault, _) = tag.split_once(" of run ")?;
        Some((step, fault.parse().ok()?))
    }

    /// What the fault's rules say of themselves.
    pub fn comment(&self) -> String {
        format!("locktest run {} fault {}", self.run_id, self.fault)
    }
}

/// A fault as the purposes of its commands name it, and [`FaultTag::of_purpose`] finds it again.
pub(crate) fn in_words(run_id: &str, fault: u32) -> String {
    format!("fault {fault} of run {run_id}")
}

impl fmt::Display for FaultTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&in_words(&self.run_id, self.fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_name_that_iptables_takes_is_a_tag() {
        assert_eq!(FaultTag::new("0a1b2c", 3).map(|tag| tag.chain()), Ok("LT-0a1b2c-3".into()));
        assert!(FaultTag::new(&"a".repeat(23), 1).is_ok());
        assert!(FaultTag::new(&"a".repeat(24), 1).is_err());
        assert!(FaultTag::new(&"a".repeat(23), 10).is_err());
    }

    #[test]
    fn the_purpose_of_a_command_tells_its_fault() {
        let tag = FaultTag::new("0a1b2c", 3).expect("a tag");
        let purpose = tag.purpose("check the undo of");
        assert_eq!(FaultTag::of_purpose(&purpose), Some(("check the undo of", 3)));
        for other in ["start the server", "undo fault x of run 0a1b2c", "undo fault 3"] {
            assert_eq!(FaultTag::of_purpose(other), None, "{other}");
        }
    }

    #[test]
    fn a_run_id_that_a_shell_could_read_otherwise_is_no_tag() {
        for run_id in ["", "a b", "a;reboot", "a'", "a/b", "..", "a-1", "é"] {
            assert!(FaultTag::new(run_id, 1).is_err(), "{run_id:?}");
        }
    }
}
