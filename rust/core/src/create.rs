//! Making a container process: one clone with everything, the ID maps, and the handshake until *created*.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Signal, WaitId, WaitIdOptions};

use crate::bundle::Rootfs;
use crate::error::{At, Code, Error, Result};
use crate::init;
use crate::paths::{open_host, read_all, write_all};
use crate::process;
use crate::seccomp::Filter;
use crate::spec::{IdMapping, Spec};
use crate::sync::{Message, Sync};
use crate::sys::fork::{
    self, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS, Fork,
};

/// Spec type and clone flag. Not here: cgroup, whose root would be our own cgroup if it were cloned.
const CLONED: [(&str, u64); 6] = [
    ("user", CLONE_NEWUSER),
    ("mount", CLONE_NEWNS),
    ("pid", CLONE_NEWPID),
    ("ipc", CLONE_NEWIPC),
    ("uts", CLONE_NEWUTS),
    ("network", CLONE_NEWNET),
];

/// Everything init needs, decided and opened before it is born.
pub struct Plan<'a> {
    /// The document.
    pub spec: &'a Spec,
    /// Absolute path of the bundle; relative paths of the document start here.
    pub bundle: &'a Path,
    /// What to mount as the root, or `root.path` itself.
    pub rootfs: Option<&'a Rootfs>,
    /// The compiled `linux.seccomp`.
    pub filter: Option<&'a Filter>,
    /// Make `process.cwd` where it is missing.
    pub create_workdir: bool,
    /// Descriptors 0, 1 and 2 of a program without a terminal.
    pub stdio: [OwnedFd; 3],
    /// The cgroup to start in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Whether a helper joins init's namespaces between created and started.
    pub joinable: bool,
    /// Whether the user's own namespace denies setgroups.
    pub single_id: bool,
}

impl Plan<'_> {
    /// Whether the kernel lets this container set supplementary groups.
    #[must_use]
    pub fn may_set_groups(&self) -> bool {
        let maps_many = self.spec.linux.as_ref().is_some_and(init::may_set_groups);
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
}

/// A container that was created and waits for start.
#[derive(Debug)]
pub struct Created {
    /// Init, held.
    pub pidfd: OwnedFd,
    /// The pty master, with `process.terminal`.
    pub terminal: Option<OwnedFd>,
    /// The path that will be executed, for the error if it cannot be.
    program: String,
    sync: Sync,
}

/// Makes the container process and maps its IDs. On any failure nothing of it remains.
///
/// # Errors
/// The step that failed.
pub fn begin(plan: &Plan<'_>) -> Result<Beginning> {
    let flags = CLONED
        .iter()
        .filter(|(kind, _)| plan.spec.makes(kind))
        .fold(0, |flags, (_, flag)| flags | flag);
    let (ours, theirs) = Sync::pair()?;
    // One clone3: the kernel makes the user namespace first and the others belong to it.
    match fork::fork_single(flags, plan.cgroup).at("clone", "init").map_err(explain_clone)? {
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
        Fork::Parent { pidfd, .. } => match map(plan, &pidfd, &ours) {
            Ok(pid) => Ok(Beginning { pidfd, pid, sync: ours }),
            Err(error) => {
                end(pidfd.as_fd());
                Err(error)
            }
        },
    }
}

/// Writes the ID maps; init goes on when they are there.
fn map(plan: &Plan<'_>, pidfd: &OwnedFd, sync: &Sync) -> Result<u32> {
    let fdinfo = open_host(Path::new("/proc/self/fdinfo"), OFlags::PATH | OFlags::DIRECTORY)?;
    let pid = host_pid(pidfd, fdinfo.as_fd())?;
    if let (true, Some(linux)) = (plan.spec.makes("user"), &plan.spec.linux) {
        write_maps(pid, &linux.uid_mappings, &linux.gid_mappings)?;
    }
    sync.send(&Message::Mapped)?;
    Ok(pid)
}

impl Beginning {
    /// Waits until it is *created*. On any failure nothing of it remains.
    ///
    /// # Errors
    /// Init's own.
    pub fn finish(self) -> Result<Created> {
        let mut terminal = None;
        let error = loop {
            match self.sync.receive() {
                Ok(Message::Terminal(master)) => terminal = Some(master),
                Ok(Message::Created(program)) => {
                    return Ok(Created { pidfd: self.pidfd, terminal, program, sync: self.sync });
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

    /// Takes it back.
    pub fn abandon(&self) {
        end(self.pidfd.as_fd());
    }
}

impl Created {
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

fn write_maps(pid: u32, uids: &[IdMapping], gids: &[IdMapping]) -> Result<()> {
    for (file, mappings) in [("uid_map", uids), ("gid_map", gids)] {
        let text: String = mappings
            .iter()
            .map(|map| format!("{} {} {}\n", map.container_id, map.host_id, map.size))
            .collect();
        let path = format!("/proc/{pid}/{file}");
        let target = open_host(Path::new(&path), OFlags::WRONLY)?;
        // One write: the kernel takes the map whole or not at all.
        write_all(&target, text.as_bytes()).at("write", path.as_str()).map_err(|error| {
            let lines = text.trim_end().replace('\n', ", ");
            let message = format!("{} (map {lines})", error.message);
            Error { message, ..error }
        })?;
    }
    Ok(())
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
