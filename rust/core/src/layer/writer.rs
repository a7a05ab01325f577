//! Writing tar archives: ustar headers, and PAX records for what these cannot hold (pax(1)).
//!
//! One tree has one archive: no names of users, no times but a file's own in whole seconds, as every engine writes layers.

use std::io::Write;

use super::header::BLOCK;
use crate::Result;

use super::pack::sink_error;

/// The largest numbers of the octal fields: of 7 and of 11 digits.
const MAX_ID: u64 = 0o7_777_777;
const MAX_LONG: u64 = 0o77_777_777_777;
/// Bytes of a header's name field.
const NAME_BYTES: usize = 100;

/// A member to be written; its content follows.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// A directory's without its slash.
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    /// `0` file, `1` hard link, `2` symbolic link, `5` directory, `6` fifo (tar(5)).
    pub(super) flag: u8,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: i64,
    pub(super) size: u64,
    /// Sorted by name.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Writes members one after the other.
pub(super) struct Writer<W: Write> {
    sink: W,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(sink: W) -> Self {
        Self { sink }
    }

    /// A member's headers.
    pub(super) fn begin(&mut self, entry: &Entry) -> Result<()> {
        let mut path = entry.path.clone();
        if entry.flag == b'5' {
            path.push(b'/');
        }
        let records = records(entry, &path);
        if !records.is_empty() {
            let extension = Entry { mode: 0o644, size: records.len() as u64, ..Entry::default() };
            let name = [b"PaxHeaders.0/", path.as_slice()].concat();
            self.block(&header(&extension, b'x', &name))?;
            self.write(&records)?;
            self.pad(records.len() as u64)?;
        }
        self.block(&header(entry, entry.flag, &path))
    }

    /// Content of the current member.
    pub(super) fn write(&mut self, data: &[u8]) -> Result<()> {
        self.sink.write_all(data).map_err(|error| sink_error(&error))
    }

    /// Fills the last block of a content of this length.
    pub(super) fn pad(&mut self, size: u64) -> Result<()> {
        let rest = (size.next_multiple_of(BLOCK as u64) - size) as usize;
        self.write(&[0; BLOCK][..rest])
    }

    /// The end of the archive.
    pub(super) fn finish(mut self) -> Result<()> {
        self.block(&[0; BLOCK])?;
        self.block(&[0; BLOCK])?;
        self.sink.flush().map_err(|error| sink_error(&error))
    }

    fn block(&mut self, block: &[u8; BLOCK]) -> Result<()> {
        self.write(block)
    }
}

/// What the header cannot hold, as PAX records.
fn records(entry: &Entry, path: &[u8]) -> Vec<u8> {
    let mut records = Vec::new();
    for (name, value) in &entry.xattrs {
        let key = [b"SCHILY.xattr.", name.as_slice()].concat();
        record(&mut records, &key, value);
    }
    for (key, id) in [(b"gid", entry.gid), (b"uid", entry.uid)] {
        if u64::from(id) > MAX_ID {
            record(&mut records, key, id.to_string().as_bytes());
        }
    }
    if entry.link.len() > NAME_BYTES {
        record(&mut records, b"linkpath", &entry.link);
    }
    if !u64::try_from(entry.mtime).is_ok_and(|seconds| seconds <= MAX_LONG) {
        record(&mut records, b"mtime", entry.mtime.to_string().as_bytes());
    }
    if path.len() > NAME_BYTES {
        record(&mut records, b"path", path);
    }
    if entry.size > MAX_LONG {
        record(&mut records, b"size", entry.size.to_string().as_bytes());
    }
    records
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length != body + length.to_string().len() {
        length = body + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn header(entry: &Entry, flag: u8, path: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    text(&mut block[..NAME_BYTES], path);
    octal(&mut block[100..108], u64::from(entry.mode), 0o7777);
    octal(&mut block[108..116], u64::from(entry.uid), MAX_ID);
    octal(&mut block[116..124], u64::from(entry.gid), MAX_ID);
    octal(&mut block[124..136], entry.size, MAX_LONG);
    octal(&mut block[136..148], u64::try_from(entry.mtime).unwrap_or(0), MAX_LONG);
    block[156] = flag;
    text(&mut block[157..257], &entry.link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    octal(&mut block[329..337], 0, 0);
    octal(&mut block[337..345], 0, 0);
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    octal(&mut block[148..155], u64::from(sum), u64::MAX);
    block
}

/// As much of `value` as there is room for: the whole is in a PAX record then.
fn text(field: &mut [u8], value: &[u8]) {
    let length = value.len().min(field.len());
    field[..length].copy_from_slice(&value[..length]);
}

/// Digits and a NUL; 0 for what is in a PAX record.
fn octal(field: &mut [u8], value: u64, max: u64) {
    let mut value = if value > max { 0 } else { value };
    let digits = field.len() - 1;
    for digit in field[..digits].iter_mut().rev() {
        *digit = b'0' + (value & 7) as u8;
        value >>= 3;
    }
    field[digits] = 0;
}
