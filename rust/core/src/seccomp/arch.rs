//! Architectures: their tokens in a profile, in an audit record, and their calls.

use super::syscalls::{NONE, SYSCALLS};

/// One ABI through which a program can enter the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86 (`int 0x80`).
    X86,
    /// 32-bit pointers on x86_64; its calls have bit 30 set.
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM (EABI).
    Arm,
}

/// The profile's tokens that are known here, for `features`.
pub const ARCHITECTURES: [(&str, Arch); 5] = [
    ("SCMP_ARCH_AARCH64", Arch::Aarch64),
    ("SCMP_ARCH_ARM", Arch::Arm),
    ("SCMP_ARCH_X32", Arch::X32),
    ("SCMP_ARCH_X86", Arch::X86),
    ("SCMP_ARCH_X86_64", Arch::X86_64),
];

/// Tokens of runtime-spec for machines that pyrt is not built for. No program on ours can enter the
/// kernel through them, so there is nothing to filter; profiles list them all the same.
pub(super) const FOREIGN: [&str; 18] = [
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
];

/// Set in the number of every x32 call (arch/x86/include/uapi/asm/unistd.h).
pub(super) const X32_BIT: u32 = 0x4000_0000;

impl Arch {
    /// What this program was built for.
    #[cfg(target_arch = "x86_64")]
    pub const NATIVE: Self = Self::X86_64;
    /// What this program was built for.
    #[cfg(target_arch = "aarch64")]
    pub const NATIVE: Self = Self::Aarch64;

    /// `AUDIT_ARCH_*`, as `seccomp_data.arch` has it. x32 shares that of x86_64.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xC000_003E,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xC000_00B7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Whether arguments have 64 bits. The kernel zero-extends those of 32-bit calls, and libseccomp
    /// compares their low words only.
    ///
    /// x32 is 32-bit for libseccomp, though its registers are not: an argument above 4 GiB is compared by
    /// its low word, as the kernel's x32 calls read most of them.
    pub(super) fn has_wide_args(self) -> bool {
        matches!(self, Self::X86_64 | Self::Aarch64)
    }

    /// Whether a process on a machine of the `native` architecture can enter the kernel so.
    pub(super) fn runs_on(self, native: Self) -> bool {
        let is_x86 = |arch| matches!(arch, Self::X86_64 | Self::X86 | Self::X32);
        is_x86(self) == is_x86(native)
    }

    fn column(self) -> usize {
        match self {
            Self::X86_64 => 0,
            Self::X86 => 1,
            Self::X32 => 2,
            Self::Aarch64 => 3,
            Self::Arm => 4,
        }
    }
}

/// A call's numbers on every architecture; looked up once, asked for each.
#[derive(Clone, Copy)]
pub(super) struct Numbers(&'static [u32; 5]);

impl Numbers {
    /// The numbers of the call `name`, if any architecture has it.
    pub(super) fn of(name: &str) -> Option<Self> {
        let found = SYSCALLS.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
        Some(Self(&SYSCALLS[found].1))
    }

    /// Its number on `arch`, as `seccomp_data.nr` has it.
    pub(super) fn on(self, arch: Arch) -> Option<u32> {
        match self.0[arch.column()] {
            NONE => None,
            number if arch == Arch::X32 => Some(number | X32_BIT),
            number => Some(number),
        }
    }
}

/// 32-bit x86 reaches sockets and System V IPC also through one call with a sub-call number in its
/// first argument: (name, sub-call) of `socketcall` and of `ipc`.
pub(super) const X86_SOCKETCALL: u32 = 102;
/// See [`X86_SOCKETCALL`].
pub(super) const X86_IPC: u32 = 117;

/// include/uapi/linux/net.h.
const SOCKETCALLS: [(&str, u32); 20] = [
    ("accept", 5),
    ("accept4", 18),
    ("bind", 2),
    ("connect", 3),
    ("getpeername", 7),
    ("getsockname", 6),
    ("getsockopt", 15),
    ("listen", 4),
    ("recv", 10),
    ("recvfrom", 12),
    ("recvmmsg", 19),
    ("recvmsg", 17),
    ("send", 9),
    ("sendmmsg", 20),
    ("sendmsg", 16),
    ("sendto", 11),
    ("setsockopt", 14),
    ("shutdown", 13),
    ("socket", 1),
    ("socketpair", 8),
];

/// include/uapi/linux/ipc.h.
const IPC_CALLS: [(&str, u32); 12] = [
    ("msgctl", 14),
    ("msgget", 13),
    ("msgrcv", 12),
    ("msgsnd", 11),
    ("semctl", 3),
    ("semget", 2),
    ("semop", 1),
    ("semtimedop", 4),
    ("shmat", 21),
    ("shmctl", 24),
    ("shmdt", 22),
    ("shmget", 23),
];

/// The multiplexer that also reaches `name` on 32-bit x86: its number, and the sub-call.
pub(super) fn multiplexed(name: &str) -> Option<(u32, u32)> {
    let sub = |table: &[(&str, u32)]| {
        let found = table.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
        Some(table[found].1)
    };
    sub(&SOCKETCALLS)
        .map(|call| (X86_SOCKETCALL, call))
        .or_else(|| sub(&IPC_CALLS).map(|call| (X86_IPC, call)))
}
