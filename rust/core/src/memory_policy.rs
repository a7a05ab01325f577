//! Where the program's memory lies: `linux.memoryPolicy` (config-linux.md#memory-policy, set_mempolicy(2)).

use crate::cpuset;
use crate::error::{At, Code, Error, Result};
use crate::spec::MemoryPolicy;
use crate::sys::memory::set_policy;

/// The position is the kernel's number (linux/mempolicy.h).
pub const MODES: [&str; 7] = [
    "MPOL_DEFAULT",
    "MPOL_PREFERRED",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_LOCAL",
    "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
];

/// Flag and the kernel's bit.
pub const FLAGS: [(&str, i32); 3] = [
    ("MPOL_F_STATIC_NODES", 1 << 15),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
];

/// Sets the policy of this process, which execve keeps.
///
/// # Errors
/// `kernel`; EINVAL for nodes that the machine does not have.
pub fn apply(policy: Option<&MemoryPolicy>) -> Result<()> {
    let Some(policy) = policy else { return Ok(()) };
    let (mode, nodes) = parse(policy)?;
    set_policy(mode, &nodes).at("linux.memoryPolicy", &policy.mode)
}

/// Mode with flags, and the mask of nodes.
///
/// # Errors
/// `invalid_spec` naming the property.
pub fn parse(policy: &MemoryPolicy) -> Result<(i32, Vec<u64>)> {
    let refuse = |property: &str, subject: &str, message: &str| {
        Err(Error::new(
            Code::InvalidSpec,
            ["linux.memoryPolicy.", property].concat(),
            subject,
            message,
        ))
    };
    let number = MODES.iter().position(|known| *known == policy.mode);
    let Some(number) = number.and_then(|number| i32::try_from(number).ok()) else {
        return refuse("mode", &policy.mode, "is not a mode");
    };
    let nodes = cpuset::parse("linux.memoryPolicy.nodes", &policy.nodes)?;
    match policy.mode.as_str() {
        "MPOL_DEFAULT" | "MPOL_LOCAL" if !nodes.is_empty() => {
            return refuse("nodes", &policy.nodes, "are given, and the mode takes none");
        }
        // The kernel takes none for it, as it does for MPOL_PREFERRED.
        "MPOL_DEFAULT" | "MPOL_LOCAL" | "MPOL_PREFERRED" => {}
        _ if nodes.is_empty() => return refuse("nodes", "", "are missing, and the mode needs one"),
        _ => {}
    }
    let mut mode = number;
    for flag in &policy.flags {
        match FLAGS.iter().find(|(known, _)| known == flag) {
            Some((_, bit)) => mode |= bit,
            None => return refuse("flags", flag, "is not a flag"),
        }
    }
    Ok((mode, nodes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(mode: &str, nodes: &str, flags: &[&str]) -> MemoryPolicy {
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        MemoryPolicy { mode: mode.to_owned(), nodes: nodes.to_owned(), flags }
    }

    #[test]
    fn a_policy_becomes_the_kernels_numbers() {
        let bind = policy("MPOL_BIND", "0,2", &["MPOL_F_STATIC_NODES"]);
        assert_eq!(parse(&bind).unwrap(), (libc::MPOL_BIND | libc::MPOL_F_STATIC_NODES, vec![5]));
        let many = policy("MPOL_WEIGHTED_INTERLEAVE", "1", &["MPOL_F_NUMA_BALANCING"]);
        assert_eq!(parse(&many).unwrap(), (6 | libc::MPOL_F_NUMA_BALANCING, vec![2]));
    }

    #[test]
    fn modes_say_whether_they_take_nodes() {
        assert!(parse(&policy("MPOL_DEFAULT", "0", &[])).is_err());
        assert!(parse(&policy("MPOL_BIND", "", &[])).is_err());
        assert!(parse(&policy("MPOL_PREFERRED", "", &[])).is_ok());
        assert!(parse(&policy("MPOL_NONE", "", &[])).is_err());
    }
}
