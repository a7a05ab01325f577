//! The kernel's part of a network: its bridge, a veth pair for each container, what may be forwarded.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};

use pyrt_core::netlink::Socket;
use pyrt_core::netlink::nftables::{Expression, FORWARD, POSTROUTING, PREROUTING};
use pyrt_core::netlink::route::{LOOPBACK, Peer};
use pyrt_core::{At, Result};
use rustix::io::Errno;
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::members::{Attachment, parse_address};

/// What pasta calls its device here (`--ns-ifname`).
const UPLINK: &str = "uplink";

/// On packets for a forwarder that speaks for a client.
const MARK: u32 = 1;
/// The routing table for those.
const TABLE: u8 = 100;

/// What every bridge needs once.
pub(super) fn prepare() -> Result<()> {
    let route = Socket::route().at("socket", "netlink")?;
    route.set_up(LOOPBACK).at("set up", "lo")?;
    allow_forwarding()?;
    let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    for any in any {
        match route.deliver_marked(any, MARK, TABLE) {
            Err(Errno::AFNOSUPPORT | Errno::OPNOTSUPP) if any.is_ipv6() => {}
            done => done.at("route", "replies to forwarded connections")?,
        }
    }
    Ok(())
}

/// Lets packets through this network namespace, and tells nobody of a way round it.
pub(super) fn allow_forwarding() -> Result<()> {
    let settings = [
        ("ipv4/ip_forward", "1"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/default/send_redirects", "0"),
        ("ipv6/conf/all/forwarding", "1"),
    ];
    for (name, value) in settings {
        let path = format!("/proc/sys/net/{name}");
        match std::fs::write(&path, value) {
            // A machine without IPv6.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            written => written.at("write", path)?,
        }
    }
    Ok(())
}

/// Whether there is a way out of this network namespace.
pub(super) fn has_uplink() -> bool {
    Socket::route().is_ok_and(|route| route.find_link(UPLINK).is_ok())
}

/// Writes all rules: `bridges` are the names and whether they are internal.
///
/// What comes from a bridge may leave by the uplink, with its address, unless the network is internal; never by another
/// bridge.
pub(super) fn filter(bridges: &[(&str, bool)]) -> Result<()> {
    let uplink = || UPLINK.to_owned();
    let transparent = vec![Expression::ForTransparentSocket, Expression::Mark(MARK)];
    let forward = bridges.iter().map(|(bridge, internal)| {
        // To itself: where the kernel shows bridged packets to these rules, too (br_netfilter).
        let own = (*bridge).to_owned();
        let mut rule = vec![Expression::ComesBy(own.clone()), Expression::LeavesByOther(own)];
        if !internal {
            rule.push(Expression::LeavesByOther(uplink()));
        }
        rule.push(Expression::Drop);
        rule
    });
    let masquerade = vec![Expression::LeavesBy(uplink()), Expression::Masquerade];
    Socket::netfilter()
        .at("socket", "netlink")?
        .replace_table(&[
            (PREROUTING, vec![transparent]),
            (FORWARD, forward.collect()),
            (POSTROUTING, vec![masquerade]),
        ])
        .at("set rules of", "nftables")
}

/// FNV-1a: the same name for the same thing, whichever supervisor asks.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Makes the bridge of a network, with the gateways' addresses, if it is not there.
pub(super) fn ensure_bridge(route: &Socket, network: &Attachment) -> Result<u32> {
    let bridge = network.bridge.as_str();
    let [.., a, b, c, d] = hash(bridge.as_bytes()).to_be_bytes();
    // Local, of one device (IEEE 802).
    let index = route.add_bridge(bridge, [2, 0x50, a, b, c, d]).at("make bridge", bridge)?;
    for address in &network.gateways {
        let (address, prefix) = parse_address(address)?;
        route.add_address(index, address, prefix).at("give address to", bridge)?;
    }
    route.set_up(index).at("set up", bridge)?;
    Ok(index)
}

/// Connects a container's network namespace with the bridge, unless it is.
pub(super) fn connect(
    route: &Socket,
    bridge: u32,
    device: &str,
    network: &Attachment,
    netns: &OwnedFd,
) -> Result<()> {
    let name = network.interface.as_str();
    let peer = Peer { netns: netns.as_fd(), name, hardware_address: network.hardware_address()? };
    match route.add_veth(device, bridge, &peer) {
        Err(Errno::EXIST) => return Ok(()), // by the supervisor before us
        made => made.at("make veth", device)?,
    }
    let socket = inside(netns, || Socket::route().at("socket", "netlink"));
    let configured = socket.and_then(|inside| configure(&inside, network));
    if configured.is_err() {
        let _ = route.remove_link(device); // the error is what is told
    }
    configured
}

/// Addresses and routes in the container.
fn configure(inside: &Socket, network: &Attachment) -> Result<()> {
    let name = network.interface.as_str();
    inside.set_up(LOOPBACK).at("set up", "lo")?;
    let index = inside.find_link(name).at("find", name)?;
    for address in &network.addresses {
        let (address, prefix) = parse_address(address)?;
        inside.add_address(index, address, prefix).at("give address to", name)?;
    }
    inside.set_up(index).at("set up", name)?;
    if !network.internal {
        for gateway in &network.gateways {
            let (gateway, _) = parse_address(gateway)?;
            inside.add_default_route(gateway).at("route by", name)?;
        }
    }
    Ok(())
}

/// Does something in another network namespace. Ours is the user's, like the one above the container's: we come back.
pub(super) fn inside<T>(netns: &OwnedFd, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let own =
        pyrt_core::paths::open_host("/proc/self/ns/net".as_ref(), rustix::fs::OFlags::RDONLY)?;
    let go = |to: &OwnedFd| {
        move_into_thread_name_spaces(to.as_fd(), ThreadNameSpaceType::NETWORK)
            .at("setns", "network namespace")
    };
    go(netns)?;
    let done = act();
    go(&own)?;
    done
}
