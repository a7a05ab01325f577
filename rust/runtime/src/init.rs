//! `pyrt-runtime init -- PROGRAM …`: pid 1 inside a container, for programs that were not written to be it.

use std::ffi::{CString, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use pyrt_core::sys::fork::{self, Fork};
use pyrt_core::sys::signal;
use pyrt_core::{At, Code, Error};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, WaitOptions};

use crate::Status;
use crate::arguments::Arguments;

/// Forwards every signal, reaps every orphan, ends as the program ends; and ends all others before, and waits for them,
/// so that what they used is counted with ours (the kernel forgets what it ends itself).
pub(crate) fn main(args: &[OsString]) -> Status {
    let args = Arguments::parse(args)?;
    let program = args.rest.first().ok_or_else(|| crate::arguments::missing("program"))?;
    let argv: Vec<CString> = args
        .rest
        .iter()
        .map(|word| CString::new(word.as_bytes()))
        .collect::<Result<_, _>>()
        .map_err(|_| Error::new(Code::InvalidSpec, "argument", "program", "contains a NUL byte"))?;
    let signals: Vec<i32> = (1..=64).filter(|number| !matches!(number, 9 | 19 | 32 | 33)).collect();
    signal::block(&signals).at("block", "signals")?;
    let pending = signal::descriptor(&signals).at("signalfd", "")?;
    let child = match fork::fork_single(0, None).at("clone", program)? {
        Fork::Child => {
            // Its own group and, if there is a terminal, its foreground: job control works as without us. While
            // SIGTTOU is still blocked: to a group that is not the foreground yet it would be a stop.
            let _ = rustix::process::setpgid(None, None);
            let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid());
            signal::reset_all();
            let error = execute(&argv);
            crate::complain(&error);
            fork::exit_now(if error.errno == Some(libc::ENOENT) { 127 } else { 126 });
        }
        Fork::Parent { pid, .. } => pid,
    };
    loop {
        let mut wait = [PollFd::new(&pending, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut wait, None)).at("poll", "signals")?;
        while let Some(number) = signal::next(pending.as_fd()).at("read", "signals")? {
            if number == libc::SIGCHLD {
                if let Some(code) = reap(child) {
                    signal::kill_all_others();
                    while rustix::process::wait(WaitOptions::empty()).is_ok() {}
                    return Ok(code);
                }
            } else {
                forward(child, number);
            }
        }
    }
}

/// Looks the program up as the container's init did for us.
pub(crate) fn execute(argv: &[CString]) -> Error {
    let text = |word: &CString| word.to_string_lossy().into_owned();
    let process = pyrt_core::spec::Process {
        args: argv.iter().map(text).collect(),
        env: std::env::vars().map(|(name, value)| format!("{name}={value}")).collect(),
        ..Default::default()
    };
    match pyrt_core::process::Program::find(&process) {
        Ok(program) => program.execute(),
        Err(error) => error,
    }
}

fn forward(child: u32, number: i32) {
    let pid = i32::try_from(child).ok().and_then(Pid::from_raw);
    if let (Some(pid), Some(signal)) = (pid, signal::from_number(number)) {
        // ESRCH: it has just ended, which SIGCHLD tells next.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Reaps all that ended; the exit status if the program is among them.
fn reap(child: u32) -> Option<i32> {
    let mut code = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if u32::try_from(pid.as_raw_nonzero().get()) == Ok(child) {
            code = status
                .exit_status()
                .or_else(|| status.terminating_signal().map(|signal| 128 + signal));
        }
    }
    code
}
