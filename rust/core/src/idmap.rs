//! The ID maps of a new user namespace (user_namespaces(7)), written from outside.
//!
//! Whoever is root where it stands writes them itself; a user maps its own ID by itself and the IDs of /etc/subuid
//! and /etc/subgid by the setuid helpers, which run side by side: each is a program of a millisecond.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::{WaitId, WaitIdOptions};

use crate::error::{At, Code, Error, Result};
use crate::paths::{open_host, read_all, write_all};
use crate::spec::IdMapping;
use crate::{sys, userns};

/// Where the setuid helpers are; never by PATH, which is the user's.
const HELPER_DIRS: [&str; 3] = ["/usr/bin", "/bin", "/usr/local/bin"];

/// Writes both maps of the namespace that process `pid` is in.
///
/// # Errors
/// `kernel` naming the file and the map; `denied` with the words of a helper.
pub fn write(pid: u32, uids: &[IdMapping], gids: &[IdMapping]) -> Result<()> {
    if rustix::process::geteuid().is_root() {
        write_split(pid, "uid_map", uids)?;
        return write_split(pid, "gid_map", gids);
    }
    let maps_self =
        |map: &[IdMapping], id: u32| matches!(map, [only] if only.size == 1 && only.host_id == id);
    if maps_self(uids, rustix::process::geteuid().as_raw())
        && maps_self(gids, rustix::process::getegid().as_raw())
    {
        return write_single(pid, uids, gids);
    }
    let (Some(newuidmap), Some(newgidmap)) = (helper("newuidmap"), helper("newgidmap")) else {
        let message = "needs newuidmap and newgidmap, which are not installed";
        return Err(Error::new(Code::Denied, "linux.uidMappings", "", message)
            .with_hint("install the package uidmap"));
    };
    let first = Running::start(&newuidmap, pid, uids)?;
    let second = Running::start(&newgidmap, pid, gids)?;
    first.finish()?;
    second.finish()
}

/// Without privileges the kernel allows one ID, and only after setgroups is denied for good (CVE-2014-8989).
fn write_single(pid: u32, uids: &[IdMapping], gids: &[IdMapping]) -> Result<()> {
    write_text(pid, "setgroups", "deny")?;
    write_map(pid, "uid_map", uids)?;
    write_map(pid, "gid_map", gids)
}

/// As root of a namespace: a range that crosses borders of that namespace's own map is refused as it is (EPERM), and taken
/// in parts.
fn write_split(pid: u32, file: &str, map: &[IdMapping]) -> Result<()> {
    let whole = write_map(pid, file, map);
    if !whole.as_ref().is_err_and(|error| error.errno == Some(libc::EPERM)) {
        return whole;
    }
    let parts = split(map, &userns::read_map(&format!("/proc/self/{file}"))?);
    if parts.len() == map.len() { whole } else { write_map(pid, file, &parts) }
}

/// Each range cut where a range of `outer` (inside, outside, count) begins.
fn split(map: &[IdMapping], outer: &[(u32, u32, u32)]) -> Vec<IdMapping> {
    let mut parts = Vec::new();
    for range in map {
        let end = range.host_id.saturating_add(range.size);
        let mut borders: Vec<u32> = outer.iter().map(|&(inside, _, _)| inside).collect();
        borders.retain(|&border| range.host_id < border && border < end);
        borders.sort_unstable();
        borders.push(end);
        let mut host_id = range.host_id;
        for border in borders {
            let container_id = range.container_id + (host_id - range.host_id);
            parts.push(IdMapping { container_id, host_id, size: border - host_id });
            host_id = border;
        }
    }
    parts
}

fn write_map(pid: u32, file: &str, map: &[IdMapping]) -> Result<()> {
    let text: String = map
        .iter()
        .map(|range| format!("{} {} {}\n", range.container_id, range.host_id, range.size))
        .collect();
    write_text(pid, file, &text).map_err(|error| {
        let lines = text.trim_end().replace('\n', ", ");
        let message = format!("{} (map {lines})", error.message);
        Error { message, ..error }
    })
}

/// One write: the kernel takes the map whole or not at all.
fn write_text(pid: u32, file: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{file}");
    let target = open_host(Path::new(&path), OFlags::WRONLY)?;
    write_all(&target, text.as_bytes()).at("write", path.as_str())
}

/// The path of a setuid helper, if it is installed.
#[must_use]
pub fn helper(name: &str) -> Option<PathBuf> {
    HELPER_DIRS.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists())
}

/// A helper under way.
struct Running {
    pidfd: OwnedFd,
    stderr: OwnedFd,
    name: String,
}

impl Running {
    fn start(program: &Path, pid: u32, map: &[IdMapping]) -> Result<Self> {
        let name = program.file_name().map_or_else(String::new, |n| n.to_string_lossy().into());
        let mut words = vec![name.clone(), pid.to_string()];
        for range in map {
            words.extend([range.container_id, range.host_id, range.size].map(|n| n.to_string()));
        }
        let args: Vec<CString> =
            words.into_iter().filter_map(|word| CString::new(word).ok()).collect();
        let (stderr, write) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).at("pipe", &name)?;
        let null = open_host(Path::new("/dev/null"), OFlags::RDWR)?;
        let command = sys::spawn::Command {
            program: &crate::paths::c_string(program.as_os_str(), "helper")?,
            args: &args,
            env: &[],
            stdio: [null.as_fd(), null.as_fd(), write.as_fd()],
            keep: &[],
        };
        let pidfd = sys::spawn::spawn(&command).at("exec", program)?;
        Ok(Self { pidfd, stderr, name })
    }

    fn finish(self) -> Result<()> {
        let words = read_all(&self.stderr, Path::new(&self.name), 4096)?;
        let id = WaitId::PidFd(self.pidfd.as_fd());
        let status = rustix::io::retry_on_intr(|| {
            rustix::process::waitid(id.clone(), WaitIdOptions::EXITED)
        })
        .at("wait", &self.name)?;
        if status.and_then(|status| status.exit_status()) == Some(0) {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&words);
        let message = words.trim().lines().last().unwrap_or("failed without a word").to_owned();
        let hint = "run `pyrt doctor`; the ranges are in /etc/subuid and /etc/subgid, the helpers must be setuid";
        Err(Error::new(Code::Denied, self.name, "", message).with_hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::{IdMapping, split};

    #[test]
    fn ranges_are_cut_at_the_borders_of_the_outer_map() {
        let range = |container_id, host_id, size| IdMapping { container_id, host_id, size };
        let outer = [(0, 1000, 1), (1, 100_000, 65536)];
        let cut = |map: &[IdMapping]| {
            let parts = split(map, &outer);
            parts.iter().map(|p| (p.container_id, p.host_id, p.size)).collect::<Vec<_>>()
        };
        assert_eq!(cut(&[range(0, 0, 65537)]), [(0, 0, 1), (1, 1, 65536)]);
        assert_eq!(cut(&[range(5, 1, 10), range(0, 0, 2)]), [(5, 1, 10), (0, 0, 1), (1, 1, 1)]);
        assert_eq!(cut(&[range(0, u32::MAX, 9)]).len(), 1);
    }
}
