//! A pod's namespaces: held by the monitor of its infra container, handed to the monitors of the others.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use pyrt_core::bundle::{ExitPolicy, MonitorConfig};
use pyrt_core::create::Pause;
use pyrt_core::namespaces::Joins;
use pyrt_core::paths::open_host;
use pyrt_core::spec::Spec;
use pyrt_core::wire::{self, Frame};
use pyrt_core::{At, Code, Error, Result, channel};
use rustix::fs::OFlags;
use rustix::net::SocketAddrUnix;
use rustix::process::Signal;

use super::clients::Client;
use super::container::Container;

/// What a pod's containers may share, and what /proc calls it.
const SHARED: [(&str, &str); 6] = [
    ("user", "user"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("network", "net"),
    ("pid", "pid"),
    ("mount", "mnt"), // for what is mounted there
];

/// What a path ends with that names a monitor and not a namespace.
const SOCKET: &str = "/control.sock";

/// Our part in a pod.
#[derive(Debug)]
pub(super) struct Pod {
    /// The namespaces that we hold for others.
    held: Vec<OwnedFd>,
    /// The connection to who holds ours, as long as we live: so it is known there.
    pub(super) member: Option<OwnedFd>,
    /// What was said on it of our readiness.
    pub(super) said_ready: Option<bool>,
    /// How many have gone that told us whether they are ready.
    pub(super) missing: usize,
}

impl Pod {
    /// Takes hold of an infra container's namespaces, while its init is open to us.
    pub(super) fn of(
        config: &MonitorConfig,
        spec: &Spec,
        pid: u32,
        member: Option<OwnedFd>,
    ) -> Result<Self> {
        let mut held = Vec::new();
        let shared = SHARED
            .iter()
            .filter(|(kind, _)| config.infra.is_some() && spec.namespace(kind).is_some());
        for (_, name) in shared {
            held.push(open_host(Path::new(&format!("/proc/{pid}/ns/{name}")), OFlags::RDONLY)?);
        }
        Ok(Self { held, said_ready: None, member, missing: 0 })
    }
}

/// What init becomes that holds namespaces.
pub(super) fn pause(config: &MonitorConfig) -> Option<Pause> {
    config.infra.map(|_| if config.has_peers { Pause::Seen } else { Pause::Alone })
}

/// The namespaces to join, some from the monitor that the document names; the connection to that.
pub(super) fn join(spec: &Spec, member: Option<OwnedFd>) -> Result<(Option<OwnedFd>, Joins)> {
    let (member, held) = ask(spec, member)?;
    Ok((member, Joins::open(spec, held)?))
}

fn ask(spec: &Spec, member: Option<OwnedFd>) -> Result<(Option<OwnedFd>, Vec<OwnedFd>)> {
    let is_held = |path: &&String| path.ends_with(SOCKET);
    let paths = || spec.namespaces().iter().filter_map(|namespace| namespace.path.as_ref());
    let Some(path) = paths().find(is_held) else { return Ok((None, Vec::new())) };
    let connection = match member {
        Some(connection) => connection,
        None => connect(path)?,
    };
    let mut held = receive(&connection)?;
    // The pid namespace, which comes last, may be that of one of the pod's containers.
    if let Some(other) = paths().next_back().filter(|other| is_held(other) && *other != path) {
        held.splice(0..0, receive(&connect(other)?)?);
    }
    Ok((Some(connection), held))
}

fn receive(connection: &OwnedFd) -> Result<Vec<OwnedFd>> {
    wire::send(connection, Frame::Request, br#"{"op":"pod"}"#, &[]).at("pod", "send")?;
    loop {
        let answer = wire::receive_answer(connection)?;
        // Before it may be the answers to what was said of readiness.
        if !answer.fds.is_empty() {
            return Ok(answer.fds);
        }
    }
}

fn connect(path: &str) -> Result<OwnedFd> {
    let directory =
        open_host(Path::new(path.trim_end_matches(SOCKET)), OFlags::PATH | OFlags::DIRECTORY)
            .map_err(|error| error.with_hint("start the pod"))?;
    let connection = channel::socket().at("socket", "pod")?;
    // By way of the directory's descriptor: a socket's path is short.
    let address = format!("/proc/self/fd/{}{SOCKET}", directory.as_raw_fd());
    let address = SocketAddrUnix::new(address).at("connect", path)?;
    rustix::io::retry_on_intr(|| rustix::net::connect(&connection, &address))
        .at("connect", path)?;
    Ok(connection)
}

impl Container {
    /// The namespaces for one of the pod's containers; of one that is not the infra container, its pids and its network.
    pub(super) fn pod_namespaces(&self) -> Result<Vec<OwnedFd>> {
        if self.state.status != "running" {
            return Err(Error::new(Code::Conflict, "join", &*self.id, "does not run"));
        }
        if self.config.infra.is_some() {
            return self.pod.held.iter().map(|fd| fd.try_clone().at("dup", "namespace")).collect();
        }
        // Nobody else reaps init: the number is its own.
        let pids = format!("/proc/{}/ns/pid", self.state.pid);
        let mut own = vec![open_host(Path::new(&pids), OFlags::RDONLY)?];
        if let Some(network) = self.meter.network() {
            own.push(network.try_clone().at("dup", "namespace")?);
        }
        Ok(own)
    }

    /// One of the pod's containers says whether it is ready. The pod is, as far as its networks care, if all of them are,
    /// also those that have ended and not been started again.
    pub(super) fn hear_readiness(&mut self, index: usize, is_ready: bool) {
        if self.clients[index].readiness.replace(is_ready).is_none() {
            self.pod.missing = self.pod.missing.saturating_sub(1);
        }
        self.tell_readiness();
    }

    fn tell_readiness(&mut self) {
        let all = self.clients.iter().all(|client| client.readiness != Some(false));
        if let Some(bridged) = &mut self.bridged {
            bridged.set_ready(all && self.pod.missing == 0);
        }
    }

    /// One of the pod's containers has ended: we do, too, if it was the last and the pod is such a one.
    pub(super) fn follow_members(&mut self) {
        self.tell_readiness();
        let is_last = !self.clients.iter().any(|client: &Client| client.is_member);
        if is_last && self.config.infra == Some(ExitPolicy::Stop) {
            // ESRCH: it has ended already.
            let _ = rustix::process::pidfd_send_signal(&self.created.pidfd, Signal::KILL);
        }
    }
}
