//! `locktest serve`: the runs of a store in a browser, read-only.

mod pages;
mod runs;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;

use crate::cli::ServeArgs;
use crate::exit::{Exit, Failure};
use crate::run::Stop;
use crate::terminal::Terminal;
use pages::{Site, router};

/// Serves until it is told to end.
pub fn serve(args: &ServeArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    if !args.store.is_dir() {
        return Err(Failure::usage(anyhow!(
            "{} is not a folder of runs; `--store DIR` names one",
            args.store.display()
        )));
    }
    super::runtime()?.block_on(async {
        let stop =
            Stop::on_signals().context("cannot listen for signals").map_err(Failure::set_up)?;
        let listener = TcpListener::bind(args.bind)
            .await
            .with_context(|| format!("cannot listen at {}", args.bind))
            .map_err(Failure::set_up)?;
        let address: SocketAddr = listener.local_addr().map_err(Failure::internal)?;
        if !address.ip().is_loopback() {
            terminal.warning(format_args!(
                "{address} is not loopback: whoever reaches it sees the runs and their logs"
            ));
        }
        terminal.step(format_args!("{} at http://{address}/, until Ctrl-C", args.store.display()));
        let site = Arc::new(Site::new(args.store.clone(), address));
        axum::serve(listener, router(site))
            .with_graceful_shutdown(async move { stop.requested().await })
            .await
            .context("the server failed")
            .map_err(Failure::internal)
    })?;
    Ok(Exit::Ok)
}
