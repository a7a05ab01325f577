//! System-call filters: `linux.seccomp` (runtime-spec config-linux.md#seccomp) to classic BPF.
//!
//! Our own compiler, for two reasons: libseccomp needs 14 ms for the default profile of three
//! architectures, which is more than the rest of a container's start, and a static binary is easier
//! without it. The meaning of a profile is libseccomp's, because that is what runc and crun load and
//! what profiles were written against; `tests/seccomp/` compares both outputs call
//! by call through an interpreter. Where we are stricter is said in [`lower`].
//!
//! Not for: loading a filter (that is [`crate::sys::seccomp`]) and deciding what is allowed (that is
//! Python's `pyrt/spec/seccomp.py`).

mod agent;
mod arch;
mod bpf;
mod cache;
#[cfg(test)]
mod interpreter;
mod lower;
mod profile;
mod syscalls;
#[cfg(test)]
mod tests;
mod words;

use std::os::fd::OwnedFd;
use std::path::Path;

pub use agent::Agent;
pub use arch::{ARCHITECTURES, Arch};
pub use profile::{ACTIONS, Arg, FLAGS, OPERATORS, Seccomp, Syscall};

use crate::spec::Spec;
use crate::{Code, Error, Result};

/// Raised whenever the same profile would compile to other instructions: it is part of the cache's key.
const COMPILER_VERSION: u32 = 1;

/// A program as the kernel takes it, with the flags of seccomp(2).
#[derive(Clone, Debug)]
pub struct Filter {
    /// Classic BPF over `struct seccomp_data`.
    pub program: Vec<libc::sock_filter>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

impl Filter {
    /// Whether loading gives a descriptor that must be sent to the profile's `listenerPath`.
    #[must_use]
    pub fn has_listener(&self) -> bool {
        u64::from(self.flags) & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0
    }

    /// Flags, then the instructions, little endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 + self.program.len() * 8);
        bytes.extend_from_slice(&self.flags.to_le_bytes());
        for insn in &self.program {
            bytes.extend_from_slice(&insn.code.to_le_bytes());
            bytes.extend_from_slice(&[insn.jt, insn.jf]);
            bytes.extend_from_slice(&insn.k.to_le_bytes());
        }
        bytes
    }

    /// What [`Filter::to_bytes`] wrote; `None` if it cannot have been written by it.
    ///
    /// The kernel checks the program itself when it is loaded, so only the shape is looked at here.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (flags, program) = bytes.split_first_chunk::<4>()?;
        if program.is_empty() || program.len() % 8 != 0 {
            return None;
        }
        let program = program
            .chunks_exact(8)
            .map(|b| libc::sock_filter {
                code: u16::from_le_bytes([b[0], b[1]]),
                jt: b[2],
                jf: b[3],
                k: u32::from_le_bytes([b[4], b[5], b[6], b[7]]),
            })
            .collect();
        Some(Self { program, flags: u32::from_le_bytes(*flags) })
    }
}

/// Hands the descriptor of a loaded filter to its agent.
///
/// # Errors
/// `unsupported` where nobody looked for one.
pub fn hand_over(agent: Option<&Agent>, pid: u32, listener: &OwnedFd) -> Result<()> {
    let Some(agent) = agent else {
        let message = "this filter asks an agent, and there is none for this process";
        return Err(Error::new(Code::Unsupported, "linux.seccomp", "listenerPath", message));
    };
    agent.hand_over(pid, listener)
}

/// Compiles a profile for the architecture that this program was built for.
///
/// # Errors
/// `invalid_spec` naming the field; `unsupported` if the program would exceed the kernel's 4096
/// instructions.
pub fn compile(profile: &Seccomp) -> Result<Filter> {
    compile_for(profile, Arch::NATIVE)
}

/// Compiles a profile as on a machine of the `native` architecture.
///
/// # Errors
/// As [`compile`].
pub fn compile_for(profile: &Seccomp, native: Arch) -> Result<Filter> {
    let policy = lower::lower(profile, native)?;
    let program = bpf::assemble(&policy);
    if program.len() > BPF_MAXINSNS {
        return Err(Error::new(
            Code::Unsupported,
            "compile",
            "linux.seccomp",
            format!("{} instructions, and the kernel takes {BPF_MAXINSNS}", program.len()),
        ));
    }
    Ok(Filter { program, flags: policy.flags })
}

/// `include/uapi/linux/bpf_common.h`.
const BPF_MAXINSNS: usize = 4096;

/// Checks everything that [`compile`] would refuse, without assembling a program.
///
/// # Errors
/// `invalid_spec` naming the field.
pub fn validate(profile: &Seccomp) -> Result<()> {
    lower::lower(profile, Arch::NATIVE).map(|_| ())
}

/// The filter of a document, if it has one; `cache` as in [`cached`].
///
/// # Errors
/// As [`compile`].
pub fn of(spec: &Spec, cache: Option<&Path>) -> Result<Option<Filter>> {
    let profile = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    profile.map(|profile| cached(profile, cache)).transpose()
}

/// As [`compile`], but through the files of directory `cache`, which is made if it is absent.
///
/// A cache that cannot be read, trusted or written costs time and nothing else.
///
/// # Errors
/// As [`compile`].
pub fn cached(profile: &Seccomp, cache: Option<&Path>) -> Result<Filter> {
    let Some(directory) = cache else {
        return compile(profile);
    };
    let key = cache::key(profile, Arch::NATIVE, COMPILER_VERSION);
    let directory = cache::open(directory);
    if let Some(filter) = directory.as_ref().and_then(|d| cache::read(d, &key)) {
        return Ok(filter);
    }
    let filter = compile(profile)?;
    if let Some(directory) = directory {
        cache::write(&directory, &key, &filter);
    }
    Ok(filter)
}
