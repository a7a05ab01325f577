//! Which number a container's init has here: a pid that is written down is one of its monitor's pid namespace.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pyo3::prelude::*;
use pyrt_core::create::host_pid;
use pyrt_core::paths::{open_host, read_host};
use pyrt_core::{At, Result, state};
use rustix::fd::AsFd;
use rustix::fs::OFlags;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::error::detached;
use crate::exec::ask_over;
use crate::monitor::connect_to;

/// How long a monitor may take to tell: it answers at once, or is stopped.
const PATIENCE: Duration = Duration::from_secs(1);

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn init_pid(py: Python<'_>, runtime_dir: PathBuf, told: u32) -> PyResult<u32> {
    detached(py, || {
        let Some((_, monitor)) = state::lock_holder(&runtime_dir.join("alive"))? else {
            return Ok(0);
        };
        // Where the number is one of ours, it is that of a child of the monitor.
        if parent(told) == Some(monitor.as_raw_nonzero().get()) {
            return Ok(told);
        }
        // Whom the monitor does not name has just ended, and has no number any more.
        Ok(asked(&runtime_dir).unwrap_or(0))
    })
}

/// The parent of a process that we see (`proc_pid_stat(5)`: the second field after its name).
fn parent(pid: u32) -> Option<i32> {
    let text = read_host(Path::new(&format!("/proc/{pid}/stat")), 4096).ok()?;
    let text = String::from_utf8_lossy(&text);
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// What the kernel calls it here: the descriptor is the same in every namespace.
fn asked(runtime_dir: &Path) -> Result<u32> {
    let socket = connect_to(runtime_dir)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).at("monitor", "timeout")?;
    let init = ask_over(&socket)?.init;
    let fdinfo = open_host(Path::new("/proc/self/fdinfo"), OFlags::PATH | OFlags::DIRECTORY)?;
    host_pid(&init, fdinfo.as_fd())
}
