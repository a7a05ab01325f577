//! The user's own namespace: one per user, with all subordinate IDs, kept by a tiny process, the holder.
//!
//! newuidmap and newgidmap run once per user and not once per container. Alive means locked here, too: the
//! holder keeps a record lock on `<run>/holder`, and whoever wants the namespace asks the kernel who that is.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use rustix::thread::ThreadNameSpaceType;
use serde::Serialize;

use crate::error::{At, Code, Error, Result};
use crate::idmap;
use crate::paths::{open_host, read_all};
use crate::spec::IdMapping;
use crate::state::{lock, lock_holder, lock_owner};
use crate::subid::{Ranges, account_name, subordinate_ranges};
use crate::sys;
use crate::sys::fork::Fork;

/// File below the run root that the holder locks.
pub const HOLDER: &str = "holder";

/// File below the run root that the node's first process locks.
pub const NODE: &str = "node/alive";

/// The holder of the user's namespace.
#[derive(Debug)]
pub struct Holder {
    /// The process, held.
    pub pidfd: OwnedFd,
    /// Its pid, for display.
    pub pid: Pid,
    /// Whether this call made it.
    pub made: bool,
    /// Why the map holds a single ID, where it does and this call made it.
    pub notice: Option<String>,
}

/// What `_core.user_namespace` tells.
#[derive(Debug, Serialize)]
pub struct Description {
    /// The holder's pid.
    pub holder: i32,
    /// Inside, outside, count.
    pub uid_map: Vec<(u32, u32, u32)>,
    /// Inside, outside, count.
    pub gid_map: Vec<(u32, u32, u32)>,
    /// Only the user's own ID is mapped.
    pub single: bool,
    /// Whether the holder was made just now.
    pub made: bool,
    /// Why `single`, told once, when made.
    pub notice: String,
}

/// The holder that lives, if one does.
///
/// # Errors
/// `kernel`.
pub fn find(run_root: &Path) -> Result<Option<Holder>> {
    if is_inside(run_root)? {
        // Ours is the user's namespace, and its holder out of sight.
        let pid = rustix::process::getpid();
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).at("pidfd_open", "")?;
        return Ok(Some(Holder { pidfd, pid, made: false, notice: None }));
    }
    let found = lock_holder(&run_root.join(HOLDER))?;
    Ok(found.map(|(pidfd, pid)| Holder { pidfd, pid, made: false, notice: None }))
}

/// Whether we are in the user's node: who holds its lock is the first process of our pid namespace.
///
/// # Errors
/// `kernel`.
pub fn is_inside(run_root: &Path) -> Result<bool> {
    let path = run_root.join(NODE);
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match rustix::fs::open(&path, flags, Mode::empty()) {
        Err(Errno::NOENT) => Ok(false),
        file => Ok(lock_owner(file.at("open", &path)?, &path)? == Some(Pid::INIT)),
    }
}

/// The holder, made if there is none.
///
/// A new holder takes the namespace of a live monitor where there is one, so that containers outlive a lost
/// holder in the namespace they are in.
///
/// # Errors
/// `denied` with a hint where the machine forbids user namespaces.
pub fn ensure(run_root: &Path) -> Result<Holder> {
    if let Some(holder) = find(run_root)? {
        return Ok(holder);
    }
    let path = run_root.join(HOLDER);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)).at("open", &path)?;
    // Two commands at once: the second waits here and finds the first one's holder. flock and record locks
    // do not see each other.
    rustix::io::retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockExclusive))
        .at("flock", &path)?;
    if let Some(holder) = find(run_root)? {
        return Ok(holder);
    }
    let notice = make(run_root)?;
    match find(run_root)? {
        Some(holder) => Ok(Holder { made: true, notice, ..holder }),
        None => Err(Error::new(Code::Kernel, "user namespace", "", "its holder ended at once")),
    }
}

/// Joins the user's namespace; we are its root afterwards, with every capability in it and none outside.
///
/// # Errors
/// `kernel`.
pub fn enter(holder: &Holder) -> Result<()> {
    let what = ThreadNameSpaceType::USER;
    match rustix::thread::move_into_thread_name_spaces(holder.pidfd.as_fd(), what) {
        Err(Errno::INVAL) if holder.pid == rustix::process::getpid() => {} // in the node it is ours
        entered => entered.at("setns", "the user's namespace")?,
    }
    take_root()
}

/// Drops the caller's groups where the map allows it: they would be a right inside that no document grants.
///
/// # Errors
/// `kernel`.
pub fn take_root() -> Result<()> {
    match rustix::thread::set_thread_groups(&[]) {
        // The map of a single ID denies setgroups.
        Ok(()) | Err(Errno::PERM) => Ok(()),
        Err(errno) => Err(errno).at("setgroups", ""),
    }
}

/// What the namespace of `holder` maps.
///
/// # Errors
/// `kernel`.
pub fn describe(holder: &Holder) -> Result<Description> {
    let pid = holder.pid.as_raw_nonzero().get();
    let uid_map = read_map(&format!("/proc/{pid}/uid_map"))?;
    let gid_map = read_map(&format!("/proc/{pid}/gid_map"))?;
    let single = uid_map.iter().map(|(_, _, count)| u64::from(*count)).sum::<u64>() == 1;
    let notice = holder.notice.clone().unwrap_or_default();
    Ok(Description { holder: pid, uid_map, gid_map, single, made: holder.made, notice })
}

/// Whether the holder's namespace maps the user's own ID alone.
///
/// # Errors
/// `kernel`.
pub fn is_single(holder: &Holder) -> Result<bool> {
    let pid = holder.pid.as_raw_nonzero().get();
    let map = read_map(&format!("/proc/{pid}/uid_map"))?;
    Ok(map.iter().map(|(_, _, count)| u64::from(*count)).sum::<u64>() == 1)
}

/// The ranges of `/proc/<pid>/uid_map` or `gid_map`: inside, outside, count.
///
/// # Errors
/// `kernel`.
pub(crate) fn read_map(path: &str) -> Result<Vec<(u32, u32, u32)>> {
    let path = Path::new(path);
    let text = read_all(open_host(path, OFlags::RDONLY)?, path, 64 * 1024)?;
    let text = String::from_utf8_lossy(&text);
    let numbers = |line: &str| {
        let mut words = line.split_whitespace().map(str::parse::<u32>);
        Some((words.next()?.ok()?, words.next()?.ok()?, words.next()?.ok()?))
    };
    Ok(text.lines().filter_map(numbers).collect())
}

/// Forks the holder, maps its namespace, waits until it holds the lock. Returns why the map is single.
fn make(run_root: &Path) -> Result<Option<String>> {
    let (ours, theirs) = crate::channel::pair()?;
    match sys::fork::fork_single(0, None).at("clone", "holder")? {
        Fork::Child => {
            drop(ours);
            let error = become_holder(run_root, &theirs);
            // With nobody listening there is nobody to tell.
            let _ = crate::channel::send(&theirs, &report(&error), &[]);
            sys::fork::exit_now(1);
        }
        Fork::Parent { pidfd, pid } => {
            drop(theirs);
            let result = attend(&ours, pid);
            if result.is_err() {
                crate::create::end(pidfd.as_fd());
            }
            result
        }
    }
}

/// The parent's half: maps when asked to, until the holder is ready.
fn attend(socket: &OwnedFd, pid: u32) -> Result<Option<String>> {
    let mut notice = None;
    loop {
        let message = crate::channel::receive_message(socket, &mut Vec::new())
            .at("user namespace", "holder")?;
        match message.first() {
            Some(b'U') => {
                notice = write_maps(pid)?;
                crate::channel::send(socket, b"M", &[]).at("user namespace", "holder")?;
            }
            Some(b'R') => return Ok(notice),
            Some(_) => {
                return Err(serde_json::from_slice(&message[1..]).unwrap_or_else(|_| lost()));
            }
            None => return Err(lost()),
        }
    }
}

fn lost() -> Error {
    Error::new(Code::Kernel, "user namespace", "", "its holder ended before it was ready")
}

fn report(error: &Error) -> Vec<u8> {
    let mut bytes = b"E".to_vec();
    bytes.extend(serde_json::to_vec(error).unwrap_or_default());
    bytes
}

/// The child's half: into a namespace, then this program anew as `holder`, small and with a name of its own.
fn become_holder(run_root: &Path, socket: &OwnedFd) -> Error {
    let result = (|| {
        rustix::process::setsid().at("setsid", "")?;
        if !adopt(run_root)? {
            sys::fork::unshare(sys::fork::CLONE_NEWUSER)
                .at("unshare", "user namespace")
                .map_err(explain_unshare)?;
            crate::channel::send(socket, b"U", &[]).at("user namespace", "holder")?;
            let answer = crate::channel::receive_message(socket, &mut Vec::new())
                .at("user namespace", "holder")?;
            if answer.is_empty() {
                return Err(lost());
            }
        }
        take_root()?;
        // Our caller's own descriptors, an archive that it unpacks among them: the holder lives for days.
        sys::files::close_on_exec_from(3).at("close_range", "")?;
        rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::empty()).at("fcntl", "holder")
    })();
    if let Err(error) = result {
        return error;
    }
    use std::os::fd::AsRawFd;
    let words = ["pyrt-runtime", "holder", &socket.as_raw_fd().to_string()];
    let mut args: Vec<CString> = words.iter().filter_map(|word| CString::new(*word).ok()).collect();
    match crate::paths::c_string(run_root.as_os_str(), "run root") {
        Ok(path) => args.push(path),
        Err(error) => return error,
    }
    let refusal = sys::exec::execve(c"/proc/self/exe", &args, &[]);
    Error::kernel("exec", "holder", refusal.raw_os_error().unwrap_or(libc::EIO))
}

/// Takes the namespace of a live monitor, or of who keeps the networks: both must stay within reach.
fn adopt(run_root: &Path) -> Result<bool> {
    let entries = match std::fs::read_dir(run_root) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(false),
        result => result.at("read", run_root)?,
    };
    let monitors = entries.flatten().map(|entry| entry.path().join("alive"));
    for alive in monitors.chain([run_root.join("network/keeper")]) {
        let Ok(Some((monitor, _))) = lock_holder(&alive) else { continue };
        let what = ThreadNameSpaceType::USER;
        if rustix::thread::move_into_thread_name_spaces(monitor.as_fd(), what).is_ok() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `pyrt-runtime holder`: takes the lock, says so, and sleeps until the run root goes.
///
/// # Errors
/// `exists` if another holder lives.
pub fn hold(socket: &OwnedFd, run_root: &Path) -> Result<()> {
    use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
    let path = run_root.join(HOLDER);
    let Some(lock) = lock(&path)? else {
        return Err(Error::new(Code::Exists, "holder", path.to_string_lossy(), "is held"));
    };
    let watch = init(CreateFlags::CLOEXEC).at("inotify", &path)?;
    add_watch(&watch, &path, WatchFlags::ATTRIB).at("inotify", &path)?;
    rustix::process::chdir("/").at("chdir", "/")?;
    crate::channel::send(socket, b"R", &[]).at("user namespace", "holder")?;
    rustix::net::shutdown(socket, rustix::net::Shutdown::Both).at("shutdown", "holder")?;
    let mut event = [0_u8; 512];
    loop {
        // ATTRIB: the link count changed. A run root that is gone (the last logout) ends us.
        if rustix::fs::fstat(&lock).at("stat", &path)?.st_nlink == 0 {
            return Ok(());
        }
        rustix::io::retry_on_intr(|| rustix::io::read(&watch, &mut event)).at("inotify", &path)?;
    }
}

/// Maps the namespace of process `pid`: all subordinate IDs by the setuid helpers, or our own ID alone.
fn write_maps(pid: u32) -> Result<Option<String>> {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let name = account_name(uid)?;
    let uids = subordinate_ranges(Path::new("/etc/subuid"), uid, name.as_deref())?;
    let gids = subordinate_ranges(Path::new("/etc/subgid"), uid, name.as_deref())?;
    let who = name.unwrap_or_else(|| uid.to_string());
    let has_helpers = idmap::helper("newuidmap").and(idmap::helper("newgidmap")).is_some();
    let reason = match (&uids.0[..], &gids.0[..]) {
        ([], _) => format!("no subordinate user IDs for {who} in /etc/subuid"),
        (_, []) => format!("no subordinate group IDs for {who} in /etc/subgid"),
        _ if has_helpers => {
            idmap::write(pid, &map_all(uid, &uids), &map_all(gid, &gids))?;
            return Ok(None);
        }
        _ => "newuidmap and newgidmap are not installed (package uidmap)".to_owned(),
    };
    let only = |id| map_all(id, &Ranges::default());
    idmap::write(pid, &only(uid), &only(gid)).map_err(explain_unshare)?;
    Ok(Some(reason))
}

/// Our own ID as 0, then the ranges one after the other.
fn map_all(own: u32, ranges: &Ranges) -> Vec<IdMapping> {
    let mut container_id = 0_u32;
    std::iter::once(&(own, 1))
        .chain(&ranges.0)
        .map(|&(host_id, size)| {
            let mapping = IdMapping { container_id, host_id, size };
            container_id = container_id.saturating_add(size);
            mapping
        })
        .collect()
}

fn explain_unshare(error: Error) -> Error {
    match error.errno {
        Some(libc::EPERM | libc::EACCES) => error
            .with_code(Code::Denied)
            .with_hint("run `pyrt doctor`: this machine restricts user namespaces"),
        Some(libc::ENOSPC | libc::EUSERS) => error
            .with_code(Code::Denied)
            .with_hint("raise the limit: sysctl user.max_user_namespaces=28633"),
        _ => error,
    }
}
