//! Mounts of a pod's infra container that others have, too: `SOCKET/PATH` names the monitor who holds them, as for namespaces.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, OFlags};
use rustix::mount::OpenTreeFlags;
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use crate::error::{At, Result};
use crate::paths::open_host;
use crate::spec::Mount;

/// What comes before the path.
const SOCKET: &str = "/control.sock";

/// The path in the infra container of what this entry binds; None if it binds something else.
pub(super) fn path_of(mount: &Mount) -> Option<&str> {
    let (_, path) = mount.source.as_deref()?.split_once(SOCKET)?;
    path.starts_with('/').then_some(path)
}

/// A clone, attached nowhere, of what each of these is in another mount namespace; None for what is none of its.
///
/// The kernel clones only what is in the namespace of who asks, so we look in, and come back.
///
/// # Errors
/// `kernel` naming the mount.
pub(super) fn clone_all(mounts: &[Mount], theirs: &OwnedFd) -> Result<Vec<Option<OwnedFd>>> {
    if mounts.iter().all(|mount| path_of(mount).is_none()) {
        return Ok(mounts.iter().map(|_| None).collect());
    }
    let slash = open_host(Path::new("/"), OFlags::PATH | OFlags::DIRECTORY)?;
    let own = open_host(Path::new("/proc/self/ns/mnt"), OFlags::RDONLY)?;
    enter(theirs)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let clone = |mount: &Mount| {
        let Some(path) = path_of(mount) else { return Ok(None) };
        rustix::mount::open_tree(CWD, path, flags).at("bind", path).map(Some)
    };
    let clones = mounts.iter().map(clone).collect();
    enter(&own)?;
    // Ours need not have been the namespace's own.
    rustix::process::fchdir(&slash).at("chdir", "/")?;
    rustix::process::chroot(".").at("chroot", "/")?;
    clones
}

fn enter(namespace: &OwnedFd) -> Result<()> {
    move_into_thread_name_spaces(namespace.as_fd(), ThreadNameSpaceType::MOUNT)
        .at("setns", "mount namespace")
}
