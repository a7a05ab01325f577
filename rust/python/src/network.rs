//! The keeper of bridge networks, found or made, and what its supervisor is told.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyrt_core::state::lock_holder;
use pyrt_core::wire::{self, Frame};
use pyrt_core::{At, Result, channel};
use rustix::net::SocketAddrUnix;

use crate::error::detached;
use crate::exec::ask;
use crate::monitor::{reap, start};
use crate::worker::ensure_holder;

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
    if lock_holder(&run_root.join("network/keeper"))?.is_some() {
        return Ok(());
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
pub(crate) fn dial(
    py: Python<'_>,
    binary: PathBuf,
    runtime_dir: PathBuf,
    port: u16,
) -> PyResult<i32> {
    detached(py, || {
        let target = ask(&runtime_dir)?;
        let (init, port) = (target.init.as_raw_fd().to_string(), port.to_string());
        let words = [("--init", OsStr::new(&init)), ("--port", OsStr::new(&port))];
        let keep = [target.init.as_fd()];
        let started = start(&binary, &["dial"], "--report", &words, [None; 3], &keep)?;
        let answer = wire::receive_answer(&started.socket);
        reap(&started.process)?;
        let socket = answer?.fds.into_iter().next();
        socket.map(IntoRawFd::into_raw_fd).ok_or_else(wire::lost)
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
