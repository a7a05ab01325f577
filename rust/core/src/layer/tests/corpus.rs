//! Archives of a hostile author, by name: what is refused, with which words, and what is made harmless.

mod records;

use records::{attributes, damage, extensions, whiteouts};

use super::tar::Tar;
use super::{Scratch, gzip};
use crate::layer::Limits;

/// What becomes of an archive.
pub(super) enum Fate {
    Refused(&'static str),
    Harmless,
}
use Fate::{Harmless, Refused};

pub(super) type Case = (&'static str, Vec<u8>, Fate);

/// Small enough that bombs are small too.
pub(super) fn limits() -> Limits {
    Limits { max_entries: 500, max_bytes: 1 << 20, single_id: true, ..Limits::default() }
}

/// All of them; also what the fuzzer starts from.
pub(super) fn corpus() -> Vec<Case> {
    [
        paths(),
        links(),
        devices(),
        bombs(),
        numbers(),
        extensions(),
        attributes(),
        whiteouts(),
        damage(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn new() -> Tar {
    Tar::default()
}

fn field(flag: u8, name: &str, at: usize, value: &[u8]) -> [u8; 512] {
    let mut header = Tar::header(flag, name, "", 0);
    header[at..at + value.len()].copy_from_slice(value);
    header
}

fn paths() -> Vec<Case> {
    const UP: &str = "has .. in its name";
    vec![
        ("parent", new().file("../victim", b"bad").end(), Refused(UP)),
        ("parent within", new().file("a/../../victim", b"bad").end(), Refused(UP)),
        ("parent at the end", new().directory("a/..").end(), Refused(UP)),
        ("parent in PAX", new().pax(&[("path", b"../victim")]).file("a", b"").end(), Refused(UP)),
        (
            "parent in a GNU name",
            new().raw(Tar::header(b'L', "l", "", 10), b"../victim\0").file("a", b"").end(),
            Refused(UP),
        ),
        (
            "parent in a prefix",
            new().raw(field(b'0', "victim", 345, b".."), b"").end(),
            Refused(UP),
        ),
        ("absolute", new().file("/victim", b"bad").end(), Harmless),
        ("many slashes", new().file("////victim", b"bad").end(), Harmless),
        ("dots", new().file("./././victim", b"bad").end(), Harmless),
        ("backslashes", new().file("..\\victim", b"bad").end(), Harmless),
        ("not UTF-8", new().pax(&[("path", b"\xff\xfe")]).file("a", b"").end(), Harmless),
        ("the root as a file", new().file("./", b"").file("x", b"").end(), Harmless),
        (
            "the root as a link",
            new().other(b'2', ".", "..").end(),
            Refused("names the root, which is a directory"),
        ),
        (
            "NUL in a name",
            new().pax(&[("path", b"a\0b")]).file("a", b"").end(),
            Refused("has a NUL in its name"),
        ),
        ("newline in a name", new().file("a\nb", b"").end(), Harmless),
        (
            "a name too long",
            new().pax(&[("path", &[b'x'; 300])]).file("a", b"").end(),
            Refused("File name too long"),
        ),
        ("below a file", new().file("a", b"").file("a/b", b"").end(), Refused("not a directory")),
    ]
}

fn links() -> Vec<Case> {
    const THROUGH: &str = "is a symbolic link, and a member lies below it";
    let two = |first: &str, second: &str| {
        new().other(b'2', "a", first).other(b'2', "b", second).file("b/victim", b"bad").end()
    };
    vec![
        (
            "through a link",
            new().other(b'2', "o", "..").file("o/victim", b"").end(),
            Refused(THROUGH),
        ),
        (
            "through an absolute one",
            new().other(b'2', "o", "/").file("o/x", b"").end(),
            Refused(THROUGH),
        ),
        ("through two", two("..", "a"), Refused(THROUGH)),
        ("through a loop", two("b", "a"), Refused(THROUGH)),
        (
            "a directory becomes a link",
            new()
                .directory("d")
                .file("d/x", b"")
                .other(b'2', "d", "..")
                .file("d/victim", b"")
                .end(),
            Refused(THROUGH),
        ),
        (
            "a directory over a link",
            new().other(b'2', "d", "..").directory("d").file("d/victim", b"").end(),
            Harmless,
        ),
        (
            "a file over a link",
            new().other(b'2', "f", "../victim").file("f", b"bad").end(),
            Harmless,
        ),
        (
            "a link through proc",
            new().other(b'2', "p", "/proc/self/cwd").file("p/victim", b"").end(),
            Refused(THROUGH),
        ),
        (
            "a link to nothing",
            new().other(b'2', "l", "").end(),
            Refused("symbolic link to nothing"),
        ),
        ("hard link up", new().other(b'1', "h", "../victim").end(), Refused("has .. in its name")),
        (
            "hard link away",
            new().other(b'1', "h", "/etc/passwd").end(),
            Refused("not in this layer"),
        ),
        (
            "hard link through a link",
            new().other(b'2', "o", "..").other(b'1', "h", "o/victim").end(),
            Refused("not below a directory"),
        ),
        (
            "hard link to a link, written",
            new().other(b'2', "l", "../victim").other(b'1', "h", "l").file("h", b"bad").end(),
            Harmless,
        ),
        (
            "hard link to a directory",
            new().directory("d").other(b'1', "h", "d").end(),
            Refused("link h"),
        ),
        (
            "hard link to itself",
            new().file("h", b"").other(b'1', "h", "h").end(),
            Refused("itself"),
        ),
        ("hard link to the root", new().other(b'1', "h", ".").end(), Refused("to the root")),
    ]
}

fn devices() -> Vec<Case> {
    vec![
        ("device nodes", new().other(b'3', "null", "").other(b'4', "sda", "").end(), Harmless),
        (
            "a device with a directory's name",
            new().directory("d").other(b'3', "d", "").end(),
            Harmless,
        ),
    ]
}

fn bombs() -> Vec<Case> {
    let many = (0..501).fold(new(), |tar, number| tar.file(&format!("f{number}"), b"")).end();
    let hole = [("GNU.sparse.size", b"1000000000000".as_slice()), ("GNU.sparse.map", b"0,1")];
    let holes: String = (0..300_000).map(|number| format!("{},0,", number * 2)).collect();
    let holes = [("GNU.sparse.size", b"1000000".as_slice()), ("GNU.sparse.map", holes.as_bytes())];
    vec![
        ("entries", many, Refused("max_entries = 500")),
        (
            "a long path",
            new().pax(&[("path", "d/".repeat(2500).as_bytes())]).file("x", b"").end(),
            Refused("max_path_bytes = 4095"),
        ),
        (
            "a deep path",
            new().pax(&[("path", "d/".repeat(1000).as_bytes())]).file("x", b"").end(),
            Harmless,
        ),
        (
            "a large file",
            new().raw(field(b'0', "a", 124, b"77777777777\0"), b"").end(),
            Refused("max_bytes"),
        ),
        ("plain zeros", vec![0; 2 << 20], Refused("max_bytes")),
        ("compressed zeros", gzip(&vec![0; 4 << 20]), Refused("max_bytes")),
        (
            "zeros, better compressed",
            zstd::encode_all(vec![0; 4 << 20].as_slice(), 3).unwrap(),
            Refused("max_ratio"),
        ),
        ("a large hole", new().pax(&hole).file("a", b"x").end(), Refused("max_bytes")),
        ("many holes", new().pax(&holes).file("a", b"").end(), Refused("max_extension_bytes")),
        (
            "a large extension",
            new().raw(Tar::header(b'x', "x", "", 1 << 30), b"").end(),
            Refused("max_extension_bytes"),
        ),
        (
            "a large GNU name",
            new().raw(Tar::header(b'L', "x", "", 1 << 30), b"").end(),
            Refused("max_extension_bytes"),
        ),
        (
            "a large global extension",
            new().raw(Tar::header(b'g', "x", "", 1 << 30), b"").end(),
            Refused("max_extension_bytes"),
        ),
    ]
}

fn numbers() -> Vec<Case> {
    const NEGATIVE: [u8; 12] = [255; 12];
    const HUGE: [u8; 12] = [0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255];
    const PAST: [u8; 12] = [0x80, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255];
    let sized = |value: &[u8]| new().raw(field(b'0', "a", 124, value), b"").end();
    let pax = |key: &str, value: &[u8]| new().pax(&[(key, value)]).file("a", b"").end();
    vec![
        ("negative size", sized(&NEGATIVE), Refused("negative size")),
        ("huge size", sized(&HUGE), Refused("max_bytes")),
        ("a size past 64 bits", sized(&PAST), Refused("malformed number")),
        ("letters for a size", sized(b"hello world\0"), Refused("malformed number")),
        ("a size in PAX past the end", pax("size", b"999999999"), Refused("max_bytes")),
        ("a negative size in PAX", pax("size", b"-1"), Refused("not a number")),
        (
            "a size in PAX past 64 bits",
            pax("size", b"99999999999999999999"),
            Refused("not a number"),
        ),
        ("the ID of nobody", pax("uid", b"4294967295"), Refused("is not an ID")),
        ("a negative ID", pax("gid", b"-1"), Refused("is not an ID")),
        ("an ID past 32 bits", pax("uid", b"4294967296"), Refused("is not an ID")),
        ("a time before all times", pax("mtime", b"-9223372036854775808"), Harmless),
        ("a time after all times", pax("mtime", b"9223372036854775807.999999999"), Harmless),
        ("no time", pax("mtime", b"now"), Refused("not a")),
        (
            "holes that overlap",
            new()
                .pax(&[("GNU.sparse.size", b"10"), ("GNU.sparse.map", b"0,5,3,5")])
                .file("a", b"0123456789")
                .end(),
            Refused("map of holes"),
        ),
        (
            "holes past 64 bits",
            new()
                .pax(&[("GNU.sparse.size", b"10"), ("GNU.sparse.map", b"1,18446744073709551615")])
                .file("a", b"x")
                .end(),
            Refused("map of holes"),
        ),
        (
            "more data than there is",
            new()
                .pax(&[("GNU.sparse.size", b"999"), ("GNU.sparse.map", b"0,999")])
                .file("a", b"x")
                .end(),
            Refused("map of holes"),
        ),
    ]
}

#[test]
fn each_is_refused_by_name_or_made_harmless() {
    let cases = corpus();
    assert!(cases.len() >= 40);
    for (name, blob, fate) in cases {
        let scratch = Scratch::new(&format!("corpus-{}", name.replace([' ', '/'], "-")));
        let result = scratch.unpack_within(&blob, &limits());
        match (result, fate) {
            (Err(error), Refused(words)) => {
                assert!(error.to_string().contains(words), "{name}: {error}");
            }
            (Ok(_), Harmless) => {}
            (Ok(out), Refused(words)) => panic!("{name}: taken ({out:?}), not refused: {words}"),
            (Err(error), Harmless) => panic!("{name}: refused: {error}"),
        }
        scratch.is_safe();
    }
}

/// Cut anywhere, a sound archive is refused or is a shorter one; nothing panics.
#[test]
fn cut_anywhere() {
    let scratch = Scratch::new("cut");
    let whole = Tar::default().pax(&[("path", b"long/name")]).file("a", &[7; 700]).end();
    for length in 0..whole.len() {
        let _ = scratch.unpack_within(&whole[..length], &limits());
    }
    for packed in [gzip(&whole), zstd::encode_all(whole.as_slice(), 3).unwrap()] {
        for length in 0..packed.len() {
            assert!(scratch.unpack_within(&packed[..length], &limits()).is_err(), "{length}");
        }
    }
    scratch.is_safe();
}
