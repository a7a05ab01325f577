//! A limit of a container's tasks where no cgroup can set one.
//!
//! The kernel charges each task to the user of its user namespace, and to the creator of that namespace, and so on
//! upwards; and a namespace remembers the RLIMIT_NPROC with which it was made as the limit of its creator's sum. So
//! between the user's namespace and the container's there is one more, made under an ID that nobody else runs as, with
//! the same IDs in it: its sum is the container, whatever users and namespaces that has in it (kernel/ucount.c, since
//! Linux 5.14). Exactly so many tasks, threads too; nobody inside can raise it.

use std::os::fd::OwnedFd;

use rustix::process::DumpableBehavior;
use rustix::thread::{Gid, Uid};
use serde::Deserialize;

use crate::error::{At, Code, Error, Result};
use crate::spec::IdMapping;
use crate::sys::fork::CLONE_NEWUSER;
use crate::{channel, idmap, sys, userns};

/// asm-generic/resource.h.
const RLIMIT_NPROC: u32 = 6;

/// How many tasks, and who makes the namespace that counts them.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskLimit {
    /// An ID of the user's namespace that nobody else runs as.
    pub uid: u32,
    /// Two at least: whoever makes the container's first process is counted until it is there.
    pub tasks: u64,
}

impl TaskLimit {
    /// Moves this process, which is about to make the container's first and then ends, into such a namespace; `socket`
    /// leads to [`TaskLimit::map`].
    ///
    /// # Errors
    /// `kernel`; `conflict` if the other end is gone.
    pub fn enter(&self, socket: &OwnedFd) -> Result<()> {
        sys::exec::set_rlimit(RLIMIT_NPROC, self.tasks, self.tasks).at("setrlimit", "NPROC")?;
        let creator = Uid::from_raw(self.uid);
        rustix::thread::set_thread_res_uid(creator, creator, creator)
            .at("setuid", self.uid.to_string())?;
        sys::fork::unshare(CLONE_NEWUSER).at("unshare", "user")?;
        stay_open()?;
        channel::send(socket, b"M", &[]).at("task limit", "send")?;
        let answer =
            channel::receive_message(socket, &mut Vec::new()).at("task limit", "receive")?;
        if answer != b"M" {
            return Err(Error::new(Code::Conflict, "task limit", "", "the IDs were not mapped"));
        }
        let (uid, gid) = (Uid::ROOT, Gid::ROOT);
        rustix::thread::set_thread_res_gid(gid, gid, gid).at("setgid", "0")?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).at("setuid", "0")?;
        stay_open()
    }

    /// Gives process `pid`, which is in [`TaskLimit::enter`], the IDs that we have ourselves.
    ///
    /// # Errors
    /// `kernel`.
    pub fn map(pid: u32, socket: &OwnedFd) -> Result<()> {
        let own = |file: &str| -> Result<Vec<IdMapping>> {
            let ranges = userns::read_map(&format!("/proc/self/{file}"))?;
            let same = |(id, _, size)| IdMapping { container_id: id, host_id: id, size };
            Ok(ranges.into_iter().map(same).collect())
        };
        idmap::write(pid, &own("uid_map")?, &own("gid_map")?)?;
        channel::send(socket, b"M", &[]).at("task limit", "send")
    }
}

/// A change of IDs closes our files in /proc, and the maps are written through those.
fn stay_open() -> Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).at("set dumpable", "")
}
