//! What waits to be sent by an interface: a token bucket, which limits its rate (tc-tbf(8)).

use rustix::io::Errno;

use super::{CREATE, Message, Socket, attributes};

const RTM_NEWQDISC: u16 = 36;
const RTM_GETQDISC: u16 = 38;
const REPLACE: u16 = 0x100;
/// Or the answer goes to those who listen to all.
const ECHO: u16 = 0x8;
const TC_H_ROOT: u32 = u32::MAX;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_BURST: u16 = 6;
const TCMSG: usize = 20;
const ETHERNET: u8 = 1;

/// What may be sent at once: more than a packet of pasta's, which have up to 64 KiB.
const BURST_BYTES: u32 = 256 << 10;

/// What may wait.
const QUEUE_BYTES: u32 = 1 << 20;

impl Socket {
    /// Limits what leaves by an interface to `rate` bytes per second, and reads it back.
    ///
    /// # Errors
    /// The kernel's: ENOENT if it has no such queue. EIO if it says another rate than it was told.
    pub fn limit_rate(&self, interface: u32, rate: u32) -> Result<(), Errno> {
        let make = request(RTM_NEWQDISC, CREATE | REPLACE, interface);
        self.ask(make.with_name(TCA_KIND, "tbf").with_nested(TCA_OPTIONS, |options| {
            options.with(TCA_TBF_PARMS, &parameters(rate)).with_u32(TCA_TBF_BURST, BURST_BYTES)
        }))?;
        let mut look = request(RTM_GETQDISC, ECHO, interface);
        look.acknowledge();
        let mut told = None;
        self.dump(look, &mut |_, body| told = told.or_else(|| rate_of(body)))?;
        if told == Some(rate) { Ok(()) } else { Err(Errno::IO) }
    }
}

/// `struct tcmsg` of an interface's root.
fn request(kind: u16, flags: u16, interface: u32) -> Message {
    let mut fixed = [0; TCMSG];
    fixed[4..8].copy_from_slice(&interface.to_ne_bytes());
    fixed[12..16].copy_from_slice(&TC_H_ROOT.to_ne_bytes());
    Message::new(kind, flags, &fixed)
}

/// `struct tc_tbf_qopt`: two rates of twelve bytes, what may wait, the buffer and the largest packet, which is another
/// attribute's to say.
fn parameters(rate: u32) -> [u8; 36] {
    let mut bytes = [0; 36];
    (bytes[1], bytes[13]) = (ETHERNET, ETHERNET); // or it would ask for tables
    bytes[8..12].copy_from_slice(&rate.to_ne_bytes());
    bytes[24..28].copy_from_slice(&QUEUE_BYTES.to_ne_bytes());
    bytes
}

/// The rate of a token bucket that the kernel tells of.
fn rate_of(body: &[u8]) -> Option<u32> {
    let (_, options) = attributes(body.get(TCMSG..)?).find(|(kind, _)| *kind == TCA_OPTIONS)?;
    let (_, bytes) = attributes(options).find(|(kind, _)| *kind == TCA_TBF_PARMS)?;
    bytes.get(8..)?.first_chunk().map(|rate| u32::from_ne_bytes(*rate))
}
