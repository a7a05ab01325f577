//! Verbs of `tree` on the root of a container: what is at a path, an archive out of it, an archive into it; and on its
//! writable layer.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use pyrt_core::layer::{self, Copying, Limits, Owners, Packing};
use pyrt_core::paths::open_host;
use pyrt_core::root::{Found, Root};
use pyrt_core::{At, Result, tree};
use rustix::fs::{FileType, OFlags};

use crate::arguments::Arguments;
use crate::trees::{map, needed, to_json};

/// `--init FD` of one that runs, `--bundle DIR`, or the directory `--volume DIR`; `--bare 1` without its mounts.
fn open(args: &Arguments) -> Result<Root> {
    let bare = args.get("bare").is_some();
    if args.get("volume").is_some() {
        return Root::of_directory(&args.path("volume")?);
    }
    match args.descriptor("init")? {
        Some(init) => Root::of_running(init.as_fd(), bare),
        None => Root::of_stopped(&args.path("bundle")?, bare),
    }
}

/// `--path PATH`: where it is and what it is, or null.
pub(crate) fn find(args: &Arguments, path: &Path) -> Result<Vec<u8>> {
    let Some(found) = open(args)?.find(path)? else { return Ok(b"null".to_vec()) };
    let kind = match FileType::from_raw_mode(found.stat.st_mode) {
        FileType::Directory => "directory",
        FileType::RegularFile => "file",
        _ => "other",
    };
    let reply = serde_json::json!({
        "kind": kind,
        // Bytes: a path need not be UTF-8.
        "path": found.path.as_os_str().as_bytes(),
    });
    Ok(to_json(&reply))
}

/// `--path PATH --out FD [--name NAME] [--uid-map MAP --gid-map MAP]`: the file or tree as an archive.
pub(crate) fn pack(args: &Arguments, path: &Path, single_id: bool) -> Result<Vec<u8>> {
    let out = File::from(args.needed_descriptor("out")?);
    let packing = Packing { single_id, ..packing(args)? };
    let top = open(args)?.open(path)?;
    layer::pack(&top, out, &packing).map(|packed| to_json(&packed))
}

/// `--path DIR --out FD [--skip PATH …] …`: the writable directory of an overlay as a layer.
pub(crate) fn pack_layer(args: &Arguments, path: &Path, single_id: bool) -> Result<Vec<u8>> {
    let out = File::from(args.needed_descriptor("out")?);
    let mut packing = Packing { is_upper: true, single_id, ..packing(args)? };
    packing.mount_points = args.all("skip").map(|path| path.as_bytes().to_vec()).collect();
    let top = open_host(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)?;
    layer::pack(&top, out, &packing).map(|packed| to_json(&packed))
}

fn packing(args: &Arguments) -> Result<Packing> {
    let (uids, gids) = maps(args)?;
    let name = args.get("name").map(|name| name.clone().into_vec()).unwrap_or_default();
    Ok(Packing { name, uids, gids, ..Packing::default() })
}

fn maps(args: &Arguments) -> Result<(Vec<tree::IdMap>, Vec<tree::IdMap>)> {
    match args.get("uid-map") {
        Some(_) => Ok((map(args, "uid-map")?, map(args, "gid-map")?)),
        None => Ok((Vec::new(), Vec::new())),
    }
}

/// `--path DIR --tar FD (--uid ID --gid ID | --uid-map MAP --gid-map MAP) [--overwrite 1]`: an archive into a
/// directory of the root.
pub(crate) fn unpack_into(args: &Arguments, path: &Path) -> Result<Vec<u8>> {
    let tar = File::from(args.needed_descriptor("tar")?);
    let owners = match args.get("uid") {
        Some(_) => Owners::These(needed(args, "uid")?, needed(args, "gid")?),
        None => {
            // Without maps IDs are the user namespace's own.
            let same =
                |map: Vec<tree::IdMap>| if map.is_empty() { vec![(0, 0, u32::MAX)] } else { map };
            let (uids, gids) = maps(args)?;
            Owners::Written(same(uids), same(gids))
        }
    };
    let overwrites = args.get("overwrite").is_some();
    let limits = Limits { copying: Some(Copying { owners, overwrites }), ..Limits::default() };
    let directory = open(args)?.open(path)?;
    layer::unpack(tar, directory.as_fd(), &limits).map(|unpacked| to_json(&unpacked))
}

/// `--path PLACE --to DIR --uid ID --gid ID`: what the root has at a place, into a new volume, whose directory takes
/// owner, mode and times of that place; where there is no directory, it is the user's.
pub(crate) fn fill(args: &Arguments, path: &Path) -> Result<Vec<u8>> {
    let (root, to) = (open(args)?, args.path("to")?);
    let is_directory = |found: &Found| FileType::from_raw_mode(found.stat.st_mode).is_dir();
    let Some(found) = root.find(path)?.filter(is_directory) else {
        return tree::chown(&to, needed(args, "uid")?, needed(args, "gid")?)
            .map(|()| to_json(&false));
    };
    let into = open_host(&to, OFlags::RDONLY | OFlags::DIRECTORY)?;
    tree::copy_contents(root.open(&found.path)?, into, path).map(|()| to_json(&true))
}

/// `--path UPPER [--lower DIR …] --out FD`: letter and path of each change, a NUL after each.
pub(crate) fn compare(args: &Arguments, path: &Path) -> Result<Vec<u8>> {
    let out: OwnedFd = args.needed_descriptor("out")?;
    let lower: Vec<PathBuf> = args.all("lower").map(PathBuf::from).collect();
    let mut text = Vec::new();
    for (path, change) in tree::compare(path, &lower)? {
        text.push(change.letter());
        text.push(b'/');
        text.extend_from_slice(&path);
        text.push(0);
    }
    File::from(out).write_all(&text).at("write", "changes")?;
    Ok(b"{}".to_vec())
}
