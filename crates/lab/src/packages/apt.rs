//! How apt is asked for packages of a suite that this machine does not use.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::PackageError;
use crate::LabError;
use crate::command::Invocation;
use crate::error::io_at;

/// The keys of Debian's archive; apt accepts lists signed by one of them and nothing else.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

const OS_RELEASE: &str = "/etc/os-release";

/// apt has time limits of its own for a mirror that does not answer.
const APT_LIMIT: Duration = Duration::from_secs(10 * 60);

/// The fields of one repository, separated by characters that none of them contains.
const MIRROR_FORMAT: &str = "$(ORIGIN) $(LABEL) $(CODENAME) $(COMPONENT) $(REPO_URI)";

/// Asks apt which repositories this machine is configured to use.
pub(super) fn mirror_query() -> Invocation {
    Invocation::new("apt-get").args(["indextargets", "--format", MIRROR_FORMAT])
}

/// The address of this machine's own mirror of Debian.
pub(super) async fn mirror() -> Result<String, PackageError> {
    let release = fs::read_to_string(OS_RELEASE).map_err(io_at("read", Path::new(OS_RELEASE)))?;
    let targets = mirror_query().run().await?;
    choose_mirror(&targets, own_suite(&release)).ok_or(PackageError::NoMirror)
}

/// The repository of the machine's own suite: one for updates, security or backports has another
/// code name or label, and one of another vendor has another origin.
fn choose_mirror(targets: &str, suite: &str) -> Option<String> {
    targets.lines().find_map(|line| {
        let uri = line.strip_prefix(&format!("Debian Debian {suite} main "))?;
        Some(uri.trim().to_owned()).filter(|uri| !uri.is_empty())
    })
}

fn own_suite(os_release: &str) -> &str {
    let name = os_release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.unwrap_or_default().trim_matches('"')
}

/// A private state of apt in a directory of its own.
pub(super) struct Apt {
    root: PathBuf,
}

impl Apt {
    pub fn new(root: &Path) -> Apt {
        Apt { root: root.to_owned() }
    }

    /// Where the package files go.
    pub fn debs(&self) -> PathBuf {
        self.root.join("debs")
    }

    /// Where a package is extracted to.
    pub fn tree(&self, package: &str) -> PathBuf {
        self.root.join("trees").join(package)
    }

    fn config(&self) -> PathBuf {
        self.root.join("apt.conf")
    }

    /// The files that make the state, with their text.
    ///
    /// Proxies and the like stay as the machine has them. Its pins are left out, and so is what it
    /// does after an update of its own lists (clean its cache, tell its desktop). With an empty
    /// status file nothing counts as installed, so that an older version is no downgrade.
    pub fn files(&self, mirror: &str, suite: &str) -> [(PathBuf, String); 2] {
        let root = self.root.display();
        let config = format!(
            "\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Update::Error-Mode \"any\";
APT::Sandbox::User \"root\";
Acquire::Languages \"none\";
Acquire::Retries \"2\";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";
Dir::Etc::sourcelist \"{root}/sources.list\";
Dir::Etc::sourceparts \"-\";
Dir::Etc::preferences \"/dev/null\";
Dir::Etc::preferencesparts \"/dev/null\";
Dir::State \"{root}\";
Dir::State::lists \"{root}/lists\";
Dir::State::status \"/dev/null\";
Dir::Cache \"{root}\";
Dir::Cache::pkgcache \"\";
Dir::Cache::srcpkgcache \"\";
"
        );
        let sources = format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n");
        [(self.config(), config), (self.root.join("sources.list"), sources)]
    }

    /// Makes the directories and files of the state.
    pub fn prepare(&self, mirror: &str, suite: &str) -> Result<(), LabError> {
        for name in ["lists/partial", "archives/partial", "debs", "trees"] {
            let dir = self.root.join(name);
            fs::create_dir_all(&dir).map_err(io_at("create", &dir))?;
        }
        for (path, text) in self.files(mirror, suite) {
            fs::write(&path, text).map_err(io_at("write", &path))?;
        }
        Ok(())
    }

    /// Fetches the suite's package lists and checks their signature.
    pub fn update(&self) -> Invocation {
        self.apt_get().arg("update")
    }

    /// The same, for somebody who can do without: a mirror that does not answer soon is not waited
    /// for.
    pub fn update_or_give_up(&self) -> Invocation {
        let soon = ["Acquire::Retries=0", "Acquire::http::Timeout=5", "Acquire::https::Timeout=5"];
        let options = soon.into_iter().flat_map(|option| ["-o", option]);
        self.update().args(options).time_limit(Duration::from_secs(60))
    }

    /// Fetches packages into [`debs`](Apt::debs). One that the suite does not have fails all.
    pub fn download(&self, packages: &[String]) -> Invocation {
        self.apt_get().arg("download").args(packages).dir(&self.debs())
    }

    /// Prints a table of the versions of packages; one that the suite does not have is left out.
    pub fn list_versions(&self, packages: &[String]) -> Invocation {
        Invocation::new("apt-cache").arg("-c").arg(self.config()).arg("madison").args(packages)
    }

    fn apt_get(&self) -> Invocation {
        Invocation::new("apt-get").args(["-q", "-c"]).arg(self.config()).time_limit(APT_LIMIT)
    }
}

/// Prints a package file's name and version.
pub(super) fn describe(file: &Path) -> Invocation {
    Invocation::new("dpkg-deb").args(["--show", "--showformat=${Package} ${Version}"]).arg(file)
}

/// Unpacks a package file; nothing of it is run.
pub(super) fn extract(file: &Path, tree: &Path) -> Invocation {
    Invocation::new("dpkg").arg("-x").arg(file).arg(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_debian_main_of_the_machines_own_suite() {
        let targets = "\
Vendor Debian bookworm main http://vendor.example/deb/
Debian Debian-Security bookworm-security main http://security.example/debian-security/
Debian Debian Backports bookworm-backports main http://mirror.example/backports/
Debian Debian bookworm-updates main http://mirror.example/updates/
Debian Debian bookworm contrib http://mirror.example/contrib/
Debian Debian bookworm main http://mirror.example/debian/
Debian Debian bookworm main http://second.example/debian/
";
        let chosen = choose_mirror(targets, "bookworm");
        assert_eq!(chosen.as_deref(), Some("http://mirror.example/debian/"));
        assert_eq!(choose_mirror(targets, "trixie"), None);
        assert_eq!(choose_mirror("", "bookworm"), None);
        assert_eq!(choose_mirror(targets, ""), None);
    }

    #[test]
    fn the_own_suite_is_the_code_name_with_or_without_quotes() {
        assert_eq!(own_suite("NAME=x\nVERSION_CODENAME=bookworm\n"), "bookworm");
        assert_eq!(own_suite("VERSION_CODENAME=\"trixie\""), "trixie");
        assert_eq!(own_suite("NAME=x\n"), "");
    }
}
