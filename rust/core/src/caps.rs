//! Capabilities (capabilities(7)): names, and setting the five sets in the order the kernel wants.

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::error::{At, Result};
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
    /// Parses the names; an unknown one is passed over, as config.md#linux-process wants it: nothing is granted by it.
    /// [`unknown`] says which they are.
    #[must_use]
    pub fn parse(names: &Capabilities) -> Self {
        let [bounding, effective, inheritable, permitted, ambient] = sets(names)
            .map(|(_, set)| set.iter().filter_map(|name| bit(name)).fold(0, |a, b| a | b));
        Self { bounding, effective, inheritable, permitted, ambient }
    }

    /// The same, and what seccomp(2) needs without no_new_privs.
    #[must_use]
    pub fn with_system_administration(self) -> Self {
        let bit = CapabilitySet::SYS_ADMIN.bits();
        Self { effective: self.effective | bit, permitted: self.permitted | bit, ..self }
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
        match self.set() {
            // Not ours to give: runtimes in containers and below systemd's bounding set have fewer than the document
            // asks for. config.md#linux-process: what cannot be granted is no error.
            Err(Errno::PERM) => {
                let own = rustix::thread::capabilities(None).at("capget", "")?;
                let own = own.permitted.bits();
                let granted = Self {
                    permitted: self.permitted & own,
                    effective: self.effective & own,
                    inheritable: self.inheritable & own,
                    ..*self
                };
                granted.set().at("capset", "")?;
                granted.raise_ambient()
            }
            result => {
                result.at("capset", "")?;
                self.raise_ambient()
            }
        }
    }

    fn set(&self) -> std::result::Result<(), Errno> {
        let sets = CapabilitySets {
            effective: CapabilitySet::from_bits_retain(self.effective & self.permitted),
            permitted: CapabilitySet::from_bits_retain(self.permitted),
            inheritable: CapabilitySet::from_bits_retain(self.inheritable),
        };
        rustix::thread::set_capabilities(None, sets)
    }

    fn raise_ambient(&self) -> Result<()> {
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

fn sets(names: &Capabilities) -> [(&'static str, &[String]); 5] {
    [
        ("bounding", &names.bounding),
        ("effective", &names.effective),
        ("inheritable", &names.inheritable),
        ("permitted", &names.permitted),
        ("ambient", &names.ambient),
    ]
}

/// The names that are no capabilities, each with its set: what the document says and nobody can grant.
#[must_use]
pub fn unknown(names: &Capabilities) -> Vec<(&'static str, &str)> {
    let all = sets(names).into_iter();
    all.flat_map(|(set, names)| names.iter().map(move |name| (set, name.as_str())))
        .filter(|(_, name)| bit(name).is_none())
        .collect()
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

    #[test]
    fn unknown_names_grant_nothing() {
        let names = Capabilities {
            bounding: vec!["CAP_CHOWN".to_owned(), "CAP_NO_SUCH".to_owned()],
            ..Capabilities::default()
        };
        assert_eq!(Sets::parse(&names).bounding, 1);
        assert_eq!(unknown(&names), [("bounding", "CAP_NO_SUCH")]);
    }
}
