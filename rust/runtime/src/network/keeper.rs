//! The keeper: holds the network namespace in which the bridges are, and starts anew what ends in it.
//!
//! Its own successor, the spare, waits for its lock and holds the namespace, too: so this outlives any two of keeper,
//! spare and supervisor. A new keeper finds the uplink's guard by a lock, as one finds a keeper.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use pyrt_core::paths::{c_string, open_host};
use pyrt_core::state::{is_held, lock, lock_holder};
use pyrt_core::sys::fork::{self, CLONE_NEWNET, Fork, exit_now, fork_single};
use pyrt_core::sys::spawn::{Command, spawn};
use pyrt_core::wire::{self, Frame};
use pyrt_core::{At, Error, Result, channel, userns};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::{GUARD, KEEPER, SUPERVISOR, directory, links, machine_ports};
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
    let uplink = uplink_words(arguments);
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

/// `spare --netns FD --run-root DIR [--uplink WORD]…`: becomes the keeper when that one ends, at once.
pub(super) fn spare(arguments: &Arguments) -> Status {
    let netns = arguments.needed_descriptor("netns")?;
    let run_root = arguments.path("run-root")?;
    let uplink = uplink_words(arguments);
    rustix::process::setsid().at("setsid", "")?;
    rustix::process::chdir("/").at("chdir", "/")?;
    let lock = await_lock(&directory(&run_root).join(KEEPER))?;
    adopt(&run_root)?; // the namespace is ours already; that supervisor is nobody's child
    let mut keeper = Keeper::open(&run_root, uplink, netns, lock)?;
    let _ = keeper.connect(); // tried again: bridges work without a way out
    match wire::receive_answer(&keeper.asks) {
        Ok(_) => keeper.run().map(|()| 0),
        Err(error) => {
            keeper.end();
            Err(error)
        }
    }
}

fn uplink_words(arguments: &Arguments) -> Vec<String> {
    arguments.all("uplink").map(|word| word.to_string_lossy().into_owned()).collect()
}

struct Keeper<'a> {
    run_root: &'a Path,
    /// pasta's command line.
    uplink: Vec<String>,
    netns: OwnedFd,
    supervisor: OwnedFd,
    /// By which it says that it is ready, and asks for ports of the machine.
    asks: OwnedFd,
    guard: Option<OwnedFd>,
    spare: Option<OwnedFd>,
    /// When the supervisor was started, and the spare.
    started: [Instant; 2],
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
        let mut keeper = Self::open(run_root, uplink, netns, lock)?;
        let begun = keeper.connect().and_then(|()| wire::receive_answer(&keeper.asks));
        if begun.is_err() {
            keeper.end();
        }
        begun.map(|_| Some(keeper))
    }

    /// With a supervisor that says on the socket when it can be used.
    fn open(
        run_root: &'a Path,
        uplink: Vec<String>,
        netns: OwnedFd,
        lock: OwnedFd,
    ) -> Result<Self> {
        let (asks, theirs) = channel::pair()?;
        let supervisor = start_supervisor(run_root, &netns, &theirs)?;
        let (guard, spare, started) = (None, None, [Instant::now(); 2]);
        Ok(Self { run_root, uplink, netns, supervisor, asks, guard, spare, started, _lock: lock })
    }

    /// Starts anew what ends, until the supervisor says by its status 0 that nobody needs it.
    fn run(&mut self) -> Result<()> {
        let now = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let has_ended =
            |child: &OwnedFd| waitid(WaitId::PidFd(child.as_fd()), now).at("wait", "child");
        loop {
            if !matches!(&self.spare, Some(spare) if has_ended(spare)?.is_none()) {
                if self.spare.is_some() {
                    settle(&mut self.started[1]);
                }
                self.spare = Some(start_spare(self.run_root, &self.netns, &self.uplink)?);
            }
            self.wait()?;
            machine_ports::serve(&self.asks);
            match has_ended(&self.supervisor)? {
                Some(status) if status.exit_status() == Some(0) => {
                    self.end();
                    return Ok(());
                }
                Some(_) => {
                    settle(&mut self.started[0]);
                    let (asks, theirs) = channel::pair()?;
                    self.asks = asks;
                    self.supervisor = start_supervisor(self.run_root, &self.netns, &theirs)?;
                }
                None => {}
            }
            if self.connect().is_err() {
                // Bridges work without a way out; the end of the guard that failed brings us here again.
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Until one has ended; for a while where we do not know the uplink's guard.
    fn wait(&self) -> Result<()> {
        let held =
            [Some(&self.supervisor), Some(&self.asks), self.spare.as_ref(), self.guard.as_ref()];
        let mut fds: Vec<PollFd<'_>> =
            held.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        let is_unknown = self.guard.is_none() && !self.uplink.is_empty();
        let timeout = Timespec { tv_sec: SETTLED.as_secs().cast_signed(), tv_nsec: 0 };
        rustix::io::retry_on_intr(|| poll(&mut fds, is_unknown.then_some(&timeout)))
            .map(drop)
            .at("poll", "children")
    }

    /// Starts the uplink if there is none.
    fn connect(&mut self) -> Result<()> {
        if self.uplink.is_empty() {
            return Ok(());
        }
        if inside(&self.netns, links::has_uplink)? {
            let holder = lock_holder(&directory(self.run_root).join(GUARD))?;
            self.guard = holder.map(|(guard, _)| guard); // the keeper's before us, perhaps
            return Ok(());
        }
        if let Some(guard) = self.guard.take() {
            let _ = pidfd_send_signal(&guard, Signal::KILL); // it may have ended
            let _ = waitid(WaitId::PidFd(guard.as_fd()), WaitIdOptions::EXITED); // no child of ours
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
        let held = [Some(&self.supervisor), self.guard.as_ref(), self.spare.as_ref()];
        for process in held.into_iter().flatten() {
            let _ = pidfd_send_signal(process, Signal::KILL); // it may have ended
        }
    }
}

/// Runs the uplink, as the first process of a pid namespace: what it leaves in the background ends with us. That we do when
/// it does, or when there is neither keeper nor supervisor, and so nobody whom it could serve.
fn guard(uplink: &[String], netns: &OwnedFd, run_root: &Path, report: &OwnedFd) -> i32 {
    let locked = await_lock(&directory(run_root).join(GUARD));
    let begun = locked.and_then(|lock| uplink::run(uplink, Some(netns), "").map(|()| lock));
    let _lock = match begun {
        Ok(lock) => {
            let _ = wire::send(report, Frame::Reply, b"{}", &[]); // an old keeper does not wait
            lock
        }
        Err(error) => {
            let text = serde_json::to_vec(&error).unwrap_or_default();
            let _ = wire::send(report, Frame::Failed, &text, &[]);
            return 1;
        }
    };
    let _ = rustix::net::shutdown(report, rustix::net::Shutdown::Both); // all has been said
    let is_there = |name| is_held(&directory(run_root).join(name));
    let now = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let mut alone = 0;
    while alone < LOOKS {
        std::thread::sleep(LOOK);
        alone = if is_there(KEEPER) || is_there(SUPERVISOR) { 0 } else { alone + 1 };
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

/// Takes a lock when whoever has it ends; see [`lock`].
fn await_lock(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).at("open", path)?;
    let wait = || rustix::fs::fcntl_lock(&file, FlockOperation::LockExclusive);
    rustix::io::retry_on_intr(wait).at("lock", path)?;
    Ok(file)
}

/// A pause before what has ended at once is started anew, now.
fn settle(started: &mut Instant) {
    if started.elapsed() < SETTLED {
        std::thread::sleep(PAUSE);
    }
    *started = Instant::now();
}

/// The network namespace of a supervisor that has lost its keeper, and which ends now; or, when all of them are lost, that
/// of the node, which is in it.
fn adopt(run_root: &Path) -> Result<Option<OwnedFd>> {
    let namespace = |pid: Pid| {
        open_host(Path::new(&format!("/proc/{}/ns/net", pid.as_raw_nonzero())), OFlags::RDONLY)
    };
    let path = directory(run_root).join(SUPERVISOR);
    let Some((supervisor, pid)) = lock_holder(&path)? else {
        let path = run_root.join(userns::NODE);
        let Some((_, pid)) = lock_holder(&path)? else { return Ok(None) };
        let netns = namespace(pid);
        // Opened by its number: it is the node's if that one is there yet.
        let is_there = lock_holder(&path)?.is_some_and(|(_, again)| again == pid);
        return if is_there { netns.map(Some) } else { Ok(None) };
    };
    let netns = namespace(pid)?;
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
    let number = ready.as_raw_fd().to_string();
    start("supervise", run_root, netns, &["--ready", &number], &[ready.as_fd()])
}

fn start_spare(run_root: &Path, netns: &OwnedFd, uplink: &[String]) -> Result<OwnedFd> {
    let words: Vec<&str> = uplink.iter().flat_map(|word| ["--uplink", word]).collect();
    start("spare", run_root, netns, &words, &[])
}

/// Starts one of us, which gets the namespace and these descriptors.
fn start(
    verb: &str,
    run_root: &Path,
    netns: &OwnedFd,
    words: &[&str],
    keep: &[BorrowedFd<'_>],
) -> Result<OwnedFd> {
    let number = netns.as_raw_fd().to_string();
    let mut args: Vec<CString> = ["pyrt-network", verb, "--netns", &number]
        .iter()
        .chain(words)
        .map(|word| c_string(word.as_ref(), "argument"))
        .collect::<Result<_>>()?;
    args.push(c_string("--run-root".as_ref(), "argument")?);
    args.push(c_string(run_root.as_os_str(), "run root")?);
    let null = open_host(Path::new("/dev/null"), OFlags::RDWR)?;
    let command = Command {
        program: c"/proc/self/exe",
        args: &args,
        env: &[],
        stdio: [null.as_fd(), null.as_fd(), null.as_fd()],
        keep: &[&[netns.as_fd()], keep].concat(),
    };
    spawn(&command).at("exec", "pyrt-network")
}
