//! `kill`: a signal for init, or for all.

use pyrt_core::{At, Code, Error, Result, sys};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use super::command_line::{Words, invalid};
use super::container::{Container, Status};
use super::globals::Globals;
use super::ps;

/// signal(7) on the machines there are: the position is the number less one.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// `kill [--all] ID [SIGNAL]`
pub(super) fn main(globals: &Globals, words: &Words) -> Result<i32> {
    // Flags end at the ID, but podman and CRI-O of some versions put --all behind it.
    let mut all = words.is_on("all")?;
    let mut rest: Vec<_> = words.rest.iter().skip(1).collect();
    rest.retain(|word| {
        let is_all = *word == "--all" || *word == "-a";
        all |= is_all;
        !is_all
    });
    let id = words.first_id("kill")?;
    let signal = match rest.as_slice() {
        [] => Signal::TERM,
        // kill(2): whether there is somebody to be signalled.
        [word] if *word == "0" => {
            return Container::find(globals, id)?.running_process().map(|_| 0);
        }
        [word] => parse(&word.to_string_lossy())?,
        _ => return Err(invalid("\"kill\" requires at most 2 arguments")),
    };
    let container = Container::find(globals, id)?;
    if container.status()? == Status::Stopped {
        return if all { Ok(0) } else { container.running_process().map(|_| 0) };
    }
    let process = container.running_process()?;
    // With a pid namespace of its own all end with init; without one they would stay (as runc has it).
    if all || (signal == Signal::KILL && !container.record.ends_with_init) {
        return kill_all(&container, signal).map(|()| 0);
    }
    // Before its program is there, init is a pid 1 without a handler, and the kernel would drop the signal.
    let is_deaf = container.status()? == Status::Created && ends(signal);
    let signal = if is_deaf { Signal::KILL } else { signal };
    match rustix::process::pidfd_send_signal(&process, signal) {
        Err(Errno::SRCH) => Err(Error::new(Code::Conflict, "", "", "container not running")),
        result => result.at("kill", id).map(|()| 0),
    }
}

/// Whether a process without a handler ends by this signal (signal(7)).
fn ends(signal: Signal) -> bool {
    let harmless = [
        Signal::CHILD,
        Signal::URG,
        Signal::WINCH,
        Signal::CONT,
        Signal::STOP,
        Signal::TSTP,
        Signal::TTIN,
        Signal::TTOU,
    ];
    !harmless.contains(&signal)
}

/// Each process is held before it is looked at: a pid that was given away is not signalled.
fn kill_all(container: &Container, signal: Signal) -> Result<()> {
    for pid in ps::processes(container)? {
        let Some(pid) = pid.try_into().ok().and_then(Pid::from_raw) else { continue };
        let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { continue };
        if !ps::processes(container)?.contains(&pid.as_raw_nonzero().get().cast_unsigned()) {
            continue;
        }
        match rustix::process::pidfd_send_signal(&pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(errno).at("kill", pid.as_raw_nonzero().to_string()),
        }
    }
    Ok(())
}

/// `9`, `KILL`, `SIGKILL`, `RTMIN+1`.
fn parse(word: &str) -> Result<Signal> {
    let name = word.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let position = NAMES.iter().position(|known| *known == name).map(|at| at + 1);
    let realtime = || {
        let number = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<i32>().ok() };
        if let Some(rest) = name.strip_prefix("RTMIN") {
            return number(rest).map(|offset| 34 + offset);
        }
        name.strip_prefix("RTMAX").and_then(number).map(|offset| 64 + offset)
    };
    let number = word
        .parse()
        .ok()
        .or_else(|| position.and_then(|at| i32::try_from(at).ok()))
        .or_else(realtime);
    number
        .and_then(sys::signal::from_number)
        .ok_or_else(|| invalid(&format!("unknown signal {word:?}")))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn signals_by_any_name() {
        for (word, number) in [
            ("9", 9),
            ("KILL", 9),
            ("SIGTERM", 15),
            ("sigwinch", 28),
            ("RTMIN+3", 37),
            ("RTMAX", 64),
        ] {
            assert_eq!(parse(word).unwrap().as_raw(), number, "{word}");
        }
        for word in ["", "0", "65", "-1", "NOPE", "SIG", "RTMIN+99", "9x"] {
            assert!(parse(word).is_err(), "{word:?}");
        }
    }
}
