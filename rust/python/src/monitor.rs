//! Starting monitors and talking to them.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyrt_core::cgroup::Cgroup;
use pyrt_core::paths::{c_string, open_host};
use pyrt_core::relay::{self, Outcome, Streams};
use pyrt_core::sys::spawn::{Command, spawn};
use pyrt_core::wire::{self, Frame};
use pyrt_core::{At, Code, Error, Result, bundle, channel, state};
use rustix::fs::OFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{WaitId, WaitIdOptions};

use crate::cgroup::managers;
use crate::error::{detached, raise};
use crate::json::{parse, to_json};
use crate::worker;

/// A program of ours under way, and the socket it reports on.
pub(crate) struct Started {
    pub(crate) process: OwnedFd,
    pub(crate) socket: OwnedFd,
}

/// Starts the native binary with `arguments` after the word that names its socket.
pub(crate) fn start(
    binary: &Path,
    words: &[&str],
    socket_option: &str,
    arguments: &[(&str, &OsStr)],
    stdio: [Option<BorrowedFd<'_>>; 3],
    keep: &[BorrowedFd<'_>],
) -> Result<Started> {
    let (socket, theirs) = channel::pair()?;
    let number = theirs.as_raw_fd().to_string();
    let mut args = vec![c_string(binary.file_name().unwrap_or_default(), "binary")?];
    for word in words.iter().chain([&socket_option, &number.as_str()]) {
        args.push(c_string(OsStr::new(word), "argument")?);
    }
    for (name, value) in arguments {
        args.push(c_string(OsStr::new(name), "argument")?);
        args.push(c_string(value, name)?);
    }
    let null = open_host(Path::new("/dev/null"), OFlags::RDWR)?;
    let mut kept = vec![theirs.as_fd()];
    kept.extend_from_slice(keep);
    let command = Command {
        program: &c_string(binary.as_os_str(), "binary")?,
        args: &args,
        env: &[],
        stdio: stdio.map(|fd| fd.unwrap_or(null.as_fd())),
        keep: &kept,
    };
    let process = spawn(&command).at("exec", binary)?;
    Ok(Started { process, socket })
}

/// Waits for a child of ours; its exit code.
pub(crate) fn reap(process: &OwnedFd) -> Result<i32> {
    let id = || WaitId::PidFd(process.as_fd());
    let status = rustix::io::retry_on_intr(|| rustix::process::waitid(id(), WaitIdOptions::EXITED))
        .at("wait", "pyrt-runtime")?;
    Ok(status.and_then(|status| status.exit_status()).unwrap_or(255))
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn validate(py: Python<'_>, config: &[u8]) -> PyResult<()> {
    bundle::parse_spec(config)
        .and_then(|spec| pyrt_core::validate::validate(&spec))
        .map_err(|error| raise(py, &error))
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn is_locked(py: Python<'_>, path: PathBuf) -> PyResult<i32> {
    let unseen = || -i32::from(state::is_held(&path));
    state::lock_holder(&path)
        .map(|holder| holder.map_or_else(unseen, |(_, pid)| pid.as_raw_nonzero().get()))
        .map_err(|error| raise(py, &error))
}

/// See `_core.pyi`.
#[pyfunction]
#[pyo3(signature = (binary, bundle, runtime_dir, cgroup_parent=None, start=None, systemd=None))]
pub(crate) fn launch(
    py: Python<'_>,
    binary: PathBuf,
    bundle: PathBuf,
    runtime_dir: PathBuf,
    cgroup_parent: Option<PathBuf>,
    start: Option<&str>,
    systemd: Option<&str>,
) -> PyResult<Lead> {
    detached(py, || {
        // Before the container's cgroup is made: a holder born in it would keep it for ever.
        worker::ensure_holder(&binary, runtime_dir.parent().unwrap_or(Path::new("/")))?;
        let id = runtime_dir.file_name().unwrap_or_default().to_string_lossy();
        let cgroup = cgroup_parent.map(|parent| Cgroup::make(&parent, &id)).transpose()?;
        let mut arguments: Vec<(&str, &OsStr)> =
            vec![("--bundle", bundle.as_os_str()), ("--run", runtime_dir.as_os_str())];
        arguments.extend(cgroup.as_ref().map(|cgroup| ("--cgroup", cgroup.path().as_os_str())));
        let managers = systemd.map(|_| managers()).unwrap_or_default();
        let managers: Vec<String> = managers.iter().map(ToString::to_string).collect();
        arguments.extend(managers.iter().map(|address| ("--manager", OsStr::new(address))));
        arguments.extend((systemd == Some("must")).then_some(("--managed", OsStr::new("1"))));
        arguments.extend(start.map(|word| ("--start", OsStr::new(word))));
        let result = start_monitor(&binary, &arguments, start.is_some());
        if let (Err(_), Some(cgroup)) = (&result, &cgroup) {
            let _ = cgroup.remove(); // the monitor did so if it lived long enough
        }
        result
    })
}

fn start_monitor(binary: &Path, arguments: &[(&str, &OsStr)], starts: bool) -> Result<Lead> {
    let started = self::start(binary, &["monitor"], "--lead", arguments, [None; 3], &[])?;
    let answer = wire::receive_answer(&started.socket);
    // What we started leaves as soon as the monitor proper is forked; reaping it waits for nothing else.
    reap(&started.process)?;
    let answer = answer?;
    let pid = serde_json::from_slice::<serde_json::Value>(&answer.content)
        .ok()
        .and_then(|created| created.get("pid")?.as_u64())
        .unwrap_or(0);
    if starts {
        wire::receive_answer(&started.socket)?;
    }
    Ok(Lead { socket: Some(started.socket), pid })
}

/// See `_core.pyi`.
#[pyclass(module = "pyrt._core")]
pub(crate) struct Lead {
    socket: Option<OwnedFd>,
    #[pyo3(get)]
    pid: u64,
}

fn open_socket(socket: Option<&OwnedFd>) -> Result<&OwnedFd> {
    socket.ok_or_else(|| Error::new(Code::Conflict, "monitor", "", "the connection is closed"))
}

#[pymethods]
impl Lead {
    #[pyo3(signature = (attach=true))]
    fn start(&self, py: Python<'_>, attach: bool) -> PyResult<()> {
        detached(py, || {
            let socket = open_socket(self.socket.as_ref())?;
            wire::send(socket, Frame::Start, &[u8::from(attach)], &[]).at("monitor", "send")?;
            wire::receive_answer(socket).map(drop)
        })
    }

    #[pyo3(signature = (stdin, stdout, stderr, tty=false, detach_keys=None, sig_proxy=true))]
    #[allow(clippy::too_many_arguments)]
    fn relay<'py>(
        &self,
        py: Python<'py>,
        stdin: Option<i32>,
        stdout: Option<i32>,
        stderr: Option<i32>,
        tty: bool,
        detach_keys: Option<Vec<u8>>,
        sig_proxy: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let keys = detach_keys.unwrap_or_else(|| b"\x10\x11".to_vec());
        let outcome = detached(py, || {
            let socket = open_socket(self.socket.as_ref())?.as_fd();
            let fds = Borrowed::of([stdin, stdout, stderr])?;
            relay::over_socket(socket, &fds.streams(tty, &keys, sig_proxy))
        })?;
        tell(py, outcome)
    }

    fn wait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let outcome = detached(py, || {
            let socket = open_socket(self.socket.as_ref())?;
            loop {
                match wire::receive(socket).at("monitor", "receive")? {
                    None => return Ok(Outcome::Lost),
                    Some(frame) if frame.frame == Frame::Exited => {
                        return Ok(Outcome::Exited(frame.content));
                    }
                    Some(frame) if frame.frame == Frame::Failed => {
                        return Err(wire::parse_error(&frame.content));
                    }
                    Some(_) => {}
                }
            }
        })?;
        tell(py, outcome)
    }

    fn close(&mut self) {
        self.socket = None;
    }
}

/// The user's descriptors, duplicated so that nobody can close them under us while the GIL is released.
struct Borrowed([Option<OwnedFd>; 3]);

impl Borrowed {
    fn of(numbers: [Option<i32>; 3]) -> Result<Self> {
        let mut fds = [None, None, None];
        for (slot, number) in fds.iter_mut().zip(numbers) {
            *slot = number.map(pyrt_core::sys::files::duplicate).transpose().at("dup", "stdio")?;
        }
        Ok(Self(fds))
    }

    fn streams<'a>(&'a self, tty: bool, detach_keys: &'a [u8], sig_proxy: bool) -> Streams<'a> {
        let [stdin, stdout, stderr] = self.0.each_ref().map(|fd| fd.as_ref().map(AsFd::as_fd));
        Streams { stdin, stdout, stderr, tty, detach_keys, sig_proxy }
    }
}

/// An outcome for Python: exit.json, or None after detaching.
fn tell(py: Python<'_>, outcome: Outcome) -> PyResult<Bound<'_, PyAny>> {
    match outcome {
        Outcome::Exited(content) => parse(py, &content),
        Outcome::Detached => Ok(py.None().into_bound(py)),
        Outcome::Lost => parse(
            py,
            br#"{"id":"","exit_code":137,"signal":9,"reason":"monitor lost","error":null,"started_at":"","finished_at":""}"#,
        ),
    }
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn connect(py: Python<'_>, runtime_dir: PathBuf) -> PyResult<Control> {
    detached(py, || Ok(Control { socket: Some(connect_to(&runtime_dir)?) }))
}

/// Connects to a monitor's control socket by way of its directory: a socket's path is short.
pub(crate) fn connect_to(runtime_dir: &Path) -> Result<OwnedFd> {
    let not_found = |error: Error| match error.errno {
        Some(libc::ENOENT | libc::ECONNREFUSED | libc::ENOTDIR) => error.with_code(Code::NotFound),
        _ => error,
    };
    let dir = open_host(runtime_dir, OFlags::PATH | OFlags::DIRECTORY).map_err(not_found)?;
    let path = format!("/proc/self/fd/{}/control.sock", dir.as_raw_fd());
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .at("socket", runtime_dir)?;
    let address = SocketAddrUnix::new(path).at("connect", runtime_dir)?;
    rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address))
        .at("connect", runtime_dir)
        .map_err(not_found)?;
    Ok(socket)
}

/// See `_core.pyi`.
#[pyclass(module = "pyrt._core")]
pub(crate) struct Control {
    socket: Option<OwnedFd>,
}

#[pymethods]
impl Control {
    fn request<'py>(
        &self,
        py: Python<'py>,
        message: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let text = to_json(message)?;
        let answer = detached(py, || {
            let socket = open_socket(self.socket.as_ref())?;
            wire::send(socket, Frame::Request, &text, &[]).at("monitor", "send")?;
            wire::receive_answer(socket)
        })?;
        parse(py, &answer.content)
    }

    #[pyo3(signature = (stdin, stdout, stderr, tty=false, detach_keys=None, sig_proxy=true))]
    #[allow(clippy::too_many_arguments)]
    fn attach<'py>(
        &self,
        py: Python<'py>,
        stdin: Option<i32>,
        stdout: Option<i32>,
        stderr: Option<i32>,
        tty: bool,
        detach_keys: Option<Vec<u8>>,
        sig_proxy: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let keys = detach_keys.unwrap_or_else(|| b"\x10\x11".to_vec());
        let outcome = detached(py, || {
            let socket = open_socket(self.socket.as_ref())?;
            wire::send(socket, Frame::Request, br#"{"op":"attach"}"#, &[]).at("monitor", "send")?;
            wire::receive_answer(socket)?;
            let fds = Borrowed::of([stdin, stdout, stderr])?;
            relay::over_socket(socket.as_fd(), &fds.streams(tty, &keys, sig_proxy))
        })?;
        tell(py, outcome)
    }

    fn close(&mut self) {
        self.socket = None;
    }
}
