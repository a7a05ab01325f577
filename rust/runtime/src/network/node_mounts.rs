//! What the node sees of the machine's files: all of it, and may write where programs of a machine's root do.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use pyrt_core::paths::{make_dirs, open_host, read_host};
use pyrt_core::{At, Result, mount};
use rustix::fs::{CWD, OFlags};

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);
/// The largest list of mounts.
const DOCUMENT_BYTES: usize = 16 << 20;

/// Where a kubelet, or what else runs as a machine's root, wants to write.
const WRITABLE: [&str; 4] = ["/etc", "/run", "/var/lib", "/var/log"];

/// What is mounted in the node is seen by its containers, and what they mount there by it, if they ask for it; nothing goes
/// back to the machine. Below `scratch` is what the node writes over the machine's own files; `kept` are directories that
/// stay the machine's wherever they are.
pub(super) fn prepare(scratch: &Path, kept: &[PathBuf]) -> Result<()> {
    let root = open_host(Path::new("/"), DIRECTORY)?;
    mount::set_propagation(root.as_fd(), libc::MS_SHARED, true, "/")?;
    for place in WRITABLE {
        cover(Path::new(place), scratch, kept)?;
    }
    let flags = mount::NOSUID | mount::NODEV | mount::NOEXEC;
    let own: [(&str, &[&str], &str); 3] = [
        ("proc", &[], "/proc"),
        ("mqueue", &[], "/dev/mqueue"),
        ("tmpfs", &["mode=1777"], "/dev/shm"),
    ];
    for (kind, data, place) in own {
        let Some(target) = try_open(Path::new(place))? else { continue };
        let data: Vec<String> = data.iter().map(|word| (*word).to_owned()).collect();
        let made = mount::make_filesystem(kind, kind, &data, flags, place)?;
        mount::attach(made.as_fd(), target.as_fd(), place)?;
    }
    Ok(())
}

/// Lays a writable layer over a directory. An overlay shows nothing of what is mounted below: that is put back.
fn cover(place: &Path, scratch: &Path, kept: &[PathBuf]) -> Result<()> {
    let Some(target) = try_open(place)? else { return Ok(()) };
    if scratch.starts_with(place) {
        return Ok(()); // a layer cannot be below itself; a home there is writable anyway
    }
    let mut below = mount_points()?;
    below.extend(kept.iter().cloned());
    below.retain(|path| path.starts_with(place) && path != place);
    below.sort();
    below.dedup_by(|path, above| path.starts_with(above));
    let mut trees = Vec::new();
    for path in &below {
        // What is closed to us is not ours to see.
        if let Some(file) = try_open(path)? {
            trees.push((path, mount::clone_tree(file.as_fd(), true, &path.to_string_lossy())?));
        }
    }
    let name = place.to_string_lossy().trim_start_matches('/').replace('/', "-");
    let layer = |kind: &str| {
        let path = scratch.join(&name).join(kind);
        let root = open_host(Path::new("/"), DIRECTORY)?;
        make_dirs(root.as_fd(), &path)?;
        Ok(format!("{kind}dir={}", path.to_string_lossy()))
    };
    let lower = format!("lowerdir={}", place.to_string_lossy());
    let data = [lower, layer("upper")?, layer("work")?, "userxattr".to_owned()];
    let subject = place.to_string_lossy();
    let made = mount::make_filesystem("overlay", "overlay", &data, 0, &subject)?;
    mount::attach(made.as_fd(), target.as_fd(), &subject)?;
    for (path, tree) in trees {
        if let Some(target) = try_open(path)? {
            mount::attach(tree.as_fd(), target.as_fd(), &path.to_string_lossy())?;
        }
    }
    Ok(())
}

/// What is there, and open to us.
fn try_open(path: &Path) -> Result<Option<OwnedFd>> {
    match rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, rustix::fs::Mode::empty()) {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::ACCESS | rustix::io::Errno::NOTDIR) => {
            Ok(None)
        }
        opened => opened.at("open", path).map(Some),
    }
}

/// Where something is mounted: the fifth field of each line of mountinfo (proc(5)).
fn mount_points() -> Result<Vec<PathBuf>> {
    let text = read_host(Path::new("/proc/self/mountinfo"), DOCUMENT_BYTES)?;
    let lines = text.split(|byte| *byte == b'\n');
    let field = |line: &[u8]| line.split(|byte| *byte == b' ').nth(4).map(unescape);
    Ok(lines.filter_map(field).collect())
}

/// `\040` for a space, and so on.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\');
        let code = code.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::unescape;
    use std::path::Path;

    #[test]
    fn mount_points_may_have_spaces() {
        assert_eq!(unescape(br"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescape(br"/plain\"), Path::new(r"/plain\"));
    }
}
