//! The container's cgroup by the user's systemd: for whoever was started where nothing is delegated.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use pyrt_core::Result;
use pyrt_core::cgroup::{Cgroup, user_scope};
use pyrt_core::paths::{open_host, write_whole};
use rustix::fs::OFlags;

use crate::arguments::Arguments;

/// The file in the bundle that says below which cgroup the container's own is made.
const NOTE: &str = "cgroup";

/// Makes the container's cgroup in the scope that all of them share, which we enter; None if no manager was named, or, as
/// long as no limit and nobody insists (`--managed`), if none does it.
///
/// # Errors
/// The manager's; `kernel`.
pub(super) fn make_cgroup(args: &Arguments, bundle: &Path, id: &str) -> Result<Option<PathBuf>> {
    let managers = args.managers();
    if managers.is_empty() {
        return Ok(None);
    }
    let scope = match user_scope::enter(&managers) {
        Err(_) if args.get("managed").is_none() => return Ok(None),
        scope => scope?,
    };
    let directory = open_host(bundle, OFlags::PATH | OFlags::DIRECTORY)?;
    // Before it is made, for whoever sweeps.
    let text = scope.to_string_lossy();
    write_whole(directory.as_fd(), NOTE, text.as_bytes(), 0o600)?;
    Ok(Some(Cgroup::make(&scope, id)?.path().to_owned()))
}
