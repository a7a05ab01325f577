//! `pause` and `resume`: all processes of a container stopped and set going, by the kernel's freezer.

use pyrt_core::cgroup::Cgroup;
use pyrt_core::{Code, Error, Result};

use super::command_line::Words;
use super::container::{Container, Status};
use super::globals::Globals;

/// `pause ID`
pub(super) fn pause(globals: &Globals, words: &Words) -> Result<i32> {
    let cgroup = freezable(globals, words.only_id("pause")?)?;
    if cgroup.is_frozen()? {
        return Err(conflict("container not running"));
    }
    cgroup.freeze().map(|()| 0)
}

/// `resume ID`
pub(super) fn resume(globals: &Globals, words: &Words) -> Result<i32> {
    let cgroup = freezable(globals, words.only_id("resume")?)?;
    if !cgroup.is_frozen()? {
        return Err(conflict("container not paused"));
    }
    cgroup.thaw().map(|()| 0)
}

/// The cgroup of a container that lives.
fn freezable(globals: &Globals, id: &str) -> Result<Cgroup> {
    let container = Container::find(globals, id)?;
    if matches!(container.status()?, Status::Creating | Status::Stopped) {
        return Err(conflict("container not running"));
    }
    container.cgroup()?.ok_or_else(|| no_cgroup("pause"))
}

/// What cannot be without a cgroup, and who would give one.
pub(super) fn no_cgroup(verb: &str) -> Error {
    let message = "the container has no cgroup, since none is delegated to this user";
    Error::new(Code::Unsupported, verb, "", message).with_hint(
        "run it in a session of systemd with `Delegate=`, or below a cgroup that this user owns",
    )
}

fn conflict(message: &str) -> Error {
    Error::new(Code::Conflict, "", "", message)
}
