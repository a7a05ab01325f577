//! `pyrt-runtime monitor`: the parent of a container's init for the container's life.
//!
//! It never knows why a container is as it is: it reads the bundle, creates, watches, records the end and undoes.

mod again;
mod alert;
mod birth;
pub(crate) mod bridged;
mod clients;
mod container;
mod control;
mod course;
mod end;
mod events;
mod history;
mod log;
mod pod;
mod probes;
mod receipt;
mod scope;
mod service;
mod stdio;
pub(crate) mod uplink;

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use pyrt_core::bundle::{MonitorConfig, read_monitor_config, read_spec};
use pyrt_core::cgroup::user_scope;
use pyrt_core::spec::Spec;
use pyrt_core::sys::fork::{self, CLONE_NEWPID, Fork};
use pyrt_core::wire::{self, Frame};
use pyrt_core::{At, Code, Error, Result, userns};

use crate::Status;
use crate::arguments::Arguments;

/// What the monitor was started with.
#[derive(Debug)]
pub(crate) struct Job {
    bundle: PathBuf,
    /// The container's own directory below the run root.
    run_dir: PathBuf,
    /// The container's cgroup, made by whoever started us.
    cgroup: Option<PathBuf>,
    spec: Spec,
    config: MonitorConfig,
    single_id: bool,
    /// Start as soon as it is created, with the lead attached or not; otherwise the lead says when.
    start: Option<Attach>,
    /// Started by ourselves, when the container had ended.
    again: Option<again::Again>,
    is_again: bool,
}

/// Whether the lead gets the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attach {
    Yes,
    No,
}

/// `monitor --lead FD --bundle DIR --run DIR [--cgroup DIR | --manager ADDRESS... [--managed 1]]
/// [--start attached|detached]`
pub(crate) fn main(args: &[OsString]) -> Status {
    let args = Arguments::parse(args)?;
    if let Some(again) = again::Again::parse(&args)? {
        let supervised = prepare(&args, Some(again)).and_then(|job| birth::supervise(job, None));
        return supervised.map(|()| 0);
    }
    let lead = args.needed_descriptor("lead")?;
    match prepare(&args, None) {
        Ok(job) => become_monitor(job, lead),
        Err(error) => {
            report(&lead, &error);
            Ok(1)
        }
    }
}

fn report(lead: &OwnedFd, error: &Error) {
    // A lead that is gone has nothing to be told.
    let _ = wire::send(lead, Frame::Failed, &clients::to_json(error), &[]);
}

/// Reads and checks everything before anything is made, and joins the user's namespace.
fn prepare(args: &Arguments, again: Option<again::Again>) -> Result<Job> {
    let bundle = args.path("bundle")?;
    let run_dir = args.path("run")?;
    let spec = read_spec(&bundle)?;
    let config = read_monitor_config(&bundle)?;
    if again.is_some() {
        let cgroup = args.get("cgroup").map(|path| again::renew(Path::new(path), &config.id));
        let (cgroup, single_id) = (cgroup.transpose()?, args.get("single").is_some());
        let (start, is_again) = (None, true);
        return Ok(Job {
            bundle,
            run_dir,
            cgroup,
            spec,
            config,
            single_id,
            start,
            again,
            is_again,
        });
    }
    // Made by whoever started us, outside of the container's cgroup, in which we are.
    let holder = userns::find(run_dir.parent().unwrap_or(Path::new("/")))?.ok_or_else(lost)?;
    let single_id = userns::is_single(&holder)?;
    userns::enter(&holder)?;
    let cgroup = match args.get("cgroup") {
        Some(path) => {
            user_scope::reach(&args.managers(), Path::new(path))?;
            Some(PathBuf::from(path))
        }
        None => scope::make_cgroup(args, &bundle, &config.id)?,
    };
    let start = match args.get("start").and_then(|word| word.to_str()) {
        None => None,
        Some("attached") => Some(Attach::Yes),
        Some(_) => Some(Attach::No),
    };
    Ok(Job { bundle, run_dir, cgroup, spec, config, single_id, start, again, is_again: false })
}

fn lost() -> Error {
    let message = "its holder is gone";
    Error::new(Code::Conflict, "user namespace", "", message).with_hint("try again")
}

/// Leaves the caller and, where the container has a pid namespace of its own, becomes the first process of
/// another one around it: when we die, the kernel ends everything below us, whatever it did to its signals.
fn become_monitor(job: Job, lead: OwnedFd) -> Status {
    let flags = if job.spec.makes("pid") { CLONE_NEWPID } else { 0 };
    match fork::fork_single(flags, None).at("clone", "monitor") {
        // The caller reaps us at once; the monitor belongs to nobody, so nobody must wait for it.
        Ok(Fork::Parent { .. }) => Ok(0),
        Ok(Fork::Child) => {
            if let Err(error) = birth::supervise(job, Some(lead.as_fd())) {
                report(&lead, &error);
                return Ok(1);
            }
            Ok(0)
        }
        Err(error) => {
            report(&lead, &error);
            Ok(1)
        }
    }
}
