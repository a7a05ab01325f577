//! A service hands on what comes to its ports, to those of its endpoints that are ready, in turns: by rules in its own
//! network namespace, so that its connections go on whatever becomes of us.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use pyrt_core::netlink::Socket;
use pyrt_core::netlink::nftables::{DESTINATION, Expression, POSTROUTING};
use pyrt_core::{At, Result};

use super::forward::Protocol;
use super::links;
use super::members::{Attachment, Seen, Service};

/// IPPROTO_*.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// The addresses that a service in these networks hands on to, in order.
pub(super) fn endpoints(
    service: &Service,
    networks: &[Attachment],
    members: &[Seen<'_>],
) -> Vec<IpAddr> {
    let is_shared = |other: &&Attachment| networks.iter().any(|own| own.name == other.name);
    let mut found: Vec<IpAddr> = members
        .iter()
        .filter(|member| member.is_ready && !member.is_service)
        .flat_map(|member| member.networks.iter().filter(is_shared))
        .filter(|network| network.names.contains(&service.endpoints))
        .flat_map(Attachment::ips)
        .collect();
    found.sort_unstable();
    found
}

/// Writes the rules of a service into its network namespace.
///
/// To a service without endpoints nobody can connect: nobody listens there. Where it hands on, the endpoint sees the
/// service's own address, since the answers have to come back this way.
pub(super) fn apply(netns: &OwnedFd, service: &Service, endpoints: &[IpAddr]) -> Result<()> {
    let mut rules = Vec::new();
    for port in &service.ports {
        let protocol = match port.protocol {
            Protocol::Tcp => TCP,
            Protocol::Udp => UDP,
        };
        for is_v6 in [false, true] {
            let targets = || endpoints.iter().filter(|address| address.is_ipv6() == is_v6);
            // Every nth of those that the rules before have left.
            for (left, target) in (1..=targets().count()).rev().zip(targets()) {
                rules.push(vec![
                    Expression::IsTo { is_v6, protocol, port: port.port },
                    Expression::EveryNth(u32::try_from(left).unwrap_or(u32::MAX)),
                    Expression::SendTo(SocketAddr::new(*target, port.target)),
                ]);
            }
        }
    }
    links::inside(netns, || {
        links::allow_forwarding()?;
        Socket::netfilter()
            .at("socket", "netlink")?
            .replace_table(&[
                (DESTINATION, rules),
                (POSTROUTING, vec![vec![Expression::Masquerade]]),
            ])
            .at("set rules of", "service")
    })
}
