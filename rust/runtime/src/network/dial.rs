//! `pyrt-network dial`: a connection from within a container's network, handed back to who asked for it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use pyrt_core::wire::{self, Frame};
use pyrt_core::{At, Error, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use crate::Status;
use crate::arguments::{Arguments, missing};

/// `dial --report FD --init FD --port N`
pub(super) fn main(arguments: &Arguments) -> Status {
    let report = arguments.needed_descriptor("report")?;
    let init = arguments.needed_descriptor("init")?;
    let port = arguments.number("port")?.ok_or_else(|| missing("port"))?;
    match dial(&init, port) {
        Ok(socket) => wire::send(&report, Frame::Reply, b"{}", &[socket.as_fd()]),
        Err(error) => {
            let text = serde_json::to_vec(&error).unwrap_or_default();
            wire::send(&report, Frame::Failed, &text, &[])
        }
    }
    .at("dial", "report")?;
    Ok(0)
}

/// The loopback of IPv4, then of IPv6: a program may listen on one of them alone.
fn dial(init: &OwnedFd, port: u16) -> Result<OwnedFd> {
    // Together: the first gives the right to the second.
    let kinds = ThreadNameSpaceType::USER | ThreadNameSpaceType::NETWORK;
    move_into_thread_name_spaces(init.as_fd(), kinds).at("setns", "network")?;
    let first = (Ipv4Addr::LOCALHOST, port).into();
    let second = (Ipv6Addr::LOCALHOST, port).into();
    reach(first).or_else(|error: Error| reach(second).map_err(|_| error))
}

fn reach(address: SocketAddr) -> Result<OwnedFd> {
    let subject = address.to_string();
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .at("socket", &subject)?;
    connect(&socket, &address).at("connect", &subject)?;
    Ok(socket)
}
