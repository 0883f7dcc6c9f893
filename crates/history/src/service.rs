//! The services under test: each store, the recipes that make a lock of it, and their options.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A tick of the ZooKeeper servers that the tester configures: sessions last 2 to 20 of them, and are
/// looked at once in each.
pub const ZOOKEEPER_TICK_MS: u64 = 500;

/// A lock service under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// etcd.
    Etcd,
    /// Consul.
    Consul,
    /// Apache ZooKeeper.
    Zookeeper,
    /// Redis or Valkey.
    Redis,
    /// A lock service inside the control node: the canary of the tester itself.
    Sim,
}

impl Backend {
    /// Every backend, in the order in which help lists them.
    pub const ALL: [Backend; 5] =
        [Backend::Consul, Backend::Etcd, Backend::Redis, Backend::Zookeeper, Backend::Sim];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Etcd => "etcd",
            Backend::Consul => "consul",
            Backend::Zookeeper => "zookeeper",
            Backend::Redis => "redis",
            Backend::Sim => "sim",
        }
    }

    /// Its recipes, the default first.
    pub fn recipes(self) -> &'static [Recipe] {
        match self {
            Backend::Etcd => &[Recipe::LockRpc, Recipe::CasTtl, Recipe::ElectionKey],
            Backend::Consul => &[Recipe::Session],
            Backend::Zookeeper => &[Recipe::EphemeralSequential],
            Backend::Redis => &[Recipe::Redlock, Recipe::Single, Recipe::Sentinel],
            Backend::Sim => &[Recipe::Sim],
        }
    }

    /// How its plain values can be read, the strongest first.
    pub fn read_modes(self) -> &'static [ReadMode] {
        match self {
            Backend::Etcd => &[ReadMode::Linearizable, ReadMode::Serializable],
            Backend::Consul => &[ReadMode::Consistent, ReadMode::Default, ReadMode::Stale],
            Backend::Zookeeper => &[ReadMode::Sync, ReadMode::Plain],
            Backend::Redis | Backend::Sim => &[ReadMode::Plain],
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(name: &str) -> Result<Backend, String> {
        Backend::ALL
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| format!("no backend is named '{name}'"))
    }
}

/// How a store is used as a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// etcd's native Lock RPC.
    LockRpc,
    /// etcd: a transaction that creates the key if it is absent, under a lease.
    CasTtl,
    /// etcd: a key of one's own below a prefix; the lowest create revision holds.
    ElectionKey,
    /// Consul: a session with a TTL, and a KV acquire.
    Session,
    /// ZooKeeper: an ephemeral sequential node; each waits for its predecessor to go.
    EphemeralSequential,
    /// Redis: a majority of independent servers, after the published Redlock algorithm.
    Redlock,
    /// Redis: one key on one server.
    Single,
    /// Redis: one key on the primary that the sentinels name.
    Sentinel,
    /// The sim's own lock.
    Sim,
}

impl Recipe {
    /// Every recipe.
    pub const ALL: [Recipe; 9] = [
        Recipe::LockRpc,
        Recipe::CasTtl,
        Recipe::ElectionKey,
        Recipe::Session,
        Recipe::EphemeralSequential,
        Recipe::Redlock,
        Recipe::Single,
        Recipe::Sentinel,
        Recipe::Sim,
    ];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Recipe::LockRpc => "lock-rpc",
            Recipe::CasTtl => "cas-ttl",
            Recipe::ElectionKey => "election-key",
            Recipe::Session => "session",
            Recipe::EphemeralSequential => "ephemeral-sequential",
            Recipe::Redlock => "redlock",
            Recipe::Single => "single",
            Recipe::Sentinel => "sentinel",
            Recipe::Sim => "sim",
        }
    }

    /// Whether its grants carry a fencing token.
    pub fn has_fencing_tokens(self) -> bool {
        !matches!(self, Recipe::Redlock | Recipe::Single | Recipe::Sentinel)
    }

    /// Whether the lease begins with the acquire that is granted, and not with a session before it.
    /// A waiter then has nothing to renew.
    pub fn lease_begins_with_grant(self) -> bool {
        matches!(self, Recipe::Redlock | Recipe::Single | Recipe::Sentinel)
    }

    /// Whether its servers know nothing of each other, so that a partition can only come between
    /// clients and servers.
    pub fn has_independent_servers(self) -> bool {
        matches!(self, Recipe::Redlock | Recipe::Single)
    }

    /// How long the service promises a lease of `lease_ttl_ms`, in nanoseconds by its own clock.
    ///
    /// Redlock's algorithm takes a hundredth of the time and two milliseconds off, for servers
    /// whose clocks run apart.
    pub fn promised_ns(self, lease_ttl_ms: u64) -> u64 {
        let ttl_ns = lease_ttl_ms.saturating_mul(1_000_000);
        match self {
            Recipe::Redlock => ttl_ns.saturating_sub(ttl_ns / 100 + 2_000_000),
            _ => ttl_ns,
        }
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Recipe {
    type Err = String;

    fn from_str(name: &str) -> Result<Recipe, String> {
        Recipe::ALL
            .into_iter()
            .find(|recipe| recipe.name() == name)
            .ok_or_else(|| format!("no recipe is named '{name}'"))
    }
}

/// How a plain value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadMode {
    /// etcd: through the leader, after it has made sure that it leads.
    Linearizable,
    /// etcd: what the asked server has, which may be old.
    Serializable,
    /// Consul: the leader makes sure that it leads.
    Consistent,
    /// Consul: the leader answers without making sure.
    Default,
    /// Consul: whatever server is asked, which may be old.
    Stale,
    /// What the asked server has.
    Plain,
    /// ZooKeeper: after a `sync` through the same server.
    Sync,
}

impl ReadMode {
    /// Every mode.
    pub const ALL: [ReadMode; 7] = [
        ReadMode::Linearizable,
        ReadMode::Serializable,
        ReadMode::Consistent,
        ReadMode::Default,
        ReadMode::Stale,
        ReadMode::Plain,
        ReadMode::Sync,
    ];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            ReadMode::Linearizable => "linearizable",
            ReadMode::Serializable => "serializable",
            ReadMode::Consistent => "consistent",
            ReadMode::Default => "default",
            ReadMode::Stale => "stale",
            ReadMode::Plain => "plain",
            ReadMode::Sync => "sync",
        }
    }
}

impl fmt::Display for ReadMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What becomes of a Consul lock's key when its session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionBehavior {
    /// The key stays, without a holder.
    Release,
    /// The key is deleted.
    Delete,
}

/// How a client of etcd's `cas-ttl` waits for the key to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CasWait {
    /// By a watch on the key.
    Watch,
    /// By trying again and again.
    Poll,
}

/// When Redis writes its data to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RedisPersistence {
    /// Never: a restarted server is empty.
    None,
    /// Appends, and synchronizes once a second.
    Everysec,
    /// Appends, and synchronizes before each answer.
    Always,
}

/// In which order Redlock asks its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RedlockRequests {
    /// All at once.
    Parallel,
    /// One after the other.
    Sequential,
}

/// The options of the recipes on Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisOptions {
    /// When servers write to disk.
    pub persistence: RedisPersistence,
    /// In which order Redlock asks.
    pub requests: RedlockRequests,
    /// How long Redlock waits for one server's answer; far less than the lease.
    pub node_timeout_ms: u64,
    /// The longest pause before a refused acquire is tried again. Each pause is a random half to
    /// whole of it, so that competitors do not keep splitting the vote.
    pub retry_pause_ms: u64,
}

impl RedisOptions {
    /// No persistence, and Redlock as its publication suggests.
    pub const DEFAULT: RedisOptions = RedisOptions {
        persistence: RedisPersistence::None,
        requests: RedlockRequests::Parallel,
        node_timeout_ms: 50,
        retry_pause_ms: 100,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_parsed_to_what_it_names_and_nothing_else_is() {
        for backend in Backend::ALL {
            assert_eq!(backend.name().parse::<Backend>(), Ok(backend));
        }
        for recipe in Recipe::ALL {
            assert_eq!(recipe.name().parse::<Recipe>(), Ok(recipe));
        }
        assert!("Consul".parse::<Backend>().is_err());
        assert!("lock_rpc".parse::<Recipe>().is_err());
    }

    #[test]
    fn every_recipe_belongs_to_one_backend() {
        for recipe in Recipe::ALL {
            let owners = Backend::ALL.iter().filter(|backend| backend.recipes().contains(&recipe));
            assert_eq!(owners.count(), 1, "{recipe}");
        }
    }

    #[test]
    fn names_on_the_command_line_are_those_in_files() {
        for recipe in Recipe::ALL {
            let stored = serde_json::to_string(&recipe).expect("a recipe can be stored");
            assert_eq!(stored, format!("\"{recipe}\""));
        }
        for mode in ReadMode::ALL {
            let stored = serde_json::to_string(&mode).expect("a mode can be stored");
            assert_eq!(stored, format!("\"{mode}\""));
        }
    }

    #[test]
    fn redlock_promises_less_than_its_ttl_by_the_drift_and_the_others_promise_all() {
        assert_eq!(Recipe::Redlock.promised_ns(2000), 1_978_000_000);
        assert_eq!(Recipe::Redlock.promised_ns(1), 0);
        assert_eq!(Recipe::Single.promised_ns(2000), 2_000_000_000);
    }
}
