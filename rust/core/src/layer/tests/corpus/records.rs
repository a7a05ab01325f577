//! What stands in extension headers and special names, and archives that are damaged.

use super::super::gzip;
use super::super::tar::Tar;
use super::Case;
use super::Fate::{Harmless, Refused};
use super::new;

pub(super) fn extensions() -> Vec<Case> {
    let raw = |data: &[u8]| {
        new().raw(Tar::header(b'x', "p", "", data.len() as u64), data).file("a", b"").end()
    };
    vec![
        ("a record longer than its header", raw(b"99 path=x\n"), Refused("PAX record")),
        ("a record of no length", raw(b"0 path=x\n"), Refused("PAX record")),
        ("a record without end", raw(b"9 path=xy"), Refused("PAX record")),
        ("a record without a value", raw(b"8 paths\n"), Refused("PAX record has no value")),
        (
            "two names",
            new().pax(&[("path", b"one"), ("path", b"two")]).file("a", b"").end(),
            Harmless,
        ),
        (
            "two extensions, one after the other",
            new().pax(&[("path", b"../victim")]).pax(&[("path", b"kept")]).file("a", b"").end(),
            Harmless,
        ),
        (
            "a name in both dialects",
            new()
                .raw(Tar::header(b'L', "l", "", 10), b"../victim\0")
                .pax(&[("path", b"kept")])
                .file("a", b"")
                .end(),
            Harmless,
        ),
        (
            "sizes that disagree",
            new().pax(&[("size", b"1024")]).file("a", &[b'x'; 512]).file("b", b"").end(),
            Harmless,
        ),
        ("an extension of nothing", new().pax(&[("path", b"x")]).0, Refused("is truncated")),
        (
            "a global name",
            new().raw(Tar::header(b'g', "g", "", 18), b"18 path=../victim\n").file("a", b"").end(),
            Refused("has .. in its name"),
        ),
        ("a volume label", new().other(b'V', "label", "").end(), Refused("member type 'V'")),
        ("a multi-volume part", new().other(b'M', "part", "").end(), Refused("member type 'M'")),
    ]
}

pub(super) fn attributes() -> Vec<Case> {
    let with = |name: &str, value: &[u8]| {
        new().pax(&[(&format!("SCHILY.xattr.{name}"), value)]).file("a", b"x").end()
    };
    vec![
        ("a redirect of overlayfs", with("user.overlay.redirect", b"/etc/shadow"), Harmless),
        ("a metacopy of overlayfs", with("user.overlay.metacopy", b""), Harmless),
        ("trusted attributes", with("trusted.overlay.opaque", b"y"), Harmless),
        ("a label", with("security.selinux", b"unconfined"), Harmless),
        ("an owner of ours", with("user.pyrt.owner", b"0:0"), Harmless),
        ("an attribute of no kind", with("nonsense", b""), Refused("set nonsense of a")),
        ("an attribute without a name", with("", b""), Refused("set  of a")),
        ("a NUL in an attribute's name", with("user.a\0b", b""), Refused("of a")),
        (
            "an attribute on a link",
            new().pax(&[("SCHILY.xattr.user.x", b"1")]).other(b'2', "l", "../victim").end(),
            Harmless,
        ),
    ]
}

pub(super) fn whiteouts() -> Vec<Case> {
    const NOTHING: &str = "whiteout of nothing";
    vec![
        ("a whiteout of nothing", new().file(".wh.", b"").end(), Refused(NOTHING)),
        ("a whiteout of here", new().file("d/.wh..", b"").end(), Refused(NOTHING)),
        ("a whiteout of the parent", new().file("d/.wh...", b"").end(), Refused(NOTHING)),
        ("a whiteout above", new().file("../.wh.victim", b"").end(), Refused("has .. in its name")),
        (
            "a whiteout through a link",
            new().other(b'2', "o", "..").file("o/.wh.victim", b"").end(),
            Refused("symbolic link"),
        ),
        ("a whiteout of this layer's", new().file("a", b"x").file(".wh.a", b"").end(), Harmless),
        ("deep below a whiteout", new().file(".wh.a", b"").file("a/b/c/d", b"x").end(), Harmless),
        ("below a whiteout", new().file(".wh.a", b"").file("a/b", b"x").end(), Harmless),
        ("an opaque root", new().file(".wh..wh..opq", b"").file("a", b"").end(), Harmless),
        (
            "a whiteout that is a link",
            new().other(b'2', ".wh.x", "../victim").file("x", b"").end(),
            Harmless,
        ),
    ]
}

pub(super) fn damage() -> Vec<Case> {
    let whole = new().file("a", &[7; 2000]).directory("d").file("d/b", b"x").end();
    let mut flipped = whole.clone();
    flipped[3] ^= 1;
    let packed = gzip(&whole);
    let mut broken = packed.clone();
    let middle = broken.len() / 2;
    broken[middle] ^= 0x55;
    vec![
        ("nothing", Vec::new(), Refused("is empty")),
        ("half a header", whole[..100].to_vec(), Refused("is truncated")),
        ("half a file", whole[..1500].to_vec(), Refused("is truncated")),
        ("a wrong checksum", flipped, Refused("checksum is wrong")),
        ("half of it compressed", packed[..packed.len() / 2].to_vec(), Refused("unpack layer")),
        ("no trailer", packed[..packed.len() - 8].to_vec(), Refused("unpack layer")),
        ("damaged", broken, Refused("unpack layer")),
        ("another compression", b"\xfd7zXZ\0\0\0".to_vec(), Refused("compressed with xz")),
        ("no archive", b"hello, this is no archive".repeat(40), Refused("checksum is wrong")),
        ("a sound one", whole, Harmless),
    ]
}
