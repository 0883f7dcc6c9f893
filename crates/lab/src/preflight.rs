//! Whether this machine can hold a lab.

use crate::LabError;
use crate::command::find_program;

/// The programs that a lab runs, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 14] = [
    ("apt-get", "apt"),
    ("dpkg", "dpkg"),
    ("dpkg-deb", "dpkg"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("mkdir", "coreutils"),
    ("mount", "mount"),
    ("setpriv", "util-linux"),
    ("setsid", "util-linux"),
    ("sh", "dash"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("sshd", "openssh-server"),
    ("unshare", "util-linux"),
];

/// Checks that the user is root and that every program is there. The error says what to run.
pub fn preflight() -> Result<(), LabError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(LabError::NotRoot);
    }
    missing(&PROGRAMS)
}

fn missing(programs: &[(&str, &str)]) -> Result<(), LabError> {
    let absent: Vec<_> = programs.iter().filter(|(name, _)| find_program(name).is_none()).collect();
    if absent.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<String> = absent.iter().map(|(_, package)| (*package).into()).collect();
    packages.sort();
    packages.dedup();
    let programs = absent.iter().map(|(name, _)| (*name).into()).collect();
    Err(LabError::MissingPrograms { programs, packages })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_programs_are_named_with_the_command_that_installs_them() {
        let error = missing(&[("sh", "dash"), ("no-such-a", "pkg-a"), ("no-such-b", "pkg-a")]);
        let text = error.unwrap_err().to_string();
        assert_eq!(text, "not installed: no-such-a, no-such-b; run: apt-get install pkg-a");
    }
}
