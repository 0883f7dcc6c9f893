//! What each store needs to run, and how to ask it things. One arm a store, one module behind it.

use std::path::{Path, PathBuf};

use locktest_history::{Backend, NodeId};

use crate::member::Member;
use crate::service::{NodeLayout, Service};
use crate::{consul, etcd};

/// A store that runs as server processes on nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// HashiCorp Consul.
    Consul,
    /// etcd.
    Etcd,
}

/// Where the distribution keeps a store's server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// The suite of the distribution.
    pub suite: &'static str,
    /// The package's name.
    pub name: &'static str,
    /// The server within the unpacked package.
    pub binary: &'static str,
    /// The upstream version that this build was tested with.
    pub version: &'static str,
}

impl Store {
    /// The store of a backend; `None` for a backend without servers.
    pub fn of(backend: Backend) -> Option<Store> {
        match backend {
            Backend::Consul => Some(Store::Consul),
            Backend::Etcd => Some(Store::Etcd),
            Backend::Sim => None,
        }
    }

    /// The name of its server.
    pub fn name(self) -> &'static str {
        match self {
            Store::Consul => "consul",
            Store::Etcd => "etcd",
        }
    }

    /// Where its default version comes from.
    pub fn package(self) -> Package {
        match self {
            Store::Consul => Package {
                suite: "bullseye",
                name: "consul",
                binary: "usr/bin/consul",
                version: "1.8.7",
            },
            Store::Etcd => Package {
                suite: "bookworm",
                name: "etcd-server",
                binary: "usr/bin/etcd",
                version: "3.4.23",
            },
        }
    }

    /// The arguments that make the server print its version.
    pub fn version_arguments(self) -> &'static [&'static str] {
        match self {
            Store::Consul => &["version"],
            Store::Etcd => &["--version"],
        }
    }

    /// Settings that bear on the verdict, in words, for the plan.
    pub fn settings(self) -> Vec<String> {
        let settings = match self {
            Store::Consul => consul::SETTINGS,
            Store::Etcd => etcd::SETTINGS,
        };
        settings.iter().map(|setting| (*setting).to_owned()).collect()
    }

    /// The port that clients use.
    pub fn client_port(self) -> u16 {
        match self {
            Store::Consul => 8500,
            Store::Etcd => 2379,
        }
    }

    /// The port on which servers replicate to each other.
    pub fn peer_port(self) -> u16 {
        match self {
            Store::Consul => 8300,
            Store::Etcd => 2380,
        }
    }

    /// The server process of `member` in a fresh cluster of `members`.
    pub fn service(
        self,
        member: &Member,
        members: &[Member],
        binary: &Path,
        layout: &NodeLayout,
    ) -> Service {
        let name = self.name();
        let data: PathBuf = layout.data().join(name);
        let config_path = layout.run().join(format!("{name}.json"));
        let (arguments, config) = match self {
            Store::Consul => consul::launch(member, members, &data, &config_path),
            Store::Etcd => (etcd::launch(member, members, &data), None),
        };
        Service {
            name,
            program: binary.to_owned(),
            arguments,
            config: config.map(|content| (config_path, content)),
            data,
            log: layout.log().join(format!("{name}.log")),
            pid_file: layout.run().join(format!("{name}.pid")),
        }
    }

    /// Writes a value through the server of `member`, and waits for the acknowledgement.
    pub(crate) async fn write(self, http: &reqwest::Client, member: &Member) -> Result<(), String> {
        let base = self.url(member);
        match self {
            Store::Consul => consul::write(http, &base).await,
            Store::Etcd => etcd::write(http, &base).await,
        }
        .map_err(describe)
    }

    /// Asks the server of `member` who leads.
    pub(crate) async fn leader(
        self,
        http: &reqwest::Client,
        member: &Member,
        members: &[Member],
    ) -> Result<Option<NodeId>, String> {
        let base = self.url(member);
        match self {
            Store::Consul => consul::leader(http, &base, members).await,
            Store::Etcd => etcd::leader(http, &base, members).await,
        }
        .map_err(describe)
    }

    fn url(self, member: &Member) -> String {
        format!("http://{}:{}", member.address, self.client_port())
    }
}

/// An HTTP error with its causes, without the URL: the node is named beside it.
fn describe(error: reqwest::Error) -> String {
    use std::error::Error;
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    text
}
