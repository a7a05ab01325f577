//! The process that sets itself up and becomes the program: pid 1 of a container.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Gid, OFlags, Uid};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Signal};

use crate::console::Console;
use crate::create::{Pause, Plan};
use crate::error::{At, Code, Error, Result};
use crate::hooks;
use crate::lsm::{self, Labels};
use crate::paths::{c_string, open_host, write_all};
use crate::process::{self, Program};
use crate::rootfs::{self, Sources};
use crate::seccomp::Filter;
use crate::spec::{Linux, Process, Spec, User};
use crate::sync::{Message, Sync};
use crate::sys;
use crate::{clocks, memory_policy, personality, scheduling};

/// Turns the cloned child into the container process; returns only on failure.
///
/// The order is the security argument; each line says why it stands where it stands.
///
/// # Errors
/// Of the step that failed; the caller reports it and ends the process.
pub fn enter(plan: &Plan<'_>, sync: &Sync) -> Result<Infallible> {
    let spec = plan.spec;
    let linux = spec.linux.as_ref().ok_or_else(missing_linux)?;
    sys::signal::reset_all(); // first: what our caller blocks or ignores is not the program's
    rustix::process::setsid().at("setsid", "")?; // no terminal of the host can be controlling
    follow_parent(plan)?;
    plan.joins.enter_mount()?; // the paths of the document are those of that namespace
    let host = lsm::Host::look(spec.process.as_ref())?; // while /proc and /sys are the host's
    clocks::enter(spec)?; // likewise, and before anything that reads a clock
    set_oom_score(spec.process.as_ref())?; // while /proc/self is ours: a change of IDs gives it to root
    plan.instead.enter()?; // likewise; and of the new session, which all that it forks belong to
    let state = proceed(sync)?; // the maps are written
    // As the user, before any change of IDs; and not before the maps, or a directory of an ID that only they name is closed.
    let sources = Sources::open(spec, plan.bundle, plan.rootfs, plan.joins.shared_mounts())?;
    become_root(plan)?; // mounts belong to the container's root
    leave_keyring(plan)?; // as the container's root, who owns the new one
    unshare_cgroup(spec)?; // after the clone into its cgroup, which becomes the root of what it sees
    set_names(spec)?;
    let root = sources.build(spec)?; // every later path is resolved beneath it
    drop(sources); // descriptors of the host are closed before the host is left
    rootfs::set_sysctls(&root, linux)?; // through our procfs, before /proc/sys is sealed
    run_hooks_before_pivot(spec, sync, &state)?; // they may still mount and write
    if plan.create_workdir {
        make_workdir(&root, spec)?; // while the root can be written to
    }
    rootfs::protect(&root, spec, linux)?; // after all mounts, or a later mount would uncover them
    let console = open_console(&root, spec, sync)?; // in the container's devpts, bound while we may mount
    rootfs::pivot(&root, plan.pivots)?; // after this no host path can be named
    drop(root);
    rootfs::set_propagation(linux)?; // only now: the kernel pivots to no shared root
    if let Some(pause) = plan.pause {
        return hold_namespaces(plan, sync, pause); // nothing is ever executed
    }
    let Some(process) = &spec.process else { return Err(wait_without_program(plan, sync)) };
    take_stdio(console, plan, process)?;
    let labels = Labels::open(host.as_ref(), process)?;
    drop(host); // before the next step closes it under us
    let [profile, label] = labels.descriptors();
    // CVE-2024-21626: before any path of the document is resolved, or /proc/self/fd would lead it, and a symlink or
    // an interpreter of the image, out through a directory of the host. Close-on-exec would be too late: execve
    // resolves first. The socket to the monitor leads nowhere.
    sys::files::close_all_but(3 + plan.kept_fds, [Some(sync.as_fd()), plan.start, profile, label])
        .at("close_range", "")?;
    schedule(process, Some(linux))?; // late, or our own steps would wait behind others; before a filter that forbids it
    let has_peers = !spec.makes("pid");
    process::forbid_new_privileges(process)?; // with it, no capability is needed to load the filter
    let trampoline = process::make_trampoline(sync, process, plan.filter, has_peers)?;
    let trampoline = trampoline.filter(|_| !labels.hold_for_one_program());
    process::set_rlimits(&process.rlimits)?; // after everything that opens files
    let entered = process::enter_directory(&process.cwd); // as root: what the user may not enter it can still be in
    process::become_user(process, plan.may_set_groups(), plan.filter)?; // after what needs privileges
    follow_parent(plan)?; // again: a change of IDs forgets it
    entered.or_else(|_| process::enter_directory(&process.cwd))?; // as the user: what root may not enter, as on NFS
    set_umask(process);
    let program = Program::find(process)?; // as the user, so that create reports it missing, not start
    set_dumpable(plan.joinable)?;
    let filter = load_asking(plan.filter, sync)?; // while our parent is there to bring the agent what it listens on
    wait_for_start(plan, sync, &program.path())?;
    if let Some(all) = &spec.hooks {
        let state = hooks::state_when("created", &state);
        hooks::run_inside("startContainer", &all.start_container, &state, filter)?;
    }
    labels.apply()?; // for the next program, which must not be a hook
    // Loads the filter last: from here on we only execute, or report and exit.
    Err(program.become_it(process, sync, trampoline.as_ref(), filter, has_peers))
}

/// How the program is scheduled, where its memory lies and what it takes the machine for.
///
/// # Errors
/// `kernel` naming the property.
pub fn schedule(process: &Process, linux: Option<&Linux>) -> Result<()> {
    if let Some(linux) = linux {
        personality::apply(linux.personality.as_ref())?;
        memory_policy::apply(linux.memory_policy.as_ref())?;
        scheduling::forget_affinity(linux)?;
    }
    scheduling::apply(process)
}

fn missing_linux() -> Error {
    Error::new(Code::InvalidSpec, "linux", "", "missing")
}

/// config.md#process: a document may lack it until `start`, which then must fail (runtime.md#start).
fn wait_without_program(plan: &Plan<'_>, sync: &Sync) -> Error {
    let waited = sys::files::close_all_but(3, [Some(sync.as_fd()), plan.start])
        .at("close_range", "")
        .and_then(|()| wait_for_start(plan, sync, ""));
    let missing =
        || Error::new(Code::InvalidSpec, "process", "", "process property must not be empty");
    waited.err().unwrap_or_else(missing)
}

/// A pod's pause: waits for start, and then for its end, with as little of us as can be.
fn hold_namespaces(plan: &Plan<'_>, sync: &Sync, pause: Pause) -> Result<Infallible> {
    sys::files::close_all_but(0, [Some(sync.as_fd())]).at("close_range", "")?;
    follow_parent(plan)?;
    set_dumpable(plan.joinable)?;
    sys::signal::ignore_children().at("sigaction", "SIGCHLD")?; // who shares our pid namespace leaves us orphans
    wait_for_start(plan, sync, "")?;
    // CVE-2019-5736: who sees us has an init that is our executable, and is closed to him. The monitor holds our namespaces.
    set_dumpable(pause == Pause::Alone)?;
    sys::files::close_all_but(0, []).at("close_range", "")?; // tells that we run
    sys::memory::trim_heap();
    sys::memory::trim_stack();
    loop {
        sys::signal::pause();
    }
}

/// Without a pid namespace of its own above it, a container is tied to its monitor by this signal alone; it is
/// lost at a change of IDs, which is why the outer namespace exists.
fn follow_parent(plan: &Plan<'_>) -> Result<()> {
    if plan.spec.makes("pid") || !plan.tied {
        return Ok(());
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).at("set death signal", "")
}

/// Through the host's procfs.
///
/// # Errors
/// `kernel`; EACCES below what it is.
pub fn set_oom_score(process: Option<&Process>) -> Result<()> {
    let Some(score) = process.and_then(|process| process.oom_score_adj) else {
        return Ok(());
    };
    let path = Path::new("/proc/self/oom_score_adj");
    let file = open_host(path, OFlags::WRONLY)?;
    write_all(&file, score.to_string().as_bytes()).at("process.oomScoreAdj", score.to_string())
}

/// Waits for the parent's word to go on; what came with it.
fn proceed(sync: &Sync) -> Result<Vec<u8>> {
    match sync.receive()? {
        Message::Proceed(state) => Ok(state),
        _ => Err(abandoned()),
    }
}

/// prestart and createRuntime are the parent's, which is outside; createContainer is ours, with the files of the host.
fn run_hooks_before_pivot(spec: &Spec, sync: &Sync, state: &[u8]) -> Result<()> {
    let Some(all) = &spec.hooks else { return Ok(()) };
    if !all.prestart.is_empty() || !all.create_runtime.is_empty() {
        sync.send(&Message::Hooks)?;
        proceed(sync)?;
    }
    hooks::run("createContainer", &all.create_container, state)
}

/// Says that nothing is left to do, and waits for the word.
fn wait_for_start(plan: &Plan<'_>, sync: &Sync, program: &str) -> Result<()> {
    sync.send(&Message::Created(program.to_owned()))?;
    if let Some(start) = plan.start {
        sync.continue_on(start)?; // our parent does not stay: `start` is somebody else
        sync.send(&Message::Created(program.to_owned()))?;
    }
    match sync.receive()? {
        Message::Start => Ok(()),
        _ => Err(abandoned()),
    }
}

fn abandoned() -> Error {
    Error::new(Code::Conflict, "create", "", "nobody waits for the container")
}

fn become_root(plan: &Plan<'_>) -> Result<()> {
    let maps_root = |linux: &Linux| {
        linux.uid_mappings.iter().chain(&linux.gid_mappings).any(|range| range.container_id == 0)
    };
    // A map of one ID that is not 0 has no root to become; the capabilities of the clone are what counts.
    if plan.spec.makes("user") && !plan.spec.linux.as_ref().is_some_and(maps_root) {
        return Ok(());
    }
    process::set_ids(&User::default(), plan.may_set_groups())
}

fn leave_keyring(plan: &Plan<'_>) -> Result<()> {
    if !plan.new_keyring {
        return Ok(());
    }
    new_keyring(&format!("_ses.{}", plan.id))
}

/// Leaves the caller's session keyring, with its tickets and secrets.
///
/// # Errors
/// `kernel`; EDQUOT where the user has too many keys.
pub fn new_keyring(name: &str) -> Result<()> {
    match sys::exec::new_session_keyring(&c_string(OsStr::new(name), "id")?) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        result => result
            .at("join session keyring", name)
            .map_err(|error| error.with_hint("raise the limit: sysctl kernel.keys.maxkeys=20000")),
    }
}

fn unshare_cgroup(spec: &Spec) -> Result<()> {
    if !spec.makes("cgroup") {
        return Ok(());
    }
    sys::fork::unshare(sys::fork::CLONE_NEWCGROUP).at("unshare", "cgroup")
}

fn set_names(spec: &Spec) -> Result<()> {
    if let Some(name) = spec.hostname.as_ref().filter(|name| !name.is_empty()) {
        rustix::system::sethostname(name.as_bytes()).at("sethostname", name)?;
    }
    if let Some(name) = spec.domainname.as_ref().filter(|name| !name.is_empty()) {
        rustix::system::setdomainname(name.as_bytes()).at("setdomainname", name)?;
    }
    if spec.makes("network") {
        sys::files::bring_up_loopback().at("set up", "lo")?;
    }
    Ok(())
}

fn make_workdir(root: &OwnedFd, spec: &Spec) -> Result<()> {
    match spec.process.as_ref().map(|process| process.cwd.as_str()) {
        None | Some("/") => Ok(()),
        Some(path) => rootfs::make_directory(root, path),
    }
}

fn open_console(root: &OwnedFd, spec: &Spec, sync: &Sync) -> Result<Option<OwnedFd>> {
    let Some(process) = spec.process.as_ref().filter(|process| process.terminal) else {
        return Ok(None);
    };
    let console = Console::open(root.as_fd(), process)?;
    console.bind(root.as_fd())?;
    console.take()?;
    sync.send(&Message::Terminal(console.master))?;
    Ok(Some(console.slave))
}

/// Makes the pipes our stdio and gives them to the program's user, so that it can open /dev/stdout.
///
/// CVE-2026-88265: pipes and sockets only; a device of the host that is our stdio keeps its owner.
fn take_stdio(console: Option<OwnedFd>, plan: &Plan<'_>, process: &Process) -> Result<()> {
    if console.is_some() {
        return Ok(());
    }
    place_stdio(plan.stdio.as_ref(), process)
}

/// Puts the three descriptors in their places, or leaves ours there, and gives pipes to the program's user.
///
/// # Errors
/// `kernel`.
pub fn place_stdio(stdio: Option<&[OwnedFd; 3]>, process: &Process) -> Result<()> {
    for (number, fd) in (0..3).zip(stdio.into_iter().flatten()) {
        sys::files::place(fd.as_fd(), number).at("dup2", number.to_string())?;
    }
    let ours = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    ours.into_iter().try_for_each(|fd| give_pipe(fd, process))
}

/// Chowns a pipe or socket to the user of `process`.
fn give_pipe(fd: BorrowedFd<'_>, process: &Process) -> Result<()> {
    let stat = rustix::fs::fstat(fd).at("stat", "stdio")?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if process.user.uid == 0 || !(kind.is_fifo() || kind.is_socket()) {
        return Ok(());
    }
    match rustix::fs::fchown(fd, Some(Uid::from_raw(process.user.uid)), None::<Gid>) {
        // Somebody else's: the journal's socket under a systemd unit, root's end of `sudo -u user … | …`. It can be
        // written to as it is; only opening it anew by name is denied.
        Ok(()) | Err(Errno::PERM | Errno::INVAL) => Ok(()),
        Err(errno) => Err(errno).at("chown", "stdio"),
    }
}

/// Loads a filter that asks an agent now; the trampoline could not send what the kernel gives for it.
///
/// What is left to load otherwise.
///
/// # Errors
/// `kernel`.
pub fn load_asking<'a>(filter: Option<&'a Filter>, sync: &Sync) -> Result<Option<&'a Filter>> {
    if !filter.is_some_and(Filter::has_listener) {
        return Ok(filter);
    }
    load_filter(filter, sync).map(|()| None)
}

/// Loads the filter; one that asks an agent is loaded when the agent listens.
///
/// # Errors
/// `kernel`.
pub fn load_filter(filter: Option<&Filter>, sync: &Sync) -> Result<()> {
    let Some(filter) = filter else { return Ok(()) };
    let listener =
        sys::seccomp::set_filter(&filter.program, filter.flags).at("seccomp", "load filter")?;
    let Some(listener) = listener else { return Ok(()) };
    sync.send(&Message::Listener(listener))?;
    proceed(sync).map(drop)
}

/// umask(2) of the program; 0022 where the document says nothing.
pub fn set_umask(process: &Process) {
    let mask = process.user.umask.unwrap_or(0o022);
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
}

/// CVE-2019-5736: our /proc entries are closed to the container until execve replaces us; open only where a
/// helper must join our namespaces between created and started.
fn set_dumpable(joinable: bool) -> Result<()> {
    let behavior =
        if joinable { DumpableBehavior::Dumpable } else { DumpableBehavior::NotDumpable };
    rustix::process::set_dumpable_behavior(behavior).at("set dumpable", "")
}

/// May supplementary groups be set under these mappings? A map of a single ID is written without privileges,
/// and the kernel then denies setgroups for good.
#[must_use]
pub fn may_set_groups(linux: &Linux) -> bool {
    linux.gid_mappings.iter().map(|mapping| u64::from(mapping.size)).sum::<u64>() > 1
}
