//! Work on trees: in process where the user's rights suffice, by the native binary in the user's namespace where not.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyrt_core::paths::{open_host, read_all, try_open_in_root};
use pyrt_core::{At, Result, tree, userns, wire};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use crate::error::{detached, raise};
use crate::json::parse;
use crate::monitor::{Started, reap, start};

/// Runs `tree VERB` and returns its reply.
pub(crate) fn work(
    binary: &Path,
    run_root: &Path,
    verb: &str,
    arguments: &[(&str, OsString)],
    keep: &[&OwnedFd],
) -> Result<Vec<u8>> {
    let started = begin(binary, run_root, verb, arguments, keep)?;
    let answer = wire::receive_answer(&started.socket);
    reap(&started.process)?;
    answer.map(|answer| answer.content)
}

/// Starts `tree VERB`, whose descriptors `keep` it has from then on.
pub(crate) fn begin(
    binary: &Path,
    run_root: &Path,
    verb: &str,
    arguments: &[(&str, OsString)],
    keep: &[&OwnedFd],
) -> Result<Started> {
    let mut words: Vec<(&str, &OsStr)> = vec![("--run-root", run_root.as_os_str())];
    words.extend(arguments.iter().map(|(name, value)| (*name, value.as_os_str())));
    let keep: Vec<_> = keep.iter().map(AsFd::as_fd).collect();
    start(binary, &["tree", verb], "--report", &words, [None; 3], &keep)
}

/// Makes the holder of the user's namespace if there is none; it stays in the caller's cgroup.
pub(crate) fn ensure_holder(binary: &Path, run_root: &Path) -> Result<()> {
    match userns::find(run_root)? {
        Some(_) => Ok(()),
        None => work(binary, run_root, "ensure", &[], &[]).map(drop),
    }
}

pub(crate) type Map = Vec<(u32, u32, u32)>;

/// `container:user:count,…`
pub(crate) fn map_text(map: &Map) -> OsString {
    let ranges: Vec<String> =
        map.iter().map(|(inside, outside, count)| format!("{inside}:{outside}:{count}")).collect();
    ranges.join(",").into()
}

/// See `_core.pyi`.
#[pyfunction]
#[pyo3(signature = (root, path, limit_bytes=1 << 20))]
pub(crate) fn read_in_root<'py>(
    py: Python<'py>,
    root: PathBuf,
    path: PathBuf,
    limit_bytes: usize,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let data = detached(py, || {
        let root = open_host(&root, OFlags::PATH | OFlags::DIRECTORY)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match try_open_in_root(root.as_fd(), &path, flags) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::NXIO) => return Ok(None),
            result => result.at("open", &path)?,
        };
        let stat = rustix::fs::fstat(&file).at("stat", &path)?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Ok(None);
        }
        read_all(&file, &path, limit_bytes).map(Some)
    })?;
    Ok(data.map(|data| PyBytes::new(py, &data)))
}

/// See `_core.pyi`.
#[pyfunction]
#[pyo3(signature = (binary, run_root, tar, destination, limits=Vec::new()))]
pub(crate) fn unpack<'py>(
    py: Python<'py>,
    binary: PathBuf,
    run_root: PathBuf,
    tar: i32,
    destination: PathBuf,
    limits: Vec<(String, u64)>,
) -> PyResult<Bound<'py, PyAny>> {
    let reply = detached(py, || {
        let tar = pyrt_core::sys::files::duplicate(tar).at("dup", "tar")?;
        let mut arguments = vec![
            ("--tar", tar.as_raw_fd().to_string().into()),
            ("--path", destination.into_os_string()),
        ];
        let limits = limits.iter().map(|(name, number)| format!("{name}={number}").into());
        arguments.extend(limits.map(|limit| ("--limit", limit)));
        work(&binary, &run_root, "unpack", &arguments, &[&tar])
    })?;
    parse(py, &reply)
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn shift_tree(
    py: Python<'_>,
    binary: PathBuf,
    run_root: PathBuf,
    source: PathBuf,
    destination: PathBuf,
    uid_map: Map,
    gid_map: Map,
) -> PyResult<()> {
    detached(py, || {
        let arguments = [
            ("--source", source.into_os_string()),
            ("--path", destination.into_os_string()),
            ("--uid-map", map_text(&uid_map)),
            ("--gid-map", map_text(&gid_map)),
        ];
        work(&binary, &run_root, "shift", &arguments, &[]).map(drop)
    })
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn share_layers<'py>(
    py: Python<'py>,
    binary: PathBuf,
    run_root: PathBuf,
    layers: Vec<(PathBuf, PathBuf)>,
    destination: PathBuf,
    uid_map: Map,
    gid_map: Map,
) -> PyResult<Bound<'py, PyAny>> {
    let reply = detached(py, || {
        let mut arguments = vec![
            ("--path", destination.into_os_string()),
            ("--uid-map", map_text(&uid_map)),
            ("--gid-map", map_text(&gid_map)),
        ];
        for (layer, data) in layers {
            arguments.push(("--layer", layer.into_os_string()));
            arguments.push(("--data", data.into_os_string()));
        }
        work(&binary, &run_root, "share", &arguments, &[])
    })?;
    parse(py, &reply)
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn append_lines(
    py: Python<'_>,
    path: PathBuf,
    max_size_bytes: u64,
    lines: &[u8],
) -> PyResult<()> {
    detached(py, || pyrt_core::journal::append(&path, max_size_bytes, lines))
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn sync(py: Python<'_>, path: PathBuf) -> PyResult<()> {
    detached(py, || {
        let directory = open_host(&path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        rustix::fs::syncfs(&directory).at("syncfs", &path)
    })
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn probe_sharing<'py>(
    py: Python<'py>,
    binary: PathBuf,
    run_root: PathBuf,
    path: PathBuf,
) -> PyResult<Bound<'py, PyAny>> {
    let arguments = [("--path", path.into_os_string())];
    let reply = detached(py, || work(&binary, &run_root, "probe", &arguments, &[]))?;
    parse(py, &reply)
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn chown_tree(
    py: Python<'_>,
    binary: PathBuf,
    run_root: PathBuf,
    path: PathBuf,
    uid: u32,
    gid: u32,
) -> PyResult<()> {
    detached(py, || {
        let arguments = [
            ("--path", path.into_os_string()),
            ("--uid", uid.to_string().into()),
            ("--gid", gid.to_string().into()),
        ];
        work(&binary, &run_root, "chown", &arguments, &[]).map(drop)
    })
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn remove_tree(
    py: Python<'_>,
    binary: PathBuf,
    run_root: PathBuf,
    path: PathBuf,
) -> PyResult<()> {
    detached(py, || match tree::remove_path(&path) {
        // Files of subordinate IDs: only their namespace's root can remove them.
        Err(error) if matches!(error.errno, Some(libc::EACCES | libc::EPERM)) => {
            work(&binary, &run_root, "remove", &[("--path", path.into_os_string())], &[]).map(drop)
        }
        result => result,
    })
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn user_namespace<'py>(
    py: Python<'py>,
    binary: PathBuf,
    run_root: PathBuf,
) -> PyResult<Bound<'py, PyAny>> {
    let text = detached(py, || {
        if let Some(holder) = userns::find(&run_root)? {
            return Ok(serde_json::to_vec(&userns::describe(&holder)?).unwrap_or_default());
        }
        work(&binary, &run_root, "ensure", &[], &[])
    })?;
    parse(py, &text).map_err(|error| {
        if error.is_instance_of::<crate::error::CoreError>(py) {
            error
        } else {
            raise(py, &wire::lost())
        }
    })
}
