//! Tables of processes.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::operation::Process;

/// What is known of each process, with a hasher that is as fast as the rest of an event.
pub type ProcessMap<T> = HashMap<Process, T, BuildHasherDefault<NumberHasher>>;

/// A set of processes that takes a bit for each, since processes are numbered without large gaps.
#[derive(Debug, Default)]
pub(super) struct ProcessSet {
    /// By the number that their processes have in common.
    chunks: ProcessMap<[u64; 8]>,
}

impl ProcessSet {
    pub(super) fn insert(&mut self, process: Process) {
        let chunk = self.chunks.entry(process / 512).or_default();
        chunk[process as usize % 512 / 64] |= 1 << (process % 64);
    }

    pub(super) fn contains(&self, process: Process) -> bool {
        self.chunks
            .get(&(process / 512))
            .is_some_and(|chunk| chunk[process as usize % 512 / 64] & 1 << (process % 64) != 0)
    }
}

/// Spreads small numbers over the table; the standard hasher takes longer than all the rest of an
/// event.
#[derive(Debug, Default)]
pub struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        let mixed = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
