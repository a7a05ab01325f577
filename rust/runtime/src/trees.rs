//! `pyrt-runtime tree VERB`: work on trees that hold files of subordinate IDs, in the user's namespace.
//!
//! It reports over one socket, in frames of `core::wire`: `Reply` with JSON, or `Failed`.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use pyrt_core::layer::Limits;
use pyrt_core::paths::open_host;
use pyrt_core::wire::{self, Frame};
use pyrt_core::{At, Code, Error, Result, overlay, sys, tree, userns};
use rustix::fs::{Mode, OFlags};
use rustix::thread::CapabilitiesSecureBits;

use crate::arguments::{Arguments, invalid, missing};
use crate::{Status, roots, unpack};

/// `tree VERB --report FD --run-root DIR [--path DIR] …`; the verbs are in [`work`].
pub(crate) fn main(args: &[OsString]) -> Status {
    let verb = args.first().map(|verb| verb.to_string_lossy().into_owned()).unwrap_or_default();
    let args = Arguments::parse(args.get(1..).unwrap_or_default())?;
    let report = args.needed_descriptor("report")?;
    let (frame, content, code) = match work(&verb, &args) {
        Ok(reply) => (Frame::Reply, reply, 0),
        Err(error) => (Frame::Failed, to_json(&error), 1),
    };
    // Nobody is left to be told if the socket is closed.
    let _ = wire::send(&report, frame, &content, &[]);
    Ok(code)
}

fn work(verb: &str, args: &Arguments) -> Result<Vec<u8>> {
    let holder = userns::ensure(&args.path("run-root")?)?;
    if verb == "ensure" {
        return Ok(to_json(&userns::describe(&holder)?));
    }
    let single_id = userns::is_single(&holder)?;
    userns::enter(&holder)?;
    let path = args.path("path")?;
    match verb {
        "unpack" => unpack_layer(args, &path, single_id),
        "find" => roots::find(args, &path),
        "pack" => roots::pack(args, &path, single_id),
        "pack-layer" => roots::pack_layer(args, &path, single_id),
        "unpack-into" => roots::unpack_into(args, &path),
        "fill" => roots::fill(args, &path),
        "compare" => roots::compare(args, &path),
        "measure" => tree::measure(&path).map(|size| to_json(&size)),
        "remove" => tree::remove_path(&path).map(|()| done()),
        "chown" => {
            let (uid, gid) = (needed(args, "uid")?, needed(args, "gid")?);
            tree::chown(&path, uid, gid).map(|()| done())
        }
        "shift" => {
            let (uids, gids) = (map(args, "uid-map")?, map(args, "gid-map")?);
            let copied = tree::copy_shifted(&args.path("source")?, &path, &uids, &gids)
                .and_then(|()| sync(&path));
            or_remove(copied, &path).map(|()| done())
        }
        "share" => share(args, &path),
        "probe" => probe(&path),
        _ => Err(Error::new(Code::InvalidSpec, "tree", verb, "unknown verb")),
    }
}

fn done() -> Vec<u8> {
    b"{}".to_vec()
}

pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Unpacks into a new directory.
fn unpack_layer(args: &Arguments, path: &Path, single_id: bool) -> Result<Vec<u8>> {
    let tar = File::from(args.needed_descriptor("tar")?);
    let mut limits = Limits { single_id, ..Limits::default() };
    for text in args.all("limit") {
        set_limit(&mut limits, &text.to_string_lossy())?;
    }
    rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)).at("mkdir", path)?;
    let unpacked = open_host(path, OFlags::RDONLY | OFlags::DIRECTORY).and_then(|destination| {
        // Not synced: whoever gives it a name notes that it may not be on the disk yet, and until when.
        unpack::unpack(tar, destination.as_fd(), &limits)
    });
    or_remove(unpacked, path).map(|unpacked| to_json(&unpacked))
}

/// `NAME=NUMBER`
fn set_limit(limits: &mut Limits, text: &str) -> Result<()> {
    let (name, digits) = text.split_once('=').ok_or_else(|| invalid("limit", text))?;
    let number: u64 = digits.parse().map_err(|_| invalid("limit", text))?;
    let length = usize::try_from(number).unwrap_or(usize::MAX);
    match name {
        "max_entries" => limits.max_entries = number,
        "max_bytes" => limits.max_bytes = number,
        "max_path_bytes" => limits.max_path_bytes = length,
        "max_extension_bytes" => limits.max_extension_bytes = length,
        "max_ratio" => limits.max_ratio = number,
        _ => return Err(Error::new(Code::InvalidSpec, "argument", "--limit", "no such limit")),
    }
    Ok(())
}

/// Layers with other owners, sharing their data.
fn share(args: &Arguments, path: &Path) -> Result<Vec<u8>> {
    let (uids, gids) = (map(args, "uid-map")?, map(args, "gid-map")?);
    let sources: Vec<_> = args
        .all("layer")
        .zip(args.all("data"))
        .map(|(layer, data)| tree::Source { layer: layer.into(), data: data.into() })
        .collect();
    // Metadata need not be waited for: file systems write it in order, so that what is named later is not there earlier.
    rustix::process::umask(Mode::empty());
    let keep = CapabilitiesSecureBits::NO_SETUID_FIXUP;
    rustix::thread::set_capabilities_secure_bits(keep).at("keep capabilities", "")?;
    let shared = tree::share_shifted(&sources, path, &uids, &gids);
    or_remove(shared, path).map(|shared| to_json(&shared))
}

/// Whether layers can share their data here, tried in the new directory `path`, which is taken away again.
fn probe(path: &Path) -> Result<Vec<u8>> {
    sys::fork::unshare(sys::fork::CLONE_NEWNS).at("unshare", "mount namespace")?;
    rustix::fs::mkdir(path, Mode::RWXU).at("mkdir", path)?;
    let shares = overlay::shares_data(path);
    tree::remove_path(path)?;
    shares.map(|shares| to_json(&serde_json::json!({ "shares": shares })))
}

/// Before a name is given to it: after a power loss a layer is whole or absent.
fn sync(path: &Path) -> Result<()> {
    let directory = open_host(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    rustix::fs::syncfs(&directory).at("syncfs", path)
}

/// What failed half-way is taken away; the first error is the one to tell.
fn or_remove<T>(result: Result<T>, path: &Path) -> Result<T> {
    if result.is_err() {
        let _ = tree::remove_path(path);
    }
    result
}

pub(crate) fn needed(args: &Arguments, name: &str) -> Result<u32> {
    args.number(name)?.ok_or_else(|| missing(name))
}

/// `container:user:count,…`
pub(crate) fn map(args: &Arguments, name: &str) -> Result<Vec<tree::IdMap>> {
    let text = args.get(name).ok_or_else(|| missing(name))?.to_string_lossy();
    let range = |range: &str| {
        let mut numbers = range.split(':').map(str::parse::<u32>);
        match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(inside)), Some(Ok(outside)), Some(Ok(count)), None) => {
                Ok((inside, outside, count))
            }
            _ => Err(invalid(name, range)),
        }
    };
    text.split(',').map(range).collect()
}
