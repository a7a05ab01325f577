//! Probes that run a program in the container, as exec does. A child joins the container and waits; what takes too long is
//! killed by that with all its process group, also when nobody waits for the child any more.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use pyrt_core::join::{JoinPlan, join};
use pyrt_core::paths::{open_host, read_all, write_all};
use pyrt_core::seccomp::Filter;
use pyrt_core::spec::Process;
use pyrt_core::sys::fork::{self, Fork};
use pyrt_core::sys::usage;
use pyrt_core::{At, Code, Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal};
use rustix::thread::ThreadNameSpaceType;
use serde_json::Value;

use super::{OUTPUT_BYTES, Outcome};
use crate::arguments::{Arguments, missing};

/// How long after the deadline what was killed may take to be gone.
const DEATH: Duration = Duration::from_secs(1);

/// Runs the process object in the container.
pub(super) fn run(args: &Arguments, process: &Value, deadline: Instant) -> Result<Outcome> {
    let process: Process = serde_json::from_value(process.clone())
        .map_err(|error| Error::new(Code::InvalidSpec, "probe", "process", error.to_string()))?;
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).at("pipe", "probe")?;
    match fork::fork_single(0, None).at("clone", "probe")? {
        Fork::Child => {
            drop(read);
            let code = attempt(args, &process, &write, deadline).unwrap_or_else(|error| {
                // Nobody reads it if we are alone.
                let _ = write_all(&write, error.to_string().as_bytes());
                126
            });
            fork::exit_now(code)
        }
        Fork::Parent { pidfd, .. } => {
            drop(write);
            let output = collect(&read, &pidfd, deadline + DEATH);
            if output.is_none() {
                // ESRCH: it ended this moment.
                let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
            }
            let code = usage::wait(pidfd.as_fd()).at("wait", "probe")?.code.unwrap_or(137);
            if Instant::now() >= deadline {
                return Ok(Outcome::of(code.max(1), "timed out"));
            }
            let output = String::from_utf8_lossy(&output.unwrap_or_default()).into_owned();
            Ok(Outcome::of(code, output))
        }
    }
}

/// The child: joins, and waits for the program or the deadline; its exit code.
fn attempt(
    args: &Arguments,
    process: &Process,
    output: &OwnedFd,
    deadline: Instant,
) -> Result<i32> {
    let init = args.needed_descriptor("init")?;
    let cgroup = args.descriptor("cgroup")?;
    let told = args.needed_descriptor("usage")?;
    let mask: u32 = args.number("namespaces")?.ok_or_else(|| missing("namespaces"))?;
    let filter = read_all(args.needed_descriptor("filter")?, Path::new("filter"), 1 << 20)?;
    let filter = Filter::from_bytes(&filter).filter(|_| !filter.is_empty());
    let null = open_host(Path::new("/dev/null"), OFlags::RDWR)?;
    let copy = || output.try_clone().at("dup", "output");
    let joined = join(&JoinPlan {
        init: init.as_fd(),
        namespaces: ThreadNameSpaceType::from_bits_retain(mask),
        cgroup: cgroup.as_ref().map(AsFd::as_fd),
        process,
        linux: None,
        filter: filter.as_ref(),
        agent: None,
        stdio: Some([null, copy()?, copy()?]),
        kept_fds: 0,
        may_set_groups: args.get("no-groups").is_none(),
    })?;
    if !wait_until(&joined.pidfd, deadline) {
        // A session of its own, thus a group of its own; the number is its until it is waited for.
        if let Some(group) = i32::try_from(joined.own_pid).ok().and_then(Pid::from_raw) {
            // ESRCH: it has ended.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
    let ended = usage::wait(joined.pidfd.as_fd()).at("wait", "probe")?;
    // A monitor that is gone counts nothing any more.
    let _ = rustix::io::write(&told, &ended.usage.to_bytes());
    Ok(ended.code.or(ended.signal.map(|signal| 128 + signal)).unwrap_or(255))
}

fn left(deadline: Instant) -> Timespec {
    let rest = deadline.saturating_duration_since(Instant::now());
    Timespec {
        tv_sec: i64::try_from(rest.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(rest.subsec_nanos()),
    }
}

/// Whether it ends before the deadline.
fn wait_until(pidfd: &OwnedFd, deadline: Instant) -> bool {
    loop {
        let mut look = [PollFd::new(pidfd, PollFlags::IN)];
        match poll(&mut look, Some(&left(deadline))) {
            Ok(0) if Instant::now() >= deadline => return false,
            Ok(1..) => return true,
            _ => {}
        }
    }
}

/// The beginning of the output, once the child has ended; None if it does not before the deadline.
fn collect(pipe: &OwnedFd, pidfd: &OwnedFd, deadline: Instant) -> Option<Vec<u8>> {
    let mut output = Vec::new();
    let mut chunk = [0; 4096];
    let mut is_open = true;
    loop {
        let mut look = vec![PollFd::new(pidfd, PollFlags::IN)];
        if is_open {
            look.push(PollFd::new(pipe, PollFlags::IN));
        }
        // EINTR: the deadline counts.
        let _ = poll(&mut look, Some(&left(deadline)));
        let has_ended = !look[0].revents().is_empty();
        if look.get(1).is_some_and(|pipe| !pipe.revents().is_empty()) {
            let count = rustix::io::read(pipe, &mut chunk).unwrap_or(0);
            let room = OUTPUT_BYTES.saturating_sub(output.len());
            output.extend_from_slice(&chunk[..count.min(room)]);
            is_open = count > 0;
        } else if has_ended {
            return Some(output);
        }
        if Instant::now() >= deadline {
            return None;
        }
    }
}
