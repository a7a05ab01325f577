//! slirp4netns as a way out, where there is no pasta: it stays in the foreground and is told of ports on a socket, so
//! somebody has to begin it.

use std::ffi::{CString, OsString};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use pyrt_core::paths::{c_string, open_host, write_all};
use pyrt_core::sys::spawn::{Command, spawn};
use pyrt_core::{At, Code, Error, Result};
use rustix::fs::{MemfdFlags, OFlags, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions};
use rustix::stdio::stderr;

use crate::Status;
use crate::arguments::{Arguments, missing};

/// `slirp --netns PATH --socket PATH [--forward PROTOCOL,ADDRESS,PORT,PORT]… -- PROGRAM [OPTION…]`: starts the program and
/// ends when all can be used; what stays behind is our parent's child.
pub(super) fn main(arguments: &Arguments) -> Status {
    let netns = open_host(&arguments.path("netns")?, OFlags::RDONLY)?;
    let (ready, write) = pipe_with(PipeFlags::CLOEXEC).at("pipe", "slirp4netns")?;
    // Not our own, which nobody reads once we have ended: a word of its would be its end, by SIGPIPE.
    let words =
        memfd_create("slirp4netns", MemfdFlags::CLOEXEC).at("memfd_create", "slirp4netns")?;
    let child = start(arguments, &netns, &write, &words)?;
    drop(write);
    let mut byte = [0; 1];
    let count = rustix::io::retry_on_intr(|| rustix::io::read(&ready, &mut byte));
    if count.at("read", "slirp4netns")? == 0 {
        let wait = || rustix::process::waitid(WaitId::PidFd(child.as_fd()), WaitIdOptions::EXITED);
        rustix::io::retry_on_intr(wait).at("wait", "slirp4netns")?;
        let mut said = [0; 4096];
        let count = rustix::io::pread(&words, &mut said, 0).at("read", "slirp4netns")?;
        write_all(stderr(), &said[..count]).at("write", "slirp4netns")?;
        return Ok(1);
    }
    let socket = arguments.path("socket")?;
    for port in arguments.all("forward") {
        forward(&socket, &port.to_string_lossy())?;
    }
    Ok(0)
}

fn start(
    arguments: &Arguments,
    netns: &OwnedFd,
    ready: &OwnedFd,
    words: &OwnedFd,
) -> Result<OwnedFd> {
    let program = arguments.rest.first().ok_or_else(|| missing("program"))?;
    let more: [OsString; 5] = [
        format!("--ready-fd={}", ready.as_raw_fd()).into(),
        format!("--api-socket={}", arguments.path("socket")?.display()).into(),
        "--netns-type=path".into(),
        format!("/proc/self/fd/{}", netns.as_raw_fd()).into(),
        arguments.get("device").ok_or_else(|| missing("device"))?.clone(),
    ];
    let argv = arguments.rest.iter().chain(&more);
    let args: Vec<CString> = argv.map(|word| c_string(word, "argument")).collect::<Result<_>>()?;
    let null = open_host(Path::new("/dev/null"), OFlags::RDWR)?;
    let command = Command {
        program: &c_string(program, "program")?,
        args: &args,
        env: &[],
        stdio: [null.as_fd(), null.as_fd(), words.as_fd()],
        keep: &[netns.as_fd(), ready.as_fd()],
    };
    spawn(&command).at("exec", program)
}

/// Has a port of the machine answered by the container.
fn forward(socket: &Path, port: &str) -> Result<()> {
    let parts: Vec<&str> = port.split(',').collect();
    let [protocol, address, outside, inside] = parts[..] else { return Err(missing("forward")) };
    let number =
        |text: &str| text.parse::<u16>().map_err(|_| crate::arguments::invalid("forward", text));
    let request = serde_json::json!({"execute": "add_hostfwd", "arguments": {
        "proto": protocol, "host_addr": address, "host_port": number(outside)?,
        "guest_port": number(inside)?,
    }});
    let talk = || {
        let mut answer = String::new();
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(request.to_string().as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    let answer: String = talk().at("publish", port)?;
    if answer.contains("\"error\"") {
        return Err(Error::new(Code::Conflict, "publish", port, answer));
    }
    Ok(())
}
