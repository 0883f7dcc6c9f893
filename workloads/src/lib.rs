//! Lock recipes, the workloads, and the client process that runs them.
//!
//! The control node starts one operating-system process a client ([`fleet`]); that process runs its
//! whole loop itself ([`client`]) by a recipe ([`recipes`]) and streams its events back.

pub mod attempt;
pub mod client;
pub mod clock;
mod control;
mod critical_section;
pub mod fleet;
mod mutex;
mod protocol;
pub mod recipes;
pub mod recorder;
mod register;
mod resource;
mod servers;
pub mod sim;
#[cfg(test)]
mod testing;

pub use control::Control;
pub use protocol::ClientConfig;
