//! Recorded histories have the verdicts that are known of them.

use std::slice::from_ref;

use locktest_checker::model::{CasRegister, Model};
use locktest_checker::*;

#[path = "fixtures/read.rs"]
mod read;

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
