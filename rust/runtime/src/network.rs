//! `pyrt-network`: what keeps a user's bridge networks. A binary of its own, so that the runtime stays small.
//!
//! | verb        | started by        | is                                                                          |
//! |-------------|-------------------|-----------------------------------------------------------------------------|
//! | `enter`     | `pyrt node enter` | runs a command in the node, and ends as it ends                             |
//! | `keeper`    | `_core.networks`  | holds the user's network namespace, its uplink (pasta) and the supervisor   |
//! | `dial`      | `_core.dial`      | connects from within a container's network, and ends                        |
//! | `node`      | `_core.start_node`| makes the node's namespaces, is their first process, starts its services    |
//! | `slirp`     | monitor, keeper   | starts slirp4netns as a way out, where there is no pasta                    |
//! | `spare`     | the keeper        | becomes the keeper when that one ends                                       |
//! | `supervise` | the keeper        | makes bridges and veth pairs, answers DNS, keeps a forwarder per container  |
//! | `probe`     | a monitor         | does one probe or hook of a container ([`crate::probe`])                    |
//!
//! Nothing is written down: a monitor registers its container, and says it all again when it loses us. Sockets that listen
//! on the host are the monitors' own, so a port stays taken, and who connects meanwhile waits, while we are made anew.
//! All of it goes when no container has been there for a while.

mod balance;
mod dial;
mod enter;
mod forward;
mod keeper;
mod links;
mod machine_ports;
mod members;
mod names;
mod node;
mod node_mounts;
mod registered;
mod resolver;
mod services;
mod slirp;
mod supervisor;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use pyrt_core::{Code, Error};

use crate::arguments::Arguments;
use crate::{Status, complain};

/// Where everything of ours is below the run root.
pub(crate) fn directory(run_root: &Path) -> PathBuf {
    run_root.join("network")
}

/// The socket on which the supervisor listens.
pub(crate) const SOCKET: &str = "control.sock";
/// The file that the keeper locks.
const KEEPER: &str = "keeper";
/// The file that the uplink's guard locks.
const GUARD: &str = "guard";
/// The file that the supervisor locks.
const SUPERVISOR: &str = "supervisor";

/// Runs this process's own command line; the exit status.
#[must_use]
pub fn main() -> i32 {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let verb = words.first().and_then(|verb| verb.to_str()).unwrap_or_default();
    let run = |verb: &str| -> Status {
        let arguments = Arguments::parse(words.get(1..).unwrap_or_default())?;
        match verb {
            "dial" => dial::main(&arguments),
            "enter" => enter::main(&arguments),
            "keeper" => keeper::main(&arguments),
            "node" => node::main(&arguments),
            "probe" => crate::probe::main(&arguments),
            "slirp" => slirp::main(&arguments),
            "spare" => keeper::spare(&arguments),
            "supervise" => supervisor::main(&arguments),
            _ => Err(Error::new(Code::InvalidSpec, "argument", verb, "no such verb")),
        }
    };
    match run(verb) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            1
        }
    }
}
