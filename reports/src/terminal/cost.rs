//! The block's table of what each node cost.

use std::fmt::Write;

use locktest_analyzer::Verdict;

use super::{Block, fold};
use crate::cost::{NETWORK_NOTE, SHORT_COLUMNS, cells};
use crate::text::ascii;

/// The width of the nodes' names.
const NAME_WIDTH: usize = 11;

/// The width of an amount.
const CELL_WIDTH: usize = 10;

/// More nodes than this are left to the page.
const MAX_NODES: usize = 9;

impl Block {
    pub(crate) fn cost(&mut self, verdict: &Verdict) {
        if verdict.cost.is_empty() {
            return;
        }
        for shown in fold(&[CELL_WIDTH; SHORT_COLUMNS.len()], self.width - NAME_WIDTH) {
            self.cost_row("cost", &SHORT_COLUMNS[shown.clone()]);
            for cost in verdict.cost.iter().take(MAX_NODES) {
                self.cost_row(&ascii(&cost.node, 7), &cells(cost)[shown.clone()]);
            }
        }
        if verdict.cost.len() > MAX_NODES {
            let left_out = verdict.cost.len() - MAX_NODES;
            self.paragraph(1, &format!("{left_out} more in the report"));
        }
        self.paragraph(1, NETWORK_NOTE);
        self.gap();
    }

    fn cost_row(&mut self, name: &str, cells: &[impl AsRef<str>]) {
        let mut line = format!("{:NAME_WIDTH$}", format!(" {name}"));
        for cell in cells {
            let _ = write!(line, "{:>CELL_WIDTH$}", cell.as_ref());
        }
        self.line(&line);
    }
}
