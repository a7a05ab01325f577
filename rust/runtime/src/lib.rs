//! The verbs of the native binary.
//!
//! | verb      | started by                | is                                                          |
//! |-----------|---------------------------|-------------------------------------------------------------|
//! | `monitor` | `_core.launch`            | the parent of a container's init for its life               |
//! | `holder`  | the first command         | what keeps the user's namespace                             |
//! | `join`    | `_core.exec`              | exec: the parent of one more process in a container         |
//! | `tree`    | `_core.unpack` and so on  | work on trees in the user's namespace                       |
//! | `init`    | `pyrt run --init`         | pid 1 inside: forwards signals, reaps                       |
//! | the rest  | podman, conmon, shims     | an OCI runtime's command line: [`oci`]                      |

mod arguments;
mod exec;
mod init;
mod monitor;
mod network;
mod oci;
mod probe;
mod roots;
mod trees;
mod unpack;

use std::ffi::OsString;

pub use network::main as network_main;
use pyrt_core::{At, Error, Result};

/// What only our own code starts; everything else is an OCI runtime's command line.
const OURS: [&str; 5] = ["monitor", "holder", "join", "tree", "init"];

/// Runs this process's own command line; the exit status.
#[must_use]
pub fn main() -> i32 {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    run(&words)
}

/// Runs one verb; the exit status.
#[must_use]
pub fn run(args: &[OsString]) -> i32 {
    let verb = args.first().and_then(|verb| verb.to_str()).unwrap_or_default();
    let rest = args.get(1..).unwrap_or_default();
    if verb != "init" {
        // What we make has the mode we say, and a mount point in an image that of any other: the user's 077 would
        // close it to the container's users. The program's own umask is the document's.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    }
    if OURS.iter().all(|ours| *ours != verb) {
        return oci::main(args);
    }
    let result = match verb {
        "monitor" => monitor::main(rest),
        "holder" => arguments::holder(rest),
        "join" => exec::main(rest),
        "tree" => trees::main(rest),
        _ => init::main(rest),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            1
        }
    }
}

/// Writes to stdout; the exit status.
fn print(text: &str) -> i32 {
    let written = pyrt_core::paths::write_all(rustix::stdio::stdout(), text.as_bytes());
    match written.at("write", "stdout") {
        Ok(()) => 0,
        // A reader that has seen enough.
        Err(error) if error.errno == Some(libc::EPIPE) => 0,
        Err(error) => {
            complain(&error);
            1
        }
    }
}

/// The one place that renders an error: as a line for people.
fn complain(error: &Error) {
    let text = format!("pyrt-runtime: {error}\n");
    // Nobody is left to tell if stderr is closed.
    let _ = pyrt_core::paths::write_all(rustix::stdio::stderr(), text.as_bytes());
}

/// The result of a verb: its exit status.
type Status = Result<i32>;
