//! A layer blob becomes a directory (image-spec layer.md), for an overlay mounted with `userxattr`.
//!
//! The blob is hostile input: it decides every name, link, size and count below. Three rules hold the line.
//! Paths are resolved by the kernel beneath the destination, with no symbolic link followed ever
//! ([`extract`]); what a number claims is never allocated before it is read ([`archive`]); and everything is
//! counted against [`Limits`]. The `tar` crate is not used: it keeps extension headers of any length in memory
//! and cuts PAX records at newlines, which file capabilities contain.
//!
//! Runs in the user's namespace, where the layer's IDs exist. On failure the destination is left as it is: the
//! caller made it and removes it.

mod archive;
mod extract;
mod header;
mod ownership;
mod pack;
mod pax;
mod place;
mod stream;
#[cfg(test)]
mod tests;
mod writer;

use std::io::Read;
use std::os::fd::BorrowedFd;

use serde::Serialize;

use crate::tree::IdMap;
use crate::{Code, Error, Result};

pub use pack::{Packed, Packing, pack};
pub use stream::Blob;

/// What a blob may ask for. Each is named in the error of a blob that asks for more.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Members of the archive.
    pub max_entries: u64,
    /// Length of the uncompressed archive, and of all files together (holes count).
    pub max_bytes: u64,
    /// Of one path or link target; the kernel's PATH_MAX with its NUL.
    pub max_path_bytes: usize,
    /// Of one extension header: PAX records (extended attributes are in there), long names, maps of holes.
    pub max_extension_bytes: usize,
    /// Uncompressed bytes for each of the blob, once there are 256 MiB of them. DEFLATE reaches 1032.
    pub max_ratio: u64,
    /// There is only one ID to give files to: record owners in `user.pyrt.owner` as `uid:gid` instead.
    pub single_id: bool,
    /// The archive is a copy into a tree that is there already, and no layer.
    pub copying: Option<Copying>,
}

/// What is another matter when an archive is copied into somebody's tree: no name in it means a whiteout, what is there
/// stays, and the caller says whose the copies are.
#[derive(Clone, Debug)]
pub struct Copying {
    /// Whose the copies are.
    pub owners: Owners,
    /// Whether a directory may take the place of something else, and the other way.
    pub overwrites: bool,
}

/// Whose what is copied will be.
#[derive(Clone, Debug)]
pub enum Owners {
    /// Whoever makes it.
    Callers,
    /// This user and group.
    These(u32, u32),
    /// Who the archive says, mapped: ID there, ID here, count. Empty: as it is.
    Written(Vec<IdMap>, Vec<IdMap>),
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_entries: 4_000_000,
            max_bytes: 256 << 30,
            max_path_bytes: 4095,
            max_extension_bytes: 1 << 20,
            max_ratio: 1100,
            single_id: false,
            copying: None,
        }
    }
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unpacked {
    /// Digest of the uncompressed archive (image-spec config.md#layer-diffid).
    pub diff_id: String,
    /// Digest of the blob as it was read.
    pub blob_digest: String,
    /// Length of the blob.
    pub blob_size: u64,
    /// Bytes of all files.
    pub size: u64,
    /// Members of the archive.
    pub entries: u64,
    /// Block and character devices that were left out: an unprivileged user cannot make them, and pyrt gives a
    /// container its own `/dev`.
    pub skipped_devices: u64,
    /// Extended attributes that were left out: those of other layers' mechanisms (overlay, labels).
    pub skipped_xattrs: u64,
}

/// Unpacks a tar archive, plain or compressed with gzip or zstd, into the directory `destination`.
///
/// The blob is read to its end, so that both digests are those of the whole.
///
/// # Errors
/// `invalid_spec` for what the format or the limits forbid, naming the member; `denied` for an owner that
/// the user namespace does not have; `unsupported` for another compression; `kernel` with the path.
///
/// References: image-spec layer.md, tar(5), pax(1).
pub fn unpack(source: impl Read, destination: BorrowedFd<'_>, limits: &Limits) -> Result<Unpacked> {
    let mut blob = Blob::open(source, limits.max_ratio)?;
    let mut unpacked = unpack_archive(&mut blob, destination, limits)?;
    (unpacked.blob_digest, unpacked.blob_size) = blob.finish()?;
    Ok(unpacked)
}

/// As [`unpack`], of the archive that a [`Blob`] gives, maybe in another process; the blob's digest and size are left
/// to fill in.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_archive(
    archive: impl Read,
    destination: BorrowedFd<'_>,
    limits: &Limits,
) -> Result<Unpacked> {
    let mut archive = archive::Archive::new(stream::Stream::new(archive, limits.max_bytes), limits);
    let mut tree = extract::Tree::new(destination, limits);
    let mut entries = 0;
    while let Some(mut member) = archive.next_member()? {
        entries += 1;
        if entries > limits.max_entries {
            return Err(limit("max_entries", limits.max_entries));
        }
        if let Some(Copying { owners: Owners::Callers, .. }) = limits.copying {
            // A container's program is not to become one that anybody can run as this user.
            member.mode &= 0o1777;
        }
        tree.add(&member, &mut archive)?;
    }
    let written = tree.finish()?;
    Ok(Unpacked {
        diff_id: archive.into_stream().finish()?,
        blob_digest: String::new(),
        blob_size: 0,
        size: written.size,
        entries,
        skipped_devices: written.skipped_devices,
        skipped_xattrs: written.skipped_xattrs,
    })
}

/// Writes the uncompressed archive of a layer blob to `sink`: its diff ID and its length.
///
/// # Errors
/// As [`unpack`]; `kernel` where the sink refuses.
pub fn decompress(
    source: impl Read,
    mut sink: impl std::io::Write,
    limits: &Limits,
) -> Result<(String, u64)> {
    let mut stream = stream::Stream::new(Blob::open(source, limits.max_ratio)?, limits.max_bytes);
    let mut buffer = vec![0; 128 << 10];
    let mut size = 0;
    loop {
        let count = stream.read_full(&mut buffer)?;
        if count == 0 {
            break;
        }
        sink.write_all(&buffer[..count]).map_err(|error| pack::sink_error(&error))?;
        size += count as u64;
    }
    sink.flush().map_err(|error| pack::sink_error(&error))?;
    Ok((stream.finish()?, size))
}

/// The blob says something that it may not.
fn bad(subject: impl AsRef<[u8]>, message: impl Into<String>) -> Error {
    let subject = String::from_utf8_lossy(subject.as_ref()).into_owned();
    Error::new(Code::InvalidSpec, "unpack", subject, message)
}

fn limit(name: &str, value: u64) -> Error {
    bad("layer", format!("exceeds the limit {name} = {value}"))
}
