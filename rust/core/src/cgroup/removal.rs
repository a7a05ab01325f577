//! A container's cgroup taken back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::io::Errno;

use crate::cgroup::Cgroup;
use crate::error::{At, Code, Error, Result};

/// How long killed processes may take to be gone.
const DEATH_LIMIT: Duration = Duration::from_secs(10);

/// How long a cgroup may say that there is somebody after the last has ended.
const LAG_LIMIT: Duration = Duration::from_millis(100);

/// Takes a container's cgroup back: ends what is left in it, and removes what [`Place::make`](super::Place::make)
/// made. Done twice, it is done. Where all of the container's own processes `have_ended`, others are left alone, and with
/// them their cgroup.
///
/// # Errors
/// `conflict` if something in it does not die; `kernel`.
pub fn take_back(path: &Path, made: &[PathBuf], have_ended: bool) -> Result<()> {
    let (own, parents) = match made.split_last() {
        Some((last, parents)) if last == path => (true, parents),
        _ => (false, made),
    };
    // Most often its processes are gone, and it has nothing below.
    let is_gone = own && matches!(rustix::fs::rmdir(path), Ok(()) | Err(Errno::NOENT));
    match Cgroup::open(path) {
        _ if is_gone => {}
        Err(error) if error.code == Code::NotFound => {}
        cgroup => {
            let cgroup = cgroup?;
            if have_ended && !cgroup.wait_empty(LAG_LIMIT)? {
                return Ok(());
            }
            end_all(&cgroup, own)?;
            // runtime.md#delete: what was there before stays, and what is in it is not ours to judge.
            if own {
                remove_below(&cgroup)?;
                remove_one(path)?;
            }
        }
    }
    for parent in parents.iter().rev() {
        match rustix::fs::rmdir(parent) {
            Ok(()) | Err(Errno::NOENT) => {}
            // Others made theirs in it since.
            Err(_) => break,
        }
    }
    Ok(())
}

/// Ends all processes in a cgroup, which had none when the container came.
fn end_all(cgroup: &Cgroup, own: bool) -> Result<()> {
    if !cgroup.is_populated()? {
        return Ok(());
    }
    if own {
        cgroup.kill()?;
    } else {
        // Not through cgroup.kill: Linux 6.18 remembers that, and would kill at birth what is cloned into it later.
        cgroup.kill_each()?;
    }
    if cgroup.wait_empty(DEATH_LIMIT)? {
        return Ok(());
    }
    let message = "a process in it does not die";
    let path = cgroup.path().to_string_lossy();
    Err(Error::new(Code::Conflict, "remove cgroup", path, message))
}

fn remove_below(cgroup: &Cgroup) -> Result<()> {
    for child in cgroup.children()? {
        remove_below(&child)?;
        remove_one(child.path())?;
    }
    Ok(())
}

/// rmdir(2), given a little time: a cgroup says that it is empty a moment before its last process has let go of it.
fn remove_one(path: &Path) -> Result<()> {
    for pause_ms in [1, 4, 16, 64, 256] {
        match rustix::fs::rmdir(path) {
            Err(Errno::BUSY) => {
                let pause = Timespec { tv_sec: 0, tv_nsec: pause_ms * 1_000_000 };
                // With nothing to wait for it is the time alone; a signal may shorten it.
                let _ = rustix::event::poll(&mut [], Some(&pause));
            }
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            result => return result.at("remove cgroup", path),
        }
    }
    rustix::fs::rmdir(path).at("remove cgroup", path)
}
