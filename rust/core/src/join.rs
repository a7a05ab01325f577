//! exec: one more process in a container that runs. The only other place that makes container processes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::DumpableBehavior;
use rustix::thread::ThreadNameSpaceType;

use crate::console::Console;
use crate::create::{end, host_pid};
use crate::error::{At, Code, Error, Result};
use crate::init::{load_asking, new_keyring, place_stdio, schedule, set_oom_score, set_umask};
use crate::lsm::{self, Labels};
use crate::paths::open_host;
use crate::process::{self, Program};
use crate::scheduling::{self, UNBOUND};
use crate::seccomp::{self, Agent, Filter};
use crate::spec::{Linux, Process};
use crate::sync::{Message, Sync};
use crate::sys;
use crate::sys::fork::Fork;

/// What to run, and where.
pub struct JoinPlan<'a> {
    /// The container's init.
    pub init: BorrowedFd<'a>,
    /// The namespaces that init does not share with us.
    pub namespaces: ThreadNameSpaceType,
    /// The container's cgroup.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The program.
    pub process: &'a Process,
    /// The container's own settings that hold for each of its processes.
    pub linux: Option<&'a Linux>,
    /// The container's filter.
    pub filter: Option<&'a Filter>,
    /// Who answers for it, if it asks; connected before the host is out of reach.
    pub agent: Option<Agent>,
    /// Descriptors 0, 1 and 2 of a program without a terminal; none: ours, as they are.
    pub stdio: Option<[OwnedFd; 3]>,
    /// How many descriptors after these the program keeps (`--preserve-fds`).
    pub kept_fds: u32,
    /// Whether the container's map allows setgroups.
    pub may_set_groups: bool,
}

impl JoinPlan<'_> {
    /// The cgroup namespace, which only the child joins: from within it our own cgroup is out of sight, and out of that
    /// nothing may be cloned (ENOENT, where cgroup2 is mounted nsdelegate as systemd does).
    fn late_namespaces(&self) -> ThreadNameSpaceType {
        let late = match self.cgroup {
            Some(_) => ThreadNameSpaceType::CONTROL_GROUP,
            None => ThreadNameSpaceType::empty(),
        };
        self.namespaces.intersection(late)
    }
}

/// A process that executes its program.
pub struct Joined {
    /// It, held; our child.
    pub pidfd: OwnedFd,
    /// Its pid on the host.
    pub pid: u32,
    /// Its pid as we see it, which is its process group's number.
    pub own_pid: u32,
    /// The pty master, with `terminal`.
    pub terminal: Option<OwnedFd>,
}

/// Joins the container for good and runs the program in it; the caller stays, inside, as its parent.
///
/// # Errors
/// `exec` if the program cannot be run, else the step's.
pub fn join(plan: &JoinPlan<'_>) -> Result<Joined> {
    // /proc of the host is out of reach after setns, and the number is for display.
    let fdinfo = open_host(Path::new("/proc/self/fdinfo"), OFlags::PATH | OFlags::DIRECTORY)?;
    let host = lsm::Host::look(Some(plan.process))?;
    set_oom_score(Some(plan.process))?; // ours, inherited; while /proc is the host's
    // CVE-2019-5736: once inside, nobody in there may open our executable or memory through /proc.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).at("set dumpable", "")?;
    // All namespaces at once, through the descriptor: no pid can be reused in between, and the user
    // namespace grants the rights for the rest.
    let late = plan.late_namespaces();
    let go = |mask| rustix::thread::move_into_thread_name_spaces(plan.init, mask);
    let early = plan.namespaces.difference(late);
    match go(early) {
        // In the node the user namespace may be ours already.
        Err(Errno::INVAL) => go(early.difference(ThreadNameSpaceType::USER)),
        entered => entered,
    }
    .at("setns", "container")?;
    let affinity = plan.process.exec_cpu_affinity.as_ref().unwrap_or(&UNBOUND);
    // Ours, inherited: the process has it before it is in the container's cgroup.
    scheduling::set_affinity("process.execCPUAffinity.initial", &affinity.initial)?;
    let (ours, theirs) = Sync::pair()?;
    match sys::fork::fork_single(0, plan.cgroup).at("clone", "exec").map_err(explain_clone)? {
        Fork::Child => {
            drop(ours);
            let error = match enter(plan, host.as_ref(), &theirs) {
                Ok(never) => match never {},
                Err(error) => error,
            };
            // If nobody listens any more, there is nobody to tell.
            let _ = theirs.send(&Message::Failed(error));
            sys::fork::exit_now(126);
        }
        Fork::Parent { pidfd, pid: own_pid } => {
            drop(theirs);
            let pid = host_pid(&pidfd, fdinfo.as_fd()).unwrap_or(0);
            match attend(&ours, plan.agent.as_ref(), pid) {
                Ok(terminal) => Ok(Joined { pidfd, pid, own_pid, terminal }),
                Err(error) => {
                    end(pidfd.as_fd());
                    Err(error)
                }
            }
        }
    }
}

/// A process may only be put where its own cgroup and the other have a delegated one above them.
fn explain_clone(error: Error) -> Error {
    match error.errno {
        Some(libc::EACCES) => error.with_hint(
            "run it where the container's cgroup is delegated, as by `systemd-run --user --scope`",
        ),
        // Once we have joined, we are a task of the container, too.
        Some(libc::EAGAIN) => error.with_hint(
            "the container's limit of tasks (--pids-limit) leaves no room: while exec runs a program, its parent \
             is one task more",
        ),
        _ => error,
    }
}

fn attend(sync: &Sync, agent: Option<&Agent>, pid: u32) -> Result<Option<OwnedFd>> {
    let mut terminal = None;
    let mut program = String::new();
    loop {
        match sync.receive()? {
            Message::Terminal(master) => terminal = Some(master),
            Message::Created(path) => program = path,
            Message::Listener(listener) => {
                seccomp::hand_over(agent, pid, &listener)?;
                sync.send(&Message::Proceed(Vec::new()))?;
            }
            Message::Failed(error) => return Err(error),
            Message::Refused { step, errno } => {
                return Err(process::refusal(&program, step, errno));
            }
            Message::End => return Ok(terminal),
            _ => return Err(Error::new(Code::Kernel, "exec", "", "unexpected message")),
        }
    }
}

/// The child: the same steps as init's second half, in the same order for the same reasons.
fn enter(
    plan: &JoinPlan<'_>,
    host: Option<&lsm::Host>,
    sync: &Sync,
) -> Result<std::convert::Infallible> {
    let process = plan.process;
    sys::signal::reset_all();
    rustix::process::setsid().at("setsid", "")?;
    new_keyring("_ses")?; // in the container's user namespace, before the change of IDs
    let late = plan.late_namespaces();
    if !late.is_empty() {
        rustix::thread::move_into_thread_name_spaces(plan.init, late).at("setns", "cgroup")?;
    }
    if process.terminal {
        let root = open_host(Path::new("/"), OFlags::PATH | OFlags::DIRECTORY)?;
        let console = Console::open(root.as_fd(), process)?;
        console.take()?;
        sync.send(&Message::Terminal(console.master))?;
    } else {
        place_stdio(plan.stdio.as_ref(), process)?;
    }
    let labels = Labels::open(host, process)?;
    let [profile, label] = labels.descriptors();
    sys::files::close_all_but(3 + plan.kept_fds, [Some(sync.as_fd()), profile, label])
        .at("close_range", "")?;
    schedule(process, plan.linux)?;
    let affinity = process.exec_cpu_affinity.as_ref().unwrap_or(&UNBOUND);
    scheduling::set_affinity("process.execCPUAffinity.final", &affinity.last)?;
    process::forbid_new_privileges(process)?;
    let trampoline = process::make_trampoline(sync, process, plan.filter, true)?;
    let trampoline = trampoline.filter(|_| !labels.hold_for_one_program());
    process::set_rlimits(&process.rlimits)?;
    let entered = process::enter_directory(&process.cwd);
    process::become_user(process, plan.may_set_groups, plan.filter)?;
    entered.or_else(|_| process::enter_directory(&process.cwd))?;
    set_umask(process);
    let program = Program::find(process)?;
    let filter = load_asking(plan.filter, sync)?;
    sync.send(&Message::Created(program.path()))?;
    labels.apply()?;
    Err(program.become_it(process, sync, trampoline.as_ref(), filter, true))
}
