//! `delete`: takes back what create made.

use std::os::fd::OwnedFd;

use pyrt_core::{At, Code, Error, Result, hooks};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use super::cgroups;
use super::command_line::Words;
use super::container::{Container, Directory, Status};
use super::globals::Globals;

/// A process that has not ended by then after SIGKILL waits for hardware.
const END_SECONDS: i64 = 10;

/// `delete [--force] ID`
pub(super) fn main(globals: &Globals, words: &Words) -> Result<i32> {
    let (id, force) = (words.only_id("delete")?, words.is_on("force")?);
    let container = match Container::find(globals, id) {
        Err(error) if force && error.code == Code::NotFound => return Ok(0),
        // A create that was killed before init had a pid left a directory and nothing else; or the record is damaged.
        Err(error) if force && matches!(error.code, Code::Conflict | Code::InvalidSpec) => {
            return Directory::find(globals, id)?.remove().map(|()| 0);
        }
        result => result?,
    };
    match container.status()? {
        Status::Stopped => {}
        Status::Created => end(&container)?,
        _ if force => end(&container)?,
        status => {
            let message =
                format!("cannot delete container {id} that is not stopped: {}", status.as_str());
            return Err(Error::new(Code::Conflict, "", "", message));
        }
    }
    destroy(&container).map(|()| 0)
}

/// Kills init, and with it its pid namespace, and waits for the end.
fn end(container: &Container) -> Result<()> {
    let Some(process) = container.process()? else { return Ok(()) };
    // ESRCH: it ended this very moment.
    let _ = rustix::process::pidfd_send_signal(&process, Signal::KILL);
    wait(&process)
}

fn wait(process: &OwnedFd) -> Result<()> {
    let timeout = Timespec { tv_sec: END_SECONDS, tv_nsec: 0 };
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    let ended = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout))).at("poll", "init")?;
    if ended == 0 {
        let message = format!("container has not ended {END_SECONDS} s after SIGKILL");
        return Err(Error::new(Code::Conflict, "delete", "", message));
    }
    Ok(())
}

/// Gives everything back, then runs the poststop hooks, which cannot fail a deletion (runtime.md#lifecycle).
pub(super) fn destroy(container: &Container) -> Result<()> {
    let record = &container.record;
    let spec = if record.has_hooks { Some(container.directory.spec()?) } else { None };
    cgroups::remove(record)?;
    container.directory.remove()?;
    if let Some(spec) = &spec
        && let Some(all) = &spec.hooks
    {
        let state = hooks::state(spec, &record.id, &record.bundle, 0, "stopped");
        for hook in &all.poststop {
            if let Err(error) = hooks::run("poststop", std::slice::from_ref(hook), &state) {
                crate::complain(&error);
            }
        }
    }
    Ok(())
}
