//! The one nftables table of a network namespace (linux/netfilter/nf_tables.h), made anew as a whole: the kernel takes all
//! of a batch or nothing.

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
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
/// The one register that we use.
const REGISTER: u32 = 1;

impl Expression {
    fn append(&self, list: Message) -> Message {
        match self {
            Self::ComesBy(name) => device(list, META_IIFNAME, EQUAL, name),
            Self::LeavesBy(name) => device(list, META_OIFNAME, EQUAL, name),
            Self::LeavesByOther(name) => device(list, META_OIFNAME, NOT_EQUAL, name),
            Self::ForTransparentSocket => {
                let list =
                    element(list, "socket", |data| data.with_be32(1, 0).with_be32(2, REGISTER));
                compare(list, EQUAL, &[1])
            }
            Self::Mark(mark) => {
                let list = element(list, "immediate", |data| {
                    data.with_be32(1, REGISTER)
                        .with_nested(2, |value| value.with(1, &mark.to_ne_bytes()))
                });
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
    let list = element(list, "meta", |data| data.with_be32(1, REGISTER).with_be32(2, key));
    let mut value = [0; 16]; // IFNAMSIZ
    let length = name.len().min(15);
    value[..length].copy_from_slice(&name.as_bytes()[..length]);
    compare(list, relation, &value)
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
