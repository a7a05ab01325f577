//! `pyrt-network node`: the first process of the node's namespaces, which live as long as it does.
//!
//! The user namespace is the user's own, the network namespace that of the bridges; mounts, pids, IPC and the host name are
//! the node's. When the first process goes, however, the kernel ends all that is in there.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pyrt_core::paths::{open_host, write_whole};
use pyrt_core::state::{lock, now};
use pyrt_core::sys::fork::{self, Fork, fork_single};
use pyrt_core::sys::signal;
use pyrt_core::wire::{self, Frame};
use pyrt_core::{At, Code, Error, Result, channel, tree, userns};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use rustix::process::{DumpableBehavior, WaitOptions};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::services::Service;
use super::{SOCKET, directory, node_mounts};
use crate::Status;
use crate::arguments::Arguments;

/// How long services have to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks for a new supervisor.
const LOOK: Duration = Duration::from_millis(300);
/// Between two looks at logs, and attempts to tell what could not be told.
const TURN: Duration = Duration::from_secs(10);

/// `node --report FD --run-root DIR --services FD --scratch DIR [--keep DIR]…`: says `Reply` when there is a node with its services started, or
/// `Failed`.
pub(super) fn main(arguments: &Arguments) -> Status {
    let report = arguments.needed_descriptor("report")?;
    let run_root = arguments.path("run-root")?;
    let tell = |error: &Error| {
        let text = serde_json::to_vec(error).unwrap_or_default();
        // With nobody listening there is nobody to tell.
        let _ = wire::send(&report, Frame::Failed, &text, &[]);
    };
    let begun = match make_namespaces(&run_root) {
        Ok((Fork::Parent { .. }, _)) => return Ok(0),
        Ok((Fork::Child, connection)) => Node::begin(arguments, &run_root, connection),
        Err(error) => Err(error),
    };
    match begun {
        Ok(mut node) => {
            let _ = wire::send(&report, Frame::Reply, b"{}", &[]);
            drop(report);
            node.run().map(|()| 0)
        }
        Err(error) => {
            tell(&error);
            Ok(1)
        }
    }
}

/// Into the user's namespaces, and a child into those that are new.
fn make_namespaces(run_root: &Path) -> Result<(Fork, OwnedFd)> {
    userns::enter(&userns::ensure(run_root)?)?;
    let (connection, netns) = join_networks(run_root)?;
    move_into_thread_name_spaces(netns.as_fd(), ThreadNameSpaceType::NETWORK)
        .at("setns", "network namespace")?;
    let flags = fork::CLONE_NEWPID | fork::CLONE_NEWNS | fork::CLONE_NEWIPC | fork::CLONE_NEWUTS;
    Ok((fork_single(flags, None).at("clone", "node")?, connection))
}

/// The networks' namespace, which is there for as long as the connection is.
fn join_networks(run_root: &Path) -> Result<(OwnedFd, OwnedFd)> {
    let path = directory(run_root).join(SOCKET);
    let socket = channel::socket().at("socket", &path)?;
    let address = SocketAddrUnix::new(&path).at("connect", &path)?;
    rustix::net::connect(&socket, &address).at("connect", &path)?;
    wire::send(&socket, Frame::Request, br#"{"op":"node"}"#, &[]).at("network", "node")?;
    let netns = wire::receive_answer(&socket)?.fds.pop().ok_or_else(wire::lost)?;
    Ok((socket, netns))
}

struct Node {
    run_root: PathBuf,
    /// Its own directory.
    directory: OwnedFd,
    /// With the networks' supervisor; none between one and the next.
    connection: Option<OwnedFd>,
    services: Vec<Service>,
    signals: OwnedFd,
    started_at: String,
    /// Whether something has changed that is not written down yet.
    is_untold: bool,
    /// Until when it ends by itself, once it is asked to.
    deadline: Option<Instant>,
    _lock: OwnedFd,
}

impl Node {
    /// Up to services that have been started.
    fn begin(arguments: &Arguments, run_root: &Path, connection: OwnedFd) -> Result<Self> {
        rustix::process::setsid().at("setsid", "")?;
        rustix::process::chdir("/").at("chdir", "/")?;
        // The user's namespace has given us rights, so the kernel has closed us to the user, who is to enter.
        rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)
            .at("set dumpable", "")?;
        let path = run_root.join(userns::NODE);
        let own = path.parent().unwrap_or(run_root);
        match rustix::fs::mkdir(own, Mode::RWXU) {
            Err(Errno::EXIST) => {}
            made => made.at("mkdir", own)?,
        }
        let lock =
            lock(&path)?.ok_or_else(|| Error::new(Code::Conflict, "node", "", "runs already"))?;
        let kept: Vec<PathBuf> = arguments.all("keep").map(PathBuf::from).collect();
        node_mounts::prepare(&arguments.path("scratch")?, &kept)?;
        let signals = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT];
        signal::block(&signals).at("block", "signals")?;
        let signals = signal::descriptor(&signals).at("signalfd", "")?;
        let services = Service::read(&arguments.needed_descriptor("services")?)?;
        let mut node = Self {
            run_root: run_root.to_owned(),
            directory: open_host(own, OFlags::PATH | OFlags::DIRECTORY)?,
            connection: Some(connection),
            services,
            signals,
            started_at: now(),
            is_untold: false,
            deadline: None,
            _lock: lock,
        };
        for service in &mut node.services {
            service.start(true)?;
        }
        node.tell()?;
        Ok(node)
    }

    /// Until it is asked to end. Nothing else ends it: all pods would end with it.
    fn run(&mut self) -> Result<()> {
        loop {
            if self.wait().is_err() {
                std::thread::sleep(LOOK); // of memory, or the like, there may be more later
            }
            while let Ok(Some(number)) = signal::next(self.signals.as_fd()) {
                if number != libc::SIGCHLD && self.deadline.is_none() {
                    self.deadline = Some(Instant::now() + PATIENCE);
                    for service in self.services.iter_mut().rev() {
                        service.stop();
                    }
                }
            }
            self.is_untold |= self.see_to_services();
            if self.is_untold {
                self.is_untold = self.tell().is_err(); // where there is no space now there may be later
            }
            if let Some(deadline) = self.deadline
                && (deadline <= Instant::now() || !self.services.iter().any(Service::is_running))
            {
                return self.end();
            }
            if self.is_lost() {
                // None yet: their keeper makes one.
                self.connection = join_networks(&self.run_root).ok().map(|(socket, _)| socket);
            }
        }
    }

    /// Until something has happened, or it is time for something.
    fn wait(&self) -> Result<()> {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        fds.extend(self.connection.iter().map(|socket| PollFd::new(socket, PollFlags::IN)));
        let look = Instant::now() + if self.connection.is_none() { LOOK } else { TURN };
        let due = self.services.iter().filter_map(Service::due).min();
        let soonest = [due, self.deadline].into_iter().flatten().fold(look, Instant::min);
        let left = soonest.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout))).map(drop).at("poll", "node")
    }

    /// Reaps what has ended, starts anew what is to live; whether there is something to tell.
    fn see_to_services(&mut self) -> bool {
        let mut has_changed = false;
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            // Who is none of them is an orphan.
            if let Some(service) = self.services.iter_mut().find(|service| service.is(pid)) {
                service.end(status);
                has_changed = true;
                if self.deadline.is_none() {
                    service.settle();
                }
            }
        }
        for service in &mut self.services {
            has_changed |= service.revive();
            service.shorten_log();
        }
        has_changed
    }

    /// Whether there is no supervisor: it says nothing unasked, so what can be read is its end.
    fn is_lost(&self) -> bool {
        let Some(socket) = &self.connection else { return true };
        let mut look = [PollFd::new(socket, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut look, Some(&now)).is_ok_and(|count| count > 0)
    }

    /// Writes down how it is.
    fn tell(&self) -> Result<()> {
        let services: Vec<_> = self.services.iter().map(Service::tell).collect();
        let state = serde_json::json!({"started_at": self.started_at, "services": services});
        write_whole(self.directory.as_fd(), "state.json", state.to_string().as_bytes(), 0o600)
    }

    /// Ends all that is left, and takes away what tells of us.
    fn end(&self) -> Result<()> {
        signal::kill_all_others();
        while rustix::process::wait(WaitOptions::empty()).is_ok() {}
        let path = self.run_root.join(userns::NODE);
        tree::remove_path(path.parent().unwrap_or(&path))
    }
}
