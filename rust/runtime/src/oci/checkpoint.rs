//! `checkpoint` and `restore`: what CRIU would have to do, and why it cannot.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::path::Path;

use pyrt_core::paths::{c_string, memory_file, open_host, read_all};
use pyrt_core::sys::spawn::{Command, spawn};
use pyrt_core::{At, Code, Error, Result};
use rustix::fs::{OFlags, SeekFrom};
use rustix::process::{WaitId, WaitIdOptions};

use super::command_line::Words;
use super::container::Container;
use super::globals::Globals;

pub(super) const CHECKPOINT_FLAGS: [&str; 20] = [
    "image-path=",
    "work-path=",
    "parent-path=",
    "leave-running",
    "tcp-established",
    "tcp-skip-in-flight",
    "tcp-close",
    "link-remap",
    "ext-unix-sk",
    "shell-job",
    "lazy-pages",
    "status-fd=",
    "page-server=",
    "file-locks",
    "pre-dump",
    "manage-cgroups-mode=",
    "empty-ns=",
    "auto-dedup",
    "network-lock=",
    "criu=",
];

pub(super) const RESTORE_FLAGS: [&str; 22] = [
    "console-socket=",
    "image-path=",
    "work-path=",
    "tcp-established",
    "tcp-close",
    "ext-unix-sk",
    "shell-job",
    "file-locks",
    "manage-cgroups-mode=",
    "bundle,b=",
    "detach,d",
    "pid-file=",
    "lsm-profile=",
    "lsm-mount-context=",
    "no-subreaper",
    "no-pivot",
    "empty-ns=",
    "auto-dedup",
    "lazy-pages",
    "network-lock=",
    "keep",
    "preserve-fds=",
];

/// `checkpoint [flags] ID`
pub(super) fn checkpoint(globals: &Globals, words: &Words) -> Result<i32> {
    Container::find(globals, words.only_id("checkpoint")?)?.running_process()?;
    Err(refusal("checkpoint"))
}

/// `restore [flags] ID`
pub(super) fn restore(_: &Globals, words: &Words) -> Result<i32> {
    words.only_id("restore")?;
    Err(refusal("restore"))
}

/// Why not: CRIU is absent, or what it says itself about this machine and this user, or that a container whose user
/// namespace was not made by the machine's root is out of its reach.
fn refusal(verb: &str) -> Error {
    let refuse = |message: String| Error::new(Code::Unsupported, verb, "criu", message);
    let dirs = ["/usr/sbin", "/usr/bin", "/sbin", "/usr/local/sbin", "/usr/local/bin"];
    let Some(criu) = dirs.iter().map(|dir| Path::new(dir).join("criu")).find(|path| path.exists())
    else {
        return refuse("executable file not found in $PATH: criu is not installed".to_owned());
    };
    match check(&criu) {
        Ok(Some(words)) => refuse(format!("cannot work here: {words}")),
        Ok(None) => refuse(
            "works here, for root; this runtime's containers belong to users, and restoring one takes \
             CAP_CHECKPOINT_RESTORE in the machine's own user namespace"
                .to_owned(),
        ),
        Err(error) => error,
    }
}

/// `criu check`: its last complaint, or none.
fn check(criu: &Path) -> Result<Option<String>> {
    let program = c_string(criu.as_os_str(), "criu")?;
    let args = [CString::from(c"criu"), CString::from(c"check")];
    let null = open_host(Path::new("/dev/null"), OFlags::RDWR)?;
    let output = memory_file("criu", b"")?;
    let stdio = [null.as_fd(), output.as_fd(), output.as_fd()];
    let command = Command { program: &program, args: &args, env: &[], stdio, keep: &[] };
    let pidfd = spawn(&command).at("exec", criu)?;
    let id = || WaitId::PidFd(pidfd.as_fd());
    let wait = || rustix::process::waitid(id(), WaitIdOptions::EXITED);
    let status = rustix::io::retry_on_intr(wait).at("wait", "criu")?;
    if status.and_then(|status| status.exit_status()) == Some(0) {
        return Ok(None);
    }
    rustix::fs::seek(&output, SeekFrom::Start(0)).at("seek", "criu")?;
    let text = read_all(&output, Path::new("criu"), 1 << 20)?;
    let text = String::from_utf8_lossy(&text);
    let complaint = text.lines().rfind(|line| line.starts_with("Error")).or(text.lines().next());
    Ok(Some(complaint.unwrap_or("criu check fails without a word").to_owned()))
}
