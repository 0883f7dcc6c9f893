//! verdict.json against the schema that is published for it.

use jsonschema::Validator;
use locktest_analyzer::{PropertyOutcome, RunOutcome, Verdict, ViolationClass, Warning};
use locktest_history::{
    Aim, Backend, ClientId, FaultKind, NodeId, PartitionShape, Party, ReadMode, Recipe, Target,
    Workload,
};
use serde_json::{Map, Value, json};

use crate::testing;

fn schema() -> Validator {
    let text = include_str!("../../../docs/verdict.schema.json");
    let schema: Value = serde_json::from_str(text).expect("valid JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("a schema of draft 2020-12");
    jsonschema::draft202012::new(&schema).expect("a schema")
}

fn value(verdict: &Verdict) -> Value {
    serde_json::to_value(verdict).expect("a verdict is JSON")
}

#[track_caller]
fn conforms(schema: &Validator, verdict: &Verdict) {
    let value = value(verdict);
    let errors: Vec<String> = schema
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn every_verdict_conforms() {
    let schema = schema();
    for verdict in testing::verdicts() {
        conforms(&schema, &verdict);
    }
}

#[test]
fn every_name_that_a_verdict_can_hold_is_known() {
    let schema = schema();
    let mut verdict = testing::violated();
    for backend in Backend::ALL {
        verdict.backend = backend;
        conforms(&schema, &verdict);
    }
    for recipe in Recipe::ALL {
        verdict.recipe = recipe;
        conforms(&schema, &verdict);
    }
    for workload in Workload::ALL {
        verdict.workload = workload;
        conforms(&schema, &verdict);
    }
    for read_mode in ReadMode::ALL {
        verdict.read_mode = read_mode;
        conforms(&schema, &verdict);
    }
    for outcome in RunOutcome::ALL {
        verdict.outcome = outcome;
        conforms(&schema, &verdict);
        assert_eq!(value(&verdict)["outcome"], outcome.name());
    }
    for outcome in PropertyOutcome::ALL {
        verdict.properties.fencing.outcome = outcome;
        conforms(&schema, &verdict);
        assert_eq!(value(&verdict)["properties"]["fencing"]["outcome"], outcome.name());
    }
    for class in ViolationClass::ALL {
        verdict.violations[0].class = class;
        verdict.violation_counts.insert(class, 1);
        conforms(&schema, &verdict);
    }
    for kind in FaultKind::ALL {
        verdict.faults[0].kind = kind;
        conforms(&schema, &verdict);
    }
    let shapes = PartitionShape::ALL.map(Aim::Shape);
    let named = vec![Party::Server(NodeId(0)), Party::Client(ClientId(1))];
    let targets = [
        Target::One,
        Target::Minority,
        Target::Majority,
        Target::All,
        Target::Leader,
        Target::Holder,
        Target::HolderServer,
        Target::Named(named),
    ];
    let targets = targets.map(Aim::Target);
    for aim in shapes.into_iter().chain(targets).chain([Aim::BareMajority]) {
        verdict.faults[0].aim = aim;
        conforms(&schema, &verdict);
    }
}

#[test]
fn every_warning_is_known() {
    let mut verdict = testing::held();
    verdict.warnings = vec![
        Warning::FaultDidNotBite { fault: 1 },
        Warning::FaultNotUndone { fault: 1 },
        Warning::NoFault,
        Warning::LittleContention { contended: 1, acquires_ok: 2 },
        Warning::ManyUnknown { unknown: 1, acquires: 2 },
        Warning::NeedsFencing { overruns: 1 },
        Warning::RateNotKept { intended_per_s: 2, begun_per_s: 1 },
        Warning::Disturbed { what: "a client died".into() },
        Warning::Interrupted,
        Warning::Damaged { what: "a frame".into() },
        Warning::Malformed { records: 1, first: "an event".into() },
    ];
    conforms(&schema(), &verdict);
}

#[test]
fn a_field_that_is_unknown_is_rejected_wherever_it_is() {
    let schema = schema();
    for verdict in testing::verdicts() {
        let whole = value(&verdict);
        for pointer in objects(&whole) {
            if pointer == "/violation_counts" {
                continue;
            }
            let mut value = whole.clone();
            let object = value.pointer_mut(&pointer).and_then(Value::as_object_mut);
            object.expect("an object").insert("surprise".into(), json!(1));
            assert!(!schema.is_valid(&value), "{pointer}");
        }
    }
}

#[test]
fn a_field_that_is_missing_is_missed() {
    let schema = schema();
    let whole = value(&testing::violated());
    for name in whole.as_object().map(Map::keys).expect("an object") {
        let mut value = whole.clone();
        value.as_object_mut().expect("an object").remove(name);
        assert!(!schema.is_valid(&value), "{name}");
    }
}

/// The pointers of all objects in a value, itself included.
fn objects(value: &Value) -> Vec<String> {
    let inner = |key: String, value: &Value| -> Vec<String> {
        objects(value).into_iter().map(|pointer| format!("/{key}{pointer}")).collect()
    };
    match value {
        Value::Object(object) => {
            let inner = object.iter().flat_map(|(key, value)| inner(key.clone(), value));
            [String::new()].into_iter().chain(inner).collect()
        }
        Value::Array(list) => {
            let list = list.iter().enumerate();
            list.flat_map(|(n, value)| inner(n.to_string(), value)).collect()
        }
        _ => Vec::new(),
    }
}
