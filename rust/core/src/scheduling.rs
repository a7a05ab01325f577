//! When the program gets a CPU and the disk: `process.scheduler`, `ioPriority` and `execCPUAffinity`.

use crate::cpuset;
use crate::error::{At, Code, Error, Result};
use crate::spec::{CpuAffinity, IoPriority, Linux, Process, Scheduler};
use crate::sys::scheduling::{self, SchedAttr};

/// The position is the kernel's number (linux/sched.h); 4 is reserved there, and refused.
const POLICIES: [&str; 7] = ["OTHER", "FIFO", "RR", "BATCH", "ISO", "IDLE", "DEADLINE"];

/// The position is the bit (linux/sched.h, SCHED_FLAG_*).
const FLAGS: [&str; 7] = [
    "RESET_ON_FORK",
    "RECLAIM",
    "DL_OVERRUN",
    "KEEP_POLICY",
    "KEEP_PARAMS",
    "UTIL_CLAMP_MIN",
    "UTIL_CLAMP_MAX",
];

/// The position plus one is the kernel's number (linux/ioprio.h).
const IO_CLASSES: [&str; 3] = ["RT", "BE", "IDLE"];

/// Sets the scheduler and the I/O priority of this process.
///
/// # Errors
/// `kernel`; EPERM for what needs privileges outside of the container or limits that we do not have.
pub fn apply(process: &Process) -> Result<()> {
    if let Some(wanted) = &process.scheduler {
        let attr = attributes(wanted)?;
        scheduling::set_scheduler(&attr)
            .at("process.scheduler", &wanted.policy)
            .map_err(explain_scheduler)?;
    }
    if let Some(wanted) = &process.io_priority {
        scheduling::set_io_priority(io_priority(wanted)?)
            .at("process.ioPriority", &wanted.class)
            .map_err(explain_io)?;
    }
    Ok(())
}

/// Binds this process to a list of CPUs; nothing for an empty one.
///
/// # Errors
/// `kernel`; EINVAL if none of them may be used.
pub fn set_affinity(field: &str, list: &str) -> Result<()> {
    let mask = cpuset::parse(field, list)?;
    if mask.is_empty() {
        return Ok(());
    }
    scheduling::set_affinity(&mask).at(field, list)
}

/// Takes back what our caller is bound to: where the document names CPUs, those are the container's, and not what is left
/// of them on ours. The cpuset of the cgroup still holds.
///
/// # Errors
/// `kernel`.
pub fn forget_affinity(linux: &Linux) -> Result<()> {
    let cpus = linux.resources.as_ref().and_then(|resources| resources.pointer("/cpu/cpus"));
    if cpus.and_then(serde_json::Value::as_str).is_none_or(str::is_empty) {
        return Ok(());
    }
    scheduling::set_affinity(&[u64::MAX; MOST_CPUS / 64]).at("linux.resources.cpu.cpus", "")
}

/// What a kernel can be built for at most (NR_CPUS); it takes no notice of bits beyond its own.
const MOST_CPUS: usize = 8192;

/// Refuses what cannot mean anything, as runc does.
///
/// # Errors
/// `invalid_spec` naming the property.
pub fn check(process: &Process) -> Result<()> {
    if let Some(wanted) = &process.scheduler {
        attributes(wanted)?;
    }
    if let Some(wanted) = &process.io_priority {
        io_priority(wanted)?;
    }
    let CpuAffinity { initial, last } = process.exec_cpu_affinity.as_ref().unwrap_or(&UNBOUND);
    cpuset::parse("process.execCPUAffinity.initial", initial)?;
    cpuset::parse("process.execCPUAffinity.final", last)?;
    Ok(())
}

/// No affinity asked for.
pub static UNBOUND: CpuAffinity = CpuAffinity { initial: String::new(), last: String::new() };

fn attributes(wanted: &Scheduler) -> Result<SchedAttr> {
    let refuse = |property: &str, subject: String, message: &str| {
        Err(Error::new(
            Code::InvalidSpec,
            ["process.scheduler", property].concat(),
            subject,
            message,
        ))
    };
    let policy = wanted.policy.strip_prefix("SCHED_");
    let policy = policy.and_then(|name| POLICIES.iter().position(|known| *known == name));
    let Some(policy) = policy else {
        return refuse(".policy", wanted.policy.clone(), "is not a policy");
    };
    let name = POLICIES[policy];
    if !(-20..=19).contains(&wanted.nice) {
        return refuse(".nice", wanted.nice.to_string(), "is not between -20 and 19");
    }
    if wanted.priority != 0 && !matches!(name, "FIFO" | "RR") {
        return refuse(".priority", wanted.priority.to_string(), "is for SCHED_FIFO and SCHED_RR");
    }
    let Ok(priority) = u32::try_from(wanted.priority) else {
        return refuse(".priority", wanted.priority.to_string(), "is negative");
    };
    if name != "DEADLINE" && (wanted.runtime, wanted.deadline, wanted.period) != (0, 0, 0) {
        let message = "runtime, deadline and period are for SCHED_DEADLINE";
        return refuse("", wanted.policy.clone(), message);
    }
    let mut flags = 0;
    for flag in &wanted.flags {
        let name = flag.strip_prefix("SCHED_FLAG_");
        match name.and_then(|name| FLAGS.iter().position(|known| *known == name)) {
            Some(bit) => flags |= 1 << bit,
            None => return refuse(".flags", flag.clone(), "is not a flag"),
        }
    }
    Ok(SchedAttr {
        policy: u32::try_from(policy).unwrap_or(0),
        flags,
        nice: wanted.nice,
        priority,
        runtime: wanted.runtime,
        deadline: wanted.deadline,
        period: wanted.period,
        ..SchedAttr::default()
    })
}

fn io_priority(wanted: &IoPriority) -> Result<i32> {
    let class = wanted.class.strip_prefix("IOPRIO_CLASS_");
    let class = class.and_then(|name| IO_CLASSES.iter().position(|known| *known == name));
    let Some(class) = class.and_then(|class| i32::try_from(class + 1).ok()) else {
        let message = "is not a class";
        let subject = wanted.class.clone();
        return Err(Error::new(Code::InvalidSpec, "process.ioPriority.class", subject, message));
    };
    if !(0..=7).contains(&wanted.priority) {
        let (subject, message) = (wanted.priority.to_string(), "is not between 0 and 7");
        return Err(Error::new(Code::InvalidSpec, "process.ioPriority.priority", subject, message));
    }
    Ok(class << 13 | wanted.priority)
}

fn explain_scheduler(error: Error) -> Error {
    if error.errno != Some(libc::EPERM) {
        return error;
    }
    error.with_hint("raise the user's limits (ulimit -r, ulimit -e): no user namespace grants more than they do")
}

fn explain_io(error: Error) -> Error {
    if error.errno != Some(libc::EPERM) {
        return error;
    }
    error.with_hint(
        "use IOPRIO_CLASS_BE: the kernel gives real-time I/O to the machine's administrator only",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheduler_becomes_the_kernels_numbers() {
        let wanted = Scheduler {
            policy: "SCHED_DEADLINE".to_owned(),
            flags: vec!["SCHED_FLAG_DL_OVERRUN".to_owned(), "SCHED_FLAG_RESET_ON_FORK".to_owned()],
            runtime: 1,
            deadline: 2,
            period: 3,
            ..Scheduler::default()
        };
        let attr = attributes(&wanted).unwrap();
        assert_eq!((attr.policy, attr.flags, attr.period), (6, 0b101, 3));
        let wanted = Scheduler { policy: "SCHED_OTHER".to_owned(), priority: 1, ..wanted };
        assert_eq!(attributes(&wanted).unwrap_err().step, "process.scheduler.priority");
    }

    #[test]
    fn an_io_priority_becomes_the_kernels_number() {
        let wanted = IoPriority { class: "IOPRIO_CLASS_BE".to_owned(), priority: 4 };
        assert_eq!(io_priority(&wanted).unwrap(), 2 << 13 | 4);
        let wanted = IoPriority { priority: 8, ..wanted };
        assert_eq!(io_priority(&wanted).unwrap_err().step, "process.ioPriority.priority");
    }
}
