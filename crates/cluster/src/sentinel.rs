//! Redis' sentinels, which watch a primary with its replicas and make another one the primary when
//! it is gone: configuration, and what they and the servers say of who is the primary.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use locktest_history::NodeId;
use redis::{Value, from_redis_value_ref};
use tokio::time::timeout;

use crate::member::Member;
use crate::probe::member_at;
use crate::redis::{self as server, listener, with_config};
use crate::redis_connection::Connection;
use crate::service::Service;

/// The name of the service.
pub(crate) const SERVICE: &str = "sentinel";

pub(crate) const PORT: u16 = 26379;

/// What the sentinels call the one set of servers that they watch; clients ask them for it.
const WATCHED: &str = "locktest";

/// On the first members. More than half of them have to agree on who makes a new primary.
const SENTINELS: usize = 3;

/// So many have to find the primary gone.
const QUORUM: usize = 2;

/// The default of 30 s would let most faults pass unnoticed.
const DOWN_AFTER_MS: u64 = 2000;

/// Each step of a failover has this long, and after a failed one (two sentinels that voted for
/// themselves, say) nobody tries again for twice as long. A sentinel asks a server once a second
/// for its new role, so a step can take more than a second; the default is 180 s.
const FAILOVER_TIMEOUT_MS: u64 = 3000;

/// A probe has time left for the server when a sentinel does not answer.
const SENTINEL_TIMEOUT: Duration = Duration::from_millis(250);

pub(crate) const SETTINGS: &[&str] = &[
    "sentinels = 3, on the first servers; quorum = 2",
    "down-after-milliseconds = 2000 (the default is 30000)",
    "failover-timeout = 3000 (the default is 180000)",
    "parallel-syncs = all replicas (the default is 1)",
    "min-replicas-to-write = 0 (a cut-off primary takes writes)",
    "repl-timeout = 5s (the default is 60s)",
];

/// The sentinel beside `member`'s server, if it is one of the first three. It keeps what it learns
/// in its configuration file, which is therefore written once and lives with its data.
pub(crate) fn service(service: Service, member: &Member, members: &[Member]) -> Option<Service> {
    let beside = sentinel_members(members).any(|with_sentinel| with_sentinel.id == member.id);
    let first = members.first().filter(|_| beside)?;
    let mut text = listener(member, PORT, &service.data);
    text.push_str(&format!(
        "\
sentinel announce-ip {address}
sentinel announce-port {PORT}
sentinel monitor {WATCHED} {primary} {port} {QUORUM}
sentinel down-after-milliseconds {WATCHED} {DOWN_AFTER_MS}
sentinel failover-timeout {WATCHED} {FAILOVER_TIMEOUT_MS}
sentinel parallel-syncs {WATCHED} {replicas}
",
        address = member.address,
        primary = first.address,
        port = server::PORT,
        replicas = members.len(),
    ));
    // Else it would learn of those that were slower than itself only ten seconds later.
    for replica in &members[1..] {
        text.push_str(&format!(
            "sentinel known-replica {WATCHED} {} {}\n",
            replica.address,
            server::PORT
        ));
    }
    Some(with_config(service, "sentinel.conf", text).arguments(["--sentinel".to_owned()]))
}

fn sentinel_members(members: &[Member]) -> impl Iterator<Item = &Member> {
    members.iter().take(SENTINELS)
}

/// Asks one server, and the sentinels about it.
pub(crate) struct Probe {
    member: NodeId,
    members: Vec<Member>,
    servers: Vec<Connection>,
    sentinels: Vec<Connection>,
}

impl Probe {
    /// Nothing is connected to yet.
    pub fn new(member: &Member, members: &[Member]) -> Probe {
        let connection = |port| move |member: &Member| Connection::new(&member.address, port);
        Probe {
            member: member.id,
            members: members.to_vec(),
            servers: members.iter().map(connection(server::PORT)).collect(),
            sentinels: sentinel_members(members).map(connection(PORT)).collect(),
        }
    }

    /// A write to the primary, if this server is it or replicates it, and if it is the one to which
    /// the sentinels send clients. One that came back and was not told yet that it has been replaced
    /// takes writes, too, but serves nobody.
    pub async fn write(&self) -> Result<(), String> {
        let primary = self.primary().await?;
        let named = self.named_by_sentinels().await?;
        if named != primary {
            return Err(format!(
                "its primary is {}, but the sentinels name {}",
                self.name(primary),
                self.name(named)
            ));
        }
        self.servers[usize::from(primary.0)].ask(&server::probe_write()).await
    }

    /// Whether the sentinels are ready for a fault: the one beside this server, if there is one,
    /// knows its fellows, the primary, and every replica as linked to that.
    pub async fn settled(&self) -> Result<(), String> {
        let Some(sentinel) = self.sentinels.get(usize::from(self.member.0)) else {
            return Ok(());
        };
        let command = |name: &str| {
            let mut command = redis::cmd("SENTINEL");
            command.arg(name).arg(WATCHED);
            command
        };
        let primary: Instance = sentinel.ask(&command("MASTER")).await?;
        let replicas: Vec<Instance> = sentinel.ask(&command("REPLICAS")).await?;
        check_settled(&primary, &replicas, self.members.len())?;
        let fellows: String = sentinel.ask(&command("CKQUORUM")).await?;
        if !fellows.starts_with(&format!("OK {} usable ", self.sentinels.len())) {
            return Err(format!("of {} sentinels its own says: {fellows}", self.sentinels.len()));
        }
        Ok(())
    }

    /// The primary as the server itself sees it.
    pub async fn leader(&self) -> Result<Option<NodeId>, String> {
        Ok(match self.role().await? {
            Role::Primary => Some(self.member),
            Role::Replica { primary, .. } => member_at(&self.members, &primary),
        })
    }

    /// The server itself, or the one that it is linked to.
    async fn primary(&self) -> Result<NodeId, String> {
        match self.role().await? {
            Role::Primary => Ok(self.member),
            Role::Replica { primary, linked: true } => self.member_at(&primary),
            Role::Replica { primary, linked: false } => {
                Err(format!("it is a replica of {primary}, without a link to it"))
            }
        }
    }

    async fn role(&self) -> Result<Role, String> {
        let answer: Value =
            self.servers[usize::from(self.member.0)].ask(&redis::cmd("ROLE")).await?;
        Role::of(&answer).ok_or_else(|| format!("it has an unknown role: {answer:?}"))
    }

    /// The primary that a majority of the sentinels names.
    async fn named_by_sentinels(&self) -> Result<NodeId, String> {
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(WATCHED);
        let answers = self.sentinels.iter().map(|sentinel| {
            timeout(SENTINEL_TIMEOUT, sentinel.ask::<Option<(String, u16)>>(&command))
        });
        let mut votes = vec![0; self.members.len()];
        for answer in join_all(answers).await {
            if let Ok(Ok(Some((address, _port)))) = answer {
                votes[usize::from(self.member_at(&address)?.0)] += 1;
            }
        }
        let index = votes.iter().position(|votes| votes * 2 > self.sentinels.len());
        index.map(|index| self.members[index].id).ok_or("the sentinels agree on no primary".into())
    }

    fn member_at(&self, address: &str) -> Result<NodeId, String> {
        member_at(&self.members, address)
            .ok_or_else(|| format!("the primary is said to be {address}, which is none of ours"))
    }

    fn name(&self, node: NodeId) -> &str {
        &self.members[usize::from(node.0)].name
    }
}

/// What a sentinel says of a server, by the names of the fields.
type Instance = HashMap<String, String>;

/// Whether a sentinel sees the primary and all the others as its replicas, each in good order.
fn check_settled(primary: &Instance, replicas: &[Instance], members: usize) -> Result<(), String> {
    let field = |of: &Instance, name| of.get(name).map_or("unknown", String::as_str).to_owned();
    let address = field(primary, "ip");
    let flags = field(primary, "flags");
    if flags != "master" {
        return Err(format!("its sentinel sees the primary as {flags}"));
    }
    if replicas.len() + 1 != members {
        return Err(format!("its sentinel knows {} of {} replicas", replicas.len(), members - 1));
    }
    for replica in replicas {
        let seen = ["flags", "master-link-status", "master-host"].map(|name| field(replica, name));
        if seen != ["slave", "ok", &address] {
            let name = field(replica, "ip");
            return Err(format!("its sentinel sees the replica {name} as {}", seen.join(" ")));
        }
    }
    Ok(())
}

/// What a server says it is.
#[derive(Debug, PartialEq, Eq)]
enum Role {
    Primary,
    Replica {
        /// The address of its primary.
        primary: String,
        /// Whether it has all that the primary had when they met, and gets what comes.
        linked: bool,
    },
}

impl Role {
    /// Of an answer to `ROLE`.
    fn of(answer: &Value) -> Option<Role> {
        let Value::Array(items) = answer else { return None };
        let text = |index: usize| from_redis_value_ref::<String>(items.get(index)?).ok();
        match text(0)?.as_str() {
            "master" => Some(Role::Primary),
            "slave" => Some(Role::Replica { primary: text(1)?, linked: text(3)? == "connected" }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_of(service: &Service) -> &str {
        let [(name, text)] = &service.files[..] else { panic!("one file: {:?}", service.files) };
        assert_eq!(*name, "sentinel.conf");
        text
    }

    #[test]
    fn the_first_three_members_have_a_sentinel_that_knows_them_all() {
        let members = Member::for_tests(5);
        let sentinel = |member: &Member| service(Service::for_tests("sentinel"), member, &members);
        for member in &members[..3] {
            let service = sentinel(member).expect("a sentinel");
            assert_eq!(service.arguments, ["/node/data/sentinel/sentinel.conf", "--sentinel"]);
            let text = config_of(&service);
            for line in [
                &format!("bind {} 127.0.0.1", member.address),
                &format!("sentinel announce-ip {}", member.address),
                "port 26379",
                "sentinel monitor locktest 10.0.0.1 6379 2",
                "sentinel known-replica locktest 10.0.0.2 6379",
                "sentinel known-replica locktest 10.0.0.5 6379",
            ] {
                assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
            }
            assert!(!text.contains("known-replica locktest 10.0.0.1"), "{text}");
        }
        assert_eq!(sentinel(&members[3]), None);
        assert_eq!(sentinel(&members[4]), None);
    }

    #[test]
    fn the_settings_say_what_the_configuration_has() {
        let members = Member::for_tests(3);
        let service = service(Service::for_tests("sentinel"), &members[0], &members);
        let service = service.expect("a sentinel");
        let settings = SETTINGS.join("\n");
        for (name, value) in
            [("down-after-milliseconds", DOWN_AFTER_MS), ("failover-timeout", FAILOVER_TIMEOUT_MS)]
        {
            assert!(config_of(&service).contains(&format!("{name} locktest {value}\n")), "{name}");
            assert!(settings.contains(&format!("{name} = {value} ")), "{name}");
        }
    }

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn a_role_is_read_and_a_replica_is_linked_only_once_it_is_connected() {
        let primary = Value::Array(vec![bulk("master"), Value::Int(7), Value::Array(vec![])]);
        assert_eq!(Role::of(&primary), Some(Role::Primary));
        let replica = |state, offset| {
            let host = bulk("10.0.0.1");
            let items = [bulk("slave"), host, Value::Int(6379), bulk(state), Value::Int(offset)];
            Role::of(&Value::Array(items.into()))
        };
        let role = |linked| Some(Role::Replica { primary: "10.0.0.1".into(), linked });
        assert_eq!(replica("connected", 7), role(true));
        for state in ["connect", "connecting", "sync"] {
            assert_eq!(replica(state, -1), role(false));
        }
        assert_eq!(Role::of(&Value::Array(vec![bulk("sentinel")])), None);
        assert_eq!(Role::of(&Value::Array(vec![bulk("slave")])), None);
        assert_eq!(Role::of(&Value::Nil), None);
    }

    fn instance(fields: &[(&str, &str)]) -> Instance {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_sentinel_has_settled_when_every_replica_follows_the_primary_that_it_knows() {
        let primary = instance(&[("ip", "10.0.0.1"), ("flags", "master")]);
        let replica = |address, flags, link, host| {
            instance(&[
                ("ip", address),
                ("flags", flags),
                ("master-link-status", link),
                ("master-host", host),
            ])
        };
        let good = replica("10.0.0.2", "slave", "ok", "10.0.0.1");
        let check = |third: Instance| check_settled(&primary, &[good.clone(), third], 3);
        assert_eq!(check(replica("10.0.0.3", "slave", "ok", "10.0.0.1")), Ok(()));
        check(replica("10.0.0.3", "slave,disconnected", "ok", "10.0.0.1")).expect_err("no link");
        check(replica("10.0.0.3", "slave", "err", "10.0.0.1")).expect_err("it is not linked");
        check(replica("10.0.0.3", "slave", "ok", "10.0.0.9")).expect_err("another primary");
        check(Instance::new()).expect_err("it says nothing");
        check_settled(&primary, std::slice::from_ref(&good), 3).expect_err("one is not known");
        let gone = instance(&[("ip", "10.0.0.1"), ("flags", "master,s_down")]);
        check_settled(&gone, &[good.clone(), good.clone()], 3).expect_err("the primary is down");
    }
}
