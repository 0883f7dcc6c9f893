//! How long the search takes over recorded register histories, over long ones with many answers
//! lost, and a key-value store's histories by its decider and by the search.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::hint::black_box;
use std::slice::from_ref;
use std::time::Instant;

use locktest_checker::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use register::Loss;

#[path = "../tests/fixtures/read.rs"]
mod fixtures;
#[path = "../tests/fixtures/register.rs"]
mod register;

/// Odd, so that the median is a run's own.
const RUNS: usize = 15;
const SEED: u64 = 1;
const OPERATIONS_PER_CLIENT: u32 = 100;
const KEYS: usize = 10;
const REGISTER_OPERATIONS: usize = 100_000;
const REGISTER_LOSSES: [(&str, Loss); 2] = [
    ("register, 17 % unknown", Loss::Percent(17)),
    ("register, 60 % unknown in bursts", Loss::Bursts(60, 20_000)),
];

fn main() {
    // Without it this is a test run, which wants no figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("the median of {RUNS} runs each\n");
    println!("{:<34}{:>11}{:>10}   min..max", "", "operations", "ms");
    let mut slowest = ("", 0.0);
    let mut total_ms = 0.0;
    let mut operations = 0;
    for (name, (values, object)) in fixtures::cas_register() {
        let good = !name.contains("not-linearizable");
        let times_ms = measure(Specification::CasRegister, from_ref(&object), &values, good);
        total_ms += times_ms[RUNS / 2];
        operations += object.operations.len();
        if times_ms[RUNS / 2] > slowest.1 {
            slowest = (name, times_ms[RUNS / 2]);
        }
    }
    println!("{:<34}{operations:>11}{total_ms:>10.3}", "ten registers of etcd (15 ms)");
    println!("{:<34}{:>11}{:>10.3}   {}", "the slowest of them", "", slowest.1, slowest.0);
    for (name, loss) in REGISTER_LOSSES {
        let operations = register::operations(REGISTER_OPERATIONS, loss, SEED);
        let objects = [Object { name: String::new(), operations }];
        let times_ms = measure(Specification::CasRegister, &objects, &Values::default(), true);
        print(name, &objects, times_ms);
    }
    for clients in [10, 50] {
        for good in [true, false] {
            let (objects, values) = store(clients, good);
            let name = format!("kv, {clients} clients, {}", if good { "ok" } else { "bad" });
            print(&name, &objects, measure(Specification::KeyValue, &objects, &values, good));
            let times_ms = measure_runs(good, || {
                objects
                    .iter()
                    .map(|object| {
                        let operations = &object.operations;
                        search_one(Specification::KeyValue, operations, &values, &options())
                    })
                    .collect()
            });
            print(&format!("{name}, by search"), &objects, times_ms);
        }
    }
}

fn options() -> Options<'static> {
    Options { certificate: false, time_is_up: &|| false, memory_limit_bytes: 1 << 30 }
}

fn measure(
    specification: Specification,
    objects: &[Object],
    values: &Values,
    good: bool,
) -> Vec<f64> {
    measure_runs(good, || {
        let checked = check(specification, black_box(objects), values, &options());
        checked.into_iter().map(|checked| checked.decision).collect()
    })
}

fn measure_runs(good: bool, decide: impl Fn() -> Vec<Decision>) -> Vec<f64> {
    let mut times_ms: Vec<f64> = (0..RUNS)
        .map(|_| {
            let begin = Instant::now();
            let decisions = black_box(decide());
            let elapsed_ms = begin.elapsed().as_secs_f64() * 1e3;
            let is_good = |decision: &Decision| matches!(decision, Decision::Linearizable(_));
            assert_eq!(decisions.iter().all(is_good), good);
            elapsed_ms
        })
        .collect();
    times_ms.sort_unstable_by(f64::total_cmp);
    times_ms
}

fn print(name: &str, objects: &[Object], times_ms: Vec<f64>) {
    let operations: usize = objects.iter().map(|object| object.operations.len()).sum();
    let (median, fastest, slowest) = (times_ms[RUNS / 2], times_ms[0], times_ms[RUNS - 1]);
    println!("{name:<34}{operations:>11}{median:>10.3}   {fastest:.3}..{slowest:.3}");
}

/// What clients saw of a store: half of their operations append, a tenth put, the others get. If it
/// is not `good`, one get in the middle lacks the last append.
fn store(clients: u32, good: bool) -> (Vec<Object>, Values) {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    // When each operation is invoked, takes effect and completes.
    let mut spans = Vec::new();
    for client in 0..clients {
        let mut now = 0;
        for number in 0..OPERATIONS_PER_CLIENT {
            let invoke = now + rng.random_range(1..20u64);
            let effect = invoke + rng.random_range(1..500);
            now = effect + rng.random_range(1..500);
            spans.push((effect, invoke, now, client, number));
        }
    }
    spans.sort_unstable();
    let mut values = Values::default();
    let mut texts = vec![String::new(); KEYS];
    let mut objects = vec![Object::default(); KEYS];
    let mut is_spoiled = good;
    for (position, &(_, invoke, complete, process, number)) in spans.iter().enumerate() {
        let key = rng.random_range(0..KEYS);
        let text = &mut texts[key];
        let written = format!("x {process} {number} y");
        let action = match rng.random_range(0..10) {
            0 => {
                text.clone_from(&written);
                Action::Put(values.number(&written))
            }
            1..6 => {
                text.push_str(&written);
                Action::Append(values.number(&written))
            }
            _ => match text.rfind('x').filter(|_| !is_spoiled && position > spans.len() / 2) {
                Some(last) => {
                    is_spoiled = true;
                    Action::Get(values.number(&text[..last]))
                }
                None => Action::Get(values.number(text)),
            },
        };
        let outcome = Outcome::Ok;
        objects[key].operations.push(Operation { invoke, complete, action, process, outcome });
    }
    for (key, object) in objects.iter_mut().enumerate() {
        object.name = key.to_string();
        object.operations.sort_by_key(|operation| operation.invoke);
    }
    (objects, values)
}
