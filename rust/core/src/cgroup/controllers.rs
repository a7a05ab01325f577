//! Controllers handed down: cgroup.subtree_control along the way to a container's cgroup.

use std::path::Path;

use rustix::io::Errno;

use crate::cgroup::place::open;
use crate::error::{Code, Error, Result};
use crate::paths::read_host;

/// Has the cgroups from `base` down to the one above `target` give their controllers to those below.
///
/// All of them, so that the container is accounted for, and may limit parts of itself; where one refuses that is an
/// error only if a limit needs it. Above `base` only what is needed is asked for: it is others' place.
pub(super) fn enable(base: &Path, target: &Path, mount: &Path, needed: &[&str]) -> Result<()> {
    let mut top = base;
    if !needed.is_empty() {
        while top != mount && !is_subset(needed, &controllers(top, "cgroup.controllers")?) {
            top = top.parent().unwrap_or(mount);
        }
    }
    let mut levels: Vec<&Path> =
        target.ancestors().skip(1).take_while(|level| level.starts_with(top)).collect();
    levels.reverse();
    let mut refusal = None;
    for level in levels {
        let only = if base.starts_with(level) && level != base { Some(needed) } else { None };
        if let Err(errno) = offer(level, only)? {
            refusal = Some((level, errno));
        }
    }
    if needed.is_empty() {
        return Ok(());
    }
    let given = controllers(target, "cgroup.controllers")?;
    let Some(missing) = needed.iter().find(|name| !given.contains(name)) else { return Ok(()) };
    let message = match refusal {
        Some((level, Errno::BUSY)) => {
            let message = format!(
                "{} gives no {missing} controller: it has processes of its own",
                level.display()
            );
            let hint =
                "move them to a cgroup beside the container's, or choose another cgroupsPath";
            return Err(
                Error::new(Code::Denied, "linux.resources", *missing, message).with_hint(hint)
            );
        }
        Some((level, errno)) => {
            let reason = Error::kernel("", "", errno.raw_os_error()).message;
            format!("{} gives no {missing} controller: {reason}", level.display())
        }
        None => format!("the {missing} controller is not available in {}", target.display()),
    };
    Err(Error::new(Code::Denied, "linux.resources", *missing, message).with_hint(hint(missing)))
}

/// Adds all that it has, or what of it is in `only`, to cgroup.subtree_control; the inner result is the kernel's refusal.
fn offer(level: &Path, only: Option<&[&str]>) -> Result<std::result::Result<(), Errno>> {
    let has = controllers(level, "cgroup.controllers")?;
    let gives = controllers(level, "cgroup.subtree_control")?;
    let is_wanted = |name: &&str| {
        !gives.contains(name) && only.is_none_or(|only| only.iter().any(|wanted| wanted == name))
    };
    let missing: Vec<&str> = has.names().filter(is_wanted).collect();
    if missing.is_empty() {
        return Ok(Ok(()));
    }
    let cgroup = match open(level) {
        Ok(cgroup) => cgroup,
        Err(errno) => return Ok(Err(errno)),
    };
    // The kernel refuses memory and io to a cgroup with processes, but not cpu and pids: it would turn what is below it
    // into threads' cgroups, in which no container can be. Only the real root, which has no type, may have both.
    let has_processes = cgroup.read("cgroup.procs")?.is_some_and(|text| !text.is_empty());
    if has_processes && cgroup.has("cgroup.type") {
        return Ok(Err(Errno::BUSY));
    }
    let all = missing.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ");
    if cgroup.write("cgroup.subtree_control", &all).is_ok() {
        return Ok(Ok(()));
    }
    // One that is refused, as cpu with real-time processes about, must not keep the others away.
    let mut refusal = Ok(());
    for name in &missing {
        if let Err(errno) = cgroup.write("cgroup.subtree_control", &format!("+{name}")) {
            refusal = Err(errno);
        }
    }
    Ok(refusal)
}

/// The words of one of a cgroup's two lists of controllers.
struct Controllers(String);

impl Controllers {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split_ascii_whitespace()
    }

    fn contains(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }
}

fn controllers(level: &Path, file: &str) -> Result<Controllers> {
    let path = level.join(file);
    let text = read_host(&path, 4096)?;
    Ok(Controllers(String::from_utf8_lossy(&text).into_owned()))
}

fn is_subset(needed: &[&str], has: &Controllers) -> bool {
    needed.iter().all(|name| has.contains(name))
}

/// What would make a controller available.
pub(crate) fn hint(controller: &str) -> String {
    let text = read_host(Path::new("/proc/self/cgroup"), 65536).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let is_version_1 = text.lines().any(|line| {
        let list = line.split(':').nth(1).unwrap_or_default();
        list.split(',').any(|name| name == controller)
    });
    if is_version_1 {
        return format!(
            "boot with `cgroup_no_v1=all`: cgroup version 1 has the {controller} controller"
        );
    }
    format!(
        "delegate it: `Delegate=cpu cpuset io memory pids` for user@.service, or `chown` a cgroup that has {controller} to this user"
    )
}
