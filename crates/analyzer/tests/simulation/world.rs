//! What a simulated world is like.

use std::ops::Range;

/// What may go wrong beside the service.
#[derive(Clone, Copy, Debug)]
pub struct World {
    pub clients: u32,
    /// Of a hundred replies.
    pub lost_replies: u64,
    /// Of a hundred holds: the client stalls for longer than its lease.
    pub stalls: u64,
    /// Of a hundred holds: the client is killed.
    pub kills: u64,
    pub faults: bool,
    /// Clients that hold are paused.
    pub pauses: bool,
    pub bug: Option<Bug>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bug {
    /// One request in five is granted although another holds.
    DoubleGrant,
    /// Every other lease is dropped after a fifth of its time.
    EarlyExpiry,
    /// The tokens run backwards.
    Tokens,
    /// After a while nobody is granted anything.
    Deadlock,
    /// After a while a release is answered and frees nothing.
    LostRelease,
    /// After a while leases are kept for ever.
    Immortal,
    /// For some seconds nothing is answered.
    Stall,
}

pub const RUN_MS: u64 = 20_000;
pub const OP_TIMEOUT_MS: u64 = 100;
pub const ACQUIRE_TIMEOUT_MS: u64 = 3000;
/// When faults are in force, in a world that has them: a partition, and servers that are paused.
pub const FAULTS: [Range<u64>; 2] = [4000..6000, 12_000..16_000];
/// When the service answers nothing, with the bug that stalls it: longer than the bound.
pub const STALL: Range<u64> = 6000..9000;
/// So many servers, from n1 on, the faults cut off.
pub const CUT_OFF: u16 = 2;
/// When clients are paused, in a world where they are. The second time is longer than the bound.
pub const PAUSES: [Range<u64>; 2] = [3200..4400, 9000..15_000];
/// The service drops a lease this much after its end, at the latest.
pub const EXPIRY_LAG_MS: u64 = 200;

/// A small generator of random numbers (splitmix64), so that a case is its seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    pub fn percent(&mut self, of_hundred: u64) -> bool {
        self.below(100) < of_hundred
    }
}
