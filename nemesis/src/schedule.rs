//! Which faults come, in which order, against whom: everything that the seed decides, and how a
//! fault is aimed once it is known who leads and who holds the lock.

mod affected;
mod cuts;
mod draw;
mod menu;
mod parties;
mod resolve;
#[cfg(test)]
mod testing;

pub use affected::affected;
pub use draw::plan_schedule;
pub use menu::Menu;
pub use parties::Parties;
pub use resolve::{ResolveError, Resolved, Situation, needs_holder, needs_leader, resolve};
