//! What a runtime does that stays: signals go to the container, and its terminal is ours.

use std::os::fd::{AsFd, OwnedFd};

use pyrt_core::relay::{self, Order, Orders, Signals, Streams};
use pyrt_core::{At, Result};
use rustix::event::PollFlags;
use rustix::process::{WaitId, WaitIdOptions};

use super::notify::Proxy;

/// Forwards signals, and bytes where there is a terminal, until `process`, our child, has ended; its exit status.
pub(super) fn attend(
    process: &OwnedFd,
    terminal: Option<&OwnedFd>,
    signals: &Signals,
    notify: Option<&Proxy>,
) -> Result<i32> {
    let Some(terminal) = terminal else { return attend_signals(process, signals, notify) };
    let streams = Streams {
        stdin: Some(rustix::stdio::stdin()),
        stdout: Some(rustix::stdio::stdout()),
        stderr: None,
        tty: true,
        detach_keys: b"",
        sig_proxy: true,
    };
    let code = std::cell::Cell::new(None);
    let reap = || wait(process).map(|status| code.set(Some(status)));
    relay::over_terminal(terminal, process, signals, &streams, reap)?;
    code.get().map_or_else(|| wait(process), Ok)
}

fn attend_signals(process: &OwnedFd, signals: &Signals, mut notify: Option<&Proxy>) -> Result<i32> {
    loop {
        let [ended, told, said] = relay::wait([
            Some((process.as_fd(), PollFlags::IN)),
            Some((signals.as_fd(), PollFlags::IN)),
            notify.map(|notify| (notify.as_fd(), PollFlags::IN)),
        ])?;
        if !said.is_empty()
            && let Some(proxy) = notify
            && proxy.pass()?
        {
            notify = None;
        }
        if !told.is_empty()
            && let Order::Signal(number) = signals.next()?
        {
            relay::send_signal(process, number);
        }
        if !ended.is_empty() {
            return wait(process);
        }
    }
}

/// Reaps it; as a shell would say it, 128 and the signal that ended it.
fn wait(process: &OwnedFd) -> Result<i32> {
    let id = || WaitId::PidFd(process.as_fd());
    let status = rustix::io::retry_on_intr(|| rustix::process::waitid(id(), WaitIdOptions::EXITED))
        .at("wait", "container")?;
    let code = status.as_ref().and_then(|status| {
        status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal))
    });
    Ok(code.unwrap_or(255))
}
