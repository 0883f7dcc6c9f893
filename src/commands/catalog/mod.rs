//! `locktest catalog`: the published failures of locks, listed and found again.

mod carry_out;
mod list;
mod outcome;
mod record;

use anyhow::{Context, anyhow};

use crate::catalog::{Catalog, Entry};
use crate::cli::{CatalogArgs, CatalogCommand, CatalogRunArgs};
use crate::config::nearest;
use crate::exit::{Exit, Failure};
use crate::run::Stop;
use crate::terminal::Terminal;
use carry_out::CarryOut;
use locktest_reports::as_json;

/// Lists, shows or runs entries.
pub fn catalog(args: &CatalogArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let catalog = Catalog::load().map_err(Failure::internal)?;
    let text = match &args.command {
        CatalogCommand::List { json: true } => as_json(&catalog.entries),
        CatalogCommand::List { json: false } => list::table(&catalog.entries),
        CatalogCommand::Show { id, json: true } => as_json(entry(&catalog, id)?),
        CatalogCommand::Show { id, json: false } => {
            list::details(entry(&catalog, id)?, catalog.seeds[0])
        }
        CatalogCommand::Run(args) => return run(args, &catalog, terminal),
    };
    print(&text, terminal)?;
    Ok(Exit::Ok)
}

fn run(args: &CatalogRunArgs, catalog: &Catalog, terminal: &Terminal) -> Result<Exit, Failure> {
    let entries: Vec<&Entry> = match args.all {
        true => catalog.entries.iter().collect(),
        false => args.ids.iter().map(|id| entry(catalog, id)).collect::<Result<_, _>>()?,
    };
    if entries.iter().any(|entry| !entry.variants.is_empty() || entry.twin.is_some()) {
        locktest_lab::preflight().map_err(Failure::set_up)?;
    }
    let seeds = args.seed.map_or(catalog.seeds.clone(), |seed| vec![seed]);
    let (results, halted) = super::runtime()?.block_on(async {
        let stop = Stop::on_signals();
        let stop = stop.context("cannot listen for signals").map_err(Failure::set_up)?;
        let mut carry_out = CarryOut::new(seeds, args.store.clone(), stop, terminal.clone());
        let halted = carry_out.entries(&entries).await.err();
        Ok::<_, Failure>((carry_out.results, halted))
    })?;
    // What is known is told, however it ended.
    let text = if args.json { as_json(&results) } else { outcome::table(&results) };
    print(&text, terminal)?;
    if let Some(file) = &args.record {
        let written = std::fs::write(file, record::markdown(&results));
        let written = written.with_context(|| format!("cannot write {}", file.display()));
        written.map_err(Failure::set_up)?;
    }
    match halted {
        Some(failure) if failure.exit == Exit::Interrupted => Ok(Exit::Interrupted),
        Some(failure) => Err(failure),
        None => Ok(outcome::exit(&results)),
    }
}

fn entry<'a>(catalog: &'a Catalog, id: &str) -> Result<&'a Entry, Failure> {
    let ids: Vec<&str> = catalog.entries.iter().map(|entry| entry.id.as_str()).collect();
    catalog.entries.iter().find(|entry| entry.id == id).ok_or_else(|| {
        let hint = match nearest(id, &ids) {
            Some(name) => format!("did you mean '{name}'?"),
            None => "`locktest catalog list` has them all".into(),
        };
        Failure::usage(anyhow!("the catalogue has no '{id}'; {hint}"))
    })
}

fn print(text: &str, terminal: &Terminal) -> Result<(), Failure> {
    terminal.print(text).context("cannot print the catalogue").map_err(Failure::set_up)
}
