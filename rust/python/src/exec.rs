//! exec: the native binary joins the container; we hand it descriptors, pass on signals and wait.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyrt_core::paths::memory_file;
use pyrt_core::relay::Signals;
use pyrt_core::wire::{self, Frame};
use pyrt_core::{At, Code, Error, Result};
use rustix::event::{PollFd, PollFlags, poll};

use crate::cgroup::managers;
use crate::error::detached;
use crate::monitor::{connect_to, reap, start};

/// See `_core.pyi`.
#[pyfunction]
#[pyo3(signature = (binary, runtime_dir, process, stdin, stdout, stderr, detach=false, detach_keys=None, started=None))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn exec(
    py: Python<'_>,
    binary: PathBuf,
    runtime_dir: PathBuf,
    process: &[u8],
    stdin: Option<i32>,
    stdout: Option<i32>,
    stderr: Option<i32>,
    detach: bool,
    detach_keys: Option<Vec<u8>>,
    started: Option<i32>,
) -> PyResult<i64> {
    let keys = detach_keys.unwrap_or_else(|| b"\x10\x11".to_vec());
    detached(py, || {
        let started = started.map(pyrt_core::sys::files::duplicate).transpose();
        let stays = Stays { detach, started: started.at("dup", "started")? };
        run(&binary, &runtime_dir, process, [stdin, stdout, stderr], &stays, &keys)
    })
}

/// Until when we stay, and who is told that it has begun.
struct Stays {
    detach: bool,
    /// Gets the program's host pid, in decimal, once it runs.
    started: Option<OwnedFd>,
}

fn run(
    binary: &Path,
    runtime_dir: &Path,
    process: &[u8],
    stdio: [Option<i32>; 3],
    stays: &Stays,
    keys: &[u8],
) -> Result<i64> {
    let target = ask(runtime_dir)?;
    let document = memory_file("process", process)?;
    let number = |fd: &OwnedFd| fd.as_raw_fd().to_string();
    let mut arguments = vec![
        ("--init", number(&target.init)),
        ("--process", number(&document)),
        ("--namespaces", target.namespaces.to_string()),
    ];
    arguments.push(("--filter", number(&target.filter)));
    arguments.push(("--usage", number(&target.usage)));
    arguments.extend(target.cgroup.as_ref().map(|fd| ("--cgroup", number(fd))));
    if !target.may_set_groups {
        arguments.push(("--no-groups", "1".to_owned()));
    }
    if stays.detach {
        arguments.push(("--detach", "1".to_owned()));
    }
    let hex: String = keys.iter().map(|byte| format!("{byte:02x}")).collect();
    arguments.push(("--detach-keys", hex));
    // Who can bring it to where processes may be put into that cgroup.
    arguments.extend(managers().iter().map(|address| ("--manager", address.to_string())));
    let arguments: Vec<(&str, &std::ffi::OsStr)> =
        arguments.iter().map(|(name, value)| (*name, std::ffi::OsStr::new(value))).collect();
    let mut keep = vec![target.init.as_fd(), document.as_fd(), target.filter.as_fd()];
    keep.push(target.usage.as_fd());
    keep.extend(target.cgroup.as_ref().map(AsFd::as_fd));
    let own = stdio.map(|number| number.map(pyrt_core::sys::files::duplicate).transpose());
    let [stdin, stdout, stderr] = own;
    let own = [stdin.at("dup", "stdin")?, stdout.at("dup", "stdout")?, stderr.at("dup", "stderr")?];
    let stdio = own.each_ref().map(|fd| fd.as_ref().map(AsFd::as_fd));
    let signals = Signals::take()?;
    let started = start(binary, &["join"], "--report", &arguments, stdio, &keep)?;
    match attend(&started.socket, &signals, stays) {
        // The user left by keys: the parent of the program stays, and so does the program.
        Ok(None) => Ok(0),
        result => {
            drop(started.socket);
            reap(&started.process)?;
            result.map(|value| value.unwrap_or(0))
        }
    }
}

/// What the monitor tells of a container to join.
pub(crate) struct Target {
    pub(crate) init: OwnedFd,
    filter: OwnedFd,
    usage: OwnedFd,
    cgroup: Option<OwnedFd>,
    namespaces: u64,
    may_set_groups: bool,
}

pub(crate) fn ask(runtime_dir: &Path) -> Result<Target> {
    ask_over(&connect_to(runtime_dir)?)
}

/// The same on a connection that is there.
pub(crate) fn ask_over(socket: &OwnedFd) -> Result<Target> {
    wire::send(socket, Frame::Request, br#"{"op":"join"}"#, &[]).at("monitor", "send")?;
    let answer = wire::receive_answer(socket)?;
    let text: serde_json::Value =
        serde_json::from_slice(&answer.content).map_err(|error| malformed(&error.to_string()))?;
    let mut fds = answer.fds.into_iter();
    let flag = |name: &str| text.get(name).and_then(serde_json::Value::as_bool).unwrap_or(false);
    Ok(Target {
        init: fds.next().ok_or_else(|| malformed("no descriptor came with it"))?,
        filter: fds.next().ok_or_else(|| malformed("no filter came with it"))?,
        usage: fds.next().ok_or_else(|| malformed("no pipe came with it"))?,
        cgroup: fds.next(),
        namespaces: text
            .get("namespaces")
            .and_then(serde_json::Value::as_u64)
            .ok_or_else(|| malformed("no namespaces"))?,
        may_set_groups: flag("may_set_groups"),
    })
}

fn malformed(message: &str) -> Error {
    Error::new(Code::Kernel, "monitor", "reply", message)
}

/// Passes our signals on until the process has ended: its exit code, its pid if detached, `None` after the keys.
fn attend(socket: &OwnedFd, signals: &Signals, stays: &Stays) -> Result<Option<i64>> {
    loop {
        let mut fds = [PollFd::new(socket, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut fds, None)).at("poll", "exec")?;
        let [from_socket, from_signals] = fds.map(|fd| !fd.revents().is_empty());
        if from_signals {
            while let Some(number) = signals.take_next() {
                let byte = u8::try_from(number).unwrap_or(0);
                // A process that is gone is seen by the next receive.
                let _ = wire::send(socket, Frame::Signal, &[byte], &[]);
            }
        }
        if !from_socket {
            continue;
        }
        let Some(received) = wire::receive(socket).at("exec", "receive")? else {
            return Err(wire::lost());
        };
        let field = |name: &str| {
            serde_json::from_slice::<serde_json::Value>(&received.content)
                .ok()
                .and_then(|value| value.get(name)?.as_i64())
        };
        match received.frame {
            Frame::Failed => return Err(wire::parse_error(&received.content)),
            Frame::Started if stays.detach => return Ok(field("pid").or(Some(0))),
            Frame::Started => {
                if let Some(fd) = &stays.started {
                    let pid = field("pid").unwrap_or(0).to_string();
                    rustix::io::write(fd, pid.as_bytes()).at("write", "started")?;
                }
            }
            Frame::Exited => return Ok(field("exit_code").or(Some(255))),
            Frame::Reply => return Ok(None),
            _ => {}
        }
    }
}
