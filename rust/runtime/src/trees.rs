//! `pyrt-runtime tree VERB`: work on trees that hold files of subordinate IDs, in the user's namespace.
//!
//! It reports over one socket, in frames of `core::wire`: `Reply` with JSON, or `Failed`.

use std::ffi::OsString;

use pyrt_core::wire::{self, Frame};
use pyrt_core::{Code, Error, Result, removal, userns};

use crate::Status;
use crate::arguments::Arguments;

/// `tree remove|… --report FD --run-root DIR …`
pub(crate) fn main(args: &[OsString]) -> Status {
    let verb = args.first().map(|verb| verb.to_string_lossy().into_owned()).unwrap_or_default();
    let args = Arguments::parse(args.get(1..).unwrap_or_default())?;
    let report = args.needed_descriptor("report")?;
    let (frame, content, code) = match work(&verb, &args) {
        Ok(reply) => (Frame::Reply, reply, 0),
        Err(error) => (Frame::Failed, serde_json::to_vec(&error).unwrap_or_default(), 1),
    };
    // Nobody is left to be told if the socket is closed.
    let _ = wire::send(&report, frame, &content, &[]);
    Ok(code)
}

fn work(verb: &str, args: &Arguments) -> Result<Vec<u8>> {
    let holder = userns::ensure(&args.path("run-root")?)?;
    if verb == "ensure" {
        return Ok(serde_json::to_vec(&userns::describe(&holder)?).unwrap_or_default());
    }
    userns::enter(&holder)?;
    match verb {
        "remove" => removal::remove_path(&args.path("path")?).map(|()| b"{}".to_vec()),
        _ => Err(Error::new(Code::InvalidSpec, "tree", verb, "unknown verb")),
    }
}
