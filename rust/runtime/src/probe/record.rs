//! health.json: how a container's probes have gone. Its one writer is who does a probe, of which there is one at a time.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use pyrt_core::paths::write_whole;
use pyrt_core::state::now;
use pyrt_core::{At, Result, journal};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use super::{Outcome, number, read_document, text};
use crate::Status;

const NAME: &str = "health.json";
const LOCK: &str = "health.lock";
/// Of the runs of a probe, so many are kept.
const RUNS: usize = 5;

/// Adds a run, and judges; the exit code.
pub(super) fn keep(
    bundle: &Path,
    directory: &OwnedFd,
    name: &str,
    probe: &Value,
    elapsed_ms: u64,
    start: &str,
    outcome: &Outcome,
) -> Status {
    // The probes of a container do not wait for each other, but here.
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = rustix::fs::openat(directory, LOCK, flags, Mode::from_raw_mode(0o600));
    let lock = lock.at("open", LOCK)?;
    flock(&lock, FlockOperation::LockExclusive).at("lock", LOCK)?;
    let mut document = read_document(&bundle.join(NAME));
    if !document.is_object() {
        document = json!({"probes": {}});
    }
    let before = document["probes"][name].take();
    let is_starting = elapsed_ms < number(probe, "start_period_ms");
    let mut after = judge(&before, probe, is_starting, outcome.code == 0);
    let mut log = before.get("log").and_then(Value::as_array).cloned().unwrap_or_default();
    let output = &outcome.output;
    log.push(json!({"start": start, "end": now(), "exit_code": outcome.code, "output": output}));
    let first = log.len().saturating_sub(RUNS);
    after["log"] = log.split_off(first).into();
    let status = text(&after, "status").to_owned();
    document["probes"][name] = after;
    let data = document.to_string().into_bytes();
    write_whole(directory.as_fd(), NAME, &data, 0o600)?;
    if name == "healthcheck" && text(&before, "status") != status {
        tell(bundle, &status)?;
    }
    Ok(match (outcome.code, status.as_str()) {
        (0, "healthy") => 0,
        (_, "unhealthy") => 1,
        _ => 2,
    })
}

/// How it is after one more run.
fn judge(before: &Value, probe: &Value, is_starting: bool, passes: bool) -> Value {
    let mut status = match text(before, "status") {
        "" => "starting",
        status => status,
    };
    let forgiven = is_starting && status == "starting" && !passes;
    let streak = |name: &str, goes_on: bool| {
        if goes_on { number(before, name) + u64::from(!forgiven) } else { 0 }
    };
    let passing = streak("passing_streak", passes);
    let failing = streak("failing_streak", !passes);
    if passes && passing >= number(probe, "success_threshold") {
        status = "healthy";
    } else if !passes && !forgiven && failing >= number(probe, "failure_threshold") {
        status = "unhealthy";
    }
    json!({"status": status, "failing_streak": failing, "passing_streak": passing})
}

/// Tells who reads events that the health is another.
fn tell(bundle: &Path, status: &str) -> Result<()> {
    let monitor = read_document(&bundle.join("monitor.json"));
    let Some(events) = monitor.get("events").filter(|events| events.is_object()) else {
        return Ok(());
    };
    let mut event: Value = serde_json::from_str(text(events, "subject")).unwrap_or_default();
    let now = clock_gettime(ClockId::Realtime);
    event["time"] = (now.tv_sec * 1_000_000_000 + now.tv_nsec).into();
    event["type"] = "container".into();
    event["status"] = "health_status".into();
    event["health_status"] = status.into();
    let line = format!("{event}\n");
    let path = PathBuf::from(text(events, "path"));
    journal::append(&path, number(events, "max_size_bytes"), line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::judge;
    use serde_json::{Value, json};

    fn run(results: &[bool], is_starting: bool) -> Value {
        let probe = json!({"success_threshold": 2, "failure_threshold": 3});
        results
            .iter()
            .fold(Value::Null, |before, passes| judge(&before, &probe, is_starting, *passes))
    }

    #[test]
    fn thresholds_decide() {
        let status = |results: &[bool]| run(results, false)["status"].clone();
        assert_eq!(status(&[true]), "starting");
        assert_eq!(status(&[true, true]), "healthy");
        assert_eq!(status(&[true, false, true]), "starting");
        assert_eq!(status(&[false, false]), "starting");
        assert_eq!(status(&[false, false, false]), "unhealthy");
        assert_eq!(status(&[true, true, false, false]), "healthy");
        assert_eq!(status(&[false, false, false, true]), "unhealthy");
        assert_eq!(status(&[false, false, false, true, true]), "healthy");
    }

    #[test]
    fn a_failure_in_the_beginning_is_none() {
        let after = run(&[false, false, false, false], true);
        assert_eq!(after["status"], "starting");
        assert_eq!(after["failing_streak"], 0);
        assert_eq!(run(&[true, true], true)["status"], "healthy");
    }
}
