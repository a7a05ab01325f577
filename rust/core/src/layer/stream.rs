//! Bytes of the blob: what compresses them, and the digests of both sides.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::{bad, limit};
use crate::{Code, Error, Result};

/// Large enough that hashing and inflating work in long runs, small enough for the cache.
const BUFFER: usize = 128 << 10;

/// The blob's side of a layer: read, hashed, decompressed. What is read from it is the archive.
pub struct Blob<R: Read> {
    decoder: Decoder<R>,
    max_ratio: u64,
    /// Bytes of the archive so far.
    bytes: u64,
}

/// Before this, no ratio is too large: a disk's worth of zeros may be somebody's.
const RATIO_FROM: u64 = if cfg!(test) { 1 << 20 } else { 256 << 20 };

type Source<R> = BufReader<Hashed<R>>;

enum Decoder<R: Read> {
    Plain(Source<R>),
    Gzip(Box<MultiGzDecoder<Source<R>>>),
    Zstd(Box<zstd::Decoder<'static, Source<R>>>),
}

/// First bytes of what others compress with, so that the refusal can name it.
const UNSUPPORTED: [(&[u8], &str); 4] = [
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"PK\x03\x04", "zip"),
];

impl<R: Read> Blob<R> {
    /// Looks at the first bytes, as every registry client does: media types lie, and an import has none.
    ///
    /// # Errors
    /// `unsupported` for another compression, `invalid_spec` for nothing, `kernel`. Reading fails beyond `max_ratio`
    /// ([`super::Limits`]).
    pub fn open(source: R, max_ratio: u64) -> Result<Self> {
        let mut blob = BufReader::with_capacity(BUFFER, Hashed::new(source));
        let head = fill(&mut blob)?;
        let decoder = if head.starts_with(b"\x1f\x8b") {
            Decoder::Gzip(Box::new(MultiGzDecoder::new(blob)))
        } else if head.starts_with(b"\x28\xb5\x2f\xfd") {
            Decoder::Zstd(Box::new(zstd::Decoder::with_buffer(blob).map_err(|e| broken(&e))?))
        } else if let Some((_, name)) =
            UNSUPPORTED.iter().find(|(magic, _)| head.starts_with(magic))
        {
            let message = format!("compressed with {name}");
            return Err(Error::new(Code::Unsupported, "unpack", "layer", message)
                .with_hint("compress the archive with gzip or zstd, or not at all"));
        } else {
            Decoder::Plain(blob)
        };
        Ok(Self { decoder, max_ratio, bytes: 0 })
    }

    /// Fills `buffer`, or as much of it as there is.
    ///
    /// # Errors
    /// `invalid_spec` with the decoder's word, `kernel`.
    pub fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        read_full(self, buffer)
    }

    /// Reads what follows what was compressed: the digest and length of the whole blob.
    ///
    /// # Errors
    /// `kernel`.
    pub fn finish(self) -> Result<(String, u64)> {
        let mut blob = match self.decoder {
            Decoder::Plain(blob) => blob,
            Decoder::Gzip(decoder) => decoder.into_inner(),
            Decoder::Zstd(decoder) => decoder.finish(),
        };
        let mut rest = vec![0; BUFFER];
        while read_full(&mut blob, &mut rest)? > 0 {}
        let blob = blob.into_inner();
        Ok((digest(blob.hash), blob.bytes))
    }
}

impl<R: Read> Read for Blob<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (count, blob) = match &mut self.decoder {
            Decoder::Plain(reader) => return reader.read(buffer),
            Decoder::Gzip(reader) => (reader.read(buffer)?, reader.get_ref().get_ref().bytes),
            Decoder::Zstd(reader) => (reader.read(buffer)?, reader.get_ref().get_ref().bytes),
        };
        self.bytes += count as u64;
        if self.bytes > RATIO_FROM && self.bytes / blob.max(1) > self.max_ratio {
            let message = format!("exceeds the limit max_ratio = {}", self.max_ratio);
            return Err(io::Error::other(message));
        }
        Ok(count)
    }
}

/// The first bytes; a pipe may give fewer than it will, but never less than one.
fn fill<R: Read>(blob: &mut Source<R>) -> Result<Vec<u8>> {
    let head = blob.fill_buf().map_err(|e| broken(&e))?;
    if head.is_empty() {
        return Err(bad("layer", "is empty"));
    }
    Ok(head[..head.len().min(8)].to_vec())
}

fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(broken(&error)),
        }
    }
    Ok(filled)
}

/// The uncompressed archive, hashed and counted.
pub(super) struct Stream<R: Read> {
    reader: BufReader<Hashed<R>>,
    max_bytes: u64,
}

impl<R: Read> Stream<R> {
    pub(super) fn new(archive: R, max_bytes: u64) -> Self {
        Self { reader: BufReader::with_capacity(BUFFER, Hashed::new(archive)), max_bytes }
    }

    /// Fills `buffer`, or as much of it as there is.
    pub(super) fn read_full(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let filled = read_full(&mut self.reader, buffer)?;
        if self.reader.get_ref().bytes > self.max_bytes {
            return Err(limit("max_bytes", self.max_bytes));
        }
        Ok(filled)
    }

    /// Reads what is left, since the digest is of the whole.
    pub(super) fn finish(mut self) -> Result<String> {
        let mut rest = vec![0; BUFFER];
        while self.read_full(&mut rest)? > 0 {}
        Ok(digest(self.reader.into_inner().hash))
    }
}

/// Counts and hashes what is read through it.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
    bytes: u64,
}

impl<R> Hashed<R> {
    fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hash.update(&buffer[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
}

fn digest(hash: Sha256) -> String {
    let mut text = String::with_capacity(71);
    text.push_str("sha256:");
    for byte in hash.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The kernel's refusal keeps its errno; everything else is the decoder's word about the blob.
fn broken(error: &io::Error) -> Error {
    match error.raw_os_error() {
        Some(errno) => Error::kernel("read", "layer", errno),
        None => bad("layer", error.to_string()),
    }
}
