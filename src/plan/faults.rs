//! Which faults a run can have, and the schedule of those that it is asked for.

use anyhow::{Context, Result, bail, ensure};
use locktest_history::{
    Backend, Between, ClientId, ClockShape, Direction, FaultKind, NodeId, PacketFate,
    PartitionShape, Party, Plan, PlannedFault, Recipe, Target,
};
use locktest_nemesis::{Menu, Parties, plan_schedule};

use super::check::names;
use super::ms;
use crate::cli::{FaultArgs, Limit, NemesisWord, RunArgs, TargetChoice};
use crate::config::nearest;

/// No run needs a longer schedule: it starts again at its first fault.
const MOST_FAULTS: u64 = 10_000;

/// With fewer servers no majority is left when one of them is cut off.
const LEAST_SERVERS_TO_SPLIT: u16 = 3;

/// With fewer servers each reaches all others in a ring.
const LEAST_SERVERS_OF_A_RING: u16 = 4;

/// The faults of a plan that is complete but for them.
pub fn schedule(args: &RunArgs, plan: &Plan, seed: u64) -> Result<Vec<PlannedFault>> {
    let menu = menu(&args.faults, plan)?;
    if let Some(earlier) = &args.faults.earlier {
        for fixed in &earlier.faults {
            of_the_store(fixed.fault.kind, plan)?;
        }
        return earlier.schedule(plan);
    }
    let Some(shortest_ms) = menu.kinds.iter().map(|kind| menu.length_ms(*kind)).min() else {
        return Ok(Vec::new());
    };
    // As many as can come: a quiet interval goes before each.
    let faults = plan.time_limit_ms.div_ceil(menu.interval_ms.saturating_add(shortest_ms));
    let faults = usize::try_from(faults.clamp(1, MOST_FAULTS)).unwrap_or(usize::MAX);
    Ok(plan_schedule(seed, &menu, faults))
}

/// The most servers that a fault may affect.
pub fn max_affected(args: &RunArgs, servers: u16) -> Option<u16> {
    match args.faults.max_affected {
        Some(Limit::Servers(servers)) => Some(servers),
        Some(Limit::Minority) => Some(servers.saturating_sub(1) / 2),
        Some(Limit::None) | None => None,
    }
}

fn menu(args: &FaultArgs, plan: &Plan) -> Result<Menu> {
    let parties = Parties::of(plan);
    let target = args.target.as_ref().map(|target| named(target, plan)).transpose()?;
    let default_between = parties.links().first().copied();
    let menu = Menu {
        kinds: Vec::new(),
        parties,
        has_holders: plan.workload.takes_locks(),
        shape: args.partition.flatten(),
        target,
        direction: args.partition_direction.unwrap_or(Some(Direction::Both)),
        packets: args.partition_packets.unwrap_or(Some(PacketFate::Drop)),
        between: args.partition_between.unwrap_or(default_between),
        clock: args.clock.flatten(),
        clock_offset_ms: args.clock_offset.map(ms),
        max_affected: plan.max_affected,
        interval_ms: plan.nemesis_interval_ms,
        lease_bound_ms: plan.bounds.lease_bound_ms,
    };
    let kinds = kinds(args, plan, &menu)?;
    flags(args, plan, &kinds)?;
    Ok(Menu { kinds, ..menu })
}

/// The kinds that were asked for, in the order in which help lists them, so that the order of words
/// changes nothing.
fn kinds(args: &FaultArgs, plan: &Plan, menu: &Menu) -> Result<Vec<FaultKind>> {
    let asked_for = |word| args.nemesis.contains(&word);
    for (word, name) in [(NemesisWord::None, "none"), (NemesisWord::All, "all")] {
        ensure!(
            !asked_for(word) || args.nemesis.iter().all(|other| *other == word),
            "--nemesis {name} stands alone; leave out {name}, or the others"
        );
    }
    if asked_for(NemesisWord::None) {
        return Ok(Vec::new());
    }
    if asked_for(NemesisWord::All) {
        if args.partition.is_some() || args.partition_between.is_some() {
            possible(FaultKind::Partition, args, plan, menu)?;
        }
        // No store promises anything about a monotonic clock that is not.
        let all = FaultKind::ALL.into_iter().filter(|kind| *kind != FaultKind::ClockMonotonic);
        let kinds: Vec<FaultKind> =
            all.filter(|kind| possible(*kind, args, plan, menu).is_ok()).collect();
        ensure!(
            !kinds.is_empty(),
            "--nemesis all: with these flags the run can have no fault at all"
        );
        return Ok(kinds);
    }
    let kinds = FaultKind::ALL.into_iter().filter(|kind| asked_for(NemesisWord::Kind(*kind)));
    kinds.map(|kind| possible(kind, args, plan, menu).map(|()| kind)).collect()
}

/// Flags about faults that are not asked for, or that contradict each other.
fn flags(args: &FaultArgs, plan: &Plan, kinds: &[FaultKind]) -> Result<()> {
    let partition = kinds.contains(&FaultKind::Partition);
    let cuts = kinds.iter().any(|kind| kind.cuts_links());
    for (flag, given, applies) in [
        ("--partition", args.partition.is_some(), partition),
        ("--partition-between", args.partition_between.is_some(), partition),
        ("--partition-direction", args.partition_direction.is_some(), cuts),
        ("--partition-packets", args.partition_packets.is_some(), cuts),
    ] {
        ensure!(
            applies || !given,
            "{flag} is about a fault that is not asked for; add --nemesis partition"
        );
    }
    let clocks = kinds.iter().any(|kind| kind.moves_clocks());
    for (flag, given) in
        [("--clock", args.clock.is_some()), ("--clock-offset", args.clock_offset.is_some())]
    {
        ensure!(
            clocks || !given,
            "{flag} is about a fault that is not asked for; add --nemesis clock"
        );
    }
    if let (Some(_), Some(Some(shape))) = (args.clock_offset, args.clock) {
        ensure!(
            shape.jumps(),
            "--clock-offset: a clock that runs {} does not jump; leave out one of them",
            shape.name()
        );
    }
    if let Some(target) = &args.target {
        ensure!(
            !kinds.is_empty(),
            "--target {target} is about faults that are not asked for; add --nemesis, such as \
             --nemesis kill"
        );
        ensure!(
            args.partition.is_none() || kinds.iter().any(|kind| *kind != FaultKind::Partition),
            "--partition and --target both say whom a partition cuts off; give one of them"
        );
    }
    ensure!(
        plan.backend != Backend::Sim || args.max_affected.is_none(),
        "--max-affected: sim has no servers to spare"
    );
    Ok(())
}

/// Refuses a kind that the run cannot have, in words that say what it could.
fn possible(kind: FaultKind, args: &FaultArgs, plan: &Plan, menu: &Menu) -> Result<()> {
    of_the_store(kind, plan)?;
    if kind == FaultKind::Partition {
        partition(args, plan, menu)?;
    }
    if kind.moves_clocks() {
        clock(kind, args, plan)?;
    }
    if let (Some(target), Some(words)) = (&menu.target, &args.target)
        && (kind != FaultKind::Partition || menu.shape.is_none())
    {
        aimed(kind, target, &words.to_string(), plan)?;
    }
    let servers = menu.parties.servers();
    let Some(least) = menu.least_affected(kind) else {
        bail!(
            "--nemesis {kind}: with {servers} servers and {} clients, and these flags, it would be \
             done to nobody",
            menu.parties.clients()
        );
    };
    if let Some(limit) = menu.max_affected {
        let takes = if least == servers { "all".to_owned() } else { format!("{least} of") };
        ensure!(
            least <= limit,
            "--nemesis {kind} takes {takes} {servers} servers from the majority, and --max-affected \
             allows {limit}; raise the one or leave out the other"
        );
    }
    Ok(())
}

fn of_the_store(kind: FaultKind, plan: &Plan) -> Result<()> {
    let on_sim = matches!(kind, FaultKind::ClientPause | FaultKind::ClientKill);
    ensure!(
        plan.backend != Backend::Sim || on_sim,
        "--nemesis {kind}: sim has no servers and no network; it can have client-pause and \
         client-kill, or choose a store"
    );
    Ok(())
}

fn clock(kind: FaultKind, args: &FaultArgs, plan: &Plan) -> Result<()> {
    locktest_skew::check_support()
        .with_context(|| format!("--nemesis {kind}: no server can have a clock of its own here"))?;
    ensure!(
        kind != FaultKind::ClockMonotonic || plan.backend != Backend::Zookeeper,
        "--nemesis {kind}: the Java VM of zookeeper waits by that clock, and hangs or spins when it \
         is wrong; pause servers instead, or choose clock"
    );
    let shape = args.clock.flatten();
    ensure!(
        kind == FaultKind::Clock || shape.is_none_or(ClockShape::ends_ahead),
        "--nemesis {kind}: a monotonic clock that went {} would have to be set back at the end, and \
         servers would wait out the jump; choose --clock back or slow",
        shape.map_or("wrong", ClockShape::name)
    );
    Ok(())
}

fn partition(args: &FaultArgs, plan: &Plan, menu: &Menu) -> Result<()> {
    let servers = menu.parties.servers();
    let is_of_clients = menu.between == Some(Between::Clients);
    ensure!(
        is_of_clients || !plan.recipe.has_independent_servers(),
        "--partition-between: the servers of recipe {} know nothing of each other; only clients can \
         be cut off from them",
        plan.recipe
    );
    ensure!(
        is_of_clients || servers >= LEAST_SERVERS_TO_SPLIT,
        "--nemesis partition needs at least {LEAST_SERVERS_TO_SPLIT} servers, so that a majority is left"
    );
    let Some(shape) = menu.shape else {
        ensure!(
            args.partition.is_none() || args.target.is_none(),
            "--partition mixed and --target both say whom a partition cuts off; give one of them"
        );
        return Ok(());
    };
    ensure!(
        shape != PartitionShape::Leader || menu.parties.has_leader(),
        "--partition leader: the servers of recipe {} have no leader; choose mixed, halves or one",
        plan.recipe
    );
    ensure!(
        shape.has_two_sides() || !is_of_clients,
        "--partition {}: such a partition is between servers; between clients and servers choose \
         mixed, halves, one or minority-third",
        shape.name()
    );
    ensure!(
        shape != PartitionShape::MajorityRing || servers >= LEAST_SERVERS_OF_A_RING,
        "--partition majority-ring cuts nothing with {servers} servers; it needs at least \
         {LEAST_SERVERS_OF_A_RING}"
    );
    Ok(())
}

/// Refuses a target at which such a fault cannot be aimed.
fn aimed(kind: FaultKind, target: &Target, words: &str, plan: &Plan) -> Result<()> {
    let servers = Parties::of(plan).servers();
    let can_be = match kind {
        FaultKind::RestartAll => "it is done to all servers",
        FaultKind::ClientPause | FaultKind::ClientKill | FaultKind::ClientPartition => {
            "it can be aimed at one client, all, the holder, or names such as c1"
        }
        FaultKind::Partition => {
            "it can be aimed at one server, a minority, a majority, the leader, the holder-server, \
             or names such as n1,n2; client-partition cuts off the holder"
        }
        FaultKind::Kill | FaultKind::Pause | FaultKind::Clock | FaultKind::ClockMonotonic => {
            "it can be aimed at one server, a minority, a majority, all, the leader, the \
             holder-server, or names such as n1,n2"
        }
    };
    let of_clients = kind.is_of_clients();
    let suits = match target {
        Target::One => kind != FaultKind::RestartAll,
        Target::All => kind != FaultKind::Partition,
        Target::Holder => of_clients,
        Target::Minority | Target::Majority | Target::Leader | Target::HolderServer => {
            !of_clients && kind != FaultKind::RestartAll
        }
        Target::Named(parties) => {
            let suits = |party: &Party| matches!(party, Party::Client(_)) == of_clients;
            kind != FaultKind::RestartAll && parties.iter().all(suits)
        }
    };
    ensure!(suits, "--target {words}: --nemesis {kind} cannot be aimed so; {can_be}");
    match target {
        Target::Leader => ensure!(
            Parties::of(plan).has_leader(),
            "--target {words}: the servers of recipe {} have no leader",
            plan.recipe
        ),
        Target::Holder | Target::HolderServer => ensure!(
            plan.workload.takes_locks(),
            "--target {words}: --workload {} takes no locks, so nobody holds one",
            plan.workload
        ),
        Target::Minority => ensure!(
            servers >= LEAST_SERVERS_TO_SPLIT,
            "--target {words}: {servers} servers have no minority"
        ),
        _ => {}
    }
    ensure!(
        *target != Target::HolderServer || plan.recipe != Recipe::Redlock,
        "--target {words}: a client of recipe redlock talks to all servers alike"
    );
    Ok(())
}

/// A target with names as the plan has them.
fn named(choice: &TargetChoice, plan: &Plan) -> Result<Target> {
    let given = match choice {
        TargetChoice::Word(target) => return Ok(target.clone()),
        TargetChoice::Names(given) => given,
    };
    let servers = (0..).zip(&plan.nodes).map(|(index, name)| (name.clone(), NodeId(index)));
    let servers = servers.map(|(name, node)| (name, Party::Server(node)));
    let clients = (0..).zip(&plan.client_seeds).map(|(index, _)| ClientId(index));
    let clients = clients.map(|client| (client.to_string(), Party::Client(client)));
    let known: Vec<(String, Party)> = servers.chain(clients).collect();
    let mut parties = Vec::new();
    for name in given {
        match known.iter().find(|(known, _)| known == name) {
            Some((_, party)) if parties.contains(party) => {}
            Some((_, party)) => parties.push(*party),
            None => bail!(unknown(name, &known)),
        }
    }
    Ok(Target::Named(parties))
}

fn unknown(name: &str, known: &[(String, Party)]) -> String {
    let words = TargetChoice::WORDS.map(|(word, _)| word);
    let nearest = nearest(name, &words);
    let hint = nearest.map(|word| format!("; did you mean '{word}'?")).unwrap_or_default();
    let parties = names(known.iter().map(|(name, _)| name.as_str()));
    format!(
        "--target: nobody is named '{name}'{hint}\n\n  [names: {parties}; words: {}]",
        words.join(", ")
    )
}
