//! Links, addresses, routes and rules (rtnetlink(7)). What is there already is no error: whoever takes up another's work
//! says it all again.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::{CREATE, DUMP, EXCLUSIVE, Message, Socket, attributes};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_NEWRULE: u16 = 32;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_F_NODAD: u8 = 0x02;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_TABLE: u16 = 15;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;

const UP: u32 = 1;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;
const SCOPE_HOST: u8 = 254;
const FR_ACT_TO_TBL: u8 = 1;

/// The loopback device of every network namespace.
pub const LOOPBACK: u32 = 1;

/// One end of a veth pair, in the namespace that it will be in.
#[derive(Debug)]
pub struct Peer<'a> {
    /// The namespace.
    pub netns: BorrowedFd<'a>,
    /// The device's name there.
    pub name: &'a str,
    /// Its hardware address; none: the kernel's choice.
    pub hardware_address: Option<[u8; 6]>,
}

fn link(kind: u16, flags: u16, index: u32, change: u32) -> Message {
    let mut fixed = [0_u8; 16]; // struct ifinfomsg
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..12].copy_from_slice(&change.to_ne_bytes());
    fixed[12..].copy_from_slice(&change.to_ne_bytes());
    Message::new(kind, flags, &fixed)
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn family(address: IpAddr) -> u8 {
    u8::try_from(if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }).unwrap_or(0)
}

impl Socket {
    /// Index and name of every device.
    ///
    /// # Errors
    /// The kernel's.
    pub fn links(&self) -> Result<Vec<(u32, String)>, Errno> {
        let mut links = Vec::new();
        self.dump(link(RTM_GETLINK, DUMP, 0, 0), &mut |_, body| {
            let Some(index) = body.get(4..8).and_then(|bytes| bytes.first_chunk()) else { return };
            let name = attributes(body.get(16..).unwrap_or_default())
                .find(|(kind, _)| *kind == IFLA_IFNAME)
                .map(|(_, name)| String::from_utf8_lossy(name.trim_ascii_end()).into_owned());
            let name = name.unwrap_or_default().trim_end_matches('\0').to_owned();
            links.push((u32::from_ne_bytes(*index), name));
        })?;
        Ok(links)
    }

    /// The index of the device with this name.
    ///
    /// # Errors
    /// ENODEV if there is none.
    pub fn find_link(&self, name: &str) -> Result<u32, Errno> {
        let links = self.links()?;
        links
            .iter()
            .find_map(|(index, known)| (known == name).then_some(*index))
            .ok_or(Errno::NODEV)
    }

    /// Makes a bridge with this hardware address, if it is not there; its index. Without one it would take the lowest of
    /// its ports', and be out of reach for whoever remembers the one before when that port goes.
    ///
    /// # Errors
    /// The kernel's.
    pub fn add_bridge(&self, name: &str, hardware_address: [u8; 6]) -> Result<u32, Errno> {
        let message = link(RTM_NEWLINK, CREATE | EXCLUSIVE, 0, 0)
            .with_name(IFLA_IFNAME, name)
            .with(IFLA_ADDRESS, &hardware_address)
            .with_nested(IFLA_LINKINFO, |info| info.with(IFLA_INFO_KIND, b"bridge"));
        allow_existing(self.ask(message))?;
        self.find_link(name)
    }

    /// Makes a pair of devices: one here, up, on the bridge `master`, the other where `peer` says.
    ///
    /// # Errors
    /// EEXIST if there is a device of one of the names.
    pub fn add_veth(&self, name: &str, master: u32, peer: &Peer<'_>) -> Result<(), Errno> {
        let netns = u32::try_from(peer.netns.as_raw_fd()).unwrap_or(0);
        let fill = |data: Message| {
            data.with_nested(VETH_INFO_PEER, |mut data| {
                data.bytes.extend_from_slice(&[0; 16]); // struct ifinfomsg
                data = data.with_name(IFLA_IFNAME, peer.name).with_u32(IFLA_NET_NS_FD, netns);
                match peer.hardware_address {
                    Some(address) => data.with(IFLA_ADDRESS, &address),
                    None => data,
                }
            })
        };
        let message = link(RTM_NEWLINK, CREATE | EXCLUSIVE, 0, UP)
            .with_name(IFLA_IFNAME, name)
            .with_u32(IFLA_MASTER, master)
            .with_nested(IFLA_LINKINFO, |info| {
                info.with(IFLA_INFO_KIND, b"veth").with_nested(IFLA_INFO_DATA, fill)
            });
        self.ask(message)
    }

    /// Sets the largest packet of a device.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_mtu(&self, index: u32, mtu: u32) -> Result<(), Errno> {
        self.ask(link(RTM_NEWLINK, 0, index, 0).with_u32(IFLA_MTU, mtu))
    }

    /// Brings a device up.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_up(&self, index: u32) -> Result<(), Errno> {
        self.ask(link(RTM_NEWLINK, 0, index, UP))
    }

    /// Removes a device, and with one of a pair the other; one that is gone is no error.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove_link(&self, name: &str) -> Result<(), Errno> {
        match self.ask(link(RTM_DELLINK, 0, 0, 0).with_name(IFLA_IFNAME, name)) {
            Err(Errno::NODEV) => Ok(()),
            result => result,
        }
    }

    /// Gives a device an address, without asking for duplicates of it: the network is ours.
    ///
    /// # Errors
    /// The kernel's.
    pub fn add_address(&self, index: u32, address: IpAddr, prefix: u8) -> Result<(), Errno> {
        let nodad = if address.is_ipv6() { IFA_F_NODAD } else { 0 };
        let mut fixed = vec![family(address), prefix, nodad, 0]; // struct ifaddrmsg
        fixed.extend_from_slice(&index.to_ne_bytes());
        let message = Message::new(RTM_NEWADDR, CREATE | EXCLUSIVE, &fixed)
            .with(IFA_LOCAL, &bytes(address))
            .with(IFA_ADDRESS, &bytes(address));
        allow_existing(self.ask(message))
    }

    /// Sends all that has no other route to `gateway`.
    ///
    /// # Errors
    /// ENETUNREACH if the gateway is in no network of ours.
    pub fn add_default_route(&self, gateway: IpAddr) -> Result<(), Errno> {
        let fixed = route(gateway, 0, RT_TABLE_MAIN, 0, RTN_UNICAST);
        let message = Message::new(RTM_NEWROUTE, CREATE | EXCLUSIVE, &fixed)
            .with(RTA_GATEWAY, &bytes(gateway));
        allow_existing(self.ask(message))
    }

    /// Hands packets that bear `mark` to our own sockets, whatever their address: replies to connections that were
    /// made with another's address (ip-rule(8), Documentation/networking/tproxy.rst).
    ///
    /// # Errors
    /// The kernel's.
    pub fn deliver_marked(&self, any: IpAddr, mark: u32, table: u8) -> Result<(), Errno> {
        let fixed = route(any, 0, table, SCOPE_HOST, RTN_LOCAL);
        let local = Message::new(RTM_NEWROUTE, CREATE | EXCLUSIVE, &fixed)
            .with(RTA_DST, &bytes(any))
            .with_u32(RTA_OIF, LOOPBACK)
            .with_u32(RTA_TABLE, u32::from(table));
        allow_existing(self.ask(local))?;
        let fixed = route(any, 0, table, 0, FR_ACT_TO_TBL); // struct fib_rule_hdr, of the same shape
        let rule = Message::new(RTM_NEWRULE, CREATE | EXCLUSIVE, &fixed)
            .with_u32(FRA_FWMARK, mark)
            .with_u32(FRA_TABLE, u32::from(table));
        allow_existing(self.ask(rule))
    }
}

/// struct rtmsg
fn route(address: IpAddr, prefix: u8, table: u8, scope: u8, kind: u8) -> [u8; 12] {
    [family(address), prefix, 0, 0, table, RTPROT_STATIC, scope, kind, 0, 0, 0, 0]
}

fn allow_existing(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::EXIST) => Ok(()),
        result => result,
    }
}
