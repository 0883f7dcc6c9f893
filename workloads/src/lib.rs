//! Lock recipes, the workload, and the client process that runs them.
//!
//! The control node starts one operating-system process a client ([`fleet`]); that process runs its
//! whole loop itself ([`client`]) by a recipe ([`recipes`]) and streams its events back.

pub mod client;
pub mod clock;
pub mod fleet;
mod mutex;
mod protocol;
mod recipes;
mod recorder;
mod resource;
pub mod sim;

pub use protocol::ClientConfig;
pub use recipes::recipe_name;
