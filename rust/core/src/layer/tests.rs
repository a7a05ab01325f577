//! Archives as others write them.

mod corpus;
mod fuzz;
mod hostile;
mod pack;
mod tar;

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use self::tar::Tar;
use super::*;
use crate::tree;

/// A directory that goes with its test, with a victim beside the destination.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pyrt-layer-{}-{name}", std::process::id()));
        let _ = tree::remove_path(&path);
        fs::create_dir_all(path.join("rootfs")).unwrap();
        fs::write(path.join("victim"), "safe").unwrap();
        Self(path)
    }

    fn root(&self) -> PathBuf {
        self.0.join("rootfs")
    }

    fn unpack_within(&self, blob: &[u8], limits: &Limits) -> Result<Unpacked> {
        let directory = fs::File::open(self.root()).unwrap();
        unpack(blob, directory.as_fd(), limits)
    }

    fn unpack(&self, blob: &[u8]) -> Result<Unpacked> {
        self.unpack_within(blob, &Limits::default())
    }

    /// Refused, with these words, and the victim untouched.
    fn refuses(&self, blob: &[u8], words: &str) {
        let error = self.unpack(blob).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(fs::read(self.0.join("victim")).unwrap(), b"safe");
    }

    /// Nothing beside the destination has changed.
    fn is_safe(&self) {
        let victim = fs::symlink_metadata(self.0.join("victim")).unwrap();
        assert!(victim.is_file() && victim.nlink() == 1);
        assert_eq!(fs::read(self.0.join("victim")).unwrap(), b"safe");
        assert_eq!(fs::read_dir(&self.0).unwrap().count(), 2);
    }

    fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.root().join(path)).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        tree::remove_path(&self.0).unwrap();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).ok()?;
    value.truncate(length);
    Some(value)
}

fn gzip(data: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn an_ordinary_layer() {
    let scratch = Scratch::new("ordinary");
    let mut set_id = Tar::header(b'0', "usr/bin/su", "", 2);
    set_id[100..108].copy_from_slice(b"0004755\0");
    let mut closed = Tar::header(b'5', "closed/", "", 0);
    closed[100..108].copy_from_slice(b"0000500\0");
    let blob = Tar::default()
        .directory("./")
        .directory("usr/")
        .raw(closed, b"")
        .file("closed/inside", b"")
        .raw(set_id, b"hi")
        .other(b'2', "bin", "usr/bin")
        .other(b'1', "usr/su2", "./usr/bin/su")
        .other(b'6', "pipe", "")
        .other(b'3', "dev/null", "")
        .end();
    let out = scratch.unpack(&blob).unwrap();
    assert_eq!((out.entries, out.size, out.skipped_devices), (9, 2, 1));
    assert_eq!(out.blob_digest, out.diff_id);
    let root = scratch.root();
    let su = fs::metadata(root.join("usr/bin/su")).unwrap();
    assert_eq!((su.mode() & 0o7777, su.nlink(), su.mtime()), (0o4755, 2, 0o7_346_545_000));
    assert_eq!(fs::metadata(root.join("usr")).unwrap().mtime(), 0o7_346_545_000);
    assert_eq!(
        fs::metadata(root.join("usr/bin")).unwrap().mode() & 0o7777,
        0o755,
        "made, not listed"
    );
    assert_eq!(fs::metadata(root.join("closed")).unwrap().mode() & 0o7777, 0o500);
    assert_eq!(fs::read_link(root.join("bin")).unwrap(), Path::new("usr/bin"));
    assert!(fs::metadata(root.join("pipe")).unwrap().file_type().is_fifo());
    assert!(!root.join("dev/null").exists());
}

#[test]
fn compressed_blobs_have_two_digests() {
    let plain = Tar::default().file("a", b"1").end();
    let scratch = Scratch::new("compressed");
    let expected = scratch.unpack(&plain).unwrap();
    let mut two_members = gzip(&plain[..100]);
    two_members.extend(gzip(&plain[100..]));
    let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();
    for blob in [gzip(&plain), two_members, zstd] {
        let out = scratch.unpack(&blob).unwrap();
        assert_eq!(out.diff_id, expected.diff_id);
        assert_ne!(out.blob_digest, out.diff_id);
        assert_eq!(out.blob_size, blob.len() as u64);
    }
    scratch.refuses(b"BZh91AY", "compressed with bzip2");
    scratch.refuses(b"", "is empty");
    let whole = gzip(&plain);
    scratch.refuses(&whole[..whole.len() - 9], "unpack layer");
}

#[test]
fn the_digest_covers_what_follows_the_end() {
    let scratch = Scratch::new("trailing");
    let blob = Tar::default().file("a", b"1").end();
    let mut longer = blob.clone();
    longer.extend_from_slice(&[7; 3000]);
    assert_ne!(scratch.unpack(&blob).unwrap().diff_id, scratch.unpack(&longer).unwrap().diff_id);
}

#[test]
fn whiteouts_are_overlays() {
    let scratch = Scratch::new("whiteout");
    let blob = Tar::default()
        .file("a/.wh.gone", b"")
        .file("opaque/.wh..wh..opq", b"")
        .file(".wh..wh.plnk", b"")
        .file("kept/x", b"1")
        .file(".wh.kept", b"")
        .file(".wh.again", b"")
        .file("again/x", b"1")
        .end();
    scratch.unpack(&blob).unwrap();
    let root = scratch.root();
    let gone = fs::symlink_metadata(root.join("a/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    for (path, is_opaque) in [("opaque", true), ("kept", true), ("a", false)] {
        let value = xattr(&root.join(path), "user.overlay.opaque");
        assert_eq!(value, is_opaque.then(|| b"y".to_vec()), "{path}");
    }
    assert_eq!(scratch.read("kept/x"), b"1", "a whiteout hides lower layers, not its own");
    assert!(!root.join(".wh..wh.plnk").exists());
}

#[test]
fn a_directory_made_again_after_its_whiteout_is_opaque() {
    let scratch = Scratch::new("again");
    let blob = Tar::default().file(".wh.again", b"").directory("again").file("again/x", b"1").end();
    scratch.unpack(&blob).unwrap();
    assert_eq!(xattr(&scratch.root().join("again"), "user.overlay.opaque"), Some(b"y".to_vec()));
}

#[test]
fn long_names_in_both_dialects() {
    let scratch = Scratch::new("long");
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let gnu = Tar::default()
        .raw(
            Tar::header(b'L', "././@LongLink", "", long.len() as u64 + 1),
            format!("{long}\0").as_bytes(),
        )
        .file("short", b"gnu")
        .raw(
            Tar::header(b'K', "././@LongLink", "", long.len() as u64 + 1),
            format!("{long}\0").as_bytes(),
        )
        .other(b'2', "link", "short")
        .end();
    scratch.unpack(&gnu).unwrap();
    assert_eq!(scratch.read(&long), b"gnu");
    assert_eq!(fs::read_link(scratch.root().join("link")).unwrap(), Path::new(&long));
    let pax = Tar::default()
        .pax(&[("path", long.as_bytes()), ("mtime", b"-1.25")])
        .file("x", b"pax")
        .end();
    scratch.unpack(&pax).unwrap();
    assert_eq!(scratch.read(&long), b"pax");
    let meta = fs::metadata(scratch.root().join(&long)).unwrap();
    assert_eq!((meta.mtime(), meta.mtime_nsec()), (-2, 750_000_000));
    let mut prefixed = Tar::header(b'0', "name", "", 0);
    prefixed[345..351].copy_from_slice(b"prefix");
    scratch.unpack(&Tar::default().raw(prefixed, b"").end()).unwrap();
    assert!(scratch.root().join("prefix/name").exists());
}

#[test]
fn a_directory_with_a_size_has_no_content() {
    let scratch = Scratch::new("directory-size");
    let blob = Tar::default().raw(Tar::header(b'5', "d", "", 4096), b"").file("a", b"1").end();
    scratch.unpack(&blob).unwrap();
    assert_eq!(scratch.read("a"), b"1");
}

#[test]
fn sparse_files_of_every_dialect() {
    let scratch = Scratch::new("sparse");
    let mut expected = vec![0; 10_000];
    expected[4096..4098].copy_from_slice(b"ab");
    expected[9000..9001].copy_from_slice(b"c");
    let mut old = Tar::header(b'S', "old", "", 3);
    old[257..265].copy_from_slice(b"ustar  \0");
    old[386..398].copy_from_slice(b"00000010000\0");
    old[398..410].copy_from_slice(b"00000000002\0");
    old[410..422].copy_from_slice(b"00000021450\0");
    old[422..434].copy_from_slice(b"00000000001\0");
    old[483..495].copy_from_slice(b"00000023420\0");
    let mut map = b"2\n4096\n2\n9000\n1\n".to_vec();
    map.resize(512, 0);
    map.extend_from_slice(b"abc");
    let zero = [
        ("GNU.sparse.size", b"10000".as_slice()),
        ("GNU.sparse.offset", b"4096"),
        ("GNU.sparse.numbytes", b"2"),
        ("GNU.sparse.offset", b"9000"),
        ("GNU.sparse.numbytes", b"1"),
    ];
    let one = [("GNU.sparse.size", b"10000".as_slice()), ("GNU.sparse.map", b"4096,2,9000,1")];
    let first = [
        ("GNU.sparse.major", b"1".as_slice()),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"v10"),
        ("GNU.sparse.realsize", b"10000"),
    ];
    let blob = Tar::default()
        .raw(old, b"abc")
        .pax(&zero)
        .file("v00", b"abc")
        .pax(&one)
        .file("v01", b"abc")
        .pax(&first)
        .file("GNUSparseFile.1/v10", &map)
        .file("after", b"1")
        .end();
    let out = scratch.unpack(&blob).unwrap();
    assert_eq!(out.size, 40_001);
    for name in ["old", "v00", "v01", "v10"] {
        assert_eq!(scratch.read(name), expected, "{name}");
    }
    for map in
        ["9000,1,4096,2", "4096,2", "4096,2,9000", "4096,2,20000,1", "0,18446744073709551615,1,5"]
    {
        let records =
            [("GNU.sparse.size", b"10000".as_slice()), ("GNU.sparse.map", map.as_bytes())];
        scratch.refuses(&Tar::default().pax(&records).file("v01", b"abc").end(), "map of holes");
    }
}

#[test]
fn attributes_are_kept_or_counted() {
    let scratch = Scratch::new("xattrs");
    let capability = b"\x01\0\0\x02\0\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0"; // with a newline in it
    let mut records = vec![
        ("SCHILY.xattr.user.note", b"a\nb".as_slice()),
        ("SCHILY.xattr.user.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.user.pyrt.owner", b"0:0"),
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.security.selinux", b"label"),
    ];
    if is_root() {
        records.push(("SCHILY.xattr.security.capability", capability));
    }
    let out = scratch.unpack(&Tar::default().pax(&records).file("a", b"").end()).unwrap();
    let path = scratch.root().join("a");
    assert_eq!(out.skipped_xattrs, 4);
    assert_eq!(xattr(&path, "user.note"), Some(b"a\nb".to_vec()));
    assert_eq!(xattr(&path, "user.overlay.redirect"), None);
    if is_root() {
        assert_eq!(xattr(&path, "security.capability"), Some(capability.to_vec()));
    }
    let unknown = Tar::default().pax(&[("SCHILY.xattr.nonsense", b"1")]).file("a", b"").end();
    scratch.refuses(&unknown, "set nonsense of a");
}

#[test]
fn owners_are_given_or_recorded() {
    let scratch = Scratch::new("owners");
    let mut owned = Tar::header(b'0', "a", "", 0);
    owned[108..116].copy_from_slice(b"0000017\0");
    owned[116..124].copy_from_slice(b"0000020\0");
    let blob = Tar::default().raw(owned, b"").end();
    if is_root() {
        scratch.unpack(&blob).unwrap();
        let meta = fs::metadata(scratch.root().join("a")).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (15, 16));
    }
    let limits = Limits { single_id: true, ..Limits::default() };
    scratch.unpack_within(&blob, &limits).unwrap();
    assert_eq!(xattr(&scratch.root().join("a"), "user.pyrt.owner"), Some(b"15:16".to_vec()));
}
