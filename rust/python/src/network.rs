//! The keeper of bridge networks, found or made, and what its supervisor is told.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyrt_core::paths::memory_file;
use pyrt_core::state::is_held;
use pyrt_core::sys::files::namespace_type;
use pyrt_core::wire::{self, Frame};
use pyrt_core::{At, Code, Error, Result, channel, userns};
use rustix::net::SocketAddrUnix;

use crate::error::detached;
use crate::monitor::{connect_to, reap, start};
use crate::worker::ensure_holder;

/// CLONE_NEWNET (clone(2)).
const NETWORK: i32 = 0x4000_0000;

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn ensure_networks(
    py: Python<'_>,
    binary: PathBuf,
    runtime: PathBuf,
    run_root: PathBuf,
    uplink: Vec<String>,
) -> PyResult<()> {
    detached(py, || ensure(&binary, &runtime, &run_root, &uplink))
}

fn ensure(binary: &Path, runtime: &Path, run_root: &Path, uplink: &[String]) -> Result<()> {
    let keeper = run_root.join("network/keeper");
    if is_held(&keeper) {
        return Ok(());
    }
    if userns::is_inside(run_root)? {
        let message = "was lost, and cannot be made anew from within the node";
        return Err(Error::new(Code::Conflict, "network", "keeper", message)
            .with_hint("run `pyrt node status` outside of the node"));
    }
    ensure_holder(runtime, run_root)?; // the keeper lives in its namespace, and cannot become it
    let mut words: Vec<(&str, &OsStr)> = vec![("--run-root", run_root.as_os_str())];
    words.extend(uplink.iter().map(|word| ("--uplink", OsStr::new(word))));
    let started = start(binary, &["keeper"], "--report", &words, [None; 3], &[])?;
    let answer = wire::receive_answer(&started.socket);
    reap(&started.process)?;
    answer.map(drop)
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn start_node(
    py: Python<'_>,
    binary: PathBuf,
    runtime: PathBuf,
    run_root: PathBuf,
    services: &[u8],
    scratch: PathBuf,
    kept: Vec<PathBuf>,
) -> PyResult<()> {
    detached(py, || {
        ensure_holder(&runtime, &run_root)?;
        // Not in its arguments, which everybody sees: environments are among it.
        let services = memory_file("pyrt-services", services)?;
        let fd = services.as_raw_fd().to_string();
        let mut words = vec![
            ("--run-root", run_root.as_os_str()),
            ("--services", OsStr::new(&fd)),
            ("--scratch", scratch.as_os_str()),
        ];
        words.extend(kept.iter().map(|path| ("--keep", path.as_os_str())));
        let keep = [services.as_fd()];
        let started = start(&binary, &["node"], "--report", &words, [None; 3], &keep)?;
        let answer = wire::receive_answer(&started.socket);
        reap(&started.process)?;
        answer.map(drop)
    })
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn dial(
    py: Python<'_>,
    binary: PathBuf,
    run_root: PathBuf,
    runtime_dir: PathBuf,
    port: u16,
) -> PyResult<i32> {
    detached(py, || {
        let network = pod_network(&runtime_dir)?;
        let (fd, port) = (network.as_raw_fd().to_string(), port.to_string());
        let words = [
            ("--run-root", run_root.as_os_str()),
            ("--network", OsStr::new(&fd)),
            ("--port", OsStr::new(&port)),
        ];
        let started = start(&binary, &["dial"], "--report", &words, [None; 3], &[network.as_fd()])?;
        let answer = wire::receive_answer(&started.socket);
        reap(&started.process)?;
        let socket = answer?.fds.into_iter().next();
        socket.map(IntoRawFd::into_raw_fd).ok_or_else(wire::lost)
    })
}

/// The network namespace that an infra container's monitor holds.
fn pod_network(runtime_dir: &Path) -> Result<OwnedFd> {
    let socket = connect_to(runtime_dir)?;
    wire::send(&socket, Frame::Request, br#"{"op":"pod"}"#, &[]).at("pod", "send")?;
    let held = wire::receive_answer(&socket)?.fds;
    let is_network = |fd: &OwnedFd| namespace_type(fd.as_fd()).is_ok_and(|kind| kind == NETWORK);
    held.into_iter().find(is_network).ok_or_else(|| {
        Error::new(Code::Conflict, "pod", "", "its containers have no network in common")
    })
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn reload_networks(py: Python<'_>, run_root: PathBuf, bundle: PathBuf) -> PyResult<()> {
    detached(py, || {
        let path = run_root.join("network/control.sock");
        let socket = channel::socket().at("socket", &path)?;
        let address = SocketAddrUnix::new(&path).at("connect", &path)?;
        rustix::net::connect(&socket, &address).at("connect", &path)?;
        let request = serde_json::json!({"op": "reload", "bundle": bundle}).to_string();
        wire::send(&socket, Frame::Request, request.as_bytes(), &[]).at("network", "reload")?;
        wire::receive_answer(&socket).map(drop)
    })
}
