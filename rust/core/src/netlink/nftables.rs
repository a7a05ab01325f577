//! The one nftables table of a network namespace (linux/netfilter/nf_tables.h), made anew as a whole: the kernel takes all
//! of a batch or nothing.

use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;

use super::{APPEND, CREATE, Message, Socket};

const SUBSYSTEM: u16 = 10 << 8;
const NEWTABLE: u16 = SUBSYSTEM;
const DELTABLE: u16 = SUBSYSTEM | 2;
const NEWCHAIN: u16 = SUBSYSTEM | 3;
const NEWRULE: u16 = SUBSYSTEM | 6;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

/// Both versions of IP.
const NFPROTO_INET: u8 = 1;

const TABLE: &str = "pyrt";

/// Where a chain of rules is hooked in.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    /// Its name.
    pub name: &'static str,
    /// `filter` or `nat`.
    pub kind: &'static str,
    /// NF_INET_*.
    pub hook: u32,
    /// Lower comes earlier.
    pub priority: i32,
}

/// Before routing: 0, mangle.
pub const PREROUTING: Chain = Chain { name: "prerouting", kind: "filter", hook: 0, priority: -150 };
/// Where connections from elsewhere are sent on.
pub const DESTINATION: Chain = Chain { name: "destination", kind: "nat", hook: 0, priority: -100 };
/// Of packets that go through.
pub const FORWARD: Chain = Chain { name: "forward", kind: "filter", hook: 2, priority: 0 };
/// Of packets that leave.
pub const POSTROUTING: Chain = Chain { name: "postrouting", kind: "nat", hook: 4, priority: 100 };

/// A part of a rule: nft(8)'s expressions, evaluated one after the other; the first that does not hold ends the rule.
#[derive(Clone, Debug)]
pub enum Expression {
    /// The packet came in by this device.
    ComesBy(String),
    /// The packet leaves by this device.
    LeavesBy(String),
    /// The packet leaves by another device.
    LeavesByOther(String),
    /// Where the packet goes.
    IsTo {
        /// By IPv6, or IPv4.
        is_v6: bool,
        /// IPPROTO_*, with ports where TCP has them.
        protocol: u8,
        /// The destination's.
        port: u16,
    },
    /// One packet of so many, in turns.
    EveryNth(u32),
    /// Sends the connection on.
    SendTo(SocketAddr),
    /// A socket of ours that speaks for another waits for it.
    ForTransparentSocket,
    /// Marks the packet.
    Mark(u32),
    /// Gives it the address of the device by which it leaves.
    Masquerade,
    /// Ends it.
    Drop,
}

impl Socket {
    /// Replaces the table by these chains and their rules.
    ///
    /// # Errors
    /// EPERM, or ENOENT where the kernel lacks a part of nftables.
    pub fn replace_table(&self, chains: &[(Chain, Vec<Vec<Expression>>)]) -> Result<(), Errno> {
        let batch = |kind| Message::new(kind, 0, &[0, 0, 0, 10]);
        let table = |kind, flags| general(kind, flags).with_name(1, TABLE);
        // Made, so that there is one to delete.
        let mut messages = vec![
            batch(BATCH_BEGIN),
            table(NEWTABLE, CREATE),
            table(DELTABLE, 0),
            table(NEWTABLE, CREATE),
        ];
        for (chain, rules) in chains {
            messages.push(
                general(NEWCHAIN, CREATE)
                    .with_name(1, TABLE)
                    .with_name(3, chain.name)
                    .with_nested(4, |hook| {
                        hook.with_be32(1, chain.hook).with_be32(2, chain.priority.cast_unsigned())
                    })
                    .with_name(7, chain.kind),
            );
            for rule in rules {
                let expressions =
                    |list| rule.iter().fold(list, |list, expression| expression.append(list));
                messages.push(
                    general(NEWRULE, CREATE | APPEND)
                        .with_name(1, TABLE)
                        .with_name(2, chain.name)
                        .with_nested(4, expressions),
                );
            }
        }
        let last = u32::try_from(messages.len() - 1).unwrap_or(0);
        if let Some(message) = messages.last_mut() {
            message.acknowledge();
        }
        messages.push(batch(BATCH_END));
        self.ask_all(messages, last)
    }
}

/// A message with struct nfgenmsg.
fn general(kind: u16, flags: u16) -> Message {
    Message::new(kind, flags, &[NFPROTO_INET, 0, 0, 0])
}

const META_MARK: u32 = 3;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const TRANSPORT_HEADER: u32 = 2;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
/// The one register that we use, and one more for a port beside an address.
const REGISTER: u32 = 1;
const REGISTER_2: u32 = 2;

impl Expression {
    fn append(&self, list: Message) -> Message {
        match self {
            Self::ComesBy(name) => device(list, META_IIFNAME, EQUAL, name),
            Self::LeavesBy(name) => device(list, META_OIFNAME, EQUAL, name),
            Self::LeavesByOther(name) => device(list, META_OIFNAME, NOT_EQUAL, name),
            Self::IsTo { is_v6, protocol, port } => {
                let version = if *is_v6 { NFPROTO_IPV6 } else { NFPROTO_IPV4 };
                let list = compare(meta(list, META_NFPROTO), EQUAL, &[version]);
                let list = compare(meta(list, META_L4PROTO), EQUAL, &[*protocol]);
                let list = element(list, "payload", |data| {
                    let data = data.with_be32(1, REGISTER).with_be32(2, TRANSPORT_HEADER);
                    data.with_be32(3, 2).with_be32(4, 2) // bytes 2 and 3: the destination
                });
                compare(list, EQUAL, &port.to_be_bytes())
            }
            Self::EveryNth(count) => {
                let list = element(list, "numgen", |data| {
                    // In turns (NFT_NG_INCREMENTAL).
                    data.with_be32(1, REGISTER).with_be32(2, *count).with_be32(3, 0)
                });
                compare(list, EQUAL, &0_u32.to_ne_bytes())
            }
            Self::SendTo(to) => {
                let (version, address) = match to.ip() {
                    IpAddr::V4(address) => (NFPROTO_IPV4, address.octets().to_vec()),
                    IpAddr::V6(address) => (NFPROTO_IPV6, address.octets().to_vec()),
                };
                let list = load(list, REGISTER, &address);
                let list = load(list, REGISTER_2, &to.port().to_be_bytes());
                element(list, "nat", |data| {
                    let data = data.with_be32(1, 1).with_be32(2, version.into()); // NFT_NAT_DNAT
                    data.with_be32(3, REGISTER).with_be32(5, REGISTER_2)
                })
            }
            Self::ForTransparentSocket => {
                let list =
                    element(list, "socket", |data| data.with_be32(1, 0).with_be32(2, REGISTER));
                compare(list, EQUAL, &[1])
            }
            Self::Mark(mark) => {
                let list = load(list, REGISTER, &mark.to_ne_bytes());
                element(list, "meta", |data| data.with_be32(2, META_MARK).with_be32(3, REGISTER))
            }
            Self::Masquerade => element(list, "masq", |data| data),
            Self::Drop => element(list, "immediate", |data| {
                data.with_be32(1, 0).with_nested(2, |value| {
                    value.with_nested(2, |verdict| verdict.with_be32(1, 0)) // NF_DROP
                })
            }),
        }
    }
}

fn device(list: Message, key: u32, relation: u32, name: &str) -> Message {
    let mut value = [0; 16]; // IFNAMSIZ
    let length = name.len().min(15);
    value[..length].copy_from_slice(&name.as_bytes()[..length]);
    compare(meta(list, key), relation, &value)
}

fn meta(list: Message, key: u32) -> Message {
    element(list, "meta", |data| data.with_be32(1, REGISTER).with_be32(2, key))
}

fn load(list: Message, register: u32, value: &[u8]) -> Message {
    element(list, "immediate", |data| {
        data.with_be32(1, register).with_nested(2, |data| data.with(1, value))
    })
}

fn compare(list: Message, relation: u32, value: &[u8]) -> Message {
    element(list, "cmp", |data| {
        data.with_be32(1, REGISTER)
            .with_be32(2, relation)
            .with_nested(3, |data| data.with(1, value))
    })
}

fn element(list: Message, name: &str, fill: impl FnOnce(Message) -> Message) -> Message {
    list.with_nested(1, |element| element.with_name(1, name).with_nested(2, fill))
}
