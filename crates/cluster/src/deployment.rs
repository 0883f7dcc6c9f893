//! What a cluster is made of: the store, how it is used, and the program that runs it.

use std::path::PathBuf;

use locktest_history::{Plan, Recipe, RedisOptions};

use crate::installation::Installation;
use crate::member::Member;
use crate::service::{NodeLayout, Service, ServiceClock, TellsTime};
use crate::store::Store;
use crate::{consul, etcd, redis, sentinel, zookeeper};

/// Everything that decides which server processes run on which node, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The store.
    pub store: Store,
    /// How the clients will use it: Redis' servers differ by that.
    pub recipe: Recipe,
    /// The options of Redis' servers; `None` elsewhere.
    pub redis: Option<RedisOptions>,
    /// How the server program is run.
    pub installation: Installation,
    /// The program on the nodes that gives servers [clocks of their own](ServiceClock), if they are
    /// to have such clocks.
    pub clock_launcher: Option<PathBuf>,
}

impl Deployment {
    /// The servers that a plan asks for; `None` if its backend has none.
    pub fn of(plan: &Plan, installation: Installation) -> Option<Deployment> {
        Some(Deployment {
            store: Store::of(plan.backend)?,
            recipe: plan.recipe,
            redis: plan.redis,
            installation,
            clock_launcher: None,
        })
    }

    /// A store's servers as its first recipe wants them, with the options that are the default.
    pub fn plain(store: Store, installation: Installation) -> Deployment {
        let backend = store.backend();
        let recipe = backend.recipes()[0];
        let redis = (store == Store::Redis).then_some(RedisOptions::DEFAULT);
        Deployment { store, recipe, redis, installation, clock_launcher: None }
    }

    /// Every service that some deployment has on a node, to be ended and wiped.
    pub(crate) fn possible_services(&self, layout: &NodeLayout) -> Vec<Service> {
        let stores = Store::ALL.into_iter().map(Store::name);
        let names = stores.chain([sentinel::SERVICE]);
        names.map(|name| Service::new(name, &self.installation, layout)).collect()
    }

    /// The server processes of `member` in a fresh cluster of `members`, that of the clients
    /// first.
    pub fn services(
        &self,
        member: &Member,
        members: &[Member],
        layout: &NodeLayout,
    ) -> Vec<Service> {
        let clock = self
            .clock_launcher
            .as_ref()
            .map(|launcher| ServiceClock::new(launcher.clone(), layout));
        let base = |name| Service {
            clock: clock.clone(),
            ..Service::new(name, &self.installation, layout)
        };
        let client_address = format!("{}:{}", member.address, self.store.client_port());
        let main = Service {
            tells_time: match self.store {
                Store::Redis => Some(TellsTime::Redis(client_address)),
                Store::Consul | Store::Etcd => Some(TellsTime::Http(client_address)),
                Store::Zookeeper => None,
            },
            ..base(self.store.name())
        };
        let options = self.redis.unwrap_or(RedisOptions::DEFAULT);
        match (self.store, self.recipe) {
            (Store::Consul, _) => vec![consul::service(main, member, members)],
            (Store::Etcd, _) => vec![etcd::service(main, member, members)],
            (Store::Zookeeper, _) => vec![zookeeper::service(main, member, members)],
            (Store::Redis, Recipe::Sentinel) => {
                let server = redis::replica_service(main, member, members, options);
                let watcher = sentinel::service(base(sentinel::SERVICE), member, members);
                std::iter::once(server).chain(watcher).collect()
            }
            (Store::Redis, _) => vec![redis::service(main, member, options)],
        }
    }
}

/// Settings of a store's servers that bear on the verdict, in words, for the plan.
pub fn settings(store: Store, recipe: Recipe, redis: Option<RedisOptions>) -> Vec<String> {
    let fixed = |settings: &[&str]| settings.iter().map(|setting| (*setting).to_owned()).collect();
    match (store, recipe) {
        (Store::Consul, _) => fixed(consul::SETTINGS),
        (Store::Etcd, _) => fixed(etcd::SETTINGS),
        (Store::Zookeeper, _) => fixed(zookeeper::SETTINGS),
        (Store::Redis, recipe) => {
            let mut settings = redis::settings(redis.unwrap_or(RedisOptions::DEFAULT));
            if recipe == Recipe::Sentinel {
                settings.extend(fixed(sentinel::SETTINGS));
            }
            settings
        }
    }
}

#[cfg(test)]
mod tests {
    use locktest_history::Backend;

    use super::*;

    #[test]
    fn whatever_a_deployment_runs_can_be_reset_by_any_other() {
        let (layout, members) = (NodeLayout::new("/node"), Member::for_tests(3));
        let installation = Installation::of_binary("/bin/server");
        let names = |services: &[Service]| -> Vec<_> {
            services.iter().map(|service| (service.name, service.pid_file.clone())).collect()
        };
        for backend in Backend::ALL {
            let mut plan = Plan::of(backend);
            for recipe in backend.recipes() {
                plan.recipe = *recipe;
                let Some(deployment) = Deployment::of(&plan, installation.clone()) else {
                    assert_eq!(backend, Backend::Sim);
                    continue;
                };
                let services = deployment.services(&members[0], &members, &layout);
                assert_eq!(services.len(), if *recipe == Recipe::Sentinel { 2 } else { 1 });
                assert_eq!(services[0].name, backend.name());
                let other = Deployment::plain(Store::Etcd, installation.clone());
                let possible = names(&other.possible_services(&layout));
                assert!(names(&services).iter().all(|name| possible.contains(name)), "{recipe}");
            }
        }
    }
}
