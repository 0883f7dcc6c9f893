//! A standing lab, and how it comes to stand.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::command::{Invocation, find_program, run_all};
use crate::error::io_at;
use crate::layout::{Host, LabPaths, Layout, SSH_PORT};
use crate::lock::LockFile;
use crate::process::ProcessIdentity;
use crate::spec::LabId;
use crate::state::LabState;
use crate::{LabDirs, LabError, LabSpec, Subnet, network, node, ownership, ssh, subnet, teardown};

/// A claim outlasts the instant in which somebody looks whether there is one.
const CLAIM_LIMIT: Duration = Duration::from_millis(100);

/// How often a random id is drawn before all of them count as taken.
const RANDOM_IDS: usize = 100;

/// A server node of a lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabNode {
    /// `n1`, `n2`, …; also its hostname.
    pub name: String,
    /// Its address on the lab's network.
    pub address: Ipv4Addr,
    /// The port of its sshd.
    pub ssh_port: u16,
    /// The private key that its root accepts.
    pub identity_file: PathBuf,
    /// The known hosts to check it against.
    pub known_hosts_file: PathBuf,
    /// What the node sees as [`NODE_BASE`](crate::NODE_BASE), but for `packages`.
    pub host_dir: PathBuf,
}

/// A standing lab. Dropping it leaves it standing; [`down`](Lab::down) removes it.
#[derive(Debug)]
pub struct Lab {
    dirs: LabDirs,
    layout: Layout,
    paths: LabPaths,
    nodes: Vec<LabNode>,
    /// The nodes' processes, if this process started them: it must collect them when they end.
    children: Vec<Child>,
}

impl Lab {
    /// Makes a lab and waits until each node's sshd answers. On any failure, what was made is
    /// removed again. The future must run to its end: one that is dropped half-way leaves a lab
    /// for [`down_id`](crate::down_id).
    pub async fn up(dirs: &LabDirs, spec: &LabSpec) -> Result<Lab, LabError> {
        let size = spec.size()?;
        let asked_id = spec.asked_id()?;
        let dirs = dirs.create()?;
        let lock = network::lock().await?;
        let id = claim_id(&dirs, asked_id)?;
        let paths = dirs.lab(&id);
        let layout = match claim_network(id, size, spec.subnet).await {
            Ok(layout) => layout,
            Err(failure) => {
                // Nothing but the directory is ours yet.
                let _ = fs::remove_dir(paths.root());
                return Err(failure);
            }
        };
        let mut children = Vec::new();
        match build(&dirs, &layout, &paths, lock, &mut children).await {
            Ok(()) => Ok(Lab::new(dirs, layout, paths, children)),
            Err(failure) => {
                let removal = Lab::new(dirs, layout, paths, children).down().await;
                Err(match removal {
                    Ok(()) => failure,
                    Err(removal) => LabError::NotRemoved {
                        failure: Box::new(failure),
                        removal: Box::new(removal),
                    },
                })
            }
        }
    }

    /// A lab that stands already and whose nodes all run.
    pub fn open(dirs: &LabDirs, id: &str) -> Result<Lab, LabError> {
        let id = LabId::parse(id)?;
        let paths = dirs.lab(&id);
        let path = paths.state();
        let Some(state) = LabState::read(&path)? else {
            let id_text = id.to_string();
            return Err(match ownership::other_state_dir(dirs, &id) {
                Some(state_dir) => LabError::OtherStateDir { id: id_text, state_dir },
                None => LabError::NoSuchLab { id: id_text },
            });
        };
        let hosts = state.layout.server_hosts();
        if state.layout.id != id || state.nodes.len() != usize::from(state.layout.servers) {
            let reason = "the lab was never completed".to_owned();
            return Err(LabError::BadState { path, reason });
        }
        let ended = hosts.zip(&state.nodes).filter(|(_, process)| !process.is_alive());
        let ended: Vec<String> = ended.map(|(host, _)| host.name).collect();
        if !ended.is_empty() {
            return Err(LabError::NotRunning { id: id.to_string(), nodes: ended });
        }
        Ok(Lab::new(dirs.clone(), state.layout, paths, Vec::new()))
    }

    fn new(dirs: LabDirs, layout: Layout, paths: LabPaths, children: Vec<Child>) -> Lab {
        let node = |host: Host| LabNode {
            host_dir: paths.node(&host.name).root,
            name: host.name,
            address: host.address,
            ssh_port: SSH_PORT,
            identity_file: paths.client_key(),
            known_hosts_file: paths.known_hosts(),
        };
        let nodes = layout.server_hosts().map(node).collect();
        Lab { dirs, layout, paths, nodes, children }
    }

    /// Ends everything that runs in the lab and removes all of it. The nodes' data is gone.
    pub async fn down(mut self) -> Result<(), LabError> {
        teardown::remove(&self.dirs, &self.layout.id).await?;
        for child in &mut self.children {
            // It was killed just now; collecting it leaves no zombie.
            let _ = child.wait().await;
        }
        Ok(())
    }

    /// The lab's id.
    pub fn id(&self) -> &str {
        self.layout.id.as_str()
    }

    /// Reserves the lab for one run, until the claim is dropped or this process ends. Refuses if
    /// another run has it.
    pub async fn claim(&self) -> Result<LockFile, LabError> {
        match LockFile::hold(&self.paths.claim(), CLAIM_LIMIT).await {
            Err(LabError::LockTimeout { .. }) => Err(LabError::InUse { id: self.id().to_owned() }),
            result => result,
        }
    }

    /// Its range of addresses.
    pub fn subnet(&self) -> Subnet {
        self.layout.subnet
    }

    /// The server nodes, in order.
    pub fn nodes(&self) -> &[LabNode] {
        &self.nodes
    }

    /// The address of this host on the lab's network.
    pub fn control_address(&self) -> Ipv4Addr {
        self.layout.control_address()
    }

    /// The addresses of the client namespaces, in order; their number is the number of clients.
    pub fn client_addresses(&self) -> Vec<Ipv4Addr> {
        self.layout.client_hosts().map(|host| host.address).collect()
    }

    /// A directory for the sockets of ssh control masters; only root can enter it. [`down`](Lab::down)
    /// closes the masters whose sockets are in it or in a directory of it.
    pub fn ssh_control_dir(&self) -> PathBuf {
        self.paths.ssh_control()
    }

    /// A command that runs `program` in the namespace of a client, counted from zero. The child
    /// process is the program itself, so that a signal to it reaches no wrapper.
    pub fn client_command(&self, client: usize, program: &Path) -> Command {
        let [ip, words @ ..] = self.client_entry(client);
        let mut command = Command::new(ip);
        command.args(words).arg(program);
        command
    }

    /// The words before a program that is to run in the namespace of a client.
    pub fn client_entry(&self, client: usize) -> [String; 4] {
        client_entry(&self.layout, client)
    }

    /// A login to a node by plain ssh with strict host-key checking; a remote command may be added.
    pub fn ssh_command(&self, node: &str) -> Result<std::process::Command, LabError> {
        match self.nodes.iter().find(|candidate| candidate.name == node) {
            Some(node) => Ok(ssh::login(node.address, &self.paths)),
            None => Err(LabError::NoSuchNode {
                lab: self.id().to_owned(),
                node: node.to_owned(),
                nodes: self.nodes.iter().map(|node| node.name.clone()).collect(),
            }),
        }
    }

    /// Every command that [`up`](Lab::up) would run, in order. Nothing is run, so an id that would
    /// be random shows as `xxxx`, and a range that would be picked as the first candidate.
    pub fn up_commands(dirs: &LabDirs, spec: &LabSpec) -> Result<Vec<String>, LabError> {
        let layout = expected_layout(spec)?;
        let paths = dirs.lab(&layout.id);
        let mut commands = Vec::from(subnet::queries());
        commands.push(network::claim(&layout));
        commands.extend(network::creation(&layout, dirs).into_iter().flatten());
        commands.extend(ssh::key_generation(&layout, &paths));
        commands.extend(node_starts(&layout, &paths, &dirs.package_cache));
        Ok(commands.iter().map(Invocation::to_string).collect())
    }

    /// The addresses of the server nodes in the same lab that [`up_commands`](Lab::up_commands)
    /// shows.
    pub fn expected_addresses(spec: &LabSpec) -> Result<Vec<Ipv4Addr>, LabError> {
        Ok(expected_layout(spec)?.server_hosts().map(|host| host.address).collect())
    }

    /// The addresses of the client namespaces in that lab, each with its
    /// [entry](Lab::client_entry).
    pub fn expected_clients(spec: &LabSpec) -> Result<Vec<(Ipv4Addr, [String; 4])>, LabError> {
        let layout = expected_layout(spec)?;
        let clients = layout.client_hosts().enumerate();
        Ok(clients.map(|(client, host)| (host.address, client_entry(&layout, client))).collect())
    }
}

fn client_entry(layout: &Layout, client: usize) -> [String; 4] {
    let ip = find_program("ip").unwrap_or_else(|| "ip".into());
    let ip = ip.to_string_lossy().into_owned();
    [ip, "netns".into(), "exec".into(), layout.client_namespace(client)]
}

fn expected_layout(spec: &LabSpec) -> Result<Layout, LabError> {
    let (servers, clients) = spec.size()?;
    let id = match spec.asked_id()? {
        Some(id) => id,
        None => LabId::parse("xxxx")?,
    };
    Ok(Layout { id, subnet: spec.subnet.unwrap_or(Subnet::FIRST_CANDIDATE), servers, clients })
}

/// Creates the directory of a lab, which nobody else can then create.
fn claim_id(dirs: &LabDirs, asked: Option<LabId>) -> Result<LabId, LabError> {
    let labs = dirs.labs();
    fs::create_dir_all(&labs).map_err(io_at("create", &labs))?;
    let random = asked.is_none();
    let mut id = asked.unwrap_or_else(LabId::random);
    for _ in 0..RANDOM_IDS {
        let paths = dirs.lab(&id);
        let in_kernel = network::link_exists(&id) || !network::namespaces_of(&id)?.is_empty();
        match DirBuilder::new().mode(0o700).create(paths.root()) {
            Ok(()) if !in_kernel => return Ok(id),
            Ok(()) => fs::remove_dir(paths.root()).map_err(io_at("remove", paths.root()))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_at("create", paths.root())(error)),
        }
        if !random {
            break;
        }
        id = LabId::random();
    }
    Err(LabError::TakenId { id: id.to_string() })
}

/// Chooses the subnet and makes the namespace of the bridge, which nobody else can then make. The
/// subnet is taken once its address is in the kernel; until then the network's lock keeps others
/// from it.
async fn claim_network(
    id: LabId,
    (servers, clients): (u8, u8),
    asked: Option<Subnet>,
) -> Result<Layout, LabError> {
    let subnet = subnet::choose(asked).await?;
    let layout = Layout { id, subnet, servers, clients };
    network::claim(&layout).run().await?;
    Ok(layout)
}

async fn build(
    dirs: &LabDirs,
    layout: &Layout,
    paths: &LabPaths,
    lock: LockFile,
    children: &mut Vec<Child>,
) -> Result<(), LabError> {
    let mut state = LabState::new(layout.clone());
    state.write(&paths.state())?;
    let control = paths.ssh_control();
    DirBuilder::new().mode(0o700).create(&control).map_err(io_at("create", &control))?;
    for host in layout.server_hosts() {
        node::write_files(&host, layout, &paths.node(&host.name))?;
    }

    let network = async {
        for stage in network::creation(layout, dirs) {
            run_all(stage).await?;
        }
        drop(lock);
        Ok(())
    };
    let (network, keys) = tokio::join!(network, run_all(ssh::key_generation(layout, paths)));
    network.and(keys)?;
    ssh::write_trust(layout, paths)?;

    for (host, start) in layout.server_hosts().zip(node_starts(layout, paths, &dirs.package_cache))
    {
        let child = node::spawn(&start, &paths.node(&host.name))?;
        state.nodes.extend(child.id().and_then(ProcessIdentity::of));
        children.push(child);
    }
    state.write(&paths.state())?;
    for (host, child) in layout.server_hosts().zip(children) {
        node::wait_ready(&host, &paths.node(&host.name), child).await?;
    }
    Ok(())
}

fn node_starts(layout: &Layout, paths: &LabPaths, package_cache: &Path) -> Vec<Invocation> {
    let start = |host: Host| node::start(&host, &paths.node(&host.name), package_cache);
    layout.server_hosts().map(start).collect()
}
