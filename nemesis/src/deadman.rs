//! The dead-man timer: a process on the host that undoes a fault if nobody else does.
//!
//! Its folder holds `undo` (the script), `timer` (the process), `pid` (also its process group, for
//! setsid makes it a leader), `armed` (the permit to apply the fault) and `applied` (once it was).

use std::path::Path;

use crate::script::fault_dir;
use crate::tag::FaultTag;

/// Tells whether the recorded process is the timer of this very folder, and not a later process
/// with the same id.
const ALIVE: &str = r#"alive() {
  pid=$(cat "$dir/pid" 2>/dev/null) || return 1
  case "$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")" in
    *" $dir/timer "*) return 0 ;;
    *) return 1 ;;
  esac
} 2>/dev/null
"#;

/// Starts a timer that undoes the fault by the script `undo` after `deadline_s` and then removes
/// itself. It runs in a session of its own, so the end of this connection does not end it.
pub(crate) fn arm(run_dir: &Path, tag: &FaultTag, undo: &str, deadline_s: u64) -> String {
    format!(
        r#"set -eu
umask 077
dir={dir}
{ALIVE}mkdir -p "$dir"
cat >"$dir/undo" <<'LOCKTEST_UNDO'
{undo}LOCKTEST_UNDO
cat >"$dir/timer" <<'LOCKTEST_TIMER'
dir=$1
echo $$ >"$dir/pid.new"
mv "$dir/pid.new" "$dir/pid" || exit 1
cd /
sleep "$2"
tries=0
until sh "$dir/undo"; do
  tries=$((tries + 1))
  [ "$tries" -lt 60 ] || exit 1
  sleep 1
done
rm -rf "$dir"
LOCKTEST_TIMER
: >"$dir/armed"
if ! alive; then
  setsid sh "$dir/timer" "$dir" {deadline_s} </dev/null >/dev/null 2>&1 &
fi
tries=0
until alive; do
  tries=$((tries + 1))
  if [ "$tries" -ge 200 ]; then
    echo 'the dead-man timer did not start' >&2
    exit 1
  fi
  sleep 0.02
done
"#,
        dir = fault_dir(run_dir, tag),
    )
}

/// Ends the timer with everything that it started, and removes its folder.
pub(crate) fn disarm(run_dir: &Path, tag: &FaultTag) -> String {
    format!(
        r#"set -eu
dir={dir}
{ALIVE}tries=0
while alive; do
  kill -s KILL -- "-$pid" 2>/dev/null || true
  tries=$((tries + 1))
  if [ "$tries" -ge 50 ]; then
    echo "the dead-man timer, process $pid, does not end" >&2
    exit 1
  fi
  sleep 0.02
done
rm -rf "$dir"
"#,
        dir = fault_dir(run_dir, tag),
    )
}
