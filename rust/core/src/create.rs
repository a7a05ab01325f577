//! Making a container process: one clone with everything, the ID maps, and the handshake until *created*.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::net::SocketAddrUnix;
use rustix::process::{Signal, WaitId, WaitIdOptions};

use crate::bundle::Rootfs;
use crate::channel;
use crate::error::{At, Code, Error, Result};
use crate::hooks;
use crate::idmap;
use crate::init;
use crate::instead::Instead;
use crate::namespaces::{Joins, clone_flags};
use crate::paths::{open_host, read_all};
use crate::process;
use crate::seccomp::{self, Agent, Filter};
use crate::spec::Spec;
use crate::sync::{Message, Sync};
use crate::sys::fork::{self, Fork};
use crate::task_limit::TaskLimit;

/// Everything init needs, decided and opened before it is born.
pub struct Plan<'a> {
    /// The document.
    pub spec: &'a Spec,
    /// Container ID, for hooks.
    pub id: &'a str,
    /// Absolute path of the bundle; relative paths of the document start here.
    pub bundle: &'a Path,
    /// What to mount as the root, or `root.path` itself.
    pub rootfs: Option<&'a Rootfs>,
    /// The compiled `linux.seccomp`.
    pub filter: Option<&'a Filter>,
    /// Make `process.cwd` where it is missing.
    pub create_workdir: bool,
    /// Descriptors 0, 1 and 2 of a program without a terminal; none: ours, as they are.
    pub stdio: Option<[OwnedFd; 3]>,
    /// How many descriptors after these the program keeps (`--preserve-fds`).
    pub kept_fds: u32,
    /// The cgroup to start in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Whether a helper joins init's namespaces between created and started.
    pub joinable: bool,
    /// The namespaces by path.
    pub joins: &'a Joins,
    /// Whether the user's own namespace denies setgroups.
    pub single_id: bool,
    /// Where `start` connects when the parent does not stay; init then does not die with the parent either.
    pub start: Option<BorrowedFd<'a>>,
    /// Whether init dies with its parent.
    pub tied: bool,
    /// Whether the session keyring is a new one.
    pub new_keyring: bool,
    /// What is done with init's pid before init goes on: a scope of systemd is made of a process.
    pub settle: Option<&'a dyn Fn(u32) -> Result<()>>,
    /// How many tasks it may have, where its cgroup does not say it.
    pub task_limit: Option<TaskLimit>,
    /// Limits that its cgroup does not set.
    pub instead: Instead,
    /// `--no-pivot`: the root is moved over the old one, which stays below (a ramfs cannot be pivoted).
    pub pivots: bool,
    /// There is no program: init stays, to hold a pod's namespaces.
    pub pause: Option<Pause>,
}

/// Whether somebody in a pod sees the process that holds its namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Nobody: its pid namespace is its own.
    Alone,
    /// Those with whom it shares that.
    Seen,
}

impl Plan<'_> {
    /// Whether the kernel lets this container set supplementary groups, and the document does not keep ours.
    #[must_use]
    pub fn may_set_groups(&self) -> bool {
        if self.spec.keeps_groups() {
            return false;
        }
        let maps_many = self.spec.linux.as_ref().is_some_and(init::may_set_groups);
        if self.joins.denies_groups() {
            return false;
        }
        if self.spec.makes("user") { maps_many && !self.single_id } else { !self.single_id }
    }
}

/// A container process that is setting itself up.
#[derive(Debug)]
pub struct Beginning {
    pidfd: OwnedFd,
    /// Its pid on the host, for display and for helpers that want a number.
    pub pid: u32,
    sync: Sync,
    /// Who answers for its filter.
    agent: Option<Agent>,
    /// What it is told to go on, with the state for hooks.
    go: Message,
}

/// A container that was created and waits for start.
#[derive(Debug)]
pub struct Created {
    /// Init, held.
    pub pidfd: OwnedFd,
    /// The pty master, with `process.terminal`.
    pub terminal: Option<OwnedFd>,
    /// Where init waits.
    pub gate: Gate,
}

/// Between *created* and *running*.
#[derive(Debug)]
pub struct Gate {
    sync: Sync,
    /// The path that will be executed, for the error if it cannot be.
    program: String,
}

/// Makes the container process and maps its IDs. On any failure nothing of it remains.
///
/// # Errors
/// The step that failed.
pub fn begin(plan: &Plan<'_>) -> Result<Beginning> {
    let flags = clone_flags(plan.spec);
    let mut agent = Agent::connect(plan.spec, plan.filter)?;
    let (ours, theirs) = Sync::pair()?;
    // One clone3: the kernel makes the user namespace first and the others belong to it.
    let born = if plan.joins.is_empty() && plan.task_limit.is_none() {
        fork::fork_single(flags, plan.cgroup).at("clone", "init").map_err(explain_clone)?
    } else {
        clone_elsewhere(plan, flags)?
    };
    match born {
        Fork::Child => {
            drop(ours);
            let error = match init::enter(plan, &theirs) {
                Ok(never) => match never {},
                Err(error) => error,
            };
            let code = if error.code == Code::Exec && error.errno == Some(libc::ENOENT) {
                127
            } else {
                126
            };
            // If nobody listens any more, the exit status is all that is left to say.
            let _ = theirs.send(&Message::Failed(error));
            fork::exit_now(code);
        }
        Fork::Parent { pidfd, .. } => {
            drop(theirs);
            match map(plan, &pidfd, &ours) {
                Ok((pid, go)) => {
                    if let Some(agent) = &mut agent {
                        agent.state =
                            hooks::state(plan.spec, plan.id, plan.bundle, pid, "creating");
                    }
                    Ok(Beginning { pidfd, pid, sync: ours, agent, go })
                }
                Err(error) => {
                    end(pidfd.as_fd());
                    // Init may have ended before its maps could be written: then it has said why.
                    match ours.receive() {
                        Ok(Message::Failed(own)) => Err(own),
                        _ => Err(error),
                    }
                }
            }
        }
    }
}

/// Makes init by way of a process that joins the namespaces by path, or makes the one that counts tasks: we stay in our
/// own, where the hooks are run that are not the container's, and where nobody of a joined one can look into us.
fn clone_elsewhere(plan: &Plan<'_>, flags: u64) -> Result<Fork> {
    let (ours, theirs) = channel::pair()?;
    let Fork::Parent { pidfd: middle, .. } =
        fork::fork_single(0, None).at("clone", "namespaces")?
    else {
        let clone = || {
            fork::fork_single(flags | fork::CLONE_PARENT, plan.cgroup)
                .at("clone", "init")
                .map_err(explain_clone)
        };
        let limited = plan.task_limit.map_or(Ok(()), |limit| limit.enter(&theirs));
        match limited.and_then(|()| plan.joins.enter()).and_then(|()| clone()) {
            Ok(Fork::Child) => return Ok(Fork::Child),
            Ok(Fork::Parent { pidfd, .. }) => {
                // Between us and the one that counts tasks nobody else may write the maps: the kernel takes them from the
                // namespace right above only.
                let mapped = plan.task_limit.map_or(Ok(()), |_| map_ids(plan, &pidfd).map(drop));
                // If nobody listens any more, init hears of it, too.
                let _ = match mapped {
                    Ok(()) => channel::send(&theirs, b"P", &[pidfd.as_fd()]),
                    Err(error) => channel::send(&theirs, &report(&error), &[]),
                };
            }
            Err(error) => drop(channel::send(&theirs, &report(&error), &[])),
        }
        fork::exit_now(0);
    };
    drop(theirs);
    let mut fds = Vec::new();
    let mut message = channel::receive_message(&ours, &mut fds).at("clone", "init");
    if message.as_ref().is_ok_and(|word| word == b"M") {
        let mapped = find_pid(&middle).and_then(|pid| TaskLimit::map(pid, &ours));
        if let Err(error) = mapped {
            end(middle.as_fd());
            return Err(error);
        }
        message = channel::receive_message(&ours, &mut fds).at("clone", "init");
    }
    let wait = || rustix::process::waitid(WaitId::PidFd(middle.as_fd()), WaitIdOptions::EXITED);
    rustix::io::retry_on_intr(wait).at("wait", "namespaces")?;
    match fds.pop() {
        Some(pidfd) => Ok(Fork::Parent { pidfd, pid: 0 }),
        None => Err(serde_json::from_slice(&message?).unwrap_or_else(|_| {
            Error::new(Code::Kernel, "clone", "init", "ended before it was there")
        })),
    }
}

fn report(error: &Error) -> Vec<u8> {
    serde_json::to_vec(error).unwrap_or_default()
}

fn find_pid(pidfd: &OwnedFd) -> Result<u32> {
    let fdinfo = open_host(Path::new("/proc/self/fdinfo"), OFlags::PATH | OFlags::DIRECTORY)?;
    host_pid(pidfd, fdinfo.as_fd())
}

/// Writes the ID maps; init's pid on the host.
fn map_ids(plan: &Plan<'_>, pidfd: &OwnedFd) -> Result<u32> {
    let pid = find_pid(pidfd)?;
    if let (true, Some(linux)) = (plan.spec.makes("user"), &plan.spec.linux) {
        idmap::write(pid, &linux.uid_mappings, &linux.gid_mappings)?;
    }
    Ok(pid)
}

/// Sees to the ID maps; init goes on when they are there.
fn map(plan: &Plan<'_>, pidfd: &OwnedFd, sync: &Sync) -> Result<(u32, Message)> {
    let pid = if plan.task_limit.is_some() { find_pid(pidfd) } else { map_ids(plan, pidfd) }?;
    if let Some(settle) = plan.settle {
        settle(pid)?;
    }
    let has_hooks = plan.spec.hooks.is_some();
    let state = || hooks::state(plan.spec, plan.id, plan.bundle, pid, "creating");
    let go = Message::Proceed(if has_hooks { state() } else { Vec::new() });
    sync.send(&go)?;
    Ok((pid, go))
}

impl Beginning {
    /// Waits until it is *created*, and runs the hooks outside. On any failure nothing of it remains.
    ///
    /// # Errors
    /// Init's own, or a hook's.
    pub fn finish(self, spec: &Spec) -> Result<Created> {
        let mut terminal = None;
        let error = loop {
            match self.sync.receive() {
                Ok(Message::Terminal(master)) => terminal = Some(master),
                Ok(Message::Hooks) => {
                    if let Err(error) = self.run_hooks(spec).and_then(|()| self.sync.send(&self.go))
                    {
                        break error;
                    }
                }
                Ok(Message::Listener(listener)) => {
                    let told = seccomp::hand_over(self.agent.as_ref(), self.pid, &listener);
                    let go = || self.sync.send(&Message::Proceed(Vec::new()));
                    if let Err(error) = told.and_then(|()| go()) {
                        break error;
                    }
                }
                Ok(Message::Created(program)) => {
                    let gate = Gate { sync: self.sync, program };
                    return Ok(Created { pidfd: self.pidfd, terminal, gate });
                }
                Ok(Message::Failed(error)) | Err(error) => break error,
                Ok(_) => {
                    break Error::new(
                        Code::Kernel,
                        "create",
                        "init",
                        "ended before it was created",
                    );
                }
            }
        };
        end(self.pidfd.as_fd());
        Err(error)
    }

    fn run_hooks(&self, spec: &Spec) -> Result<()> {
        let (Some(all), Message::Proceed(state)) = (&spec.hooks, &self.go) else { return Ok(()) };
        hooks::run("prestart", &all.prestart, state)?;
        hooks::run("createRuntime", &all.create_runtime, state)
    }

    /// Takes it back.
    pub fn abandon(&self) {
        end(self.pidfd.as_fd());
    }
}

impl Gate {
    /// The gate of an init whose parent did not stay.
    ///
    /// # Errors
    /// `kernel`; ECONNREFUSED if nobody waits there any more.
    pub fn connect(address: &SocketAddrUnix, subject: &Path) -> Result<Self> {
        let sync = Sync::connect(address, subject)?;
        match sync.receive()? {
            Message::Created(program) => Ok(Self { sync, program }),
            Message::Failed(error) => Err(error),
            _ => Err(Error::new(Code::Conflict, "start", "", "the container waits no more")),
        }
    }

    /// Lets init execute the program.
    ///
    /// # Errors
    /// `kernel`.
    pub fn start(&self) -> Result<()> {
        self.sync.send(&Message::Start)
    }

    /// Waits for execve; `Ok` means that it happened.
    ///
    /// # Errors
    /// `exec`, or the filter's.
    pub fn confirm(&self) -> Result<()> {
        match self.sync.receive()? {
            Message::Failed(error) => Err(error),
            Message::Refused { step, errno } => Err(process::refusal(&self.program, step, errno)),
            _ => Ok(()),
        }
    }
}

/// Kills and reaps a child that nobody else waits for.
pub fn end(pidfd: BorrowedFd<'_>) {
    // ESRCH: it was faster. Then reap; ECHILD: somebody was faster.
    let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
    let wait = || rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED);
    let _ = rustix::io::retry_on_intr(wait);
}

/// The pid in the pid namespace of the mounted /proc: the host's.
///
/// A monitor sees its children's pids in its own outer namespace; `fdinfo` of a pidfd speaks the language of
/// the procfs it is read through.
///
/// # Errors
/// `kernel`.
pub fn host_pid(pidfd: &OwnedFd, fdinfo: BorrowedFd<'_>) -> Result<u32> {
    let name = pidfd.as_raw_fd().to_string();
    let path = Path::new(&name);
    let file = rustix::fs::openat(fdinfo, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .at("open fdinfo", path)?;
    let text = read_all(file, path, 4096)?;
    String::from_utf8_lossy(&text)
        .lines()
        .find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
        .ok_or_else(|| Error::new(Code::Kernel, "read", path.to_string_lossy(), "names no pid"))
}

fn explain_clone(error: Error) -> Error {
    match error.errno {
        Some(libc::EPERM | libc::EACCES) => {
            error.with_hint("run `pyrt doctor`: this machine restricts user namespaces")
        }
        Some(libc::ENOSPC) => {
            error.with_hint("raise the limit: sysctl user.max_user_namespaces=28633")
        }
        _ => error,
    }
}
