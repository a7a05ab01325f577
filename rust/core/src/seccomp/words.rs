//! What the words of a profile stand for: actions, comparisons, flags, architectures.

use super::arch::{ARCHITECTURES, Arch, FOREIGN};
use super::lower::{Op, Test};
use super::profile::{Arg, Seccomp, Syscall};
use crate::{Code, Error, Result};

/// The machine's own architecture first: nearly every call comes through it.
pub(super) fn architectures(profile: &Seccomp, native: Arch) -> Result<Vec<Arch>> {
    let mut arches = vec![native];
    for (at, name) in profile.architectures.iter().enumerate() {
        match ARCHITECTURES.iter().find(|(token, _)| token == name) {
            Some(&(_, arch)) if arch.runs_on(native) && !arches.contains(&arch) => {
                arches.push(arch)
            }
            Some(_) => {}
            None if FOREIGN.contains(&name.as_str()) || name == "SCMP_ARCH_NATIVE" => {}
            None => {
                return Err(refuse(
                    &format!("architectures[{at}]"),
                    &format!("{name}: not an architecture"),
                ));
            }
        }
    }
    Ok(arches)
}

/// `SCMP_ACT_…` as the 32 bits that a filter returns.
pub(super) fn action(field: &str, name: &str, errno: Option<u32>) -> Result<u32> {
    let with_data = |ret: u32| {
        let data = errno.unwrap_or(libc::EPERM as u32);
        if data > 0xffff {
            return Err(refuse(field, &format!("errnoRet {data} does not fit in 16 bits")));
        }
        Ok(ret | data)
    };
    let ret = match name {
        "SCMP_ACT_ERRNO" => return with_data(libc::SECCOMP_RET_ERRNO),
        "SCMP_ACT_TRACE" => return with_data(libc::SECCOMP_RET_TRACE),
        "SCMP_ACT_ALLOW" => libc::SECCOMP_RET_ALLOW,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => libc::SECCOMP_RET_KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => libc::SECCOMP_RET_KILL_PROCESS,
        "SCMP_ACT_LOG" => libc::SECCOMP_RET_LOG,
        "SCMP_ACT_NOTIFY" => libc::SECCOMP_RET_USER_NOTIF,
        "SCMP_ACT_TRAP" => libc::SECCOMP_RET_TRAP,
        _ => return Err(refuse(field, &format!("{name}: not an action"))),
    };
    match errno {
        // The specification: an action that returns no errno MUST NOT be given one. Zero is how Go writes absence.
        Some(errno) if errno != 0 => {
            Err(refuse(field, &format!("{name} does not return an errno")))
        }
        _ => Ok(ret),
    }
}

pub(super) fn check_args(at: usize, syscall: &Syscall) -> Result<()> {
    for (n, arg) in syscall.args.iter().enumerate() {
        let field = || format!("syscalls[{at}].args[{n}]");
        if arg.index > 5 {
            return Err(refuse(
                &field(),
                &format!("index {}: a call has arguments 0 to 5", arg.index),
            ));
        }
        if op(arg).is_none() {
            return Err(refuse(&field(), &format!("{}: not a comparison", arg.op)));
        }
    }
    Ok(())
}

pub(super) fn op(arg: &Arg) -> Option<Op> {
    Some(match arg.op.as_str() {
        "SCMP_CMP_EQ" => Op::Eq,
        "SCMP_CMP_NE" => Op::Ne,
        "SCMP_CMP_GT" => Op::Gt,
        "SCMP_CMP_GE" => Op::Ge,
        "SCMP_CMP_LT" => Op::Lt,
        "SCMP_CMP_LE" => Op::Le,
        "SCMP_CMP_MASKED_EQ" => Op::Masked(arg.value),
        _ => return None,
    })
}

/// `None` only for a comparison that [`check_args`] has refused.
pub(super) fn test(arg: &Arg, wide: bool) -> Option<Test> {
    let op = op(arg)?;
    let value = match op {
        // libseccomp drops the bits that no masked argument can have.
        Op::Masked(mask) => arg.value_two & mask,
        _ => arg.value,
    };
    Some(Test { index: arg.index, op, value, wide })
}

pub(super) fn refuse(field: &str, message: &str) -> Error {
    Error::new(Code::InvalidSpec, "compile", format!("linux.seccomp.{field}"), message)
}
