//! The keeper: holds the network namespace in which the bridges are, and starts anew what ends in it.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use pyrt_core::paths::{c_string, open_host};
use pyrt_core::state::{lock, lock_holder};
use pyrt_core::sys::fork::{self, CLONE_NEWNET, Fork, exit_now, fork_single};
use pyrt_core::sys::spawn::{Command, spawn};
use pyrt_core::wire::{self, Frame};
use pyrt_core::{At, Error, Result, channel, userns};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{
    Flock, FlockType, Signal, WaitId, WaitIdOptions, fcntl_getlk, pidfd_send_signal, waitid,
};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::{KEEPER, SUPERVISOR, directory, links};
use crate::Status;
use crate::arguments::Arguments;
use crate::monitor::uplink;

/// Between two attempts at what ends at once.
const PAUSE: Duration = Duration::from_millis(300);
/// How often the uplink's guard looks for whom it serves, and how often in vain.
const LOOK: Duration = Duration::from_millis(500);
const LOOKS: u32 = 6;
/// What has lived so long has not failed at once.
const SETTLED: Duration = Duration::from_secs(2);

/// `keeper --report FD --run-root DIR [--uplink WORD]…`, the words of pasta's command line: says `Reply` when the networks can be used, or `Failed`.
pub(super) fn main(arguments: &Arguments) -> Status {
    let report = arguments.needed_descriptor("report")?;
    let tell = |error: &Error| {
        let text = serde_json::to_vec(error).unwrap_or_default();
        // With nobody listening there is nobody to tell.
        let _ = wire::send(&report, Frame::Failed, &text, &[]);
    };
    let run_root = arguments.path("run-root")?;
    let uplink: Vec<String> =
        arguments.all("uplink").map(|word| word.to_string_lossy().into_owned()).collect();
    let forked = userns::ensure(&run_root)
        .and_then(|holder| userns::enter(&holder))
        .and_then(|()| fork_single(0, None).at("clone", "keeper"));
    match forked {
        Ok(Fork::Parent { .. }) => Ok(0),
        Ok(Fork::Child) => match Keeper::begin(&run_root, uplink) {
            Ok(Some(mut keeper)) => {
                let _ = wire::send(&report, Frame::Reply, b"{}", &[]);
                drop(report);
                keeper.run().map(|()| 0)
            }
            // Another is there already.
            Ok(None) => {
                let _ = wire::send(&report, Frame::Reply, b"{}", &[]);
                Ok(0)
            }
            Err(error) => {
                tell(&error);
                Ok(1)
            }
        },
        Err(error) => {
            tell(&error);
            Ok(1)
        }
    }
}

struct Keeper<'a> {
    run_root: &'a Path,
    /// pasta's command line.
    uplink: Vec<String>,
    netns: OwnedFd,
    supervisor: OwnedFd,
    guard: Option<OwnedFd>,
    started: Instant,
    _lock: OwnedFd,
}

impl<'a> Keeper<'a> {
    /// Up to networks that can be used; `None` if there is a keeper.
    fn begin(run_root: &'a Path, uplink: Vec<String>) -> Result<Option<Self>> {
        rustix::process::setsid().at("setsid", "")?;
        rustix::process::chdir("/").at("chdir", "/")?;
        let directory = directory(run_root);
        match rustix::fs::mkdir(&directory, Mode::RWXU) {
            Err(Errno::EXIST) => {}
            made => made.at("mkdir", &directory)?,
        }
        let Some(lock) = lock(&directory.join(KEEPER))? else { return Ok(None) };
        let netns = match adopt(run_root)? {
            Some(netns) => netns,
            None => make_namespace()?,
        };
        let (ready, theirs) = channel::pair()?;
        let supervisor = start_supervisor(run_root, &netns, &theirs)?;
        drop(theirs);
        let (guard, started) = (None, Instant::now());
        let mut keeper = Self { run_root, uplink, netns, supervisor, guard, started, _lock: lock };
        let begun = keeper.connect().and_then(|()| wire::receive_answer(&ready));
        if begun.is_err() {
            keeper.end();
        }
        begun.map(|_| Some(keeper))
    }

    /// Starts anew what ends, until the supervisor says by its status 0 that nobody needs it.
    fn run(&mut self) -> Result<()> {
        loop {
            let any = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            rustix::io::retry_on_intr(|| waitid(WaitId::All, any)).at("wait", "children")?;
            let now = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            match waitid(WaitId::PidFd(self.supervisor.as_fd()), now).at("wait", "supervisor")? {
                Some(status) if status.exit_status() == Some(0) => {
                    self.end();
                    return Ok(());
                }
                Some(_) => {
                    if self.started.elapsed() < SETTLED {
                        std::thread::sleep(PAUSE);
                    }
                    let (_ready, theirs) = channel::pair()?;
                    self.supervisor = start_supervisor(self.run_root, &self.netns, &theirs)?;
                    self.started = Instant::now();
                }
                // Of the others only the guard is missed.
                None => while let Ok(Some(_)) = waitid(WaitId::All, now) {},
            }
            if self.connect().is_err() {
                // Bridges work without a way out; the end of the guard that failed brings us here again.
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Starts the uplink if there is none.
    fn connect(&mut self) -> Result<()> {
        if self.uplink.is_empty() || inside(&self.netns, links::has_uplink)? {
            return Ok(());
        }
        if let Some(guard) = self.guard.take() {
            let _ = pidfd_send_signal(&guard, Signal::KILL); // it may have ended
        }
        let (ours, theirs) = channel::pair()?;
        let flags = fork::CLONE_NEWPID;
        let Fork::Parent { pidfd, .. } = fork_single(flags, None).at("clone", "uplink")? else {
            drop(ours);
            exit_now(guard(&self.uplink, &self.netns, self.run_root, &theirs));
        };
        drop(theirs);
        self.guard = Some(pidfd);
        wire::receive_answer(&ours).map(drop)
    }

    /// Ends what has no use without us.
    fn end(&self) {
        for process in [Some(&self.supervisor), self.guard.as_ref()].into_iter().flatten() {
            let _ = pidfd_send_signal(process, Signal::KILL); // it may have ended
        }
    }
}

/// Runs the uplink, as the first process of a pid namespace: what it leaves in the background ends with us. That we do when
/// it does, or when there is neither keeper nor supervisor, and so nobody whom it could serve.
fn guard(uplink: &[String], netns: &OwnedFd, run_root: &Path, report: &OwnedFd) -> i32 {
    match uplink::run(uplink, Some(netns), "") {
        Ok(()) => drop(wire::send(report, Frame::Reply, b"{}", &[])), // an old keeper does not wait
        Err(error) => {
            let text = serde_json::to_vec(&error).unwrap_or_default();
            let _ = wire::send(report, Frame::Failed, &text, &[]);
            return 1;
        }
    }
    let _ = rustix::net::shutdown(report, rustix::net::Shutdown::Both); // all has been said
    let is_held = |name| is_locked(&directory(run_root).join(name));
    let now = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let mut alone = 0;
    while alone < LOOKS {
        std::thread::sleep(LOOK);
        alone = if is_held(KEEPER) || is_held(SUPERVISOR) { 0 } else { alone + 1 };
        let mut child = waitid(WaitId::All, now);
        while let Ok(Some(_)) = child {
            child = waitid(WaitId::All, now);
        }
        if child.is_err() {
            return 1; // ECHILD: the uplink is gone
        }
    }
    0
}

/// Whether somebody holds the lock, also somebody whom we do not see: in our pid namespace he has no number.
fn is_locked(path: &Path) -> bool {
    let question = Flock::from(FlockType::WriteLock);
    open_host(path, OFlags::RDWR)
        .is_ok_and(|file| fcntl_getlk(file, &question).is_ok_and(|lock| lock.is_some()))
}

/// The network namespace of a supervisor that has lost its keeper, and which ends now.
fn adopt(run_root: &Path) -> Result<Option<OwnedFd>> {
    let path = directory(run_root).join(SUPERVISOR);
    let Some((supervisor, pid)) = lock_holder(&path)? else { return Ok(None) };
    let netns =
        open_host(Path::new(&format!("/proc/{}/ns/net", pid.as_raw_nonzero())), OFlags::RDONLY)?;
    // Asked by its number: whoever has it now is the supervisor that we hold only if that one still lives.
    match pidfd_send_signal(&supervisor, Signal::TERM) {
        Ok(()) => Ok(Some(netns)),
        Err(Errno::SRCH) => Ok(None),
        Err(errno) => Err(errno).at("kill", "supervisor"),
    }
}

/// A network namespace of the user's own. Made in a process that has no other use: nobody in it comes back to the host's.
fn make_namespace() -> Result<OwnedFd> {
    let (ours, theirs) = channel::pair()?;
    let Fork::Parent { pidfd, .. } = fork_single(0, None).at("clone", "network namespace")? else {
        let own = fork::unshare(CLONE_NEWNET)
            .at("unshare", "network namespace")
            .and_then(|()| open_host(Path::new("/proc/self/ns/net"), OFlags::RDONLY));
        // With nobody listening there is nobody to tell.
        let _ = match own {
            Ok(own) => channel::send(&theirs, b"R", &[own.as_fd()]),
            Err(error) => {
                channel::send(&theirs, &serde_json::to_vec(&error).unwrap_or_default(), &[])
            }
        };
        exit_now(0);
    };
    drop(theirs);
    let mut fds = Vec::new();
    let answer = channel::receive_message(&ours, &mut fds).at("network namespace", "receive")?;
    waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).at("wait", "")?;
    fds.pop().ok_or_else(|| wire::parse_error(&answer))
}

/// What `look` finds in another network namespace.
fn inside(netns: &OwnedFd, look: fn() -> bool) -> Result<bool> {
    let Fork::Parent { pidfd, .. } = fork_single(0, None).at("clone", "look")? else {
        let entered = move_into_thread_name_spaces(netns.as_fd(), ThreadNameSpaceType::NETWORK);
        exit_now(i32::from(entered.is_ok() && look()));
    };
    let status =
        rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED))
            .at("wait", "look")?;
    Ok(status.and_then(|status| status.exit_status()) == Some(1))
}

fn start_supervisor(run_root: &Path, netns: &OwnedFd, ready: &OwnedFd) -> Result<OwnedFd> {
    let number = |fd: &OwnedFd| fd.as_raw_fd().to_string();
    let words = ["pyrt-network", "supervise", "--netns", &number(netns), "--ready", &number(ready)];
    let mut args: Vec<CString> =
        words.iter().map(|word| c_string(word.as_ref(), "argument")).collect::<Result<_>>()?;
    args.push(c_string("--run-root".as_ref(), "argument")?);
    args.push(c_string(run_root.as_os_str(), "run root")?);
    let null = open_host(Path::new("/dev/null"), OFlags::RDWR)?;
    let command = Command {
        program: c"/proc/self/exe",
        args: &args,
        env: &[],
        stdio: [null.as_fd(), null.as_fd(), null.as_fd()],
        keep: &[netns.as_fd(), ready.as_fd()],
    };
    spawn(&command).at("exec", "pyrt-network")
}
