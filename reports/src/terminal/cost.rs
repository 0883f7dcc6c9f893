//! The block's table of what each node cost.

use std::fmt::Write;

use locktest_analyzer::Verdict;

use super::Block;
use crate::cost::{NETWORK_NOTE, SHORT_COLUMNS, cells};
use crate::text::ascii;

/// More nodes than this are left to the page.
const MAX_NODES: usize = 9;

impl Block {
    pub(crate) fn cost(&mut self, verdict: &Verdict) {
        if verdict.cost.is_empty() {
            return;
        }
        self.cost_row("cost", SHORT_COLUMNS);
        for cost in verdict.cost.iter().take(MAX_NODES) {
            self.cost_row(&ascii(&cost.node, 7), cells(cost));
        }
        if verdict.cost.len() > MAX_NODES {
            let left_out = verdict.cost.len() - MAX_NODES;
            self.paragraph(1, &format!("{left_out} more in the report"));
        }
        self.paragraph(1, NETWORK_NOTE);
        self.gap();
    }

    fn cost_row(&mut self, name: &str, cells: [impl AsRef<str>; 6]) {
        let mut line = format!(" {name:<10}");
        for cell in cells {
            let _ = write!(line, " {:>9}", cell.as_ref());
        }
        self.line(&line);
    }
}
