//! The compiler against the specification; against libseccomp it is tested in tests/seccomp/.

use super::interpreter::{Call, run};
use super::*;

const X86_64: u32 = 0xC000_003E;
const I386: u32 = 0x4000_0003;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const KILL: u32 = libc::SECCOMP_RET_KILL_THREAD;

fn parse(json: &str) -> Seccomp {
    serde_json::from_str(json).unwrap()
}

fn filter(json: &str) -> Filter {
    compile_for(&parse(json), Arch::X86_64).unwrap()
}

fn verdict(filter: &Filter, arch: u32, number: u32, args: &[u64]) -> u32 {
    let mut six = [0; 6];
    six[..args.len()].copy_from_slice(args);
    run(&filter.program, &Call { arch, number, args: six })
}

fn refused(json: &str) -> String {
    let error = compile_for(&parse(json), Arch::X86_64).unwrap_err();
    assert_eq!(error.code, Code::InvalidSpec);
    error.to_string()
}

/// A profile that denies one call with the given conditions.
fn deny(args: &str) -> Filter {
    filter(&format!(
        r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["ioctl"],"action":"SCMP_ACT_ERRNO","args":[{args}]}}]}}"#
    ))
}

#[test]
fn an_empty_profile_is_its_default_action() {
    let f = filter(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#);
    assert_eq!(verdict(&f, X86_64, 0, &[]), ALLOW);
    assert_eq!(verdict(&f, X86_64, 0x3fff_ffff, &[]), ALLOW);
    assert_eq!(verdict(&f, I386, 0, &[]), KILL, "an architecture that is not listed");
    assert_eq!(verdict(&f, X86_64, 0x4000_0000, &[]), KILL, "x32 is not listed");
    assert_eq!(verdict(&f, X86_64, u32::MAX, &[]), ALLOW, "a call that a tracer skipped");
}

#[test]
fn null_lists_and_unknown_names_are_passed_over() {
    let f = filter(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":null,"flags":null,
            "syscalls":[{"names":["no_such_call","read"],"action":"SCMP_ACT_ALLOW","args":null}]}"#,
    );
    assert_eq!(verdict(&f, X86_64, 0, &[]), ALLOW);
    assert_eq!(verdict(&f, X86_64, 1, &[]), EPERM);
}

#[test]
fn every_comparison_sees_64_bits() {
    let big = 0x1_0000_0010u64;
    let near = [0, 0x10, 0x11, big - 1, big, big + 1, u64::from(u32::MAX), u64::MAX, big << 1];
    for (op, holds) in [
        ("EQ", (|a, b| a == b) as fn(u64, u64) -> bool),
        ("NE", |a, b| a != b),
        ("LT", |a, b| a < b),
        ("LE", |a, b| a <= b),
        ("GT", |a, b| a > b),
        ("GE", |a, b| a >= b),
    ] {
        for value in [0, 0x10, big] {
            let f = deny(&format!(r#"{{"index":1,"value":{value},"op":"SCMP_CMP_{op}"}}"#));
            for arg in near {
                let expected = if holds(arg, value) { EPERM } else { ALLOW };
                assert_eq!(
                    verdict(&f, X86_64, 16, &[0, arg]),
                    expected,
                    "{arg:#x} {op} {value:#x}"
                );
            }
        }
    }
}

#[test]
fn masked_comparison_drops_bits_outside_the_mask() {
    let f = deny(r#"{"index":0,"value":4294967311,"valueTwo":255,"op":"SCMP_CMP_MASKED_EQ"}"#);
    assert_eq!(verdict(&f, X86_64, 16, &[0xf]), EPERM);
    assert_eq!(verdict(&f, X86_64, 16, &[0xabf]), EPERM);
    assert_eq!(verdict(&f, X86_64, 16, &[0x1_0000_000f]), ALLOW);
}

#[test]
fn tests_of_a_rule_are_anded_and_rules_are_ored() {
    let f = filter(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["ioctl"],"action":"SCMP_ACT_ERRNO","args":[
                {"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":1,"value":2,"op":"SCMP_CMP_EQ"}]},
            {"names":["ioctl"],"action":"SCMP_ACT_ERRNO","errnoRet":5,"args":[{"index":2,"value":3,"op":"SCMP_CMP_EQ"}]}]}"#,
    );
    assert_eq!(verdict(&f, X86_64, 16, &[1, 2, 0]), EPERM);
    assert_eq!(verdict(&f, X86_64, 16, &[1, 0, 0]), ALLOW);
    assert_eq!(verdict(&f, X86_64, 16, &[1, 0, 3]), libc::SECCOMP_RET_ERRNO | 5);
    // Twice the same argument: one rule per test, as runc and crun read it.
    let f = deny(
        r#"{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":0,"value":2,"op":"SCMP_CMP_EQ"}"#,
    );
    assert_eq!(verdict(&f, X86_64, 16, &[1]), EPERM);
    assert_eq!(verdict(&f, X86_64, 16, &[2]), EPERM);
    assert_eq!(verdict(&f, X86_64, 16, &[3]), ALLOW);
}

#[test]
fn a_rule_without_arguments_wins() {
    let f = filter(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["ioctl"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]},
            {"names":["ioctl"],"action":"SCMP_ACT_ALLOW"},{"names":["ioctl"],"action":"SCMP_ACT_LOG"}]}"#,
    );
    assert_eq!(verdict(&f, X86_64, 16, &[1]), ALLOW);
}

#[test]
fn x32_and_i386_have_their_own_numbers() {
    let f = filter(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86","SCMP_ARCH_X32","SCMP_ARCH_S390X"],
            "syscalls":[{"names":["rt_sigaction"],"action":"SCMP_ACT_ALLOW"}]}"#,
    );
    assert_eq!(verdict(&f, X86_64, 13, &[]), ALLOW);
    assert_eq!(verdict(&f, X86_64, 0x4000_0000 | 512, &[]), ALLOW);
    assert_eq!(verdict(&f, X86_64, 0x4000_0000 | 13, &[]), EPERM);
    assert_eq!(verdict(&f, I386, 174, &[]), ALLOW);
    assert_eq!(verdict(&f, 0xC000_00B7, 134, &[]), KILL);
}

/// CVE-2026-123876: `socket` denied, and reached through `socketcall`.
#[test]
fn socketcall_does_not_open_what_socket_denies() {
    let f = filter(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"syscalls":[
            {"names":["socket"],"action":"SCMP_ACT_ERRNO","args":[
                {"index":0,"value":38,"op":"SCMP_CMP_EQ"},{"index":2,"value":7,"op":"SCMP_CMP_EQ"}]},
            {"names":["shmget"],"action":"SCMP_ACT_ERRNO"}]}"#,
    );
    assert_eq!(verdict(&f, I386, 359, &[38, 0, 7]), EPERM);
    assert_eq!(verdict(&f, I386, 359, &[38, 0, 6]), ALLOW);
    assert_eq!(verdict(&f, I386, 102, &[1, 0xdead, 0]), EPERM, "arguments in memory: all of it");
    assert_eq!(verdict(&f, I386, 102, &[2, 0xdead, 0]), ALLOW, "bind");
    assert_eq!(verdict(&f, I386, 117, &[23]), EPERM);
    assert_eq!(verdict(&f, I386, 117, &[0x1_0017]), EPERM, "another version of the same sub-call");
    let f = filter(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],"syscalls":[
            {"names":["bind"],"action":"SCMP_ACT_ALLOW"},
            {"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}]}"#,
    );
    assert_eq!(verdict(&f, I386, 359, &[1]), ALLOW);
    assert_eq!(
        verdict(&f, I386, 102, &[1, 1, 1]),
        EPERM,
        "not opened by a rule that cannot be checked"
    );
    assert_eq!(verdict(&f, I386, 102, &[2]), ALLOW);
}

#[test]
fn long_programs_jump_far() {
    // Every second call with rules of its own: about 2000 instructions, so most jumps need trampolines.
    let rules: Vec<String> = super::syscalls::SYSCALLS
        .iter()
        .filter(|(_, numbers)| numbers[0] != super::syscalls::NONE && numbers[0] % 2 == 0)
        .map(|(name, numbers)| {
            format!(
                r#"{{"names":["{name}"],"action":"SCMP_ACT_ERRNO","errnoRet":{},"args":[{{"index":0,"value":{},"op":"SCMP_CMP_EQ"}}]}}"#,
                numbers[0] + 1,
                u64::from(numbers[0]) << 20
            )
        })
        .collect();
    let f = filter(&format!(
        r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{}]}}"#,
        rules.join(",")
    ));
    assert!(f.program.len() > 1000);
    for (name, numbers) in super::syscalls::SYSCALLS.iter().filter(|(_, n)| n[0] < 1000) {
        let number = numbers[0];
        let expected = if number % 2 == 0 { libc::SECCOMP_RET_ERRNO | (number + 1) } else { ALLOW };
        assert_eq!(verdict(&f, X86_64, number, &[u64::from(number) << 20]), expected, "{name}");
        assert_eq!(verdict(&f, X86_64, number, &[7]), ALLOW, "{name}");
    }
}

#[test]
fn bad_fields_are_named() {
    assert_eq!(
        refused(r#"{"defaultAction":"ALLOW"}"#),
        "compile linux.seccomp.defaultAction: ALLOW: not an action"
    );
    assert!(refused(r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#).contains("cannot be the default"));
    assert!(
        refused(r#"{"defaultAction":"SCMP_ACT_KILL","defaultErrnoRet":5}"#)
            .contains("does not return an errno")
    );
    assert!(
        refused(r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["PDP11"]}"#)
            .contains("architectures[0]")
    );
    assert!(refused(r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["X"]}"#).contains("flags[0]"));
    let rule = |rest: &str| {
        format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["write"],{rest}}}]}}"#)
    };
    assert!(refused(&rule(r#""action":"SCMP_ACT_NOTIFY""#)).contains("listenerPath"));
    assert!(refused(&rule(r#""action":"SCMP_ACT_ERRNO","errnoRet":65536"#)).contains("16 bits"));
    let arg = |arg: &str| rule(&format!(r#""action":"SCMP_ACT_ERRNO","args":[{arg}]"#));
    assert!(
        refused(&arg(r#"{"index":6,"value":0,"op":"SCMP_CMP_EQ"}"#))
            .contains("syscalls[0].args[0]")
    );
    assert!(refused(&arg(r#"{"index":0,"value":0,"op":"EQ"}"#)).contains("not a comparison"));
}

#[test]
fn a_listener_needs_its_flag() {
    let f = filter(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/run/agent","flags":["SECCOMP_FILTER_FLAG_TSYNC"],
            "syscalls":[{"names":["mount"],"action":"SCMP_ACT_NOTIFY"}]}"#,
    );
    assert!(f.has_listener());
    assert_eq!(f.flags, 1 | 8 | 16);
    let f = filter(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}"#,
    );
    assert_eq!(f.flags, 0);
}

#[test]
fn bytes_and_cache_give_back_the_same_filter() {
    let directory = std::env::temp_dir().join(format!("pyrt-seccomp-{}", std::process::id()));
    let profile = parse(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mount"],"action":"SCMP_ACT_ERRNO"}]}"#,
    );
    let compiled = compile(&profile).unwrap().to_bytes();
    assert_eq!(Filter::from_bytes(&compiled).unwrap().to_bytes(), compiled);
    assert_eq!(cached(&profile, Some(&directory)).unwrap().to_bytes(), compiled);
    let file = std::fs::read_dir(&directory).unwrap().next().unwrap().unwrap().path();
    let stored = std::fs::read(&file).unwrap();
    let mut forged = stored.clone();
    forged[20] ^= 1;
    std::fs::write(&file, &forged).unwrap();
    assert_eq!(
        cached(&profile, Some(&directory)).unwrap().to_bytes(),
        compiled,
        "a forged file is a miss"
    );
    assert_eq!(std::fs::read(&file).unwrap(), stored, "and is replaced");
    std::fs::remove_dir_all(&directory).unwrap();
    let absent = std::path::Path::new("/proc/no/such/place");
    assert_eq!(cached(&profile, Some(absent)).unwrap().to_bytes(), compiled);
}
