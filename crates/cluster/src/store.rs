//! The stores that run as server processes. One arm a store here, one module behind it.

use locktest_history::Backend;

use crate::release::Release;
use crate::{consul, etcd, redis, zookeeper};

/// A store that runs as server processes on nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// HashiCorp Consul.
    Consul,
    /// etcd.
    Etcd,
    /// Redis or Valkey.
    Redis,
    /// Apache ZooKeeper.
    Zookeeper,
}

impl Store {
    /// Every store, in the order in which they are listed.
    pub const ALL: [Store; 4] = [Store::Consul, Store::Etcd, Store::Redis, Store::Zookeeper];

    /// The store of a backend; `None` for a backend without servers.
    pub fn of(backend: Backend) -> Option<Store> {
        match backend {
            Backend::Consul => Some(Store::Consul),
            Backend::Etcd => Some(Store::Etcd),
            Backend::Redis => Some(Store::Redis),
            Backend::Zookeeper => Some(Store::Zookeeper),
            Backend::Sim => None,
        }
    }

    /// The backend whose store it is.
    pub fn backend(self) -> Backend {
        match self {
            Store::Consul => Backend::Consul,
            Store::Etcd => Backend::Etcd,
            Store::Redis => Backend::Redis,
            Store::Zookeeper => Backend::Zookeeper,
        }
    }

    /// The name of its server, and of the backend.
    pub fn name(self) -> &'static str {
        self.backend().name()
    }

    /// Its versions, the newest first; there is at least one.
    pub(crate) fn releases(self) -> &'static [Release] {
        match self {
            Store::Consul => consul::RELEASES,
            Store::Etcd => etcd::RELEASES,
            Store::Redis => redis::RELEASES,
            Store::Zookeeper => zookeeper::RELEASES,
        }
    }

    /// The names under which its server program is installed.
    pub fn program_names(self) -> &'static [&'static str] {
        match self {
            Store::Consul => &["consul"],
            Store::Etcd => &["etcd"],
            Store::Redis => &["redis-server", "valkey-server"],
            // A class of Java, not a program.
            Store::Zookeeper => &[],
        }
    }

    /// The arguments that make its server program print its version.
    pub(crate) fn version_arguments(self) -> &'static [&'static str] {
        match self {
            Store::Consul => &["version"],
            Store::Etcd | Store::Redis | Store::Zookeeper => &["--version"],
        }
    }

    /// The port that clients use.
    pub fn client_port(self) -> u16 {
        match self {
            Store::Consul => 8500,
            Store::Etcd => 2379,
            Store::Redis => 6379,
            Store::Zookeeper => 2181,
        }
    }

    /// A port on which every server listens for the others; independent Redis servers have none
    /// but that of the clients.
    pub fn peer_port(self) -> u16 {
        match self {
            Store::Consul => 8300,
            Store::Etcd => 2380,
            Store::Redis => self.client_port(),
            Store::Zookeeper => zookeeper::ELECTION_PORT,
        }
    }
}
