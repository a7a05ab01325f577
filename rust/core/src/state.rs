//! What the monitor leaves on disk, and whether it is alive.
//!
//! ```text
//! <run>/<id>/state.json   what is running; gone with the run root at reboot
//! <run>/<id>/alive        POSIX-locked by the monitor for its life: alive means locked
//! <bundle>/start.json     there was a start
//! <bundle>/exit.json      how it ended
//! ```

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, Pid, PidfdFlags};
use serde::{Deserialize, Serialize};

use crate::error::{At, Error, Result};

/// `state.json`: the runtime-spec's state (runtime.md#state) and when it was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Version of the specification.
    pub oci_version: String,
    /// Container ID.
    pub id: String,
    /// created, running or restarting.
    pub status: String,
    /// Init's pid on the host; for display, nothing acts on it.
    pub pid: u32,
    /// Absolute path of the bundle.
    pub bundle: String,
    /// RFC 3339.
    pub created: String,
    /// RFC 3339; empty before start.
    #[serde(rename = "started_at")]
    pub started_at: String,
    /// How often it was started again.
    #[serde(default)]
    pub restarts: u64,
}

/// `exit.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exit {
    /// Container ID.
    pub id: String,
    /// As a shell would say it: 128 + signal if one ended it.
    pub exit_code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// exited, or why not.
    pub reason: String,
    /// What failed, if it never ran.
    pub error: Option<Error>,
    /// RFC 3339; empty if it never ran.
    pub started_at: String,
    /// RFC 3339.
    pub finished_at: String,
    /// How often it was started again.
    #[serde(default)]
    pub restarts: u64,
    /// Somebody wanted it to end.
    #[serde(default)]
    pub by_hand: bool,
}

/// Takes the lock that says "alive" for as long as the returned descriptor is open and we live.
///
/// A record lock, since a flock would live on in init until its exec. Open the file once: closing any other
/// descriptor of it in this process would drop the lock. `None`: somebody else is alive.
///
/// # Errors
/// `kernel`.
pub fn lock(path: &Path) -> Result<Option<OwnedFd>> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o600)).at("open", path)?;
    match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(None),
        Err(errno) => Err(errno).at("lock", path),
    }
}

/// The pid that holds the lock on an open file, as the kernel says it.
///
/// # Errors
/// `kernel`.
pub fn lock_owner(file: impl AsFd, path: &Path) -> Result<Option<Pid>> {
    let question = Flock::from(FlockType::WriteLock);
    let answer = rustix::process::fcntl_getlk(file, &question).at("getlk", path)?;
    Ok(answer.and_then(|lock| lock.pid))
}

/// The holder of the lock on `path`, held by a pidfd; `None` if nobody holds it.
///
/// No pid crosses a file: the kernel names the owner, we hold it, then ask again. If the same process still
/// has the lock, it is the one we hold.
///
/// # Errors
/// `kernel`.
pub fn lock_holder(path: &Path) -> Result<Option<(OwnedFd, Pid)>> {
    // For reading: who watches the directory hears of it when the holder closes what it has open for writing.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        result => result.at("open", path)?,
    };
    for _ in 0..16 {
        let Some(pid) = lock_owner(&file, path)? else { return Ok(None) };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            // EINVAL: before Linux 6.9, of a pid that lives on as the number of a session only.
            Err(Errno::SRCH | Errno::INVAL) => continue,
            result => result.at("pidfd_open", path)?,
        };
        if lock_owner(&file, path)? == Some(pid) {
            return Ok(Some((pidfd, pid)));
        }
    }
    Ok(None)
}

/// Whether somebody holds the lock, also somebody whom we do not see: in our pid namespace he has no number.
#[must_use]
pub fn is_held(path: &Path) -> bool {
    let question = Flock::from(FlockType::WriteLock);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::empty()).is_ok_and(|file| {
        rustix::process::fcntl_getlk(file, &question).is_ok_and(|lock| lock.is_some())
    })
}

/// Now, as RFC 3339 in UTC with nanoseconds.
#[must_use]
pub fn now() -> String {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    format_time(now.tv_sec, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Days to a date by the proleptic Gregorian calendar, counted from 0000-03-01 so that leap days come last.
fn format_time(seconds: i64, nanoseconds: u32) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{nanoseconds:09}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::format_time;

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(format_time(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(format_time(951_782_400, 5), "2000-02-29T00:00:00.000000005Z");
        assert_eq!(format_time(1_795_564_799, 999_999_999), "2026-11-24T23:59:59.999999999Z");
    }
}
