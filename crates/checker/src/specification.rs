//! Which object a history is of.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The objects that can be checked, by the names that the command line gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Specification {
    /// A lock that anybody may release.
    Mutex,
    /// A lock that only its owner may release.
    OwnerMutex,
    /// A lock that its owner may take again, up to `depth` times in all.
    ReentrantMutex {
        /// How many acquires of one owner may be open at once.
        depth: u32,
    },
    /// An owner mutex whose grants carry growing tokens.
    FencedMutex,
    /// A lock with several permits; an owner may have more than one.
    Semaphore {
        /// How many.
        permits: u32,
    },
    /// Many readers or one writer.
    ReadWriteLock,
    /// An owner mutex whose grants end by themselves, no earlier than this after the last acquire
    /// or renewal took effect. Needs times in nanoseconds.
    LeaseMutex {
        /// The shortest time that a lease lasts, drift already taken off.
        lease_ns: u64,
    },
    /// A resource that refuses tokens smaller than the largest that it has seen.
    FencedResource,
    /// A register with read, write and compare-and-set.
    CasRegister,
    /// One key of a store with get, put and append.
    KeyValue,
}

/// The depth of a reentrant mutex whose depth is not given.
const DEFAULT_DEPTH: u32 = 2;

/// Why a name is no model.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SpecificationError {
    /// Nothing is called so.
    #[error("there is no model `{name}`; the models are {}", Specification::NAMES.join(", "))]
    Unknown {
        /// As it was given.
        name: String,
    },
    /// The model needs a number after a colon.
    #[error("the model {model} needs {what}, as in `{example}`")]
    Parameter {
        /// Which model.
        model: &'static str,
        /// What is missing or wrong.
        what: &'static str,
        /// How it is done.
        example: &'static str,
    },
}

impl Specification {
    /// The names, with the form of their parameters.
    pub const NAMES: [&str; 10] = [
        "mutex",
        "owner-mutex",
        "reentrant-mutex[:DEPTH]",
        "fenced-mutex",
        "semaphore:PERMITS",
        "rwlock",
        "lease-mutex:TTL",
        "fenced-resource",
        "cas-register",
        "kv",
    ];
}

impl FromStr for Specification {
    type Err = SpecificationError;

    fn from_str(text: &str) -> Result<Specification, SpecificationError> {
        let (name, parameter) = match text.split_once(':') {
            Some((name, parameter)) => (name, Some(parameter)),
            None => (text, None),
        };
        let unknown = || SpecificationError::Unknown { name: text.to_owned() };
        let count = |text: &str| text.parse::<u32>().ok().filter(|count| *count > 0);
        let specification = match (name, parameter) {
            ("mutex", None) => Specification::Mutex,
            ("owner-mutex", None) => Specification::OwnerMutex,
            ("reentrant-mutex", None) => Specification::ReentrantMutex { depth: DEFAULT_DEPTH },
            ("reentrant-mutex", Some(depth)) => {
                let depth = count(depth).ok_or(SpecificationError::Parameter {
                    model: "reentrant-mutex",
                    what: "a depth above zero",
                    example: "reentrant-mutex:2",
                })?;
                Specification::ReentrantMutex { depth }
            }
            ("fenced-mutex", None) => Specification::FencedMutex,
            ("semaphore", permits) => {
                let permits = permits.and_then(count).ok_or(SpecificationError::Parameter {
                    model: "semaphore",
                    what: "a number of permits above zero",
                    example: "semaphore:3",
                })?;
                Specification::Semaphore { permits }
            }
            ("rwlock", None) => Specification::ReadWriteLock,
            ("lease-mutex", ttl) => {
                let ttl = ttl.and_then(|ttl| humantime::parse_duration(ttl).ok());
                let lease_ns = ttl.and_then(|ttl| u64::try_from(ttl.as_nanos()).ok());
                let lease_ns = lease_ns.filter(|lease_ns| *lease_ns > 0);
                let lease_ns = lease_ns.ok_or(SpecificationError::Parameter {
                    model: "lease-mutex",
                    what: "the lease's time to live",
                    example: "lease-mutex:2s",
                })?;
                Specification::LeaseMutex { lease_ns }
            }
            ("fenced-resource", None) => Specification::FencedResource,
            ("cas-register", None) => Specification::CasRegister,
            ("kv", None) => Specification::KeyValue,
            _ => return Err(unknown()),
        };
        Ok(specification)
    }
}

impl fmt::Display for Specification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Specification::Mutex => f.write_str("mutex"),
            Specification::OwnerMutex => f.write_str("owner-mutex"),
            Specification::ReentrantMutex { depth } => write!(f, "reentrant-mutex:{depth}"),
            Specification::FencedMutex => f.write_str("fenced-mutex"),
            Specification::Semaphore { permits } => write!(f, "semaphore:{permits}"),
            Specification::ReadWriteLock => f.write_str("rwlock"),
            Specification::LeaseMutex { lease_ns } => {
                let ttl = std::time::Duration::from_nanos(*lease_ns);
                write!(
                    f,
                    "lease-mutex:{}",
                    humantime::format_duration(ttl).to_string().replace(' ', "")
                )
            }
            Specification::FencedResource => f.write_str("fenced-resource"),
            Specification::CasRegister => f.write_str("cas-register"),
            Specification::KeyValue => f.write_str("kv"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_is_printed_can_be_read() {
        for name in [
            "mutex",
            "owner-mutex",
            "reentrant-mutex:3",
            "fenced-mutex",
            "semaphore:2",
            "rwlock",
            "lease-mutex:1s500ms",
            "fenced-resource",
            "cas-register",
            "kv",
        ] {
            let specification: Specification = name.parse().expect(name);
            assert_eq!(specification.to_string(), name);
        }
    }

    #[test]
    fn a_wrong_parameter_is_told_from_a_wrong_name() {
        for name in ["semaphore", "semaphore:0", "lease-mutex", "lease-mutex:x", "lease-mutex:0s"] {
            let error = name.parse::<Specification>().expect_err(name);
            assert!(matches!(error, SpecificationError::Parameter { .. }), "{name}: {error}");
        }
        for name in ["", "mutexes", "mutex:3", "kv:"] {
            let error = name.parse::<Specification>().expect_err(name);
            assert!(matches!(error, SpecificationError::Unknown { .. }), "{name}: {error}");
        }
    }
}
