//! Archives as nobody honest writes them: each is refused or made harmless, and the victim stays as it was.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::tar::Tar;
use super::{Scratch, gzip};
use crate::layer::Limits;

#[test]
fn dotdot_is_refused() {
    let scratch = Scratch::new("dotdot");
    scratch.refuses(&Tar::default().file("../victim", b"bad").end(), "has .. in its name");
    scratch.refuses(&Tar::default().file("a/../../victim", b"bad").end(), "has .. in its name");
    scratch.refuses(&Tar::default().other(b'1', "a", "../victim").end(), "has .. in its name");
    scratch.refuses(&Tar::default().directory("..").end(), "has .. in its name");
}

#[test]
fn absolute_paths_are_made_relative() {
    let scratch = Scratch::new("absolute");
    let victim = scratch.0.join("victim");
    let blob = Tar::default().file("//etc/./x", b"1").file(victim.to_str().unwrap(), b"bad").end();
    scratch.unpack(&blob).unwrap();
    assert_eq!(scratch.read("etc/x"), b"1");
    assert_eq!(fs::read(victim).unwrap(), b"safe");
}

#[test]
fn nothing_is_written_through_a_symlink() {
    let scratch = Scratch::new("through");
    for target in ["..", "/", "../..", "."] {
        let blob = Tar::default().other(b'2', "out", target).file("out/victim", b"bad").end();
        scratch.refuses(&blob, "out: is a symbolic link, and a member lies below it");
    }
    // The last name: replaced, not followed.
    let scratch = Scratch::new("through-last");
    scratch.unpack(&Tar::default().other(b'2', "a", "../victim").file("a", b"new").end()).unwrap();
    assert_eq!(scratch.read("a"), b"new");
    assert_eq!(fs::read(scratch.0.join("victim")).unwrap(), b"safe");
    // Attributes too.
    let scratch = Scratch::new("through-directory");
    let mut open = Tar::header(b'5', "a", "", 0);
    open[100..108].copy_from_slice(b"0000777\0");
    let blob = Tar::default().other(b'2', "a", "..").raw(open, b"").end();
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o700)).unwrap();
    scratch.unpack(&blob).unwrap();
    assert!(fs::symlink_metadata(scratch.root().join("a")).unwrap().is_dir());
    assert_eq!(fs::metadata(&scratch.0).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn a_link_that_was_there_before_is_not_followed_either() {
    let scratch = Scratch::new("planted");
    symlink("..", scratch.root().join("planted")).unwrap();
    scratch.refuses(&Tar::default().file("planted/victim", b"bad").end(), "is a symbolic link");
}

#[test]
fn hard_links_stay_inside() {
    let scratch = Scratch::new("hard");
    let victim = scratch.0.join("victim");
    let absolute = Tar::default().other(b'1', "a", victim.to_str().unwrap()).end();
    scratch.refuses(&absolute, "which is not in this layer");
    let through = Tar::default()
        .other(b'2', "out", "..")
        .other(b'1', "a", "out/victim")
        .file("a", b"bad")
        .end();
    scratch.refuses(&through, "which is not below a directory");
    scratch
        .refuses(&Tar::default().file("s", b"").other(b'1', "s", "s").end(), "hard link to itself");
    scratch.refuses(&Tar::default().other(b'1', "s", "/").end(), "hard link to the root");
    // To a symbolic link: a second name for the link, so writing to it replaces it.
    let scratch = Scratch::new("hard-symlink");
    let blob =
        Tar::default().other(b'2', "l", "../victim").other(b'1', "h", "l").file("h", b"new").end();
    scratch.unpack(&blob).unwrap();
    assert_eq!(scratch.read("h"), b"new");
    assert_eq!(fs::read(scratch.0.join("victim")).unwrap(), b"safe");
}

#[test]
fn whiteouts_cannot_leave() {
    let scratch = Scratch::new("whiteout-escape");
    for name in [".wh.", ".wh..", ".wh...", "a/.wh..."] {
        scratch.refuses(&Tar::default().file(name, b"").end(), "whiteout of nothing");
    }
    scratch.refuses(&Tar::default().file("../.wh.victim", b"").end(), "has .. in its name");
    let blob = Tar::default().other(b'2', "out", "..").file("out/.wh.victim", b"").end();
    scratch.refuses(&blob, "is a symbolic link");
}

#[test]
fn later_members_replace_earlier_ones() {
    let scratch = Scratch::new("replace");
    let blob = Tar::default()
        .file("a", b"1")
        .file("a", b"22")
        .directory("d")
        .file("d/x", b"1")
        .other(b'2', "d", "/etc")
        .file("f", b"1")
        .directory("f")
        .file("f/y", b"3")
        .directory("f")
        .end();
    scratch.unpack(&blob).unwrap();
    assert_eq!(scratch.read("a"), b"22");
    assert!(fs::symlink_metadata(scratch.root().join("d")).unwrap().is_symlink());
    assert_eq!(scratch.read("f/y"), b"3", "a directory listed twice keeps what it has");
    // And what lay below a directory that became a link cannot be reached through it.
    let blob = Tar::default().directory("d").other(b'2', "d", "..").file("d/victim", b"bad").end();
    Scratch::new("replace-link").refuses(&blob, "is a symbolic link");
}

#[test]
fn limits_are_named() {
    let scratch = Scratch::new("limits");
    let long = "d/".repeat(2500);
    let blob = Tar::default().pax(&[("path", long.as_bytes())]).file("x", b"").end();
    scratch.refuses(&blob, "max_path_bytes = 4095");
    let huge = Tar::default().raw(Tar::header(b'L', "l", "", 1 << 30), b"").end();
    scratch.refuses(&huge, "max_extension_bytes = 1048576");
    let huge = Tar::default().raw(Tar::header(b'x', "l", "", 1 << 30), b"").end();
    scratch.refuses(&huge, "max_extension_bytes");
    let two = Tar::default().file("a", b"1").file("b", b"2").end();
    let error = |limits| scratch.unpack_within(&two, &limits).unwrap_err().to_string();
    assert!(error(Limits { max_entries: 1, ..Limits::default() }).contains("max_entries = 1"));
    assert!(error(Limits { max_bytes: 1024, ..Limits::default() }).contains("max_bytes = 1024"));
    // A bomb after the end of the archive is still read, for the digest, and still counted.
    let mut bomb = Tar::default().file("a", b"1").end();
    bomb.resize(1 << 22, 0);
    let limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
    let error = scratch.unpack_within(&gzip(&bomb), &limits).unwrap_err().to_string();
    assert!(error.contains("max_bytes"), "{error}");
}

/// More than DEFLATE can is a bomb, once it is large.
#[test]
fn a_ratio_is_a_limit() {
    let scratch = Scratch::new("ratio");
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    for _ in 0..8 {
        std::io::Write::write_all(&mut encoder, &[0; 1 << 20]).unwrap();
    }
    scratch.refuses(&encoder.finish().unwrap(), "exceeds the limit max_ratio = 1100");
}

#[test]
fn damaged_archives_are_refused() {
    let scratch = Scratch::new("damaged");
    let whole = Tar::default().file("a", &[7; 2000]).end();
    scratch.refuses(&whole[..700], "is truncated");
    scratch.refuses(&whole[..100], "is truncated");
    // The content is all there, only what pads it is not: Go's reader takes it too, and umoci writes it.
    assert_eq!(scratch.unpack(&whole[..512 + 2000]).unwrap().entries, 1);
    let mut flipped = whole.clone();
    flipped[0] ^= 1;
    scratch.refuses(&flipped, "checksum is wrong");
    scratch.refuses(&[b'x'; 4096], "checksum is wrong");
    let mut malformed = Tar::header(b'0', "a", "", 0);
    malformed[124..136].copy_from_slice(b"99999999999\0");
    scratch.refuses(&Tar::default().raw(malformed, b"").end(), "malformed number");
    let mut huge = Tar::header(b'0', "a", "", 0);
    huge[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255]);
    scratch.refuses(&Tar::default().raw(huge, b"").end(), "max_bytes");
    let mut negative = Tar::header(b'0', "a", "", 0);
    negative[124..136].copy_from_slice(&[255; 12]);
    scratch.refuses(&Tar::default().raw(negative, b"").end(), "negative size");
    scratch.refuses(
        &Tar::default().raw(Tar::header(b'x', "p", "", 9), b"99 path=x").end(),
        "PAX record",
    );
    scratch.refuses(&Tar::default().pax(&[("size", b"x")]).file("a", b"").end(), "not a number");
    scratch.refuses(&Tar::default().pax(&[("path", b"a\0b")]).file("a", b"").end(), "has a NUL");
    scratch.refuses(
        &Tar::default().pax(&[("uid", b"4294967295")]).file("a", b"").end(),
        "is not an ID",
    );
    scratch.refuses(&Tar::default().other(b'V', "label", "").end(), "member type 'V'");
    // Bare end of file instead of zero blocks is how some writers end.
    let bare = &whole[..whole.len() - 1024];
    assert_eq!(scratch.unpack(bare).unwrap().entries, 1);
    // But not after a header that announces another.
    let promised = Tar::default().pax(&[("path", b"x")]);
    scratch.refuses(&promised.0, "is truncated");
}
