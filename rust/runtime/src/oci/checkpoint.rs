//! `checkpoint` and `restore`, which CRIU does where it is installed and has the rights.

use std::path::Path;

use pyrt_core::{Code, Error, Result};

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

/// CRIU writes to files that only CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN of the machine's own user namespace opens
/// (/proc/sys/kernel/ns_last_pid, clone3's set_tid, map_files); a user's container runtime has neither.
fn refusal(verb: &str) -> Error {
    let dirs = ["/usr/sbin", "/usr/bin", "/sbin", "/usr/local/sbin", "/usr/local/bin"];
    let is_there = dirs.iter().any(|dir| Path::new(dir).join("criu").exists());
    let (message, hint) = if is_there {
        (
            "criu needs CAP_CHECKPOINT_RESTORE in the initial user namespace, which a rootless runtime does not have",
            "",
        )
    } else {
        ("criu is not installed: executable file not found in $PATH", "")
    };
    Error::new(Code::Unsupported, verb, "", message).with_hint(hint)
}
