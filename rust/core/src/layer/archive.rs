//! Members of a tar archive: v7, ustar, GNU and PAX headers (tar(5)).
//!
//! No more than one extension header's worth of memory is used whatever the archive claims.

use std::io::Read;

use super::header::{BLOCK, Header, number, unsigned, until_nul};
use super::pax::{Records, Sparse};
use super::stream::Stream;
use super::{Limits, bad, limit};
use crate::{Error, Result};

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    Fifo,
    Device,
}

/// Nanoseconds are always counted upwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timestamp {
    pub(super) seconds: i64,
    pub(super) nanoseconds: i64,
}

/// What of a file with holes is in the archive: offset and length, ascending.
pub(super) type Segments = Vec<(u64, u64)>;

/// One member; its content follows in the archive.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// As written, unresolved.
    pub(super) path: Vec<u8>,
    /// Target of a link, as written.
    pub(super) link: Vec<u8>,
    pub(super) kind: Kind,
    /// Permission bits with set-ID and sticky.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Timestamp,
    /// Length of the file, with its holes.
    pub(super) size: u64,
    /// `None`: all of it is in the archive.
    pub(super) segments: Option<Segments>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads member after member.
pub(super) struct Archive<R: Read> {
    stream: Stream<R>,
    limits: Limits,
    /// Content of the current member that has not been read, and what pads it to a block.
    content: u64,
    padding: u64,
    global: Records,
}

impl<R: Read> Archive<R> {
    pub(super) fn new(stream: Stream<R>, limits: &Limits) -> Self {
        Self { stream, limits: limits.clone(), content: 0, padding: 0, global: Records::default() }
    }

    pub(super) fn into_stream(self) -> Stream<R> {
        self.stream
    }

    /// Content of the current member; 0 at its end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let wanted = self.content.min(buffer.len() as u64) as usize;
        if wanted == 0 {
            return Ok(0);
        }
        if self.stream.read_full(&mut buffer[..wanted])? < wanted {
            return Err(truncated());
        }
        self.content -= wanted as u64;
        Ok(wanted)
    }

    /// The next member, with what extension headers said about it; `None` at the archive's end.
    pub(super) fn next_member(&mut self) -> Result<Option<Member>> {
        self.skip()?;
        let mut records = self.global.clone();
        let (mut long_path, mut long_link) = (None, None);
        let mut is_promised = false;
        loop {
            let Some(header) = self.header()? else {
                return if is_promised { Err(truncated()) } else { Ok(None) };
            };
            match header.flag() {
                b'x' => records.parse(&self.extension(&header)?)?,
                b'g' => {
                    let data = self.extension(&header)?;
                    self.global.parse(&data)?;
                    records.parse(&data)?;
                    continue;
                }
                b'L' => long_path = Some(until_nul(&self.extension(&header)?).to_vec()),
                b'K' => long_link = Some(until_nul(&self.extension(&header)?).to_vec()),
                _ => {
                    return self.member(&header, records, long_path, long_link).map(Some);
                }
            }
            is_promised = true;
        }
    }

    fn skip(&mut self) -> Result<()> {
        let mut rest = self.content + self.padding;
        let mut sink = [0; 16 * BLOCK];
        while rest > 0 {
            let part = rest.min(sink.len() as u64) as usize;
            let count = self.stream.read_full(&mut sink[..part])?;
            if count < part && rest - (count as u64) > self.padding {
                return Err(truncated());
            }
            // What ends in the padding has lost nothing: umoci 0.4's `insert` writes no more.
            rest = if count < part { 0 } else { rest - part as u64 };
        }
        (self.content, self.padding) = (0, 0);
        Ok(())
    }

    /// The next header, its checksum verified; `None` for the zero block that ends an archive, or its bare end.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut block = [0; BLOCK];
        match self.stream.read_full(&mut block)? {
            0 => return Ok(None),
            BLOCK => {}
            _ => return Err(truncated()),
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = Header(block);
        if !header.is_sound() {
            return Err(bad(
                "layer",
                "a header's checksum is wrong: not a tar archive, or damaged",
            ));
        }
        Ok(Some(header))
    }

    /// The content of an extension header.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>> {
        let size = header.size()?;
        if size > self.limits.max_extension_bytes as u64 {
            return Err(limit("max_extension_bytes", self.limits.max_extension_bytes as u64));
        }
        self.begin(size);
        let mut data = vec![0; size as usize];
        self.read(&mut data)?;
        self.skip()?;
        Ok(data)
    }

    fn begin(&mut self, size: u64) {
        self.content = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    fn member(
        &mut self,
        header: &Header,
        records: Records,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Member> {
        let sparse = records.sparse;
        let name = sparse.name.clone().or(records.path).or(long_path);
        let path = name.unwrap_or_else(|| header.path());
        let link = records.link.or(long_link).unwrap_or_else(|| header.link());
        for text in [&path, &link] {
            if text.len() > self.limits.max_path_bytes {
                return Err(limit("max_path_bytes", self.limits.max_path_bytes as u64));
            }
            if text.contains(&0) {
                return Err(bad(text, "has a NUL in its name"));
            }
        }
        let kind = header.kind(&path)?;
        // As Go's reader, which most images were written for: only files have content, whatever the size says.
        let stored =
            if kind == Kind::File { records.size.map_or_else(|| header.size(), Ok)? } else { 0 };
        if stored > self.limits.max_bytes {
            return Err(limit("max_bytes", self.limits.max_bytes));
        }
        self.begin(stored);
        let (size, segments) = if kind == Kind::File {
            self.segments(header, &sparse, stored).map_err(|mut error| {
                if error.subject.is_empty() {
                    error.subject = String::from_utf8_lossy(&path).into_owned();
                }
                error
            })?
        } else {
            (0, None)
        };
        Ok(Member {
            kind,
            mode: (header.number(Header::MODE)? & 0o7777) as u32,
            uid: owner(&path, records.uid.map_or_else(|| header.number(Header::UID), Ok)?)?,
            gid: owner(&path, records.gid.map_or_else(|| header.number(Header::GID), Ok)?)?,
            mtime: match records.mtime {
                Some(time) => time,
                None => Timestamp { seconds: header.number(Header::MTIME)?, nanoseconds: 0 },
            },
            size,
            segments,
            xattrs: records.xattrs,
            path,
            link,
        })
    }

    /// The file's length and, if it has holes, what of it is stored.
    fn segments(
        &mut self,
        header: &Header,
        sparse: &Sparse,
        stored: u64,
    ) -> Result<(u64, Option<Segments>)> {
        let (real_size, map) = if header.flag() == b'S' {
            self.old_gnu_map(header)?
        } else if sparse.major == Some(1) {
            (
                sparse.real_size.ok_or_else(|| bad("", "is sparse and has no size"))?,
                self.leading_map()?,
            )
        } else if !sparse.map.is_empty() || sparse.real_size.is_some() {
            (
                sparse.real_size.ok_or_else(|| bad("", "is sparse and has no size"))?,
                sparse.map.clone(),
            )
        } else {
            return Ok((stored, None));
        };
        if map.len() % 2 != 0 {
            return Err(bad("", "has a malformed map of holes"));
        }
        let segments: Vec<_> = map.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        let (mut end, mut total) = (0u64, 0u64);
        for &(offset, length) in &segments {
            let next =
                offset.checked_add(length).filter(|next| offset >= end && *next <= real_size);
            end = next.ok_or_else(|| bad("", "has a malformed map of holes"))?;
            total += length;
        }
        if total != self.content {
            return Err(bad("", "has a map of holes that does not fit its content"));
        }
        Ok((real_size, Some(segments)))
    }

    /// GNU's own format: four entries in the header, more in blocks after it.
    fn old_gnu_map(&mut self, header: &Header) -> Result<(u64, Vec<u64>)> {
        let real_size = unsigned(number(&header.0[483..495])?)?;
        let mut map = Vec::new();
        let mut entries = header.0[386..482].to_vec();
        let mut continues = header.0[482] != 0;
        loop {
            for entry in entries.chunks_exact(24) {
                if entry[0] == 0 {
                    break;
                }
                map.push(unsigned(number(&entry[..12])?)?);
                map.push(unsigned(number(&entry[12..])?)?);
            }
            if !continues {
                return Ok((real_size, map));
            }
            if map.len() * 12 > self.limits.max_extension_bytes {
                return Err(limit("max_extension_bytes", self.limits.max_extension_bytes as u64));
            }
            // These blocks are counted neither as content nor as padding.
            let mut block = [0; BLOCK];
            if self.stream.read_full(&mut block)? < BLOCK {
                return Err(truncated());
            }
            entries = block[..504].to_vec();
            continues = block[504] != 0;
        }
    }

    /// PAX 1.0: decimal numbers, a line each, in whole blocks before the data: their count, then the pairs.
    fn leading_map(&mut self) -> Result<Vec<u64>> {
        let (mut numbers, mut digits, mut wanted, mut read) = (Vec::new(), String::new(), None, 0);
        while wanted.is_none_or(|count: usize| numbers.len() < count) {
            let mut block = [0; BLOCK];
            if self.read(&mut block)? < BLOCK {
                return Err(bad("", "has a truncated map of holes"));
            }
            read += BLOCK;
            if read > self.limits.max_extension_bytes {
                return Err(limit("max_extension_bytes", self.limits.max_extension_bytes as u64));
            }
            for byte in block {
                if wanted.is_some_and(|count| numbers.len() >= count) {
                    break;
                }
                if byte != b'\n' {
                    digits.push(char::from(byte));
                    continue;
                }
                let value: u64 =
                    digits.parse().map_err(|_| bad("", "has a malformed map of holes"))?;
                digits.clear();
                match wanted {
                    // More pairs than bytes could describe cannot be there.
                    None => {
                        wanted =
                            Some(usize::try_from(value.saturating_mul(2)).unwrap_or(usize::MAX))
                    }
                    Some(_) => numbers.push(value),
                }
            }
        }
        Ok(numbers)
    }
}

/// The last ID means "leave as it is" to chown(2), so no file can belong to it.
fn owner(path: &[u8], id: i64) -> Result<u32> {
    match u32::try_from(id) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(bad(path, format!("owner {id} is not an ID"))),
    }
}

fn truncated() -> Error {
    bad("layer", "is truncated")
}
