//! The kinds of namespaces, and joining those that the document names by path (runtime-spec config-linux.md#namespaces).

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::DumpableBehavior;
use rustix::thread::ThreadNameSpaceType as Kind;

use crate::error::{At, Code, Error, Result};
use crate::paths::{open_host, read_all};
use crate::spec::Spec;
use crate::sys;
use crate::sys::fork::{
    CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS,
};

/// The specification's word, what setns(2) takes, and what clone3(2) takes to make one with the child: not cgroup, whose
/// root would be the cgroup of the parent, and not time, whose offsets are written before anybody is in it.
///
/// In the order in which they are joined: the user namespace gives the rights for the rest.
pub const NAMESPACES: [(&str, Kind, u64); 8] = [
    ("user", Kind::USER, CLONE_NEWUSER),
    ("pid", Kind::PROCESS_ID, CLONE_NEWPID),
    ("ipc", Kind::INTER_PROCESS_COMMUNICATION, CLONE_NEWIPC),
    ("uts", Kind::HOST_NAME_AND_NIS_DOMAIN_NAME, CLONE_NEWUTS),
    ("network", Kind::NETWORK, CLONE_NEWNET),
    ("cgroup", Kind::CONTROL_GROUP, 0),
    ("time", Kind::TIME, 0),
    ("mount", Kind::MOUNT, CLONE_NEWNS),
];

/// The flags of clone3(2) for what the document wants made.
#[must_use]
pub fn clone_flags(spec: &Spec) -> u64 {
    NAMESPACES
        .iter()
        .filter(|(kind, ..)| spec.makes(kind))
        .fold(0, |flags, (.., flag)| flags | flag)
}

/// setns(2)'s mask for whoever joins a container of this document through its init: all that it does not share with
/// us. A user namespace that is ours already is refused by the kernel.
///
/// # Errors
/// `kernel`.
pub fn joined(spec: &Spec) -> Result<Kind> {
    let mut mask = Kind::empty();
    for (kind, flag, _) in NAMESPACES {
        let Some(namespace) = spec.namespace(kind) else { continue };
        let is_ours = match &namespace.path {
            Some(path) if kind == "user" => is_our_user_namespace(Path::new(path))?,
            _ => false,
        };
        if !is_ours {
            mask |= flag;
        }
    }
    Ok(mask)
}

fn is_our_user_namespace(path: &Path) -> Result<bool> {
    let identity = |path: &Path| match rustix::fs::stat(path) {
        // The process whose namespace it was is gone; the container's is not ours then.
        Err(rustix::io::Errno::NOENT) => Ok(None),
        result => result.map(|stat| Some((stat.st_dev, stat.st_ino))).at("stat", path),
    };
    Ok(identity(path)? == identity(Path::new("/proc/self/ns/user"))?)
}

/// The namespaces by path, opened.
pub struct Joins {
    files: Vec<(OwnedFd, Kind, String)>,
    /// All are those of our own pod, and none of it sees us: the pid namespace is another.
    is_unseen: bool,
    /// The mount namespace of the pod's infra container, which is looked into and not joined.
    shared: Option<OwnedFd>,
    /// Whether the user namespace among them denies setgroups(2); known when it is joined.
    denies_groups: Cell<bool>,
}

impl Joins {
    /// Opens them and asks the kernel what they are; those that somebody gave us, `held`, are joined as they are, whatever
    /// the path says.
    ///
    /// # Errors
    /// `not_found`; `invalid_spec` for a file that is no namespace of its kind.
    pub fn open(spec: &Spec, mut held: Vec<OwnedFd>) -> Result<Self> {
        let mut joins = Vec::new();
        let is_unseen = !held.is_empty() && spec.makes("pid");
        for (kind, flag, _) in NAMESPACES {
            let Some(path) = spec.namespace(kind).and_then(|namespace| namespace.path.as_ref())
            else {
                continue;
            };
            if kind == "user" && is_our_user_namespace(Path::new(path))? {
                continue;
            }
            let is_it = |file: &OwnedFd| {
                sys::files::namespace_type(file.as_fd())
                    .is_ok_and(|found| found.cast_unsigned() == flag.bits())
            };
            if let Some(place) = held.iter().position(is_it) {
                joins.push((held.swap_remove(place), flag, format!("{kind} namespace")));
                continue;
            }
            // NONBLOCK: a FIFO would hold us up for ever.
            let file = open_host(Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK)?;
            if !is_it(&file) {
                let message = format!("{path} is no {kind} namespace");
                return Err(Error::new(Code::InvalidSpec, "linux.namespaces", kind, message));
            }
            joins.push((file, flag, format!("{kind} namespace {path}")));
        }
        let is_mount = |file: &OwnedFd| {
            sys::files::namespace_type(file.as_fd())
                .is_ok_and(|found| found.cast_unsigned() == Kind::MOUNT.bits())
        };
        let shared = held.into_iter().find(is_mount);
        Ok(Self { files: joins, is_unseen, shared, denies_groups: Cell::new(false) })
    }

    /// The mount namespace in which what the pod shares is mounted.
    #[must_use]
    pub fn shared_mounts(&self) -> Option<&OwnedFd> {
        self.shared.as_ref()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether a joined user namespace denies setgroups(2).
    #[must_use]
    pub fn denies_groups(&self) -> bool {
        self.denies_groups.get()
    }

    /// Joins them for good: a child is born in all of them. The mount namespace is left to the child, since the paths
    /// until then are the host's.
    ///
    /// CVE-2019-5736, CVE-2024-21626's class: in a user namespace of others we are closed to them before we are there.
    ///
    /// # Errors
    /// `kernel`; EPERM for a namespace of a user namespace above.
    pub fn enter(&self) -> Result<()> {
        let has_user = self.files.iter().any(|(_, kind, _)| *kind == Kind::USER);
        if has_user && !self.is_unseen {
            rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
                .at("set dumpable", "")?;
        }
        // A network may be another's than the user namespace's that is joined with it; then what we are has the rights.
        let is_early = has_user && self.join(|kind| kind == Kind::NETWORK).is_ok();
        self.join(|kind| kind != Kind::MOUNT && !(is_early && kind == Kind::NETWORK))?;
        if has_user {
            let path = Path::new("/proc/self/setgroups");
            let word = read_all(open_host(path, OFlags::RDONLY)?, path, 64)?;
            self.denies_groups.set(word.starts_with(b"deny"));
        }
        Ok(())
    }

    /// Joins the mount namespace, in the child.
    ///
    /// # Errors
    /// `kernel`.
    pub fn enter_mount(&self) -> Result<()> {
        self.join(|kind| kind == Kind::MOUNT)
    }

    fn join(&self, is_wanted: impl Fn(Kind) -> bool) -> Result<()> {
        for (file, kind, name) in self.files.iter().filter(|(_, kind, _)| is_wanted(*kind)) {
            rustix::thread::move_into_thread_name_spaces(file.as_fd(), *kind).at("setns", name)?;
        }
        Ok(())
    }
}
