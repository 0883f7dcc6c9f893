//! `locktest versions`: the server versions that are here, and those that can be had.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use futures_util::future::join_all;
use locktest_cluster::{Release, Store, binary_version};
use locktest_lab::LabDirs;
use locktest_lab::packages::{PackageError, PackageRequest, cached, carried_versions};
use locktest_reports::as_json;
use serde::Serialize;

use crate::cli::VersionsArgs;
use crate::exit::{Exit, Failure};
use crate::run::servers::package_request;
use crate::terminal::Terminal;

/// A version of a store's server.
#[derive(Debug, Serialize)]
struct Row {
    store: &'static str,
    version: String,
    /// Whether it runs unless another one is asked for.
    default: bool,
    /// The suite of the distribution that has it.
    suite: Option<&'static str>,
    state: State,
    /// The program of this version that is installed on this machine.
    program: Option<PathBuf>,
    /// What stands in the way.
    reason: Option<String>,
}

/// How near a version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// In the package cache: it runs without a network.
    Cached,
    /// Installed on this machine: it runs by `--server-binary`.
    Installed,
    /// The suite carries it.
    Obtainable,
    /// The suite does not carry it any more.
    Unobtainable,
    /// The suite could not be asked.
    Unknown,
}

/// Upstream versions of packages by name, or why the suite could not be asked.
type Carried = BTreeMap<&'static str, Result<BTreeMap<String, String>, PackageError>>;

/// Lists every version.
pub fn versions(args: &VersionsArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let rows = super::runtime()?.block_on(find(terminal));
    let text = if args.json { as_json(&rows) } else { table(&rows) };
    terminal.print(&text).context("cannot print the versions").map_err(Failure::set_up)?;
    Ok(Exit::Ok)
}

/// Suites are asked only for what is not cached, all at once.
async fn find(terminal: &Terminal) -> Vec<Row> {
    let dirs = LabDirs::from_env();
    let releases = || Store::ALL.into_iter().flat_map(Release::all);
    let is_cached = |release: &Release| cached(&dirs, &package_request(release)).is_some();
    let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for release in releases().filter(|release| !is_cached(release)) {
        wanted.entry(release.suite).or_default().push(release.packages[0]);
    }
    let asked: Vec<&str> = wanted.keys().copied().collect();
    if !asked.is_empty() {
        terminal.step(format_args!("asking the distribution's suites {}", asked.join(", ")));
    }
    let answers = wanted.into_iter().map(|(suite, packages)| async move {
        (suite, carried_versions(&PackageRequest::new(suite, &packages)).await)
    });
    let (answers, installed) = tokio::join!(join_all(answers), installed());
    let carried: Carried = answers.into_iter().collect();
    for (suite, answer) in &carried {
        if let Err(error) = answer {
            terminal.detail(format_args!("{suite}: {error}"));
        }
    }
    let mut rows: Vec<Row> =
        releases().map(|release| row(release, is_cached(release), &installed, &carried)).collect();
    for (store, version, program) in installed {
        if Release::of(store, &version).is_none() {
            let last = rows.iter().rposition(|row| row.store == store.name());
            let (store, program) = (store.name(), Some(program));
            let state = State::Installed;
            let (default, suite, reason) = (false, None, None);
            let row = Row { store, version, default, suite, state, program, reason };
            rows.insert(last.map_or(rows.len(), |last| last + 1), row);
        }
    }
    rows
}

type Installed = (Store, String, PathBuf);

fn row(release: &Release, is_cached: bool, installed: &[Installed], carried: &Carried) -> Row {
    let program = installed
        .iter()
        .find(|(store, version, _)| *store == release.store && version == release.version)
        .map(|(_, _, program)| program.clone());
    let upstream = release.upstream_version();
    let mut reason = None;
    let state = if is_cached {
        State::Cached
    } else if program.is_some() {
        State::Installed
    } else {
        match carried.get(release.suite) {
            Some(Ok(versions)) => match versions.get(release.packages[0]) {
                Some(version) if version == upstream => State::Obtainable,
                Some(version) => {
                    reason = Some(format!("the suite carries {version}"));
                    State::Unobtainable
                }
                None => {
                    reason = Some("the suite does not carry it".into());
                    State::Unobtainable
                }
            },
            Some(Err(_)) | None => {
                reason = Some("the mirror could not be asked".into());
                State::Unknown
            }
        }
    };
    if let Some(needed) = release.host_program().filter(|needed| !Path::new(needed.path).exists()) {
        reason = Some(format!("needs {}: install {}", needed.path, needed.package));
    }
    Row {
        store: release.store.name(),
        version: release.version.into(),
        default: release == Release::newest(release.store),
        suite: Some(release.suite),
        state,
        program,
        reason,
    }
}

/// The servers of every store that are installed on this machine, with their versions.
async fn installed() -> Vec<Installed> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = Vec::new();
    for store in Store::ALL {
        for name in store.program_names() {
            let program = std::env::split_paths(&path).map(|dir| dir.join(name));
            let Some(program) = program.into_iter().find(|program| program.is_file()) else {
                continue;
            };
            // What does not tell its version is no server that could be used.
            if let Ok(version) = binary_version(store, &program).await {
                found.push((store, version, program));
            }
        }
    }
    found
}

fn table(rows: &[Row]) -> String {
    let mut text = format!("{:<11}{:<15}{:<10}state\n", "store", "version", "suite");
    for row in rows {
        let version = format!("{}{}", row.version, if row.default { " *" } else { "" });
        let state = match row.state {
            State::Cached => "cached",
            State::Installed => "installed",
            State::Obtainable => "obtainable",
            State::Unobtainable => "unobtainable",
            State::Unknown => "unknown",
        };
        let _ =
            write!(text, "{:<11}{version:<15}{:<10}{state}", row.store, row.suite.unwrap_or("-"));
        if let Some(program) = &row.program {
            let at = if row.state == State::Installed { "at" } else { "installed at" };
            let _ = write!(text, ", {at} {}", program.display());
        }
        if let Some(reason) = &row.reason {
            let _ = write!(text, " ({reason})");
        }
        text.push('\n');
    }
    text +=
        "* runs by default; another one by --version, one that is installed by --server-binary\n";
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(answer: Result<&[(&str, &str)], PackageError>) -> Carried {
        let owned =
            |(package, version): &(&str, &str)| ((*package).to_owned(), (*version).to_owned());
        let release = Release::newest(Store::Etcd);
        let answer = answer.map(|versions| versions.iter().map(owned).collect());
        BTreeMap::from([(release.suite, answer)])
    }

    fn state(is_cached: bool, installed: &[Installed], carried: &Carried) -> State {
        row(Release::newest(Store::Etcd), is_cached, installed, carried).state
    }

    #[test]
    fn the_nearest_place_of_a_version_is_its_state() {
        let newest = Release::newest(Store::Etcd).version;
        let here = [(Store::Etcd, newest.to_owned(), PathBuf::from("/bin/etcd"))];
        let other = [(Store::Etcd, "0.1.0".to_owned(), PathBuf::from("/bin/etcd"))];
        let has_it = carried(Ok(&[("etcd-server", newest)]));
        assert_eq!(state(true, &here, &has_it), State::Cached);
        assert_eq!(state(false, &here, &has_it), State::Installed);
        assert_eq!(state(false, &other, &has_it), State::Obtainable);
        assert_eq!(
            state(false, &[], &carried(Ok(&[("etcd-server", "9.9.9")]))),
            State::Unobtainable
        );
        assert_eq!(state(false, &[], &carried(Ok(&[]))), State::Unobtainable);
        assert_eq!(state(false, &[], &carried(Err(PackageError::NoMirror))), State::Unknown);
    }

    #[test]
    fn the_table_marks_the_default_and_says_what_stands_in_the_way() {
        let moved_on = carried(Ok(&[("etcd-server", "9.9.9")]));
        let rows = [row(Release::newest(Store::Etcd), false, &[], &moved_on)];
        let text = table(&rows);
        let line = text.lines().nth(1).expect("a line");
        assert!(line.starts_with(&format!("etcd       {} *", rows[0].version)), "{line}");
        assert!(line.ends_with("unobtainable (the suite carries 9.9.9)"), "{line}");
    }
}
