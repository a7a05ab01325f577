//! Trees to archives and back.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags, XattrFlags, setxattr};

use super::{Scratch, Tar, is_root};
use crate::layer::*;
use crate::tree::{self, Change};

fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY, Mode::empty()).unwrap()
}

fn packed(path: &Path, packing: &Packing) -> Vec<u8> {
    let mut archive = Vec::new();
    pack(&open(path), &mut archive, packing).unwrap();
    archive
}

/// Files of every kind that a user can make, with names that are long and names that are no text.
fn furnish(root: &Path) {
    let long = "d".repeat(90);
    fs::create_dir_all(root.join(&long).join(&long)).unwrap();
    fs::write(root.join(&long).join(&long).join("file"), vec![7; 70_000]).unwrap();
    fs::hard_link(root.join(&long).join(&long).join("file"), root.join("a-link")).unwrap();
    std::os::unix::fs::symlink("x".repeat(300), root.join("symlink")).unwrap();
    let odd = OsStr::from_bytes(b"\xff\nodd");
    fs::write(root.join(odd), "odd").unwrap();
    fs::write(root.join("script"), "#!").unwrap();
    fs::set_permissions(root.join("script"), fs::Permissions::from_mode(0o6755)).unwrap();
    setxattr(root.join("script"), "user.note", b"a\nb=c", XattrFlags::empty()).unwrap();
    setxattr(root.join("script"), "user.overlay.origin", b"x", XattrFlags::empty()).unwrap();
    setxattr(root.join("script"), "user.pyrt.owner", b"5:6", XattrFlags::empty()).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("fifo"),
        rustix::fs::FileType::Fifo,
        Mode::from_raw_mode(0o640),
        0,
    )
    .unwrap();
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let scratch = Scratch::new("pack");
    let from = scratch.0.join("from");
    fs::create_dir(&from).unwrap();
    furnish(&from);
    let archive = packed(&from, &Packing::default());
    let to = open(&scratch.root());
    unpack(&archive[..], to.as_fd(), &Limits::default()).unwrap();
    let root = scratch.root();
    let long = "d".repeat(90);
    let file = root.join(&long).join(&long).join("file");
    assert_eq!(fs::read(&file).unwrap(), vec![7; 70_000]);
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(&file), inode(&root.join("a-link")));
    assert_eq!(fs::read_link(root.join("symlink")).unwrap().as_os_str().len(), 300);
    assert_eq!(fs::metadata(root.join("script")).unwrap().mode() & 0o7777, 0o6755);
    assert!(fs::symlink_metadata(root.join("fifo")).unwrap().file_type().is_fifo());
    let mut value = [0; 16];
    let count = rustix::fs::getxattr(root.join("script"), "user.note", &mut value).unwrap();
    assert_eq!(value[..count], *b"a\nb=c");
    assert!(rustix::fs::getxattr(root.join("script"), "user.overlay.origin", &mut value).is_err());
    // The same tree is the same archive, and packed again it is that archive still.
    assert!(archive == packed(&from, &Packing::default()));
    assert!(archive == packed(&root, &Packing::default()));
}

#[test]
fn a_writable_directory_is_a_layer() {
    let scratch = Scratch::new("pack-upper");
    let upper = scratch.0.join("upper");
    fs::create_dir_all(upper.join("opaque")).unwrap();
    fs::create_dir_all(upper.join("etc")).unwrap();
    fs::write(upper.join("opaque/new"), "1").unwrap();
    setxattr(upper.join("opaque"), "user.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    let character = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, upper.join("gone"), character, Mode::empty(), 0).unwrap();
    for (name, content) in [("hosts", ""), ("motd", "hi"), ("resolv.conf", "")] {
        fs::write(upper.join("etc").join(name), content).unwrap();
    }
    let mount_points = [b"etc/hosts".to_vec(), b"etc/motd".to_vec()].to_vec();
    let packing = Packing { is_upper: true, mount_points, ..Packing::default() };
    let archive = packed(&upper, &packing);
    let names: Vec<String> = archive
        .chunks(512)
        .filter(|block| block[257..].starts_with(b"ustar"))
        .map(|block| {
            let name = block[..100].split(|byte| *byte == 0).next().unwrap();
            String::from_utf8_lossy(name).into_owned()
        })
        .collect();
    assert_eq!(
        names.join(" "),
        "./ etc/ etc/motd etc/resolv.conf .wh.gone opaque/ opaque/.wh..wh..opq opaque/new"
    );
    // And unpacked it is an overlay's directory again.
    let to = open(&scratch.root());
    unpack(&archive[..], to.as_fd(), &Limits::default()).unwrap();
    let gone = fs::symlink_metadata(scratch.root().join("gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    let mut value = [0; 4];
    let opaque = scratch.root().join("opaque");
    assert_eq!(rustix::fs::getxattr(opaque, "user.overlay.opaque", &mut value), Ok(1));
}

#[test]
fn owners_are_written_as_the_container_has_them() {
    if is_root() {
        return;
    }
    let scratch = Scratch::new("pack-owners");
    let own = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    fs::write(scratch.root().join("file"), "").unwrap();
    let packing = |uids| Packing { uids, gids: vec![(3_000_000, group, 1)], ..Packing::default() };
    let archive = packed(&scratch.root(), &packing(vec![(7, own, 1)]));
    // The group is in a PAX record: no octal field holds it.
    assert!(archive.windows(12).any(|part| part == b"gid=3000000\n"));
    assert_eq!(archive[1024 + 108..1024 + 116], *b"0000007\0");
    let mut sink = Vec::new();
    let refused = pack(&open(&scratch.root()), &mut sink, &packing(vec![(0, own + 1, 1)]));
    assert!(refused.unwrap_err().to_string().contains("no place in the container's map"));
    // With a single ID, what unpacking noted.
    setxattr(scratch.root().join("file"), "user.pyrt.owner", b"5:6", XattrFlags::empty()).unwrap();
    let archive = packed(&scratch.root(), &Packing { single_id: true, ..Packing::default() });
    assert_eq!(archive[108..124], *b"0000005\x000000006\0");
}

#[test]
fn a_copy_takes_nothing_away() {
    let scratch = Scratch::new("copying");
    let root = scratch.root();
    fs::create_dir(root.join("directory")).unwrap();
    fs::write(root.join("directory/kept"), "1").unwrap();
    fs::write(root.join("file"), "1").unwrap();
    let copy = |blob: &[u8], overwrites| {
        let copying = Some(Copying { owners: Owners::Callers, overwrites });
        let limits = Limits { copying, ..Limits::default() };
        unpack(blob, open(&root).as_fd(), &limits)
    };
    let tar = Tar::default;
    copy(&tar().directory("directory/").file("directory/.wh.kept", b"").end(), false).unwrap();
    assert!(root.join("directory/kept").exists() && root.join("directory/.wh.kept").exists());
    for blob in [tar().file("directory", b"").end(), tar().directory("file/").end()] {
        let error = copy(&blob, false).unwrap_err();
        assert_eq!(error.code, crate::Code::Exists);
        copy(&blob, true).unwrap();
    }
    let mut block = Tar::header(b'0', "suid", "", 0);
    block[100..108].copy_from_slice(b"0006755\0");
    copy(&tar().raw(block, b"").end(), false).unwrap();
    assert_eq!(fs::metadata(root.join("suid")).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn changes_are_told_as_overlayfs_shows_them() {
    let scratch = Scratch::new("compare");
    let layer = |name: &str, files: &[&str]| {
        let path = scratch.0.join(name);
        fs::create_dir(&path).unwrap();
        for file in files {
            fs::create_dir_all(path.join(file).parent().unwrap()).unwrap();
            fs::write(path.join(file), name).unwrap();
        }
        path
    };
    let whiteout = |path: std::path::PathBuf| {
        let character = rustix::fs::FileType::CharacterDevice;
        rustix::fs::mknodat(rustix::fs::CWD, path, character, Mode::empty(), 0).unwrap();
    };
    let bottom = layer("bottom", &["a/one", "a/two", "hidden/x", "o/old", "o/again"]);
    let middle = layer("middle", &["a/three"]);
    whiteout(middle.join("hidden"));
    let upper = layer("upper", &["a/one", "a/new", "hidden/x", "o/again"]);
    whiteout(upper.join("a/two"));
    whiteout(upper.join("never"));
    setxattr(upper.join("o"), "user.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    let changes = tree::compare(&upper, &[middle, bottom]).unwrap();
    let told: Vec<(&str, Change)> = changes
        .iter()
        .map(|(path, change)| (std::str::from_utf8(path).unwrap(), *change))
        .filter(|(path, change)| path.contains('/') || *change != Change::Changed)
        .collect();
    assert_eq!(
        told,
        [
            ("a/new", Change::Added),
            ("a/one", Change::Changed),
            ("a/two", Change::Deleted),
            ("hidden", Change::Added),
            ("hidden/x", Change::Added),
            ("o/again", Change::Changed),
            ("o/old", Change::Deleted),
        ]
    );
}
