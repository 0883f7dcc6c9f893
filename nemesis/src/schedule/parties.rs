//! Who takes part in a run.

use locktest_history::{Between, Plan, Recipe};

/// Who takes part in a run, and so who can be separated from whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parties {
    /// Servers that need each other. They can be cut off from each other, and clients from them.
    Cluster {
        /// How many servers there are.
        servers: u16,
        /// How many clients there are.
        clients: u16,
        /// Whether one of the servers leads.
        has_leader: bool,
    },
    /// Servers that know nothing of each other, so that nothing is cut unless clients are cut off
    /// from them. None of them leads.
    Independent {
        /// How many servers there are.
        servers: u16,
        /// How many clients there are.
        clients: u16,
    },
}

impl Parties {
    /// Those of a plan.
    pub fn of(plan: &Plan) -> Parties {
        let servers = u16::try_from(plan.nodes.len()).unwrap_or(u16::MAX);
        let clients = u16::try_from(plan.client_seeds.len()).unwrap_or(u16::MAX);
        if plan.recipe.has_independent_servers() {
            Parties::Independent { servers, clients }
        } else {
            Parties::Cluster { servers, clients, has_leader: plan.recipe != Recipe::Sim }
        }
    }

    /// How many servers there are.
    pub fn servers(self) -> u16 {
        match self {
            Parties::Cluster { servers, .. } | Parties::Independent { servers, .. } => servers,
        }
    }

    /// How many clients there are.
    pub fn clients(self) -> u16 {
        match self {
            Parties::Cluster { clients, .. } | Parties::Independent { clients, .. } => clients,
        }
    }

    /// Whether one of the servers leads.
    pub fn has_leader(self) -> bool {
        matches!(self, Parties::Cluster { has_leader: true, .. })
    }

    /// Whose links a partition can cut.
    pub fn links(self) -> &'static [Between] {
        match self {
            Parties::Cluster { .. } => &[Between::Servers, Between::Clients],
            Parties::Independent { .. } => &[Between::Clients],
        }
    }

    /// The largest number of servers that a majority can do without.
    pub fn minority(self) -> u16 {
        self.servers().saturating_sub(1) / 2
    }
}
