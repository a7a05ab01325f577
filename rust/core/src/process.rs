//! Turning into the program of `process`: limits, user, directory, and finding what to execute.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, OFlags};
use rustix::io::Errno;
use rustix::thread::{Gid, Uid};

use crate::caps;
use crate::error::{At, Code, Error, Result};
use crate::init::load_filter;
use crate::paths::{c_string, open_host, read_all};
use crate::seccomp::Filter;
use crate::spec::{Process, Rlimit, User};
use crate::sync::Sync;
use crate::sys;
use crate::sys::trampoline::Trampoline;

/// asm-generic/resource.h: the position is the number.
const RLIMITS: [&str; 16] = [
    "CPU",
    "FSIZE",
    "DATA",
    "STACK",
    "CORE",
    "RSS",
    "NPROC",
    "NOFILE",
    "MEMLOCK",
    "AS",
    "LOCKS",
    "SIGPENDING",
    "MSGQUEUE",
    "NICE",
    "RTPRIO",
    "RTTIME",
];

/// Enough for any image, and little enough to read.
const PASSWD_BYTES: usize = 1 << 20;

/// What a shell uses where the environment names no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The kernel's number of `RLIMIT_NOFILE` and its kin.
#[must_use]
pub fn rlimit_number(kind: &str) -> Option<u32> {
    let name = kind.strip_prefix("RLIMIT_")?;
    RLIMITS.iter().position(|known| *known == name).and_then(|number| u32::try_from(number).ok())
}

/// Sets the limits; a hard limit above our own needs privileges outside and is refused by the kernel.
///
/// # Errors
/// `kernel` naming the limit.
pub fn set_rlimits(limits: &[Rlimit]) -> Result<()> {
    for limit in limits {
        if let Some(number) = rlimit_number(&limit.kind) {
            sys::exec::set_rlimit(number, limit.soft, limit.hard).at("setrlimit", &limit.kind)?;
        }
    }
    Ok(())
}

/// Becomes the user with exactly its groups and capabilities.
///
/// # Errors
/// `kernel`; EINVAL for an ID that is not mapped.
pub fn become_user(process: &Process, may_set_groups: bool, filter: Option<&Filter>) -> Result<()> {
    // Without the property no capability at all, and none to be had: execve as uid 0 takes what the bounding set allows.
    let sets = process.capabilities.as_ref().map(caps::Sets::parse).unwrap_or_default();
    sets.limit_bounding()?; // before the change of IDs: it needs CAP_SETPCAP
    // setuid from 0 would drop what the document grants; apply() below cuts down to it.
    rustix::thread::set_keep_capabilities(true).at("keep capabilities", "")?;
    set_ids(&process.user, may_set_groups)?;
    rustix::thread::set_keep_capabilities(false).at("keep capabilities", "")?;
    if filter.is_some() && !process.no_new_privileges {
        return sets.with_system_administration().apply(); // until the filter is loaded
    }
    sets.apply()
}

/// Sets no_new_privs where the document wants it.
///
/// # Errors
/// `kernel`.
pub fn forbid_new_privileges(process: &Process) -> Result<()> {
    if !process.no_new_privileges {
        return Ok(());
    }
    rustix::thread::set_no_new_privs(true).at("set no_new_privs", "")
}

/// Supplementary groups first (CVE-2022-2989: the caller's must not remain), then the group, then the user.
///
/// # Errors
/// `kernel` naming the ID.
pub fn set_ids(user: &User, may_set_groups: bool) -> Result<()> {
    if may_set_groups {
        let groups: Vec<Gid> = user.additional_gids.iter().map(|&gid| Gid::from_raw(gid)).collect();
        rustix::thread::set_thread_groups(&groups).at("setgroups", "")?;
    } else if !user.additional_gids.is_empty() {
        let message = "the map of a single ID does not allow supplementary groups";
        return Err(Error::new(Code::Denied, "process.user.additionalGids", "", message));
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid)
        .at("setgid", user.gid.to_string())
        .map_err(explain_unmapped)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
        .at("setuid", user.uid.to_string())
        .map_err(explain_unmapped)
}

fn explain_unmapped(error: Error) -> Error {
    if error.errno != Some(libc::EINVAL) {
        return error;
    }
    Error { message: "the ID is not mapped into the container".to_owned(), ..error }
}

/// Enters the working directory and proves that it is inside.
///
/// CVE-2024-21626: a directory reached through a leaked descriptor is not below our root, and getcwd says so.
///
/// # Errors
/// `exec` without errno (126), as podman has it for an explicit directory that is not there.
pub fn enter_directory(cwd: &str) -> Result<()> {
    let refuse = |errno: Errno| Error {
        errno: None,
        ..Error::kernel("chdir", cwd, errno.raw_os_error()).with_code(Code::Exec)
    };
    rustix::process::chdir(cwd).map_err(refuse)?;
    let inside = rustix::process::getcwd(Vec::new()).map_err(refuse)?;
    if inside.to_bytes().starts_with(b"/") {
        return Ok(());
    }
    Err(Error::new(Code::Exec, "chdir", cwd, "is outside the container's root"))
}

/// A program that was found, with its argv and environment ready for execve.
pub struct Program {
    path: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

impl Program {
    /// Looks the program up as execvp(3) would, as the user it will run as.
    ///
    /// # Errors
    /// `exec`: ENOENT if there is none (127), EACCES if none may be executed (126).
    pub fn find(process: &Process) -> Result<Self> {
        let strings = |list: &[String], field: &str| {
            list.iter().map(|text| c_string(OsStr::new(text), field)).collect::<Result<Vec<_>>>()
        };
        Ok(Self {
            path: find_executable(process)?,
            args: strings(&process.args, "process.args")?,
            env: strings(&environment(process), "process.env")?,
        })
    }

    /// The path that was found.
    #[must_use]
    pub fn path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// Loads the filter and replaces this process, by way of the trampoline; returns only if that cannot be had.
    ///
    /// A refusal of the program itself comes from the trampoline, over `sync`. Without no_new_privs, and among peers, the
    /// filter is loaded here, with the capability that [`become_user`] left for it, and then that is dropped: profiles are
    /// written for runtimes that call little after the filter, and may allow neither openat2(2) nor memfd_create(2).
    #[must_use]
    pub fn become_it(
        &self,
        process: &Process,
        sync: &Sync,
        trampoline: Option<&Trampoline>,
        filter: Option<&Filter>,
        has_peers: bool,
    ) -> Error {
        let mut filter = filter;
        let mut loaded = Ok(());
        if !leaves_filter(process, has_peers) {
            loaded = load_filter(filter.take(), sync);
        }
        if !process.no_new_privileges {
            let sets = process.capabilities.as_ref().map(caps::Sets::parse).unwrap_or_default();
            loaded = loaded.and_then(|()| sets.apply());
        }
        if let Err(error) = loaded {
            return error;
        }
        let Some(trampoline) = trampoline else {
            // The machine forbids executing memory (vm.memfd_noexec): then as well as it can be had.
            return load_filter(filter, sync).err().unwrap_or_else(|| self.execute());
        };
        let refusal = trampoline.execute(&self.path, &self.args, &self.env, sync.as_fd());
        let errno = refusal.raw_os_error().unwrap_or(libc::EIO);
        let error = Error::kernel("exec", self.path(), errno).with_code(Code::Exec);
        match errno {
            // Not by execve instead: what it resolves may be our own executable (CVE-2019-5736).
            libc::EPERM | libc::ENOSYS | libc::EACCES => {
                error.with_hint("allow execveat in the seccomp profile, beside execve")
            }
            _ => error,
        }
    }

    /// Replaces this process; returns only the refusal.
    #[must_use]
    pub fn execute(&self) -> Error {
        let refusal = sys::exec::execve(&self.path, &self.args, &self.env);
        let subject = self.path.to_string_lossy();
        let errno = refusal.raw_os_error().unwrap_or(libc::EIO);
        Error::kernel("exec", subject, errno).with_code(Code::Exec)
    }
}

/// The trampoline of [`Program::become_it`]; none where the machine forbids it.
///
/// Before the limits are set: it is a file to open and to write.
///
/// # Errors
/// `kernel`.
pub fn make_trampoline(
    sync: &Sync,
    process: &Process,
    filter: Option<&Filter>,
    has_peers: bool,
) -> Result<Option<Trampoline>> {
    // One that asks an agent is not for it: see `load_asking`.
    let is_left = leaves_filter(process, has_peers);
    let filter = filter.filter(|filter| is_left && !filter.has_listener());
    let filter = filter.map(|filter| (&filter.program[..], filter.flags));
    match Trampoline::make(sync.as_fd(), filter) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM)) => Ok(None),
        result => result.at("memfd", "exec").map(Some),
    }
}

/// Whether the trampoline loads the filter, so that the program's own calls are the first under it. That takes
/// no_new_privs, and nobody else in the pid namespace: execve makes a process dumpable, and a peer could take it before it
/// has its filter (the class of CVE-2016-9962).
fn leaves_filter(process: &Process, has_peers: bool) -> bool {
    process.no_new_privileges && !has_peers
}

/// What a report of the trampoline means.
#[must_use]
pub fn refusal(program: &str, step: u8, errno: i32) -> Error {
    match step {
        sys::trampoline::STEP_EXEC => Error::kernel("exec", program, errno).with_code(Code::Exec),
        sys::trampoline::STEP_FILTER => Error::kernel("seccomp", "load filter", errno),
        _ => Error::kernel("exec", "socket", errno),
    }
}

/// Each variable once, the last that was given, as runc has it: who reads the first would see another than who reads the
/// last. With HOME, which callers leave to the runtime: the user's in the container's passwd(5), else `/`.
fn environment(process: &Process) -> Vec<String> {
    let mut known: Vec<&str> = Vec::new();
    let mut env: Vec<String> = Vec::new();
    for variable in process.env.iter().rev() {
        let name = variable.split('=').next().unwrap_or_default();
        if !known.contains(&name) {
            known.push(name);
            env.push(variable.clone());
        }
    }
    env.reverse();
    if env
        .iter()
        .any(|variable| variable.strip_prefix("HOME=").is_some_and(|home| !home.is_empty()))
    {
        return env;
    }
    env.retain(|variable| !variable.starts_with("HOME="));
    env.push(["HOME=", &home_of(process.user.uid).unwrap_or_else(|| "/".to_owned())].concat());
    env
}

/// The image wrote that file: whatever is wrong with it, there is no home in it.
fn home_of(uid: u32) -> Option<String> {
    let path = Path::new("/etc/passwd");
    let file = open_host(path, OFlags::RDONLY | OFlags::NONBLOCK).ok()?;
    let text = read_all(file, path, PASSWD_BYTES).ok()?;
    let uid = uid.to_string();
    let text = String::from_utf8_lossy(&text);
    let homes = text.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(2);
        (fields.next()? == uid).then(|| fields.nth(2)).flatten()
    });
    homes.map(str::to_owned).find(|home| home.starts_with('/') && !home.contains('\0'))
}

fn find_executable(process: &Process) -> Result<CString> {
    let name = process.args.first().map_or("", String::as_str);
    let missing = |message: &str, errno| Error {
        errno: Some(errno),
        ..Error::new(Code::Exec, "exec", format!("{name:?}"), message)
    };
    if name.is_empty() {
        return Err(missing("executable file not found in $PATH", libc::ENOENT));
    }
    if name.contains('/') {
        let path = c_string(OsStr::new(name), "process.args")?;
        return match is_executable(&path) {
            Ok(()) => Ok(path),
            Err(errno) => {
                let errno = errno.raw_os_error();
                Err(missing(&Error::kernel("", "", errno).message, errno))
            }
        };
    }
    let path = process
        .env
        .iter()
        .rev()
        .find_map(|variable| variable.strip_prefix("PATH="))
        .unwrap_or(DEFAULT_PATH);
    let mut denied = false;
    for dir in path.split(':') {
        let dir = if dir.is_empty() { Path::new(".") } else { Path::new(dir) };
        let candidate: PathBuf = dir.join(name);
        let candidate = c_string(OsStr::from_bytes(candidate.as_os_str().as_bytes()), "PATH")?;
        match is_executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::ACCESS) => denied = true,
            Err(_) => {}
        }
    }
    if denied {
        return Err(missing("Permission denied", libc::EACCES));
    }
    Err(missing("executable file not found in $PATH", libc::ENOENT))
}

/// A regular file that we may execute, by our effective IDs.
fn is_executable(path: &CStr) -> std::result::Result<(), Errno> {
    let stat = rustix::fs::stat(path)?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir() {
        return Err(Errno::ISDIR);
    }
    if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS);
    }
    Err(Errno::ACCESS)
}

#[cfg(test)]
mod tests {
    use super::rlimit_number;

    #[test]
    fn rlimits_have_the_kernels_numbers() {
        assert_eq!(rlimit_number("RLIMIT_CPU"), Some(libc::RLIMIT_CPU));
        assert_eq!(rlimit_number("RLIMIT_NPROC"), Some(libc::RLIMIT_NPROC));
        assert_eq!(rlimit_number("RLIMIT_NOFILE"), Some(libc::RLIMIT_NOFILE));
        assert_eq!(rlimit_number("RLIMIT_MEMLOCK"), Some(libc::RLIMIT_MEMLOCK));
        assert_eq!(rlimit_number("RLIMIT_RTTIME"), Some(libc::RLIMIT_RTTIME));
        assert_eq!(rlimit_number("NOFILE"), None);
    }
}
