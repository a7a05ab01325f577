//! Why the kernel killed for want of memory: whose limit was hit, told when the container has ended.
//!
//! memory.events counts with all below, memory.events.local only what the cgroup's own limit did. A limit of the container's
//! shows in its own; one above it, a pod's or a login's, in that cgroup's, which others fill, too: only what came since the
//! container began is of interest. The kernel's log would tell the process; it is root's to read.

use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::Serialize;

use super::files::{File, Files, keyed, number};

/// The cgroups above a container's, and how often each had hit its own limit when it began.
#[derive(Debug)]
pub struct Above(Vec<(PathBuf, u64)>);

impl Above {
    /// Above the cgroup at `path`, now; none where memory is not limited.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        hits(path)?;
        let counted =
            path.ancestors().skip(1).map_while(|path| Some((path.to_owned(), hits(path)?)));
        Some(Self(counted.collect()))
    }

    /// The nearest that has hit its limit since.
    fn find_hit(&self) -> Option<&Path> {
        let hit = self.0.iter().find(|(path, before)| hits(path).is_some_and(|now| now > *before));
        hit.map(|(path, _)| path.as_path())
    }
}

/// How often a cgroup's own limit was hit and nothing could be given back; none without the controller, and for the root.
/// That is the rule on many machines, and no error: making one draws pages of code into every monitor.
fn hits(path: &Path) -> Option<u64> {
    keyed(text(path, "memory.events.local", &mut [0; 512])?, "oom")
}

/// The text of a short file of a cgroup.
fn text<'a>(path: &Path, name: &str, buffer: &'a mut [u8; 512]) -> Option<&'a str> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path.join(name), flags, Mode::empty()).ok()?;
    let count = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut *buffer)).ok()?;
    std::str::from_utf8(&buffer[..count]).ok()
}

/// What is known of it.
#[derive(Debug, Serialize)]
pub struct PostMortem {
    /// Processes that were killed.
    pub kills: u64,
    /// Whose memory was used up: `container` (its own limit), `inside` (of a cgroup that it made), `above` (a pod's, a login's),
    /// or `machine`.
    pub whose: &'static str,
    /// The cgroup whose limit it was; none for `inside` and `machine`.
    pub cgroup: Option<PathBuf>,
    /// That limit.
    pub limit_bytes: Option<u64>,
    /// The most that the container had at once.
    pub peak_bytes: Option<u64>,
    /// `program` if the container's own was killed, and `unknown` for another of its processes.
    pub victim: &'static str,
    /// Why it is unknown.
    pub reason: &'static str,
}

/// Looks at a container that has ended; none if nothing of it was killed for memory. `path`: its cgroup; `is_program_killed`:
/// whether its program ended by SIGKILL.
pub fn examine(
    files: &mut Files,
    path: &Path,
    above: &Above,
    is_program_killed: bool,
) -> Option<PostMortem> {
    let mut buffer = Vec::new();
    let mut count = |file, key| keyed(files.read(file, &mut buffer)?, key);
    let kills = count(File::MemoryEvents, "oom_kill").filter(|kills| *kills > 0)?;
    let own = count(File::MemoryEventsLocal, "oom").unwrap_or(0);
    let below = count(File::MemoryEvents, "oom").unwrap_or(0);
    let (whose, cgroup) = match above.find_hit() {
        _ if own > 0 => ("container", Some(path)),
        _ if below > 0 => ("inside", None),
        Some(hit) => ("above", Some(hit)),
        None => ("machine", None),
    };
    let limit = cgroup.and_then(|path| number(text(path, "memory.max", &mut [0; 512])?));
    let (victim, reason) = if is_program_killed {
        ("program", "")
    } else {
        ("unknown", "only the kernel's log tells, which is root's to read")
    };
    Some(PostMortem {
        kills,
        whose,
        cgroup: cgroup.map(Path::to_owned),
        limit_bytes: limit,
        peak_bytes: files.read(File::MemoryPeak, &mut buffer).and_then(number),
        victim,
        reason,
    })
}
