//! `ps`: the processes of a container, as the host sees them.
//!
//! CVE-2022-1227's class: nothing in the container is executed or entered; /proc and the cgroup say it.

use std::ffi::{CString, OsString};
use std::os::fd::AsFd;
use std::path::Path;

use pyrt_core::paths::{c_string, memory_file, open_host, read_all};
use pyrt_core::sys::spawn::{Command, spawn};
use pyrt_core::{At, Code, Error, Result};
use rustix::fs::{OFlags, SeekFrom};
use rustix::process::{WaitId, WaitIdOptions};

use super::command_line::{Words, invalid};
use super::container::Container;
use super::globals::Globals;

const PS: [&str; 3] = ["/usr/bin/ps", "/bin/ps", "/usr/local/bin/ps"];

/// `ps [--format table|json] ID [options of ps]`
pub(super) fn main(globals: &Globals, words: &Words) -> Result<i32> {
    let container = Container::find(globals, words.first_id("ps")?)?;
    let format = words.text("format")?.unwrap_or("table");
    let pids = processes(&container)?;
    match format {
        "json" => {
            let text = serde_json::to_string(&pids).unwrap_or_default();
            Ok(crate::print(&format!("{text}\n")))
        }
        "table" => table(&words.rest[1..], &pids),
        other => Err(invalid(&format!("invalid format option {other:?}"))),
    }
}

/// Pids of the host: those in the container's cgroup, else those in its pid namespace, else init.
pub(super) fn processes(container: &Container) -> Result<Vec<u32>> {
    let has_ended = container.process()?.is_none();
    if has_ended && container.record.ends_with_init {
        return Ok(Vec::new());
    }
    match container.cgroup() {
        Ok(Some(cgroup)) => return cgroup.processes(),
        Err(error) if !has_ended || error.code != Code::NotFound => return Err(error),
        _ if has_ended => return Ok(Vec::new()),
        _ => {}
    }
    let namespace = |pid: u32| rustix::fs::stat(format!("/proc/{pid}/ns/pid")).ok();
    let init = container.record.pid;
    let (Some(own), Some(theirs)) = (namespace(std::process::id()), namespace(init)) else {
        return Ok(vec![init]);
    };
    if own.st_ino == theirs.st_ino {
        return Ok(vec![init]);
    }
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc").at("read", "/proc")? {
        let name = entry.at("read", "/proc")?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        if namespace(pid).is_some_and(|found| found.st_ino == theirs.st_ino) {
            pids.push(pid);
        }
    }
    pids.sort_unstable();
    Ok(pids)
}

/// The lines of ps(1) that are about these processes, as runc has it.
fn table(options: &[OsString], pids: &[u32]) -> Result<i32> {
    let default = [OsString::from("-ef")];
    let options = if options.is_empty() { &default } else { options };
    let program = PS.iter().map(Path::new).find(|path| path.exists()).ok_or_else(|| {
        Error::new(Code::NotFound, "ps", "", "executable file not found: install procps")
    })?;
    let program = c_string(program.as_os_str(), "ps")?;
    let mut args = vec![CString::from(c"ps")];
    for option in options {
        args.push(c_string(option, "ps option")?);
    }
    let null = open_host(Path::new("/dev/null"), OFlags::RDWR)?;
    let output = memory_file("ps", b"")?;
    let stdio = [null.as_fd(), output.as_fd(), rustix::stdio::stderr()];
    let command = Command { program: &program, args: &args, env: &[], stdio, keep: &[] };
    let pidfd = spawn(&command).at("exec", "ps")?;
    let id = || WaitId::PidFd(pidfd.as_fd());
    let wait = || rustix::process::waitid(id(), WaitIdOptions::EXITED);
    let status = rustix::io::retry_on_intr(wait).at("wait", "ps")?;
    if status.and_then(|status| status.exit_status()) != Some(0) {
        return Err(Error::new(Code::Exec, "ps", "", "failed"));
    }
    rustix::fs::seek(&output, SeekFrom::Start(0)).at("seek", "ps")?;
    let text = read_all(&output, Path::new("ps"), 64 << 20)?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let column = head
        .split_whitespace()
        .position(|word| word == "PID")
        .ok_or_else(|| invalid("ps: the options must keep a PID column"))?;
    let mut shown = format!("{head}\n");
    for line in lines {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        if pid.is_some_and(|pid: u32| pids.contains(&pid)) {
            shown.push_str(line);
            shown.push('\n');
        }
    }
    Ok(crate::print(&shown))
}
