//! A folder of runs: what each came to, and the matrix of them all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use locktest_analyzer::{VERDICT_SCHEMA_VERSION, Verdict};
use locktest_history::{HistoryReader, Run, RunDir, write_atomically};
use locktest_reports::{
    Matrix, MatrixRun, UnreadableRun, as_json, render_matrix, render_matrix_html, visible_path,
};

use super::print;
use crate::exit::Failure;
use crate::run::judge;
use crate::terminal::Terminal;

/// The files of a run directory that tell one from any other folder.
const FILES_OF_A_RUN: [&str; 4] = ["history", "plan.json", "verdict.json", "audit.jsonl"];

/// Writes the matrix of the runs in a folder, and prints it.
pub fn report(path: &Path, json: bool, terminal: &Terminal) -> Result<(), Failure> {
    let run_dirs = run_dirs(path).map_err(Failure::usage)?;
    if run_dirs.is_empty() {
        return Err(Failure::usage(anyhow!(
            "{} is neither a run directory nor a folder of them; give one such as store/latest, or \
             the folder that --store named",
            path.display()
        )));
    }
    let (mut runs, mut unreadable) = (Vec::new(), Vec::new());
    for (run_dir, number) in run_dirs.iter().zip(1..) {
        terminal.live(&format!("run {number} of {}", run_dirs.len()));
        match read(run_dir, |run_dir| judged(run_dir, terminal)) {
            Ok(run) => runs.push(run),
            Err(error) => {
                let name = run_dir.file_name().unwrap_or_default();
                unreadable.push(UnreadableRun::of(name, format!("{error:#}")));
            }
        }
    }
    terminal.end_live();
    let matrix = Matrix::of(&path.display().to_string(), &runs, unreadable);
    let page = path.join("matrix.html");
    write_atomically(&page, render_matrix_html(&matrix).as_bytes())
        .with_context(|| format!("cannot write {}", page.display()))
        .map_err(Failure::set_up)?;
    let text = match json {
        true => as_json(&matrix),
        false => {
            let table = render_matrix(&matrix, terminal.style());
            format!("{table}\n page  {}\n", visible_path(&page))
        }
    };
    print(&text, terminal)
}

/// The matrix of the runs that have a verdict of today's version, as a page. It changes nothing: other
/// runs are not judged.
pub fn matrix_page(folder: &Path) -> Result<String> {
    let (mut runs, mut others) = (Vec::new(), Vec::new());
    for path in run_dirs(folder)? {
        match read(&path, unjudged) {
            Ok(run) => runs.push(run),
            Err(error) => {
                let name = path.file_name().unwrap_or_default();
                others.push(UnreadableRun::of(name, format!("{error:#}")));
            }
        }
    }
    let matrix = Matrix::of(&folder.display().to_string(), &runs, others);
    Ok(render_matrix_html(&matrix))
}

/// Every run directory in a folder, by name. A link, such as `latest`, counts only if what it points
/// to is elsewhere.
fn run_dirs(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot read {}", folder.display());
    let mut own = BTreeSet::new();
    let mut links = Vec::new();
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let path = entry.path();
        if !path.is_dir() || !FILES_OF_A_RUN.iter().any(|name| path.join(name).exists()) {
            continue;
        }
        match entry.file_type().with_context(unreadable)?.is_symlink() {
            true => links.push(path),
            false => {
                own.insert(path);
            }
        }
    }
    let targets: BTreeSet<PathBuf> =
        own.iter().filter_map(|path| path.canonicalize().ok()).collect();
    links.retain(|link| link.canonicalize().is_ok_and(|target| !targets.contains(&target)));
    own.extend(links);
    Ok(own.into_iter().collect())
}

/// What a run came to: by its present verdict, or else by what `otherwise` has.
fn read(path: &Path, otherwise: impl FnOnce(&RunDir) -> Result<Verdict>) -> Result<MatrixRun> {
    let run_dir = RunDir::open(path)?;
    let file = run_dir.history();
    let reader =
        HistoryReader::open(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let run = reader.run();
    let verdict = match present_verdict(&run_dir, run) {
        Some(verdict) => verdict,
        None => otherwise(&run_dir)?,
    };
    let name = path.file_name().unwrap_or_default();
    Ok(MatrixRun::of(name, run_dir.report().exists(), run, &verdict))
}

/// The verdict by the history, with its files; why they could not be written is a warning.
fn judged(run_dir: &RunDir, terminal: &Terminal) -> Result<Verdict> {
    let verdicts = judge(Some(run_dir), &run_dir.read_history()?);
    if let Some(problem) = verdicts.unwritten {
        terminal.warning(format_args!("{problem:#}"));
    }
    Ok(verdicts.verdict)
}

/// Why a run is not shown that must not be judged.
fn unjudged(run_dir: &RunDir) -> Result<Verdict> {
    bail!(match run_dir.verdict().exists() {
        true =>
            "its verdict is of another version or older than its history; locktest report renews it",
        false => "it has no verdict: it goes on, or it was broken off",
    })
}

/// The verdict that is there, if it is of this run, of today's version, not older than the history,
/// and has its page beside it.
fn present_verdict(run_dir: &RunDir, run: &Run) -> Option<Verdict> {
    let modified = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    let path = run_dir.verdict();
    if modified(&path)? < modified(&run_dir.history())? || !run_dir.report().exists() {
        return None;
    }
    let verdict: Verdict = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let is_present = verdict.schema_version == VERDICT_SCHEMA_VERSION && verdict.run_id == run.id;
    is_present.then_some(verdict)
}
