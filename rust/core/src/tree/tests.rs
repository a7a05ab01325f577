//! Trees that a hostile container could leave behind.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use super::*;

fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("pyrt-tree-{}-{name}", std::process::id()));
    let _ = remove_path(&path);
    fs::create_dir(&path).unwrap();
    path
}

#[test]
fn removing_follows_nothing() {
    let top = scratch("links");
    fs::create_dir_all(top.join("tree/a/b")).unwrap();
    fs::write(top.join("kept"), "1").unwrap();
    symlink("../kept", top.join("tree/link")).unwrap();
    symlink(&top, top.join("tree/a/up")).unwrap();
    fs::set_permissions(top.join("tree/a/b"), fs::Permissions::from_mode(0o000)).unwrap();
    remove_path(top.join("tree")).unwrap();
    assert!(!top.join("tree").exists());
    assert!(top.join("kept").exists());
    symlink("kept", top.join("link")).unwrap();
    remove_path(top.join("link")).unwrap();
    assert!(top.join("kept").exists());
    remove_path(top.join("absent")).unwrap();
    remove_path(top.join("absent/below")).unwrap();
    remove_path(&top).unwrap();
}

#[test]
fn removing_closed_directories() {
    let top = scratch("closed");
    fs::create_dir_all(top.join("a/b")).unwrap();
    fs::write(top.join("a/b/file"), "1").unwrap();
    fs::set_permissions(top.join("a/b"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(top.join("a"), fs::Permissions::from_mode(0o000)).unwrap();
    remove_path(&top).unwrap();
    assert!(!top.exists());
}

/// Deeper than descriptors, stack or PATH_MAX allow.
#[test]
fn removing_what_is_very_deep() {
    let top = scratch("deep");
    let mut at = open_directory(rustix::fs::CWD, b".").unwrap();
    at = rustix::fs::openat(&at, &top, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..3000 {
        rustix::fs::mkdirat(&at, "directory", Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, "directory", OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
            .unwrap();
    }
    // A name that is wanted for what is moved up.
    fs::write(top.join("directory/.pyrt-remove-0"), "").unwrap();
    remove_path(&top).unwrap();
    assert!(!top.exists());
}

#[test]
fn copying_keeps_everything_but_owners() {
    let top = scratch("copy");
    let (from, to) = (top.join("from"), top.join("to"));
    fs::create_dir_all(from.join("d/e")).unwrap();
    fs::write(from.join("d/file"), "content").unwrap();
    fs::hard_link(from.join("d/file"), from.join("second")).unwrap();
    symlink("/nowhere", from.join("link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        from.join("gone"),
        FileType::CharacterDevice,
        Mode::empty(),
        0,
    )
    .unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, from.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    rustix::fs::setxattr(
        from.join("d"),
        "user.overlay.opaque",
        b"y",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    let sparse = fs::File::create(from.join("sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    fs::set_permissions(from.join("d/file"), fs::Permissions::from_mode(0o4750)).unwrap();
    fs::set_permissions(from.join("d"), fs::Permissions::from_mode(0o711)).unwrap();
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let shift = if uid == 0 { 1000 } else { 0 };
    let map = |id: u32| [(0, 5, 0), (id, id + shift, 1)];
    copy_shifted(&from, &to, &map(uid), &map(gid)).unwrap();
    let file = fs::metadata(to.join("d/file")).unwrap();
    assert_eq!(fs::read(to.join("second")).unwrap(), b"content");
    assert_eq!((file.mode() & 0o7777, file.uid(), file.gid()), (0o4750, uid + shift, gid + shift));
    assert_eq!(file.ino(), fs::metadata(to.join("second")).unwrap().ino());
    let old = fs::metadata(from.join("d/file")).unwrap();
    assert_eq!((file.mtime(), file.mtime_nsec()), (old.mtime(), old.mtime_nsec()));
    assert_eq!(fs::metadata(to.join("d")).unwrap().mode() & 0o7777, 0o711);
    assert_eq!(fs::read_link(to.join("link")).unwrap(), PathBuf::from("/nowhere"));
    assert!(fs::symlink_metadata(to.join("gone")).unwrap().file_type().is_char_device());
    assert!(fs::symlink_metadata(to.join("pipe")).unwrap().file_type().is_fifo());
    let sparse = fs::metadata(to.join("sparse")).unwrap();
    assert!(sparse.len() == 1 << 20 && sparse.blocks() < 64);
    let mut value = [0; 4];
    assert_eq!(rustix::fs::getxattr(to.join("d"), "user.overlay.opaque", &mut value).unwrap(), 1);
    remove_path(&top).unwrap();
}

#[test]
fn chown_gives_links_themselves() {
    let top = scratch("chown");
    fs::create_dir_all(top.join("tree/d")).unwrap();
    fs::write(top.join("kept"), "1").unwrap();
    symlink("../../kept", top.join("tree/d/link")).unwrap();
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let shift = if uid == 0 { 1000 } else { 0 };
    chown(&top.join("tree"), uid + shift, gid + shift).unwrap();
    for name in ["tree", "tree/d", "tree/d/link"] {
        assert_eq!(fs::symlink_metadata(top.join(name)).unwrap().uid(), uid + shift, "{name}");
    }
    assert_eq!(fs::metadata(top.join("kept")).unwrap().uid(), uid);
    remove_path(&top).unwrap();
}

#[test]
fn copying_refuses_owners_without_a_place() {
    let top = scratch("copy-outside");
    let from = top.join("from");
    fs::create_dir(&from).unwrap();
    let uid = rustix::process::geteuid().as_raw();
    let elsewhere = [(uid + 1, 7, 1)];
    let outside = copy_shifted(&from, &top.join("to"), &elsewhere, &elsewhere).unwrap_err();
    assert_eq!(outside.code, crate::Code::Denied);
    fs::create_dir(top.join("there")).unwrap();
    let there = copy_shifted(&from, &top.join("there"), &[(uid, uid, 1)], &[]).unwrap_err();
    assert_eq!(there.errno, Some(libc::EEXIST));
    remove_path(&top).unwrap();
}
