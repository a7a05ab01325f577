//! ID-mapped mounts: `idmap`, `ridmap` and a mount's own mappings (mount_setattr(2), MOUNT_ATTR_IDMAP).
//!
//! The kernel lets only who owns the file system, which is the user namespace that it was mounted from: what the
//! container mounts itself, or, without a user namespace of the container's own, what its user namespace has mounted.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::create::{end, host_pid};
use crate::error::{At, Error, Result};
use crate::idmap;
use crate::paths::open_host;
use crate::spec::Mount;
use crate::sys::fork::{self, CLONE_NEWUSER, Fork};
use crate::sys::mount::{MountAttr, mount_setattr};

const IDMAP: u64 = 0x0010_0000;

/// Maps the IDs of a mount that is attached nowhere yet; without mappings of its own as the container's are.
///
/// # Errors
/// `kernel`; EPERM for a file system of somebody else's, EINVAL for one that cannot be mapped.
pub fn map_ids(tree: BorrowedFd<'_>, recursive: bool, mount: &Mount) -> Result<()> {
    let namespace = if mount.uid_mappings.is_empty() {
        open_host(Path::new("/proc/self/ns/user"), OFlags::RDONLY)?
    } else {
        make_namespace(mount)?
    };
    let attr = MountAttr {
        attr_set: IDMAP,
        userns_fd: u64::try_from(namespace.as_raw_fd()).unwrap_or_default(),
        ..MountAttr::default()
    };
    mount_setattr(tree, recursive, &attr).at("map IDs of", &mount.destination).map_err(explain)
}

fn explain(error: Error) -> Error {
    match error.errno {
        Some(libc::EPERM) => error.with_hint(
            "leave the mapping out: the kernel maps IDs only for who mounted the file system",
        ),
        Some(libc::EINVAL) => error.with_hint(
            "use a file system that can be mapped, and other mappings than its own: this one refuses",
        ),
        _ => error,
    }
}

/// A user namespace with the mappings of the mount: a namespace is what the kernel takes them from. It needs a process
/// to be made, which has nothing of ours, and ends when we have the namespace.
fn make_namespace(mount: &Mount) -> Result<OwnedFd> {
    let (until, ours) = pipe_with(PipeFlags::CLOEXEC).at("pipe", "idmap")?;
    let (ready, told) = pipe_with(PipeFlags::CLOEXEC).at("pipe", "idmap")?;
    match fork::fork_single(CLONE_NEWUSER, None).at("clone", "idmap")? {
        Fork::Child => {
            drop(ours);
            drop(ready);
            // Its files below /proc are to be ours.
            let dumpable = rustix::process::DumpableBehavior::Dumpable;
            let is_dumpable = rustix::process::set_dumpable_behavior(dumpable).is_ok();
            if is_dumpable && rustix::io::write(&told, b"r").is_ok() {
                // End of file: the namespace is held, or nobody wants it any more.
                let _ = rustix::io::retry_on_intr(|| rustix::io::read(&until, &mut [0_u8; 1]));
            }
            fork::exit_now(0);
        }
        Fork::Parent { pidfd, .. } => {
            drop(told);
            let namespace = hold(&pidfd, &ready, mount);
            end(pidfd.as_fd());
            namespace
        }
    }
}

fn hold(pidfd: &OwnedFd, ready: &OwnedFd, mount: &Mount) -> Result<OwnedFd> {
    rustix::io::retry_on_intr(|| rustix::io::read(ready, &mut [0_u8; 1])).at("read", "idmap")?;
    let fdinfo = open_host(Path::new("/proc/self/fdinfo"), OFlags::PATH | OFlags::DIRECTORY)?;
    let pid = host_pid(pidfd, fdinfo.as_fd())?;
    idmap::write(pid, &mount.uid_mappings, &mount.gid_mappings)?;
    let path = ["/proc/", &pid.to_string(), "/ns/user"].concat();
    open_host(Path::new(&path), OFlags::RDONLY)
}
