//! Recorded histories have the verdicts that are known of them.

use std::cell::Cell;
use std::slice::from_ref;

use locktest_checker::model::{CasRegister, Model};
use locktest_checker::*;
use register::Loss;

#[path = "fixtures/read.rs"]
mod read;
#[path = "fixtures/register.rs"]
mod register;

#[test]
fn ten_registers_of_etcd_have_their_verdicts_and_good_ones_a_linearization() {
    let options = Options { certificate: true, time_is_up: &|| false, memory_limit_bytes: 1 << 28 };
    let histories = read::cas_register();
    assert_eq!(histories.len(), 10);
    for (name, (values, object)) in histories {
        let checked = check(Specification::CasRegister, from_ref(&object), &values, &options);
        match &checked[0].decision {
            Decision::Linearizable(Some(order)) => {
                assert!(!name.ends_with("not-linearizable"), "{name}");
                replay(&object.operations, order);
            }
            Decision::NotLinearizable(_) => assert!(name.ends_with("not-linearizable"), "{name}"),
            decision => panic!("{name}: {decision:?}"),
        }
    }
}

/// Configurations that the search may visit between two questions whether the time is up.
const STEPS: usize = 256;

#[test]
fn unknown_outcomes_take_the_search_few_more_steps_than_there_are_operations() {
    let losses = [Loss::Percent(5), Loss::Percent(17), Loss::Percent(40), Loss::Bursts(60, 20_000)];
    for (loss, seed) in losses.into_iter().flat_map(|loss| [(loss, 1), (loss, 2)]) {
        let operations = register::operations(20_000, loss, seed);
        let looks = Cell::new(0);
        let time_is_up = || {
            looks.set(looks.get() + 1);
            looks.get() * STEPS > 2 * operations.len()
        };
        let options =
            Options { certificate: true, time_is_up: &time_is_up, memory_limit_bytes: 1 << 28 };
        let (specification, values) = (Specification::CasRegister, Values::default());
        match search_one(specification, &operations, &values, &options) {
            Decision::Linearizable(Some(order)) => {
                verify(specification, &operations, &values, &order).expect("it is an order");
            }
            decision => panic!("{loss:?}, seed {seed}: {decision:?}"),
        }
    }
}

/// A linearization has every ok and every fail once, and an info at most once; it keeps the order in
/// time, and each operation is legal where it is.
fn replay(operations: &[Operation], order: &[u32]) {
    let mut times = vec![0; operations.len()];
    let mut value = CasRegister.initial();
    let mut latest_invoke = 0;
    for index in order {
        let operation = &operations[*index as usize];
        times[*index as usize] += 1;
        assert!(latest_invoke <= operation.complete, "{operation:?} comes too late");
        latest_invoke = latest_invoke.max(operation.invoke);
        value = CasRegister.step(&value, operation).expect("each is legal where it is");
    }
    for (operation, times) in operations.iter().zip(times) {
        let is_info = operation.outcome == Outcome::Info;
        assert!(times == 1 || is_info && times == 0, "{operation:?} is there {times} times");
    }
}
