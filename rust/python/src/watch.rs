//! What changes in directories, told without looking at them: inotify.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyrt_core::{At, Code, Error, Result, state};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use rustix::io::Errno;

use crate::error::{detached, raise};

/// Names that come and go, and files that nobody writes any more: what our writers do, who rename, and what a monitor's
/// end does, who keeps its lock open for writing. Not what a program does in the files of its container.
const EVENTS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ONLYDIR);

/// Between two looks at a lock whose holder has no number in our pid namespace.
const UNSEEN: Duration = Duration::from_millis(10);

/// The number of a directory and a name in it.
type Change = (i32, Option<String>);

/// What stands for a timeout that no clock could count.
const FOREVER: Duration = Duration::from_secs(1 << 31);

/// See `_core.pyi`.
#[pyclass(module = "pyrt._core", frozen)]
pub(crate) struct Watch {
    fd: OwnedFd,
}

#[pymethods]
impl Watch {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .at("watch", "inotify")
            .map(|fd| Self { fd })
            .map_err(|error| raise(py, &error))
    }

    fn add(&self, py: Python<'_>, path: PathBuf) -> PyResult<i32> {
        add_watch(&self.fd, &path, EVENTS).at("watch", &path).map_err(|error| {
            let code = if error.errno == Some(libc::ENOENT) { Code::NotFound } else { error.code };
            raise(py, &error.with_code(code))
        })
    }

    fn read(&self, py: Python<'_>) -> PyResult<Option<Vec<Change>>> {
        let mut buffer = [MaybeUninit::uninit(); 1 << 14];
        let mut reader = Reader::new(&self.fd, &mut buffer);
        let mut found = Vec::new();
        let mut is_whole = true;
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => is_whole = false,
                Ok(event) if event.events().contains(ReadFlags::IGNORED) => {
                    found.push((event.wd(), None));
                }
                Ok(event) => {
                    let name = event.file_name().map(|name| name.to_string_lossy().into_owned());
                    found.push((event.wd(), Some(name.unwrap_or_default())));
                }
                Err(Errno::AGAIN) => return Ok(is_whole.then_some(found)),
                Err(Errno::INTR) => {}
                Err(errno) => {
                    return Err(raise(
                        py,
                        &Error::kernel("watch", "inotify", errno.raw_os_error()),
                    ));
                }
            }
        }
    }
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn wait_unlocked(py: Python<'_>, path: PathBuf, timeout_s: f64) -> PyResult<bool> {
    let deadline = Instant::now() + Duration::try_from_secs_f64(timeout_s).unwrap_or(FOREVER);
    loop {
        let answer = detached(py, || wait_once(&path, deadline))?;
        py.check_signals()?;
        if let Some(is_free) = answer {
            return Ok(is_free);
        }
    }
}

/// Waits until whoever holds the lock is gone; `None` if it is to be looked at again: another may have it by then.
fn wait_once(path: &Path, deadline: Instant) -> Result<Option<bool>> {
    let holder = state::lock_holder(path)?.map(|(holder, _)| holder);
    if holder.is_none() && !state::is_held(path) {
        return Ok(Some(true));
    }
    let left = deadline.saturating_duration_since(Instant::now());
    // Of one whom we do not see nothing tells the end.
    let pause = if holder.is_some() { left } else { left.min(UNSEEN) };
    let timeout = Timespec::try_from(pause).ok();
    let mut fds: Vec<_> = holder.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    match rustix::event::poll(&mut fds, timeout.as_ref()) {
        Ok(0) if pause == left => Ok(Some(false)),
        Ok(_) | Err(Errno::INTR) => Ok(None),
        Err(errno) => Err(errno).at("poll", path),
    }
}
