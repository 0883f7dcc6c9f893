//! ZooKeeper servers: configuration, probe write, leader.

use std::fmt::Write;
use std::time::Duration;

use locktest_history::ZOOKEEPER_TICK_MS;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use zookeeper_client::{Acls, Client, CreateMode, Error};

use crate::leadership::LeaderView;
use crate::member::Member;
use crate::release::{Launch, PackageFile, Release};
use crate::service::Service;
use crate::store::Store;

/// A tick is a quarter of the usual, so that sessions may be as short as leases elsewhere. The
/// limits, in ticks, are those of the sample configuration.
pub(crate) const SETTINGS: &[&str] = &[
    "tickTime = 500ms (the default is 2000ms; a session lasts 2 to 20 ticks)",
    "initLimit = 10 ticks",
    "syncLimit = 5 ticks",
];

/// Every server listens here for elections; for followers only the leader listens.
pub(crate) const ELECTION_PORT: u16 = 3888;

const FOLLOWER_PORT: u16 = 2888;

pub(crate) const MAIN: &str = "org.apache.zookeeper.server.quorum.QuorumPeerMain";

const fn jar(package: &'static str, path: &'static str) -> PackageFile {
    PackageFile { package, path }
}

const ZOOKEEPER: PackageFile = jar("libzookeeper-java", "usr/share/java/zookeeper.jar");
const JUTE: PackageFile = jar("libzookeeper-java", "usr/share/java/zookeeper-jute.jar");
const SLF4J: PackageFile = jar("libslf4j-java", "usr/share/java/slf4j-api.jar");
const SLF4J_SIMPLE: PackageFile = jar("libslf4j-java", "usr/share/java/slf4j-simple.jar");
const METRICS: PackageFile = jar("libdropwizard-metrics-java", "usr/share/java/metrics-core.jar");
const SNAPPY: PackageFile = jar("libsnappy-java", "usr/share/java/snappy-java.jar");

/// Since 3.5. The manifest of `zookeeper.jar` names the machine's own jars, which an earlier place
/// on the class path overrides: a `zookeeper-jute.jar` of another version lets the server start
/// and every client fail.
const fn release(version: &'static str, suite: &'static str) -> Release {
    Release {
        store: Store::Zookeeper,
        version,
        suite,
        packages: &[
            "libzookeeper-java",
            "libslf4j-java",
            "libdropwizard-metrics-java",
            "libsnappy-java",
        ],
        launch: Launch::Java {
            main: MAIN,
            class_path: &[JUTE, ZOOKEEPER, SLF4J, SLF4J_SIMPLE, METRICS, SNAPPY],
        },
    }
}

pub(crate) const RELEASES: &[Release] = &[
    release("3.9.3", "trixie"),
    release("3.8.0", "bookworm"),
    Release {
        store: Store::Zookeeper,
        version: "3.4.13",
        suite: "bullseye",
        packages: &["libzookeeper-java", "libslf4j-java"],
        launch: Launch::Java { main: MAIN, class_path: &[ZOOKEEPER, SLF4J, SLF4J_SIMPLE] },
    },
];

const CONFIG: &str = "zoo.cfg";

/// The server of `member`.
pub(crate) fn service(base: Service, member: &Member, members: &[Member]) -> Service {
    let mut config = format!(
        "\
dataDir={data}
clientPort={client_port}
tickTime={ZOOKEEPER_TICK_MS}
initLimit=10
syncLimit=5
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=srvr
",
        data = base.data.display(),
        client_port = Store::Zookeeper.client_port(),
    );
    for member in members {
        let (id, address) = (server_id(member), &member.address);
        let _ = writeln!(config, "server.{id}={address}:{FOLLOWER_PORT}:{ELECTION_PORT}");
    }
    let config_path = base.data.join(CONFIG).display().to_string();
    base.arguments([config_path])
        .file(CONFIG, config)
        .file("myid", format!("{}\n", server_id(member)))
}

/// Servers are numbered from one.
fn server_id(member: &Member) -> u32 {
    u32::from(member.id.0) + 1
}

const PROBE_PATH: &str = "/locktest-probe";

/// The longest that the servers allow: what a probe finds must not depend on its own session.
const PROBE_SESSION: Duration = Duration::from_secs(10);

/// Asks the server of one member, in a session of its own through that server alone.
pub(crate) struct Probe {
    address: String,
    /// That of the last write, if the write succeeded.
    session: Mutex<Option<Client>>,
}

impl Probe {
    pub fn new(member: &Member) -> Probe {
        let address = format!("{}:{}", member.address, Store::Zookeeper.client_port());
        Probe { address, session: Mutex::new(None) }
    }

    /// A session that failed, or that was given up on, is not used again: the library would wait
    /// before it connects again, and a server that has recovered would seem slower than it is.
    pub async fn write(&self) -> Result<(), String> {
        let kept = self.session.lock().await.take();
        let client = match kept {
            Some(client) => client,
            None => self.connect().await.map_err(|error| error.to_string())?,
        };
        write(&client).await.map_err(|error| error.to_string())?;
        *self.session.lock().await = Some(client);
        Ok(())
    }

    async fn connect(&self) -> Result<Client, Error> {
        Client::connector()
            .with_session_timeout(PROBE_SESSION)
            // What is asked here is the same in every version since.
            .with_server_version(3, 4, 0)
            .with_fail_eagerly()
            .connect(&self.address)
            .await
    }

    /// The four-letter command `srvr`, which a server answers about itself.
    pub async fn leader(&self) -> Result<LeaderView, String> {
        let answer = async {
            let mut stream = TcpStream::connect(&self.address).await?;
            stream.write_all(b"srvr").await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        Ok(leader_view(&answer.await.map_err(|error| error.to_string())?))
    }
}

async fn write(client: &Client) -> Result<(), Error> {
    let set = || async { client.set_data(PROBE_PATH, b"1", None).await.map(|_| ()) };
    match set().await {
        Err(Error::NoNode) => {
            let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
            match client.create(PROBE_PATH, b"1", &options).await {
                // Another server's probe was faster.
                Err(Error::NodeExists) => set().await,
                created => created.map(|_| ()),
            }
        }
        result => result,
    }
}

/// The upper half of a transaction's id is the term of the leader that made it. A server that has
/// no leader says that it does not serve, and gives no mode.
fn leader_view(answer: &str) -> LeaderView {
    let field = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name));
    match field("Mode: ").map(str::trim) {
        Some("leader" | "standalone") => {
            let last = field("Zxid: 0x").and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
            LeaderView::Leads { term: last.unwrap_or(0) >> 32 }
        }
        Some(_) => LeaderView::Follows,
        None => LeaderView::Names(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_knows_all_of_them_and_which_one_it_is() {
        let members = Member::for_tests(3);
        let service = service(Service::for_tests("zookeeper"), &members[2], &members);
        assert_eq!(service.arguments, ["/node/data/zookeeper/zoo.cfg"]);
        let [(CONFIG, config), ("myid", id)] = &service.files[..] else {
            panic!("two files: {service:?}")
        };
        assert_eq!(id, "3\n");
        for line in [
            "dataDir=/node/data/zookeeper",
            "clientPort=2181",
            "tickTime=500",
            "admin.enableServer=false",
            "server.1=10.0.0.1:2888:3888",
            "server.2=10.0.0.2:2888:3888",
            "server.3=10.0.0.3:2888:3888",
        ] {
            assert!(config.lines().any(|of_config| of_config == line), "{line}:\n{config}");
        }
    }

    #[test]
    fn a_server_tells_its_own_part_and_the_term_that_it_leads_in() {
        let answer = |mode| format!("Zookeeper version: 3.8.0\nZxid: 0x500000002\n{mode}\n");
        assert_eq!(leader_view(&answer("Mode: leader")), LeaderView::Leads { term: 5 });
        assert_eq!(leader_view(&answer("Mode: standalone")), LeaderView::Leads { term: 5 });
        assert_eq!(leader_view(&answer("Mode: follower")), LeaderView::Follows);
        let refusal = "This ZooKeeper instance is not currently serving requests\n";
        assert_eq!(leader_view(refusal), LeaderView::Names(None));
        assert_eq!(leader_view(""), LeaderView::Names(None));
    }
}
