//! Lifecycle hooks (runtime-spec config.md#posix-platform-hooks): programs of whoever wrote the document, run in turn.
//!
//! CVE-2025-23266's class: a hook gets the environment that it is given in the document and no other.

use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::SeekFrom;
use rustix::process::{Signal, WaitId, WaitIdOptions};

use crate::error::{At, Code, Error, Result};
use crate::init::load_filter;
use crate::paths::{c_string, memory_file, read_all};
use crate::process;
use crate::seccomp::Filter;
use crate::spec::{Hook, Process, Spec};
use crate::sync::{Message, Sync};
use crate::sys::{self, fork::Fork};

/// How much of what a hook says goes into the error.
const WORDS_BYTES: usize = 1 << 20;

/// The state that hooks read from stdin (runtime.md#state).
#[must_use]
pub fn state(spec: &Spec, id: &str, bundle: &Path, pid: u32, status: &str) -> Vec<u8> {
    let mut state = serde_json::json!({
        "ociVersion": spec.oci_version, "id": id, "status": status, "bundle": bundle,
    });
    if let Some(fields) = state.as_object_mut() {
        if pid != 0 {
            fields.insert("pid".to_owned(), pid.into());
        }
        if !spec.annotations.is_empty() {
            fields.insert("annotations".to_owned(), serde_json::json!(spec.annotations));
        }
    }
    serde_json::to_vec(&state).unwrap_or_default()
}

/// The same state later.
#[must_use]
pub fn state_when(status: &str, state: &[u8]) -> Vec<u8> {
    let mut state: serde_json::Value = serde_json::from_slice(state).unwrap_or_default();
    state["status"] = status.into();
    serde_json::to_vec(&state).unwrap_or_default()
}

/// Runs hooks in order, where we are.
///
/// # Errors
/// `exec` naming the first that fails, with its last words.
pub fn run(kind: &str, hooks: &[Hook], state: &[u8]) -> Result<()> {
    hooks.iter().try_for_each(|hook| {
        Running::start(kind, hook, state, |program, args, env, stdio| {
            let command = sys::spawn::Command { program, args, env, stdio, keep: &[] };
            sys::spawn::spawn(&command).at("exec", &hook.path)
        })?
        .finish()
    })
}

/// Runs hooks in order, in the container, whose files are the image's.
///
/// CVE-2019-5736: what the hook's path leads to may be `/proc/self/exe`, so it is executed as the program is, by way of
/// the trampoline.
///
/// # Errors
/// As [`run`].
pub fn run_inside(kind: &str, hooks: &[Hook], state: &[u8], filter: Option<&Filter>) -> Result<()> {
    hooks.iter().try_for_each(|hook| {
        Running::start(kind, hook, state, |program, args, env, stdio| {
            execute_inside(program, args, env, stdio, filter)
        })?
        .finish()
    })
}

fn execute_inside(
    program: &CString,
    args: &[CString],
    env: &[CString],
    stdio: [BorrowedFd<'_>; 3],
    filter: Option<&Filter>,
) -> Result<OwnedFd> {
    let (ours, theirs) = Sync::pair()?;
    match sys::fork::fork_single(0, None).at("clone", "hook")? {
        Fork::Child => {
            let Err(error) = become_hook(program, args, env, stdio, filter, &theirs);
            // With nobody listening there is nobody to tell; the status says it, too.
            let _ = theirs.send(&Message::Failed(error));
            sys::fork::exit_now(127);
        }
        Fork::Parent { pidfd, .. } => {
            drop(theirs);
            let name = program.to_string_lossy();
            match ours.receive()? {
                Message::Failed(error) => Err(error),
                Message::Refused { step, errno } => Err(process::refusal(&name, step, errno)),
                _ => Ok(pidfd),
            }
            .inspect_err(|_| drop(ours))
        }
    }
}

fn become_hook(
    program: &CString,
    args: &[CString],
    env: &[CString],
    stdio: [BorrowedFd<'_>; 3],
    filter: Option<&Filter>,
    sync: &Sync,
) -> Result<Infallible> {
    for (number, fd) in (0..3).zip(stdio) {
        sys::files::place(fd, number).at("dup2", "hook")?;
    }
    sys::files::close_all_but(3, [Some(sync.as_fd())]).at("close_range", "")?;
    let trampoline = process::make_trampoline(sync, &Process::default(), None, false)?;
    load_filter(filter, sync)?; // the image's program is under the container's filter, as the container's own is
    let refusal = match trampoline {
        Some(trampoline) => trampoline.execute(program, args, env, sync.as_fd()),
        None => sys::exec::execve(program, args, env),
    };
    Err(refusal).at("exec", "hook")
}

/// A hook under way.
struct Running {
    pidfd: OwnedFd,
    /// What it says. A file: a daemon that a hook leaves behind may keep a pipe open for ever.
    output: OwnedFd,
    subject: String,
    timeout_s: Option<i64>,
}

impl Running {
    fn start(
        kind: &str,
        hook: &Hook,
        state: &[u8],
        start: impl Fn(&CString, &[CString], &[CString], [BorrowedFd<'_>; 3]) -> Result<OwnedFd>,
    ) -> Result<Self> {
        let subject = format!("{kind} {}", hook.path);
        let strings = |list: &[String], field: &str| {
            list.iter().map(|text| c_string(OsStr::new(text), field)).collect::<Result<Vec<_>>>()
        };
        let program = c_string(OsStr::new(&hook.path), "hooks.path")?;
        let mut args = strings(&hook.args, "hooks.args")?;
        if args.is_empty() {
            args.push(program.clone());
        }
        let env = strings(&hook.env, "hooks.env")?;
        let input = memory_file("state", state)?;
        let output = memory_file("output", b"")?;
        let stdio = [input.as_fd(), output.as_fd(), output.as_fd()];
        let failed =
            |error: Error| Error { step: "hook".to_owned(), subject: subject.clone(), ..error };
        let pidfd = start(&program, &args, &env, stdio).map_err(failed)?;
        Ok(Self { pidfd, output, subject, timeout_s: hook.timeout })
    }

    fn finish(self) -> Result<()> {
        let subject = self.subject.as_str();
        let timeout = self.timeout_s.map(|seconds| Timespec { tv_sec: seconds, tv_nsec: 0 });
        let mut wait = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let ended =
            rustix::io::retry_on_intr(|| poll(&mut wait, timeout.as_ref())).at("poll", subject)?;
        if ended == 0 {
            // ESRCH: it ended this very moment; what counts is that it did not in time.
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        }
        let id = || WaitId::PidFd(self.pidfd.as_fd());
        let wait = || rustix::process::waitid(id(), WaitIdOptions::EXITED);
        let status = rustix::io::retry_on_intr(wait).at("wait", subject)?;
        let how = match status.as_ref().and_then(|status| status.exit_status()) {
            _ if ended == 0 => format!("took more than {} s", self.timeout_s.unwrap_or(0)),
            Some(0) => return Ok(()),
            Some(code) => format!("exit status {code}"),
            None => match status.and_then(|status| status.terminating_signal()) {
                Some(signal) => format!("killed by signal {signal}"),
                None => "ended".to_owned(),
            },
        };
        rustix::fs::seek(&self.output, SeekFrom::Start(0)).at("seek", subject)?;
        let words = read_all(&self.output, Path::new(subject), WORDS_BYTES).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        Err(Error::new(Code::Exec, "hook", subject, format!("{how}, output: {}", words.trim())))
    }
}
