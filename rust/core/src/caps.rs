//! Capabilities (capabilities(7)): names, and setting the five sets in the order the kernel wants.

use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::error::{At, Code, Error, Result};
use crate::spec::Capabilities;

/// linux/capability.h: the position is the number.
pub const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The bit of a name such as `CAP_CHOWN`.
#[must_use]
pub fn bit(name: &str) -> Option<u64> {
    let short = name.strip_prefix("CAP_")?;
    let number = NAMES.iter().position(|known| *known == short)?;
    Some(1 << number)
}

/// The five sets as bits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sets {
    bounding: u64,
    effective: u64,
    inheritable: u64,
    permitted: u64,
    ambient: u64,
}

impl Sets {
    /// Parses the names; an unknown one is an error, since a typing error would weaken or break in silence.
    ///
    /// # Errors
    /// `invalid_spec` naming the set and the capability.
    pub fn parse(names: &Capabilities) -> Result<Self> {
        Ok(Self {
            bounding: parse_set("bounding", &names.bounding)?,
            effective: parse_set("effective", &names.effective)?,
            inheritable: parse_set("inheritable", &names.inheritable)?,
            permitted: parse_set("permitted", &names.permitted)?,
            ambient: parse_set("ambient", &names.ambient)?,
        })
    }

    /// Drops from the bounding set; needs CAP_SETPCAP, so it comes before the change of IDs.
    ///
    /// # Errors
    /// `kernel`.
    pub fn limit_bounding(&self) -> Result<()> {
        for (number, name) in NAMES.iter().enumerate() {
            let capability = CapabilitySet::from_bits_retain(1 << number);
            if self.bounding & (1 << number) == 0 {
                match rustix::thread::remove_capability_from_bounding_set(capability) {
                    // A kernel that does not know it cannot grant it.
                    Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                    Err(errno) => return Err(errno).at("drop from bounding set", name),
                }
            }
        }
        Ok(())
    }

    /// Sets the other four; the last step that needs any capability at all.
    ///
    /// CVE-2022-29162: inheritable is what the document says and nothing else.
    ///
    /// # Errors
    /// `kernel`.
    pub fn apply(&self) -> Result<()> {
        let sets = CapabilitySets {
            effective: CapabilitySet::from_bits_retain(self.effective & self.permitted),
            permitted: CapabilitySet::from_bits_retain(self.permitted),
            inheritable: CapabilitySet::from_bits_retain(self.inheritable),
        };
        rustix::thread::set_capabilities(None, sets).at("capset", "")?;
        for (number, name) in NAMES.iter().enumerate() {
            // Only what is permitted and inheritable can be ambient (capabilities(7)).
            let bit = 1 << number;
            if self.ambient & self.permitted & self.inheritable & bit != 0 {
                let capability = CapabilitySet::from_bits_retain(bit);
                rustix::thread::configure_capability_in_ambient_set(capability, true)
                    .at("raise ambient", name)?;
            }
        }
        Ok(())
    }
}

fn parse_set(set: &str, names: &[String]) -> Result<u64> {
    names.iter().try_fold(0, |bits, name| match bit(name) {
        Some(bit) => Ok(bits | bit),
        None => Err(Error::new(
            Code::InvalidSpec,
            format!("process.capabilities.{set}"),
            name.clone(),
            "unknown capability",
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_kernels_numbers() {
        assert_eq!(bit("CAP_CHOWN"), Some(1));
        assert_eq!(bit("CAP_SYS_ADMIN"), Some(1 << 21));
        assert_eq!(bit("CAP_CHECKPOINT_RESTORE"), Some(1 << 40));
        assert_eq!(bit("CHOWN"), None);
        assert_eq!(bit("CAP_NO_SUCH"), None);
    }
}
