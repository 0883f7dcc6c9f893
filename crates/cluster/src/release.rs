//! The server versions that the distribution carries, and how their unpacked packages are run.

use std::path::{Path, PathBuf};

use crate::installation::Installation;
use crate::store::Store;

/// A server version that a suite of the distribution carries.
#[derive(Debug, PartialEq, Eq)]
pub struct Release {
    /// The store.
    pub store: Store,
    /// The upstream version, such as `3.5.16`, or `valkey-8.1.1` for another program's.
    pub version: &'static str,
    /// The suite of the distribution.
    pub suite: &'static str,
    /// The packages that it needs unpacked. The first is built from the server's own source, so
    /// its version is the server's.
    pub packages: &'static [&'static str],
    /// How the unpacked files are run.
    pub launch: Launch,
}

/// A file of an unpacked package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackageFile {
    /// The package's name.
    pub package: &'static str,
    /// The file's path below the root.
    pub path: &'static str,
}

/// How unpacked files become a running server.
#[derive(Debug, PartialEq, Eq)]
pub enum Launch {
    /// A program that needs nothing beside itself.
    Program(PackageFile),
    /// A program that finds its libraries in the unpacked packages before the node's own. The
    /// dynamic loader is called by name, since only it can tell a program another name than its
    /// file's, and since a newer program needs a newer loader. The process is then the loader's by
    /// name.
    ThroughLoader {
        /// The program.
        program: PackageFile,
        /// The name that the program is told to have.
        name: &'static str,
        /// A loader of the suite's own; `None` for the node's.
        loader: Option<PackageFile>,
    },
    /// A class of Java, run by the node's own Java.
    Java {
        /// The class with the `main` method.
        main: &'static str,
        /// The class path in order.
        class_path: &'static [PackageFile],
    },
}

/// A program that must be on a node beside the unpacked packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostProgram {
    /// Its path.
    pub path: &'static str,
    /// The package of the distribution that installs it.
    pub package: &'static str,
}

/// The machine's own Java. All releases run on it: suites other than the machine's bring none.
const JAVA: HostProgram = HostProgram { path: "/usr/bin/java", package: "default-jre-headless" };

/// As the distribution names this machine's architecture in the paths of libraries.
#[cfg(target_arch = "aarch64")]
const MULTIARCH: &str = "aarch64-linux-gnu";
/// As the distribution names this machine's architecture in the paths of libraries.
#[cfg(not(target_arch = "aarch64"))]
const MULTIARCH: &str = "x86_64-linux-gnu";

/// The node's own dynamic loader.
#[cfg(target_arch = "aarch64")]
const LOADER: &str = "/lib/ld-linux-aarch64.so.1";
/// The node's own dynamic loader.
#[cfg(not(target_arch = "aarch64"))]
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

impl Release {
    /// Every version of a store, the newest first.
    pub fn all(store: Store) -> &'static [Release] {
        store.releases()
    }

    /// The newest version of a store, which is what runs by default.
    pub fn newest(store: Store) -> &'static Release {
        &store.releases()[0]
    }

    /// The release of a version, if a suite has it.
    pub fn of(store: Store, version: &str) -> Option<&'static Release> {
        store.releases().iter().find(|release| release.version == version)
    }

    /// The version as the package has it: without the name of the program.
    pub fn upstream_version(&self) -> &'static str {
        self.version.rsplit_once('-').map_or(self.version, |(_program, version)| version)
    }

    /// What a node must have besides the packages.
    pub fn host_program(&self) -> Option<HostProgram> {
        match self.launch {
            Launch::Java { .. } => Some(JAVA),
            Launch::Program(_) | Launch::ThroughLoader { .. } => None,
        }
    }

    /// How to run the server from its unpacked packages, whose roots are given in the order of
    /// [`packages`](Release::packages), as a node sees them.
    pub fn installation(&self, roots: &[PathBuf]) -> Installation {
        let root = |package: &str| {
            let index = self.packages.iter().position(|name| *name == package);
            index.and_then(|index| roots.get(index)).map_or(Path::new("/"), PathBuf::as_path)
        };
        let path = |file: &PackageFile| root(file.package).join(file.path);
        match &self.launch {
            Launch::Program(program) => Installation::of_binary(path(program)),
            Launch::ThroughLoader { program, name, loader } => Installation {
                program: loader.as_ref().map_or_else(|| LOADER.into(), path),
                leading_arguments: vec![
                    "--library-path".into(),
                    join(roots.iter().flat_map(|root| {
                        ["lib", "usr/lib"].map(|folder| root.join(folder).join(MULTIARCH))
                    })),
                    "--argv0".into(),
                    (*name).into(),
                    path(program).display().to_string(),
                ],
                environment: Vec::new(),
            },
            Launch::Java { main, class_path } => Installation {
                program: JAVA.path.into(),
                leading_arguments: JAVA_FLAGS
                    .iter()
                    .map(|flag| (*flag).to_owned())
                    .chain(["-cp".into(), join(class_path.iter().map(path)), (*main).into()])
                    .collect(),
                environment: Vec::new(),
            },
        }
    }
}

/// Several nodes share one machine: a small heap, the collector without threads of its own, and
/// the compiler that is ready soonest. The logs go to standard error, with the time.
const JAVA_FLAGS: &[&str] = &[
    "-Xmx128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "-Dzookeeper.jmx.log4j.disable=true",
];

fn join(paths: impl Iterator<Item = PathBuf>) -> String {
    let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    paths.join(":")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn numbers(version: &str) -> Vec<u32> {
        version.split('.').map(|number| number.parse().expect("a number")).collect()
    }

    #[test]
    fn each_store_lists_its_versions_once_and_each_programs_newest_first() {
        for store in Store::ALL {
            let releases = Release::all(store);
            assert!(releases.iter().all(|release| release.store == store));
            let versions: BTreeSet<&str> = releases.iter().map(|release| release.version).collect();
            assert_eq!(versions.len(), releases.len(), "{}", store.name());
            assert_eq!(Release::newest(store), &releases[0]);
            for (newer, older) in releases.iter().zip(&releases[1..]) {
                let program = |release: &Release| {
                    release.version.strip_suffix(release.upstream_version()).map(str::to_owned)
                };
                assert!(
                    program(newer) != program(older)
                        || numbers(newer.upstream_version()) > numbers(older.upstream_version()),
                    "{} before {}",
                    newer.version,
                    older.version
                );
            }
            for release in releases {
                assert_eq!(Release::of(store, release.version), Some(release));
            }
            assert_eq!(Release::of(store, "0.0.1"), None);
        }
    }

    #[test]
    fn every_file_that_is_run_is_of_a_package_that_is_obtained() {
        for release in Store::ALL.into_iter().flat_map(Release::all) {
            let files: Vec<&PackageFile> = match &release.launch {
                Launch::Program(program) => vec![program],
                Launch::ThroughLoader { program, loader, .. } => {
                    std::iter::once(program).chain(loader).collect()
                }
                Launch::Java { class_path, .. } => class_path.iter().collect(),
            };
            for file in files {
                assert!(release.packages.contains(&file.package), "{release:?}");
                assert!(!file.path.starts_with('/'), "{release:?}");
            }
        }
    }

    #[test]
    fn a_java_server_finds_its_own_jute_before_what_another_jar_refers_to() {
        let release = Release::newest(Store::Zookeeper);
        let roots: Vec<PathBuf> =
            release.packages.iter().map(|package| format!("/p/{package}").into()).collect();
        let installation = release.installation(&roots);
        assert_eq!(installation.program, Path::new("/usr/bin/java"));
        let [.., flag, class_path, main] = &installation.leading_arguments[..] else {
            panic!("{installation:?}")
        };
        assert_eq!((flag.as_str(), main.as_str()), ("-cp", crate::zookeeper::MAIN));
        let first = "/p/libzookeeper-java/usr/share/java/zookeeper-jute.jar:\
                     /p/libzookeeper-java/usr/share/java/zookeeper.jar:/p/libslf4j-java/";
        assert!(class_path.starts_with(first), "{class_path}");
        assert_eq!(release.host_program().map(|program| program.path), Some("/usr/bin/java"));
    }

    #[test]
    fn a_program_of_another_suite_runs_through_the_loader_under_its_own_name() {
        let release = Release {
            store: Store::Redis,
            version: "other-1.2.3",
            suite: "a-suite",
            packages: &["tools", "libc"],
            launch: Launch::ThroughLoader {
                program: PackageFile { package: "tools", path: "bin/checker" },
                name: "server",
                loader: Some(PackageFile { package: "libc", path: "lib/loader" }),
            },
        };
        assert_eq!(release.upstream_version(), "1.2.3");
        let installation = release.installation(&["/t".into(), "/c".into()]);
        assert_eq!(installation.program, Path::new("/c/lib/loader"));
        let libraries = format!(
            "/t/lib/{MULTIARCH}:/t/usr/lib/{MULTIARCH}:/c/lib/{MULTIARCH}:/c/usr/lib/{MULTIARCH}"
        );
        assert_eq!(
            installation.leading_arguments,
            ["--library-path", &libraries, "--argv0", "server", "/t/bin/checker"]
        );
    }
}
