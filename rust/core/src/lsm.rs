//! Labels of the Linux security modules: `process.apparmorProfile`, `process.selinuxLabel` and `linux.mountLabel`.
//!
//! CVE-2019-16884, CVE-2025-52881: the files of /proc that they are written to are opened through the host's procfs,
//! before anything of the container is mounted, and proven to be procfs. A label that cannot be set is an error: who
//! asks for one must not run without it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::error::{At, Code, Error, Result};
use crate::paths::{open_host, read_host, write_all};
use crate::spec::{Linux, Process};

/// linux/magic.h.
const SELINUX_MAGIC: i64 = 0xf97c_ff8c;

/// File systems that take no context of ours: the kernel or the policy labels what is in them (as runc).
const LABELLED_BY_THE_KERNEL: [&str; 4] = ["proc", "sysfs", "mqueue", "cgroup2"];

/// What a label needs of the host, looked up before the container's own /proc and /sys are all there is.
#[derive(Debug)]
pub struct Host {
    proc: OwnedFd,
}

impl Host {
    /// None if no label is asked for.
    ///
    /// # Errors
    /// `unsupported` where the security module is not there.
    pub fn look(process: Option<&Process>) -> Result<Option<Self>> {
        let Some((profile, label)) = process.map(wanted) else { return Ok(None) };
        let profile = match profile {
            // It holds by itself where there is no AppArmor.
            Some("unconfined") if !has_apparmor() => None,
            Some(profile) if !has_apparmor() => {
                return Err(absent("process.apparmorProfile", profile, "AppArmor"));
            }
            profile => profile,
        };
        match label {
            Some(label) if !has_selinux() => {
                return Err(absent("process.selinuxLabel", label, "SELinux"));
            }
            None if profile.is_none() => return Ok(None),
            _ => {}
        }
        let proc = open_host(Path::new("/proc"), OFlags::PATH | OFlags::DIRECTORY)?;
        if rustix::fs::fstatfs(&proc).at("statfs", "/proc")?.f_type == libc::PROC_SUPER_MAGIC {
            return Ok(Some(Self { proc }));
        }
        Err(Error::new(Code::Denied, "open", "/proc", "is not the kernel's"))
    }

    fn open(&self, path: &str) -> Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.proc, path, flags, Mode::empty()).at("open", path)
    }
}

/// Profile and label, where they say something.
fn wanted(process: &Process) -> (Option<&str>, Option<&str>) {
    fn said(text: Option<&String>) -> Option<&str> {
        text.map(String::as_str).filter(|text| !text.is_empty())
    }
    (said(process.apparmor_profile.as_ref()), said(process.selinux_label.as_ref()))
}

/// What `attr/exec` is told, once the program is next.
#[derive(Debug, Default)]
pub struct Labels {
    apparmor: Option<(OwnedFd, String)>,
    selinux: Option<(OwnedFd, String)>,
}

impl Labels {
    /// Opens the files of the calling process; only it can write to them.
    ///
    /// # Errors
    /// `kernel`.
    pub fn open(host: Option<&Host>, process: &Process) -> Result<Self> {
        let Some(host) = host else { return Ok(Self::default()) };
        let (profile, label) = wanted(process);
        let apparmor = match profile {
            None => None,
            Some(profile) => {
                // Linux 5.8 and later; the older file is shared with whatever other module comes first.
                let file = host
                    .open("thread-self/attr/apparmor/exec")
                    .or_else(|_| host.open("thread-self/attr/exec"))?;
                Some((file, ["exec ", profile].concat()))
            }
        };
        let selinux = match label {
            None => None,
            Some(label) => Some((host.open("thread-self/attr/exec")?, label.to_owned())),
        };
        Ok(Self { apparmor, selinux })
    }

    /// The descriptors, which must stay open until [`Labels::apply`].
    #[must_use]
    pub fn descriptors(&self) -> [Option<BorrowedFd<'_>>; 2] {
        [&self.apparmor, &self.selinux].map(|label| label.as_ref().map(|(file, _)| file.as_fd()))
    }

    /// Whether the next program that is executed must be the container's own: SELinux lets a domain be entered by files
    /// of its policy only, and our trampoline is none of them.
    #[must_use]
    pub fn hold_for_one_program(&self) -> bool {
        self.selinux.is_some()
    }

    /// From the next execve on, the program has the labels.
    ///
    /// # Errors
    /// `kernel`; ENOENT for a profile that is not loaded, EACCES where our own label forbids the change.
    pub fn apply(&self) -> Result<()> {
        for (field, label) in
            [("process.apparmorProfile", &self.apparmor), ("process.selinuxLabel", &self.selinux)]
        {
            if let Some((file, text)) = label {
                write_all(file, text.as_bytes()).at(field, text)?;
            }
        }
        Ok(())
    }
}

/// The option of a new file system that labels what is in it: `linux.mountLabel`.
///
/// # Errors
/// `unsupported` without SELinux.
pub fn mount_context(linux: Option<&Linux>, fs_type: &str) -> Result<Option<String>> {
    let label = linux.and_then(|linux| linux.mount_label.as_deref()).unwrap_or_default();
    if label.is_empty() || LABELLED_BY_THE_KERNEL.contains(&fs_type) {
        return Ok(None);
    }
    if !has_selinux() {
        return Err(absent("linux.mountLabel", label, "SELinux"));
    }
    Ok(Some(["context=", label].concat()))
}

fn absent(field: &str, label: &str, module: &str) -> Error {
    let message = [module, " is not enabled on this machine"].concat();
    Error { errno: Some(libc::EOPNOTSUPP), ..Error::new(Code::Unsupported, field, label, message) }
}

fn has_apparmor() -> bool {
    read_host(Path::new("/sys/module/apparmor/parameters/enabled"), 16)
        .is_ok_and(|text| text.first() == Some(&b'Y'))
}

fn has_selinux() -> bool {
    rustix::fs::statfs("/sys/fs/selinux").is_ok_and(|stat| stat.f_type == SELINUX_MAGIC)
}
