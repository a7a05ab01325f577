//! Archives of trees, out of and into containers, and layers made of what a container wrote.
//!
//! The worker writes plain archives; what compresses and hashes them is here, so that the binary stays small and a
//! second processor has work.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use pyrt_core::layer::{self, Copying, Limits, Owners, Packing};
use pyrt_core::paths::open_host;
use pyrt_core::{At, Code, Error, Result, sys, tree, wire};
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use sha2::{Digest, Sha256};

use crate::error::detached;
use crate::exec::ask;
use crate::json::parse;
use crate::monitor::{Started, reap};
use crate::worker::{Map, begin, map_text, work};

/// Bytes moved at once.
const BUFFER: usize = 128 << 10;

/// Whose paths are meant: `host`, `running` with a container's runtime directory, `stopped` with its bundle and the lock
/// that keeps it from starting, -1 for none; `volume` with its directory. The worker has the lock too: it may outlive us, and with it its mount.
type Place = (String, PathBuf, i32);

/// What tells the worker which root to open, and the descriptors that it needs for that.
struct Opening {
    arguments: Vec<(&'static str, OsString)>,
    /// Init of one that runs, the lock of one that does not.
    kept: Option<OwnedFd>,
}

impl Opening {
    fn of(place: &Place, bare: bool) -> Result<Self> {
        let (kind, path, lock) = place;
        let mut opening = match kind.as_str() {
            "running" => {
                let init = ask(path)?.init;
                let number = init.as_raw_fd().to_string().into();
                Self { arguments: vec![("--init", number)], kept: Some(init) }
            }
            "stopped" => {
                let lock = sys::files::duplicate(*lock).at("dup", "lock")?;
                let arguments = vec![
                    ("--bundle", path.clone().into_os_string()),
                    ("--lock", lock.as_raw_fd().to_string().into()),
                ];
                Self { arguments, kept: Some(lock) }
            }
            "volume" => {
                let arguments = vec![("--volume", path.clone().into_os_string())];
                Self { arguments, kept: None }
            }
            _ => return Err(Error::new(Code::InvalidSpec, "place", kind, "is none")),
        };
        if bare {
            opening.arguments.push(("--bare", "1".into()));
        }
        Ok(opening)
    }

    fn maps(&mut self, uids: &Map, gids: &Map) {
        if !uids.is_empty() {
            self.arguments.push(("--uid-map", map_text(uids)));
            self.arguments.push(("--gid-map", map_text(gids)));
        }
    }

    fn run(
        mut self,
        binary: &Path,
        run_root: &Path,
        verb: &str,
        data: Option<(&'static str, OwnedFd)>,
    ) -> Result<Vec<u8>> {
        let mut keep: Vec<&OwnedFd> = self.kept.iter().collect();
        if let Some((name, fd)) = &data {
            self.arguments.push((name, fd.as_raw_fd().to_string().into()));
            keep.push(fd);
        }
        work(binary, run_root, verb, &self.arguments, &keep)
    }
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn measure_tree(
    py: Python<'_>,
    binary: PathBuf,
    run_root: PathBuf,
    path: PathBuf,
) -> PyResult<u64> {
    detached(py, || match tree::measure(&path) {
        // Directories of subordinate IDs that are closed to others.
        Err(error) if error.errno == Some(libc::EACCES) => {
            let arguments = [("--path", path.into_os_string())];
            let reply = work(&binary, &run_root, "measure", &arguments, &[])?;
            serde_json::from_slice(&reply).map_err(|_| wire::lost())
        }
        result => result,
    })
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn compare<'py>(
    py: Python<'py>,
    binary: PathBuf,
    run_root: PathBuf,
    upper: PathBuf,
    lower: Vec<PathBuf>,
) -> PyResult<Bound<'py, PyList>> {
    let text = detached(py, || {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).at("pipe", "changes")?;
        let mut arguments = vec![
            ("--path", upper.into_os_string()),
            ("--out", writer.as_raw_fd().to_string().into()),
        ];
        arguments.extend(lower.into_iter().map(|path| ("--lower", path.into_os_string())));
        let started = begin(&binary, &run_root, "compare", &arguments, &[&writer])?;
        drop(writer);
        let mut text = Vec::new();
        let read = File::from(reader).read_to_end(&mut text).at("read", "changes");
        finish(&started)?;
        read.map(|_| text)
    })?;
    let list = PyList::empty(py);
    for record in text.split(|byte| *byte == 0).filter(|record| record.len() > 1) {
        let letter = char::from(record[0]).to_string();
        list.append((letter, PyBytes::new(py, &record[1..])))?;
    }
    Ok(list)
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn find_path<'py>(
    py: Python<'py>,
    binary: PathBuf,
    run_root: PathBuf,
    place: Place,
    path: PathBuf,
) -> PyResult<Bound<'py, PyAny>> {
    let reply = detached(py, || {
        let mut opening = Opening::of(&place, false)?;
        opening.arguments.push(("--path", path.into_os_string()));
        opening.run(&binary, &run_root, "find", None)
    })?;
    parse(py, &reply)
}

/// See `_core.pyi`.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub(crate) fn fill_volume(
    py: Python<'_>,
    binary: PathBuf,
    run_root: PathBuf,
    place: Place,
    path: PathBuf,
    volume: PathBuf,
    uid: u32,
    gid: u32,
) -> PyResult<bool> {
    let reply = detached(py, || {
        let mut opening = Opening::of(&place, true)?;
        opening.arguments.push(("--path", path.into_os_string()));
        opening.arguments.push(("--to", volume.into_os_string()));
        opening.arguments.push(("--uid", uid.to_string().into()));
        opening.arguments.push(("--gid", gid.to_string().into()));
        opening.run(&binary, &run_root, "fill", None)
    })?;
    Ok(reply == b"true")
}

/// See `_core.pyi`.
#[pyfunction]
#[pyo3(signature = (binary, run_root, place, path, out, name, uid_map, gid_map, bare=false))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn pack_path<'py>(
    py: Python<'py>,
    binary: PathBuf,
    run_root: PathBuf,
    place: Place,
    path: PathBuf,
    out: i32,
    name: PathBuf,
    uid_map: Map,
    gid_map: Map,
    bare: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let reply = detached(py, || {
        let out = sys::files::duplicate(out).at("dup", "archive")?;
        if place.0 == "host" {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
            let top = open_host(&path, flags)?;
            let name = std::os::unix::ffi::OsStringExt::into_vec(name.into_os_string());
            let packing = Packing { name, ..Packing::default() };
            let packed = layer::pack(&top, File::from(out), &packing)?;
            return Ok(serde_json::to_vec(&packed).unwrap_or_default());
        }
        let mut opening = Opening::of(&place, bare)?;
        opening.arguments.push(("--path", path.into_os_string()));
        opening.arguments.push(("--name", name.into_os_string()));
        opening.maps(&uid_map, &gid_map);
        opening.run(&binary, &run_root, "pack", Some(("--out", out)))
    })?;
    parse(py, &reply)
}

/// See `_core.pyi`.
#[pyfunction]
#[pyo3(signature = (binary, run_root, place, path, tar, owner, uid_map, gid_map, overwrite))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn unpack_into<'py>(
    py: Python<'py>,
    binary: PathBuf,
    run_root: PathBuf,
    place: Place,
    path: PathBuf,
    tar: i32,
    owner: Option<(u32, u32)>,
    uid_map: Map,
    gid_map: Map,
    overwrite: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let reply = detached(py, || {
        let tar = sys::files::duplicate(tar).at("dup", "archive")?;
        if place.0 == "host" {
            let copying = Copying { owners: Owners::Callers, overwrites: overwrite };
            let limits = Limits { copying: Some(copying), ..Limits::default() };
            let directory = open_host(&path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            let unpacked = layer::unpack(File::from(tar), directory.as_fd(), &limits)?;
            return Ok(serde_json::to_vec(&unpacked).unwrap_or_default());
        }
        let mut opening = Opening::of(&place, false)?;
        opening.arguments.push(("--path", path.into_os_string()));
        match owner {
            Some((uid, gid)) => {
                opening.arguments.push(("--uid", uid.to_string().into()));
                opening.arguments.push(("--gid", gid.to_string().into()));
            }
            None => opening.maps(&uid_map, &gid_map),
        }
        if overwrite {
            opening.arguments.push(("--overwrite", "1".into()));
        }
        opening.run(&binary, &run_root, "unpack-into", Some(("--tar", tar)))
    })?;
    parse(py, &reply)
}

/// See `_core.pyi`.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub(crate) fn pack_layer<'py>(
    py: Python<'py>,
    binary: PathBuf,
    run_root: PathBuf,
    directory: PathBuf,
    blob: i32,
    skip: Vec<PathBuf>,
    uid_map: Map,
    gid_map: Map,
) -> PyResult<Bound<'py, PyAny>> {
    let reply = detached(py, || {
        let blob = sys::files::duplicate(blob).at("dup", "layer")?;
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).at("pipe", "layer")?;
        let mut arguments = vec![
            ("--path", directory.into_os_string()),
            ("--out", writer.as_raw_fd().to_string().into()),
        ];
        if !uid_map.is_empty() {
            arguments.push(("--uid-map", map_text(&uid_map)));
            arguments.push(("--gid-map", map_text(&gid_map)));
        }
        arguments.extend(skip.into_iter().map(|path| ("--skip", path.into_os_string())));
        let started = begin(&binary, &run_root, "pack-layer", &arguments, &[&writer])?;
        drop(writer);
        let compressed = compress(File::from(reader), File::from(blob));
        let packed = finish(&started);
        // The cause: a worker whose pipe was closed tells of the effect.
        let (plain, sealed) = compressed?;
        let packed = packed?;
        let packed: serde_json::Value =
            serde_json::from_slice(&packed).map_err(|_| wire::lost())?;
        Ok(serde_json::json!({
            "diff_id": digest(plain.hash),
            "blob_digest": digest(sealed.hash),
            "blob_size": sealed.bytes,
            "size": packed["size"],
            "entries": packed["entries"],
        })
        .to_string()
        .into_bytes())
    })?;
    parse(py, &reply)
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn decompress(py: Python<'_>, blob: i32, out: i32) -> PyResult<(String, u64)> {
    detached(py, || {
        let blob = sys::files::duplicate(blob).at("dup", "layer")?;
        let out = sys::files::duplicate(out).at("dup", "archive")?;
        layer::decompress(File::from(blob), File::from(out), &Limits::default())
    })
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn compress_layer(py: Python<'_>, tar: i32, blob: i32) -> PyResult<(String, u64)> {
    detached(py, || {
        let tar = sys::files::duplicate(tar).at("dup", "archive")?;
        let blob = sys::files::duplicate(blob).at("dup", "layer")?;
        let (_, sealed) = compress(File::from(tar), File::from(blob))?;
        Ok((digest(sealed.hash), sealed.bytes))
    })
}

/// The worker's answer, once it has ended.
fn finish(started: &Started) -> Result<Vec<u8>> {
    let answer = wire::receive_answer(&started.socket);
    reap(&started.process)?;
    answer.map(|answer| answer.content)
}

/// Bytes that went by.
struct Counted<W> {
    sink: W,
    hash: Sha256,
    bytes: u64,
}

impl<W> Counted<W> {
    fn new(sink: W) -> Self {
        Self { sink, hash: Sha256::new(), bytes: 0 }
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let count = self.sink.write(data)?;
        self.hash.update(&data[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.sink.flush()
    }
}

/// Copies an archive, compressed with gzip: what was read and what was written.
fn compress(mut source: File, blob: File) -> Result<(Counted<std::io::Sink>, Counted<File>)> {
    let mut plain = Counted::new(std::io::sink());
    // No time in its header: the same layer has the same digest.
    let mut encoder = GzEncoder::new(Counted::new(blob), Compression::default());
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = match source.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            result => result.at("read", "layer")?,
        };
        if count == 0 {
            break;
        }
        plain.write_all(&buffer[..count]).at("write", "layer")?;
        encoder.write_all(&buffer[..count]).at("write", "layer")?;
    }
    let sealed = encoder.finish().at("write", "layer")?;
    Ok((plain, sealed))
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn digest_of(data: &[u8]) -> String {
    digest(Sha256::new_with_prefix(data))
}

fn digest(hash: Sha256) -> String {
    let mut text = "sha256:".to_owned();
    for byte in hash.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
