//! `pyrt-network dial`: a connection from within a container's network, handed back to who asked for it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use pyrt_core::wire::{self, Frame};
use pyrt_core::{At, Error, Result, userns};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::Status;
use crate::arguments::{Arguments, missing};

/// `dial --report FD --run-root DIR --network FD --port N`
pub(super) fn main(arguments: &Arguments) -> Status {
    let report = arguments.needed_descriptor("report")?;
    let run_root = arguments.path("run-root")?;
    let network = arguments.needed_descriptor("network")?;
    let port = arguments.number("port")?.ok_or_else(|| missing("port"))?;
    match dial(&run_root, &network, port) {
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
fn dial(run_root: &Path, network: &OwnedFd, port: u16) -> Result<OwnedFd> {
    // The user's namespace is above those of all containers.
    userns::enter(&userns::ensure(run_root)?)?;
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
        .at("setns", "network")?;
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
