//! Redis and Valkey servers: releases, configuration, probe write.

use std::path::Path;

use locktest_history::{RedisOptions, RedisPersistence};
use redis::Cmd;

use crate::member::Member;
use crate::redis_connection::Connection;
use crate::release::{Launch, PackageFile, Release};
use crate::service::Service;
use crate::store::Store;

pub(crate) const PORT: u16 = 6379;

/// The server's program is in the package of its tools under another name; it goes by the name
/// that it is told. The libraries are those that it loads, each from the same suite as itself. The
/// newer suite is built for a newer C library than a node has, and brings that and its loader.
pub(crate) const RELEASES: &[Release] = &[
    Release {
        store: Store::Redis,
        version: "8.0.2",
        suite: "trixie",
        packages: &[
            "redis-tools",
            "libatomic1",
            "libc6",
            "libcap2",
            "libgcc-s1",
            "libjemalloc2",
            "liblzf1",
            "libssl3t64",
            "libstdc++6",
            "libsystemd0",
            "libzstd1",
            "zlib1g",
        ],
        launch: Launch::ThroughLoader {
            program: REDIS_SERVER,
            name: "redis-server",
            loader: Some(NEWER_LOADER),
        },
    },
    Release {
        store: Store::Redis,
        version: "7.0.15",
        suite: "bookworm",
        packages: &[
            "redis-tools",
            "libatomic1",
            "libcap2",
            "libgcc-s1",
            "libgcrypt20",
            "libgpg-error0",
            "libjemalloc2",
            "liblz4-1",
            "liblzf1",
            "liblzma5",
            "libssl3",
            "libstdc++6",
            "libsystemd0",
            "libzstd1",
        ],
        launch: Launch::ThroughLoader { program: REDIS_SERVER, name: "redis-server", loader: None },
    },
    Release {
        store: Store::Redis,
        version: "6.0.16",
        suite: "bullseye",
        packages: &[
            "redis-tools",
            "libatomic1",
            "libgcc-s1",
            "libgcrypt20",
            "libgpg-error0",
            "libjemalloc2",
            "liblua5.1-0",
            "liblz4-1",
            "liblzf1",
            "liblzma5",
            "libssl1.1",
            "libstdc++6",
            "libsystemd0",
            "libzstd1",
            "lua-bitop",
            "lua-cjson",
        ],
        launch: Launch::ThroughLoader { program: REDIS_SERVER, name: "redis-server", loader: None },
    },
    Release {
        store: Store::Redis,
        version: "valkey-8.1.1",
        suite: "trixie",
        packages: &[
            "valkey-tools",
            "libatomic1",
            "libc6",
            "libcap2",
            "libgcc-s1",
            "libjemalloc2",
            "liblzf1",
            "libssl3t64",
            "libstdc++6",
            "libsystemd0",
            "libzstd1",
            "zlib1g",
        ],
        launch: Launch::ThroughLoader {
            program: PackageFile { package: "valkey-tools", path: "usr/bin/valkey-check-rdb" },
            name: "valkey-server",
            loader: Some(NEWER_LOADER),
        },
    },
];

const REDIS_SERVER: PackageFile =
    PackageFile { package: "redis-tools", path: "usr/bin/redis-check-rdb" };

/// The dynamic loader of a suite that is newer than the node's own.
#[cfg(target_arch = "aarch64")]
const NEWER_LOADER: PackageFile =
    PackageFile { package: "libc6", path: "usr/lib/ld-linux-aarch64.so.1" };
/// The dynamic loader of a suite that is newer than the node's own.
#[cfg(not(target_arch = "aarch64"))]
const NEWER_LOADER: PackageFile =
    PackageFile { package: "libc6", path: "usr/lib64/ld-linux-x86-64.so.2" };

/// An independent server.
pub(crate) fn service(service: Service, member: &Member, options: RedisOptions) -> Service {
    let text = config(member, &service.data, options);
    with_config(service, CONFIG, text)
}

/// A server that replicates: the first member is born the primary of the others. From then on the
/// sentinels decide that, and have each server write it to its configuration.
pub(crate) fn replica_service(
    service: Service,
    member: &Member,
    members: &[Member],
    options: RedisOptions,
) -> Service {
    let mut text = config(member, &service.data, options);
    text.push_str(&replication(member, members));
    with_config(service, CONFIG, text)
}

const CONFIG: &str = "redis.conf";

/// The same with a configuration file. An environment of the node that asks for a locale which the
/// suite does not have would keep the server from starting.
pub(crate) fn with_config(mut service: Service, name: &'static str, text: String) -> Service {
    let path = service.data.join(name).display().to_string();
    service.environment.push(("LC_ALL".into(), "C".into()));
    service.file(name, text).arguments([path])
}

/// What servers and sentinels have in common. A connection to elsewhere comes from the first
/// address in old versions.
pub(crate) fn listener(member: &Member, port: u16, data: &Path) -> String {
    format!(
        "\
bind {address} 127.0.0.1
port {port}
protected-mode no
daemonize no
dir \"{data}\"
",
        address = member.address,
        data = data.display(),
    )
}

/// Locks are small and must never be evicted. Without snapshots nothing is written when the server
/// ends either.
fn config(member: &Member, data: &Path, options: RedisOptions) -> String {
    let (append_only, fsync) = match options.persistence {
        RedisPersistence::None => ("no", "everysec"),
        RedisPersistence::Everysec => ("yes", "everysec"),
        RedisPersistence::Always => ("yes", "always"),
    };
    let mut text = listener(member, PORT, data);
    text.push_str(&format!(
        "\
maxmemory 64mb
maxmemory-policy noeviction
save \"\"
stop-writes-on-bgsave-error yes
appendonly {append_only}
appendfsync {fsync}
"
    ));
    text
}

/// The snapshot that a replica begins with goes over the wire at once and stays on no disk, else a
/// server that keeps nothing could come back with an old one. Its own timeouts tell a server of a
/// cut link sooner than TCP does, and let it try again as soon as the link is back.
fn replication(member: &Member, members: &[Member]) -> String {
    let mut text = format!(
        "\
replica-announce-ip {address}
replica-announce-port {PORT}
repl-diskless-sync yes
repl-diskless-sync-delay 0
rdb-del-sync-files yes
repl-ping-replica-period 1
repl-timeout 5
",
        address = member.address,
    );
    match members.first() {
        Some(first) if first.id != member.id => {
            text.push_str(&format!("replicaof {} {PORT}\n", first.address));
        }
        _ => {}
    }
    text
}

/// Settings in words.
pub(crate) fn settings(options: RedisOptions) -> Vec<String> {
    let persistence = match options.persistence {
        RedisPersistence::None => "appendonly = no (a restarted server is empty)",
        RedisPersistence::Everysec => "appendonly = yes, appendfsync = everysec",
        RedisPersistence::Always => "appendonly = yes, appendfsync = always",
    };
    vec![persistence.into(), "save = \"\" (no snapshots)".into()]
}

/// Writes to one server.
pub(crate) struct Probe {
    server: Connection,
}

impl Probe {
    /// Nothing is connected to yet.
    pub fn new(member: &Member) -> Probe {
        Probe { server: Connection::new(&member.address, PORT) }
    }

    /// A write to this very server.
    pub async fn write(&self) -> Result<(), String> {
        self.server.ask(&probe_write()).await
    }
}

/// The write whose acknowledgement shows that a server serves.
pub(crate) fn probe_write() -> Cmd {
    let mut command = redis::cmd("SET");
    command.arg("locktest/probe").arg("1");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(service: &Service) -> &str {
        let [(name, text)] = &service.files[..] else { panic!("one file: {:?}", service.files) };
        assert_eq!(*name, "redis.conf");
        text
    }

    fn has(text: &str, line: &str) -> bool {
        text.lines().any(|found| found == line)
    }

    fn with(persistence: RedisPersistence) -> RedisOptions {
        RedisOptions { persistence, ..RedisOptions::DEFAULT }
    }

    #[test]
    fn an_independent_server_listens_at_its_own_address_and_knows_no_other() {
        let members = Member::for_tests(3);
        let service = service(Service::for_tests("redis"), &members[1], RedisOptions::DEFAULT);
        assert_eq!(service.arguments, ["/node/data/redis/redis.conf"]);
        let text = text_of(&service);
        assert!(has(text, "bind 10.0.0.2 127.0.0.1"), "{text}");
        assert!(has(text, "port 6379"), "{text}");
        assert!(has(text, "dir \"/node/data/redis\""), "{text}");
        assert!(!text.contains("repl"), "{text}");
        assert!(!text.contains("10.0.0.1 ") && !text.contains("10.0.0.3"), "{text}");
    }

    #[test]
    fn a_server_writes_to_disk_as_it_is_told_and_never_a_snapshot() {
        for (persistence, append_only, fsync) in [
            (RedisPersistence::None, "appendonly no", "appendfsync everysec"),
            (RedisPersistence::Everysec, "appendonly yes", "appendfsync everysec"),
            (RedisPersistence::Always, "appendonly yes", "appendfsync always"),
        ] {
            let members = Member::for_tests(1);
            let service = service(Service::for_tests("redis"), &members[0], with(persistence));
            let text = text_of(&service);
            assert!(has(text, append_only) && has(text, fsync), "{text}");
            assert_eq!(text.matches("save \"\"").count(), 1, "{text}");
        }
    }

    #[test]
    fn what_is_said_of_the_persistence_differs_with_it() {
        let said = |persistence| settings(with(persistence)).join("; ");
        assert!(said(RedisPersistence::None).contains("a restarted server is empty"));
        assert!(said(RedisPersistence::Everysec).contains("appendfsync = everysec"));
        assert!(said(RedisPersistence::Always).contains("appendfsync = always"));
    }

    #[test]
    fn the_first_member_is_born_the_primary_of_all_others() {
        let members = Member::for_tests(3);
        let text_for = |member: &Member| {
            let base = Service::for_tests("redis");
            let service = replica_service(base, member, &members, RedisOptions::DEFAULT);
            text_of(&service).to_owned()
        };
        assert!(!text_for(&members[0]).contains("replicaof"));
        for member in &members[1..] {
            assert!(has(&text_for(member), "replicaof 10.0.0.1 6379"));
        }
        assert!(has(&text_for(&members[2]), "replica-announce-ip 10.0.0.3"));
    }

    #[test]
    fn the_newest_redis_is_the_default_and_each_release_has_its_program_and_loader() {
        assert_eq!(Release::newest(Store::Redis).version, "8.0.2");
        for release in RELEASES {
            let Launch::ThroughLoader { program, loader, .. } = &release.launch else {
                panic!("{}: its libraries are not on the node", release.version);
            };
            assert_eq!(release.packages[0], program.package, "{}", release.version);
            assert_eq!(loader.is_some(), release.packages.contains(&"libc6"));
        }
    }
}
