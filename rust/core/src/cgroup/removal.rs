//! A container's cgroup taken back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;

use crate::cgroup::Cgroup;
use crate::error::{At, Code, Error, Result};

/// How long killed processes may take to be gone.
const DEATH_LIMIT: Duration = Duration::from_secs(10);

/// Takes a container's cgroup back: ends what is left in it, and removes what [`Place::make`](super::Place::make) made. Done twice, it is
/// done.
///
/// # Errors
/// `conflict` if something in it does not die; `kernel`.
pub fn take_back(path: &Path, made: &[PathBuf]) -> Result<()> {
    match Cgroup::open(path) {
        Ok(cgroup) => {
            if cgroup.is_populated()? {
                cgroup.kill()?;
                if !cgroup.wait_empty(DEATH_LIMIT)? {
                    let message = "a process in it does not die";
                    return Err(Error::new(
                        Code::Conflict,
                        "remove cgroup",
                        path.to_string_lossy(),
                        message,
                    ));
                }
            }
            // L7: what was there before stays, without what the container made in it.
            remove_below(&cgroup)?;
        }
        Err(error) if error.code == Code::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut deepest_first = made.iter().rev();
    if let Some(own) = deepest_first.next() {
        remove_one(own)?;
    }
    for parent in deepest_first {
        match rustix::fs::rmdir(parent) {
            Ok(()) | Err(Errno::NOENT) => {}
            // Others made theirs in it since.
            Err(_) => break,
        }
    }
    Ok(())
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
            Err(Errno::BUSY) => std::thread::sleep(Duration::from_millis(pause_ms)),
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            result => return result.at("remove cgroup", path),
        }
    }
    rustix::fs::rmdir(path).at("remove cgroup", path)
}
