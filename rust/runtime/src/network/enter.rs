//! `pyrt-network enter`: a command in the node, as its root.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pyrt_core::state::lock_holder;
use pyrt_core::sys::fork::{self, Fork};
use pyrt_core::sys::signal;
use pyrt_core::{At, Code, Error, Result, userns};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{DumpableBehavior, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use crate::Status;
use crate::arguments::{Arguments, missing};

/// What a terminal sends to the command, too.
const OF_TERMINALS: [i32; 3] = [libc::SIGINT, libc::SIGQUIT, libc::SIGWINCH];
/// What stops and continues us, as it does the command.
const OF_JOBS: [i32; 4] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU, libc::SIGCONT];

/// `enter --run-root DIR -- COMMAND…`: the exit status is the command's; 126 and 127 as a shell has them, 125 for a failure of
/// ours.
pub(super) fn main(arguments: &Arguments) -> Status {
    match run(arguments) {
        Err(error) => {
            crate::complain(&error);
            Ok(125)
        }
        done => done,
    }
}

fn run(arguments: &Arguments) -> Status {
    let command = words(arguments)?;
    let directory = rustix::process::getcwd(Vec::new()).ok();
    join(&arguments.path("run-root")?)?;
    let signals: Vec<i32> = (1..=64)
        .filter(|number| !matches!(number, 9 | 19 | 32 | 33) && !OF_JOBS.contains(number))
        .collect();
    let before = signal::block(&signals).at("block", "signals")?;
    let pending = signal::descriptor(&signals).at("signalfd", "")?;
    let Fork::Parent { pidfd, .. } = fork::fork_single(0, None).at("clone", "enter")? else {
        // Who kills us means the command.
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        let directory = directory.unwrap_or_default();
        let _ = rustix::process::chdir(&directory).or_else(|_| rustix::process::chdir("/"));
        signal::restore(&before);
        let error = crate::init::execute(&command);
        crate::complain(&error);
        fork::exit_now(if error.errno == Some(libc::ENOENT) { 127 } else { 126 });
    };
    attend(&pidfd, &pending)
}

fn words(arguments: &Arguments) -> Result<Vec<CString>> {
    let words = arguments.rest.iter().map(|word| CString::new(word.as_bytes()));
    let words: Vec<CString> = words
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| Error::new(Code::InvalidSpec, "argument", "command", "contains a NUL byte"))?;
    if words.is_empty() { Err(missing("command")) } else { Ok(words) }
}

/// Into all of the node's namespaces, through its first process; what we start then is born there.
fn join(run_root: &Path) -> Result<()> {
    let lock: PathBuf = run_root.join(userns::NODE);
    let (first, _) = lock_holder(&lock)?.ok_or_else(|| {
        Error::new(Code::Conflict, "node", "", "does not run").with_hint("run `pyrt node start`")
    })?;
    // Nobody in there may open our executable or memory through /proc.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).at("set dumpable", "")?;
    move_into_thread_name_spaces(
        first.as_fd(),
        ThreadNameSpaceType::USER
            | ThreadNameSpaceType::MOUNT
            | ThreadNameSpaceType::NETWORK
            | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
            | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
            | ThreadNameSpaceType::PROCESS_ID,
    )
    .at("setns", "node")?;
    userns::take_root()
}

/// Hands on what we are sent, until it ends.
fn attend(command: &OwnedFd, pending: &OwnedFd) -> Status {
    loop {
        let mut wait = [PollFd::new(pending, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut wait, None)).at("poll", "signals")?;
        while let Some(number) = signal::next(pending.as_fd()).at("read", "signals")? {
            if number == libc::SIGCHLD {
                let now = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
                if let Some(status) =
                    waitid(WaitId::PidFd(command.as_fd()), now).at("wait", "command")?
                {
                    let ended = status.terminating_signal().map(|signal| 128 + signal);
                    return Ok(status.exit_status().or(ended).unwrap_or(255));
                }
            } else if !OF_TERMINALS.contains(&number)
                && let Some(signal) = signal::from_number(number)
            {
                let _ = pidfd_send_signal(command, signal); // it has just ended
            }
        }
    }
}
