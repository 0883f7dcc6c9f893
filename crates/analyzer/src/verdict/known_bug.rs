//! Published bugs that violations look like.

use serde::{Deserialize, Serialize};

use super::ViolationClass;

/// A published bug that fits a run: the store and its version, what was violated, and the faults. That
/// it fits does not prove that it is the cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownBug {
    /// Its id in the catalogue, such as `etcd-11456`.
    pub id: String,
    /// What happens, in one line.
    pub title: String,
    /// The class of the violations that look like it.
    pub class: ViolationClass,
    /// Where it was published, in words.
    pub source: String,
    /// Where that can be read.
    pub url: Option<String>,
    /// The versions that do not have it any more, or what else cures it.
    pub fixed: String,
}
