//! The requests that compare before they change something, as scripts.
//!
//! Each answers 1 or 0. A 0 is the answer of a write, to a key that never exists: a replica refuses
//! it with `READONLY`, so that only a primary says no. The scripts are sent whole, in one request
//! that the server executes behind whatever was sent before over the same connection; by its hash a
//! script may have to be sent again, and would come later.

use redis::Cmd;

/// Never there.
const NO_KEY: &str = "locktest:none";

const RELEASE: &str = r#"
if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end
return redis.call("DEL", KEYS[2])
"#;

const EXTEND: &str = r#"
if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("PEXPIRE", KEYS[1], ARGV[2]) end
return redis.call("DEL", KEYS[2])
"#;

const READ: &str = r#"
local no = redis.call("DEL", KEYS[2])
if redis.call("GET", KEYS[1]) == ARGV[1] then return 1 end
return no
"#;

const WRITE_GUARDED: &str = r#"
if redis.call("GET", KEYS[1]) == ARGV[1] then
  redis.call("SET", KEYS[3], ARGV[2])
  return 1
end
return redis.call("DEL", KEYS[2])
"#;

/// An absent value is expected as the empty one, which no write makes.
const COMPARE_AND_SET: &str = r#"
if (redis.call("GET", KEYS[1]) or "") == ARGV[1] then
  redis.call("SET", KEYS[1], ARGV[2])
  return 1
end
return redis.call("DEL", KEYS[2])
"#;

/// Deletes the key if it has this value.
pub(super) fn release(key: &str, value: &str) -> Cmd {
    eval(RELEASE, &[key, NO_KEY], &[value])
}

/// Lets the key live for `ttl_ms` from now on, if it has this value.
pub(super) fn extend(key: &str, value: &str, ttl_ms: u64) -> Cmd {
    eval(EXTEND, &[key, NO_KEY], &[value, &ttl_ms.to_string()])
}

/// Whether the key has this value.
pub(super) fn read(key: &str, value: &str) -> Cmd {
    eval(READ, &[key, NO_KEY], &[value])
}

/// Writes `number` to `target` if the key has this value.
pub(super) fn write_guarded(key: &str, value: &str, target: &str, number: u64) -> Cmd {
    eval(WRITE_GUARDED, &[key, NO_KEY, target], &[value, &number.to_string()])
}

/// Writes `number` to `target` if that has the `expected` one.
pub(super) fn compare_and_set(target: &str, expected: Option<u64>, number: u64) -> Cmd {
    let expected = expected.map(|number| number.to_string()).unwrap_or_default();
    eval(COMPARE_AND_SET, &[target, NO_KEY], &[&expected, &number.to_string()])
}

fn eval(script: &str, keys: &[&str], arguments: &[&str]) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
    command
}
