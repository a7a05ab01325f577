//! The command line of an OCI runtime, as runc has it: what podman, conmon, containerd's shim, CRI-O, buildah, buildkit
//! and Docker start.
//!
//! Parsed by hand and by table: Go's rules (`-name`, `--name`, `--name=value`, repeated globals, and nothing parsed after
//! the container ID where runc stops) are no argument library's, and there is no time to build a tree of commands.

mod birth;
mod cgroups;
mod checkpoint;
mod command_line;
mod container;
mod delete;
mod events;
mod exec;
mod features;
mod foreground;
mod freezer;
mod globals;
mod kill;
mod list;
mod notify;
mod order;
mod ps;
mod sockets;
mod spec;
mod update;

use std::ffi::OsString;

use pyrt_core::{Code, Error, Result};

use command_line::Words;
use globals::Globals;

/// A verb: its name, its flags (`name`, `name,s` with a short form, `name=` and `name,s=` with a value), whether flags end
/// at the container ID, and the function.
struct Verb {
    name: &'static str,
    flags: &'static [&'static str],
    ends_at_id: bool,
    run: fn(&Globals, &Words) -> Result<i32>,
}

const fn verb(
    name: &'static str,
    flags: &'static [&'static str],
    run: fn(&Globals, &Words) -> Result<i32>,
) -> Verb {
    Verb { name, flags, ends_at_id: false, run }
}

const VERBS: [Verb; 19] = [
    verb("create", order::CREATE_FLAGS, birth::create),
    verb("run", &order::RUN_FLAGS, birth::run),
    verb("start", &[], birth::start),
    Verb { name: "exec", flags: &exec::FLAGS, ends_at_id: true, run: exec::main },
    Verb { name: "kill", flags: &["all,a"], ends_at_id: true, run: kill::main },
    verb("delete", &["force,f"], delete::main),
    verb("list", &["format,f=", "quiet,q"], list::list),
    verb("state", &[], list::state),
    Verb { name: "ps", flags: &["format,f="], ends_at_id: true, run: ps::main },
    verb("pause", &[], freezer::pause),
    verb("resume", &[], freezer::resume),
    verb("update", &update::FLAGS, update::main),
    verb("events", &events::FLAGS, events::main),
    verb("features", &[], features::main),
    verb("spec", &["bundle,b=", "file,f=", "rootless"], spec::main),
    verb("checkpoint", &checkpoint::CHECKPOINT_FLAGS, checkpoint::checkpoint),
    verb("restore", &checkpoint::RESTORE_FLAGS, checkpoint::restore),
    verb("help", &[], |_, _| Ok(crate::print(USAGE))),
    verb("version", &[], |_, _| Ok(crate::print(VERSION))),
];

const VERSION: &str = concat!(
    "pyrt-runtime version ",
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("CARGO_PKG_VERSION"),
    "\nspec: 1.3.0\n"
);

const USAGE: &str = "\
pyrt-runtime: an OCI runtime that needs no root

usage: pyrt-runtime [global options] command [options] [arguments]

commands:
  create  run  start  exec  kill  delete  list  state  ps  pause  resume
  update  events  spec  features  checkpoint  restore  help  version

global options:
  --root DIR             where the state of containers is
  --log FILE             where errors go, too: a file, journald:ID or syslog:ID
  --log-format FORMAT    text or json
  --systemd-cgroup       cgroups by systemd
  --cgroup-manager NAME  systemd, cgroupfs or disabled
  --rootless, --debug    taken, and of no effect
  --version, --help
";

/// Runs a command line; the exit status.
#[must_use]
pub(crate) fn main(args: &[OsString]) -> i32 {
    let (globals, rest) = match globals::parse(args) {
        Ok(parsed) => parsed,
        Err(error) => return globals::Log::default().report(&error, 1),
    };
    if globals.wants_version {
        return crate::print(VERSION);
    }
    let word = rest.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    if globals.wants_help || word.is_empty() {
        return crate::print(USAGE);
    }
    let Some(verb) = VERBS.iter().find(|verb| verb.name == word) else {
        let message = format!("no such command: {word} (see pyrt-runtime --help)");
        let error = Error::new(Code::InvalidSpec, "pyrt-runtime", "", message);
        return globals.log.report(&error, 1);
    };
    // runc: 255 is the runtime's own failure, since any other status may be the program's.
    let failure = if verb.name == "exec" { 255 } else { 1 };
    if let Err(error) = globals.log.check() {
        return globals::Log::default().report(&error, failure);
    }
    let words = command_line::parse(&rest[1..], verb.flags, verb.ends_at_id);
    match words.and_then(|words| (verb.run)(&globals, &words)) {
        Ok(code) => code,
        Err(error) => globals.log.report(&error, failure),
    }
}
