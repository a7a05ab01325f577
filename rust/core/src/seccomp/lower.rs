//! A profile becomes, for each architecture, a line of call numbers cut into ranges of equal outcome.
//!
//! The rules follow libseccomp, for profiles rely on it:
//! - a rule that ends as the default does is as good as absent (libseccomp refuses it, its callers skip it);
//! - a rule without arguments beats those with arguments, and the first of them wins;
//! - rules with arguments are tried in their order; all tests of one must hold. A rule that tests the same
//!   argument twice counts as one rule per test, as runc and crun read it.
//!
//! One thing is stricter. On 32-bit x86 a rule for `socket` must hold for `socketcall(SYS_SOCKET, …)` too, whose
//! arguments lie in memory, where no filter can look. libseccomp tests the sub-call's *register* arguments
//! instead, which the program chooses freely. Here a rule that denies, denies the whole sub-call, and a rule that
//! allows does not open it. (A profile that allows `socketcall` itself says so, and is obeyed.)

use super::arch::{Arch, Numbers, X32_BIT, multiplexed};
use super::profile::{Arg, FLAGS, Seccomp};
use super::words::{action, architectures, check_args, refuse, test};
use crate::Result;

/// What the assembler gets.
pub(super) struct Policy {
    /// `SECCOMP_FILTER_FLAG_*`.
    pub(super) flags: u32,
    /// Per audit architecture: ranges sorted by start, the first of which starts at 0.
    pub(super) lines: Vec<(u32, Vec<Range>)>,
    /// What [`Range::outcome`] counts.
    pub(super) outcomes: Vec<Outcome>,
}

/// From `start` to the next range's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u32,
    pub(super) outcome: usize,
}

/// How a call ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// `SECCOMP_RET_*` whatever the arguments.
    Return(u32),
    /// The first clause that holds, else `otherwise`.
    Clauses { clauses: Vec<Clause>, otherwise: u32 },
}

/// All tests hold → `ret`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clause {
    pub(super) tests: Vec<Test>,
    pub(super) ret: u32,
}

/// A comparison of one argument, unsigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) index: u32,
    pub(super) op: Op,
    pub(super) value: u64,
    /// False: only the low 32 bits count.
    pub(super) wide: bool,
}

/// Everything else is one of these turned around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    /// `arg & mask == value`.
    Masked(u64),
}

/// What a call outside every known architecture gets; libseccomp's default, `SCMP_ACT_KILL`.
pub(super) const BAD_ARCH: u32 = libc::SECCOMP_RET_KILL_THREAD;

pub(super) fn lower(profile: &Seccomp, native: Arch) -> Result<Policy> {
    let default = action("defaultAction", &profile.default_action, profile.default_errno_ret)?;
    if default == libc::SECCOMP_RET_USER_NOTIF {
        // The process that must send the descriptor away would already be stopped by it.
        return Err(refuse("defaultAction", "SCMP_ACT_NOTIFY cannot be the default"));
    }
    let rules = rules(profile, default)?;
    let mut outcomes = vec![Outcome::Return(default), Outcome::Return(BAD_ARCH)];
    let arches = architectures(profile, native)?;
    let mut lines: Vec<(u32, Vec<Range>)> = Vec::new();
    for &arch in arches.iter().filter(|arch| **arch != Arch::X32) {
        let mut hits = hits(&rules, arch);
        if arch == Arch::X86_64 && arches.contains(&Arch::X32) {
            // One audit architecture holds both; bit 30 tells them apart, so one line of numbers does.
            hits.extend(self::hits(&rules, Arch::X32));
        }
        let mut ranges = ranges(hits, default, &mut outcomes);
        if arch == Arch::X86_64 && !arches.contains(&Arch::X32) {
            close_x32(&mut ranges);
        }
        lines.push((arch.audit(), ranges));
    }
    Ok(Policy { flags: flags(profile, &rules)?, lines, outcomes })
}

/// The last range before the x32 half ends there; -1, which a tracer writes to skip a call, keeps the default.
fn close_x32(ranges: &mut Vec<Range>) {
    ranges.push(Range { start: X32_BIT, outcome: 1 });
    ranges.push(Range { start: u32::MAX, outcome: 0 });
}

/// A rule whose text has been understood.
struct Rule<'a> {
    names: Vec<(&'a str, Numbers)>,
    ret: u32,
    args: &'a [Arg],
}

fn rules(profile: &Seccomp, default: u32) -> Result<Vec<Rule<'_>>> {
    let mut rules = Vec::with_capacity(profile.syscalls.len());
    for (at, syscall) in profile.syscalls.iter().enumerate() {
        let ret = action(&format!("syscalls[{at}].action"), &syscall.action, syscall.errno_ret)?;
        check_args(at, syscall)?;
        if ret == libc::SECCOMP_RET_USER_NOTIF {
            if profile.listener_path.as_deref().is_none_or(str::is_empty) {
                return Err(refuse("listenerPath", "SCMP_ACT_NOTIFY needs it"));
            }
            // As runc (write) and crun (sendmsg): the descriptor is sent with calls that the filter already sees.
            let sends = |name: &&String| matches!(name.as_str(), "write" | "sendmsg");
            if let Some(name) = syscall.names.iter().find(sends) {
                let message = ["SCMP_ACT_NOTIFY cannot be used for ", name].concat();
                return Err(refuse(&format!("syscalls[{at}]"), &message));
            }
        }
        if ret != default {
            let names = syscall.names.iter();
            rules.push(Rule {
                names: names.filter_map(|n| Some((n.as_str(), Numbers::of(n)?))).collect(),
                ret,
                args: &syscall.args,
            });
        }
    }
    Ok(rules)
}

/// A rule as it falls on one call number. Sorting keeps the profile's order within a number.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Hit {
    number: u32,
    order: usize,
}

/// All hits of one architecture, with the clause each stands for.
fn hits(rules: &[Rule<'_>], arch: Arch) -> Vec<(Hit, Clause)> {
    let mut found = Vec::new();
    for (order, rule) in rules.iter().enumerate() {
        let clauses = clauses(rule, arch);
        for &(name, numbers) in &rule.names {
            if let Some(number) = numbers.on(arch) {
                found.extend(clauses.iter().map(|clause| (Hit { number, order }, clause.clone())));
            }
            if arch == Arch::X86 {
                found.extend(
                    through_multiplexer(name, rule).map(|(n, c)| (Hit { number: n, order }, c)),
                );
            }
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

/// The rule's tests on this architecture: one clause, or one per test if an argument is tested twice.
fn clauses(rule: &Rule<'_>, arch: Arch) -> Vec<Clause> {
    let wide = arch.has_wide_args();
    let tests = rule.args.iter().filter_map(|arg| test(arg, wide));
    let repeats = (0..6).any(|i| rule.args.iter().filter(|arg| arg.index == i).count() > 1);
    if repeats {
        tests.map(|test| Clause { tests: vec![test], ret: rule.ret }).collect()
    } else {
        vec![Clause { tests: tests.collect(), ret: rule.ret }]
    }
}

/// What a rule for `name` means for `socketcall` or `ipc`; see the module's text for the stricter half.
///
/// (`send`, `recv` and `accept` are sub-calls only, but other architectures have them as calls: all
/// names here are in the table of numbers.)
fn through_multiplexer(name: &str, rule: &Rule<'_>) -> Option<(u32, Clause)> {
    let (number, sub) = multiplexed(name)?;
    let allows = matches!(rule.ret, libc::SECCOMP_RET_ALLOW | libc::SECCOMP_RET_LOG);
    if allows && !rule.args.is_empty() {
        return None;
    }
    let test = if number == super::arch::X86_IPC {
        // The upper half is a version that selects how pointers are passed, not what is called.
        Test { index: 0, op: Op::Masked(0xffff), value: u64::from(sub), wide: false }
    } else {
        Test { index: 0, op: Op::Eq, value: u64::from(sub), wide: false }
    };
    Some((number, Clause { tests: vec![test], ret: rule.ret }))
}

/// Cuts the line of numbers at every change of outcome.
fn ranges(hits: Vec<(Hit, Clause)>, default: u32, outcomes: &mut Vec<Outcome>) -> Vec<Range> {
    let mut ranges = vec![Range { start: 0, outcome: 0 }];
    let mut set = |start, outcome| match ranges.last_mut() {
        Some(last) if last.outcome == outcome => {}
        Some(last) if last.start == start => last.outcome = outcome,
        _ => ranges.push(Range { start, outcome }),
    };
    let mut hits = hits.into_iter().peekable();
    let mut after = 0;
    while let Some((Hit { number, .. }, first)) = hits.next() {
        let mut clauses = vec![first];
        while let Some((_, next)) = hits.next_if(|(hit, _)| hit.number == number) {
            clauses.push(next);
        }
        let outcome = match clauses.iter().find(|clause| clause.tests.is_empty()) {
            Some(unconditional) => Outcome::Return(unconditional.ret),
            None => {
                dedup(&mut clauses);
                Outcome::Clauses { clauses, otherwise: default }
            }
        };
        let index = intern(outcomes, outcome);
        if number > after {
            set(after, 0);
        }
        set(number, index);
        after = number + 1;
    }
    set(after, 0);
    coalesce(ranges)
}

/// `set` may have turned a range into its predecessor's twin.
fn coalesce(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.dedup_by(|next, previous| next.outcome == previous.outcome);
    ranges
}

/// Profiles repeat themselves (containers-common's `socket` does).
fn dedup(clauses: &mut Vec<Clause>) {
    let mut kept: Vec<Clause> = Vec::with_capacity(clauses.len());
    for clause in clauses.drain(..) {
        if !kept.contains(&clause) {
            kept.push(clause);
        }
    }
    *clauses = kept;
}

fn intern(outcomes: &mut Vec<Outcome>, outcome: Outcome) -> usize {
    if let Some(known) = outcomes.iter().position(|known| *known == outcome) {
        return known;
    }
    outcomes.push(outcome);
    outcomes.len() - 1
}

fn flags(profile: &Seccomp, rules: &[Rule<'_>]) -> Result<u32> {
    let mut flags = 0;
    for (at, name) in profile.flags.iter().enumerate() {
        let Some((_, bit)) = FLAGS.iter().find(|(token, _)| token == name) else {
            return Err(refuse(&format!("flags[{at}]"), &format!("{name}: not a flag")));
        };
        flags |= bit;
    }
    if rules.iter().any(|rule| rule.ret == libc::SECCOMP_RET_USER_NOTIF) {
        flags |= libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        if flags & libc::SECCOMP_FILTER_FLAG_TSYNC != 0 {
            // Together they need another way to report a thread that cannot follow (Linux 5.7).
            flags |= libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
        }
    } else {
        // Says how listeners wait; without one the kernel refuses it.
        flags &= !libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    }
    Ok(flags as u32)
}
