//! Parsers of flags that take one of a few names.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use locktest_history::{
    Backend, CasWait, HolderPolicy, ReadMode, Recipe, RedisPersistence, RedlockRequests,
    SessionBehavior, Workload,
};
use locktest_workloads::sim::SimBug;

/// One of them each time, or `None` for a mix.
pub type Mixed<T> = Option<T>;

const MIXED: &str = "mixed";

pub fn backends() -> impl TypedValueParser<Value = Backend> {
    one_of(Backend::ALL.map(|backend| (backend.name(), backend)))
}

pub fn recipes() -> impl TypedValueParser<Value = Recipe> {
    one_of(Recipe::ALL.map(|recipe| (recipe.name(), recipe)))
}

pub fn workloads() -> impl TypedValueParser<Value = Workload> {
    one_of(Workload::ALL.map(|workload| (workload.name(), workload)))
}

pub fn read_modes() -> impl TypedValueParser<Value = ReadMode> {
    one_of(ReadMode::ALL.map(|mode| (mode.name(), mode)))
}

pub fn sim_bugs() -> impl TypedValueParser<Value = SimBug> {
    one_of(SimBug::ALL.map(|bug| (bug.name(), bug)))
}

pub fn holders() -> impl TypedValueParser<Value = HolderPolicy> {
    one_of([("trusting", HolderPolicy::Trusting), ("careful", HolderPolicy::Careful)])
}

pub fn session_behaviors() -> impl TypedValueParser<Value = SessionBehavior> {
    one_of([("release", SessionBehavior::Release), ("delete", SessionBehavior::Delete)])
}

pub fn cas_waits() -> impl TypedValueParser<Value = CasWait> {
    one_of([("watch", CasWait::Watch), ("poll", CasWait::Poll)])
}

pub fn persistences() -> impl TypedValueParser<Value = RedisPersistence> {
    one_of([
        ("none", RedisPersistence::None),
        ("everysec", RedisPersistence::Everysec),
        ("always", RedisPersistence::Always),
    ])
}

pub fn redlock_requests() -> impl TypedValueParser<Value = RedlockRequests> {
    one_of([("parallel", RedlockRequests::Parallel), ("sequential", RedlockRequests::Sequential)])
}

/// Takes one of these names, and lists them in help and errors.
pub fn one_of<T>(
    choices: impl IntoIterator<Item = (&'static str, T)>,
) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    let choices: Vec<(&'static str, T)> = choices.into_iter().collect();
    let names: Vec<&'static str> = choices.iter().map(|(name, _)| *name).collect();
    PossibleValuesParser::new(names).try_map(move |given| {
        let named = choices.iter().find(|(name, _)| *name == given);
        named.map(|(_, value)| *value).ok_or_else(|| format!("no choice is named '{given}'"))
    })
}

/// Likewise, or `mixed`.
pub fn one_of_or_mixed<T>(
    choices: impl IntoIterator<Item = (&'static str, T)>,
) -> impl TypedValueParser<Value = Mixed<T>>
where
    T: Copy + Send + Sync + 'static,
{
    let choices = choices.into_iter().map(|(name, choice)| (name, Some(choice)));
    one_of(choices.chain([(MIXED, None)]))
}
