//! Bytes of the blob: what compresses them, and the digests of both sides.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::{bad, limit};
use crate::{Code, Error, Result};

/// Large enough that hashing and inflating work in long runs, small enough for the cache.
const BUFFER: usize = 128 << 10;

/// The uncompressed archive of a blob.
pub(super) struct Stream<R: Read> {
    reader: BufReader<Hashed<Decoder<R>>>,
    max_bytes: u64,
}

/// `sha256:…` of both sides.
pub(super) struct Digests {
    pub(super) uncompressed: String,
    pub(super) blob: String,
    pub(super) blob_size: u64,
}

type Blob<R> = BufReader<Hashed<R>>;

enum Decoder<R: Read> {
    Plain(Blob<R>),
    Gzip(Box<MultiGzDecoder<Blob<R>>>),
    Zstd(Box<zstd::Decoder<'static, Blob<R>>>),
}

/// First bytes of what others compress with, so that the refusal can name it.
const UNSUPPORTED: [(&[u8], &str); 4] = [
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"PK\x03\x04", "zip"),
];

/// Looks at the first bytes, as every registry client does: media types lie, and an import has none.
pub(super) fn open<R: Read>(source: R, max_bytes: u64) -> Result<Stream<R>> {
    let mut blob = BufReader::with_capacity(BUFFER, Hashed::new(source));
    let head = fill(&mut blob)?;
    let decoder = if head.starts_with(b"\x1f\x8b") {
        Decoder::Gzip(Box::new(MultiGzDecoder::new(blob)))
    } else if head.starts_with(b"\x28\xb5\x2f\xfd") {
        Decoder::Zstd(Box::new(zstd::Decoder::with_buffer(blob).map_err(|e| broken(&e))?))
    } else if let Some((_, name)) = UNSUPPORTED.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(Error::new(
            Code::Unsupported,
            "unpack",
            "layer",
            format!("compressed with {name}"),
        )
        .with_hint("compress the archive with gzip or zstd, or not at all"));
    } else {
        Decoder::Plain(blob)
    };
    Ok(Stream { reader: BufReader::with_capacity(BUFFER, Hashed::new(decoder)), max_bytes })
}

/// The first bytes; a pipe may give fewer than it will, but never less than one.
fn fill<R: Read>(blob: &mut Blob<R>) -> Result<Vec<u8>> {
    let head = blob.fill_buf().map_err(|e| broken(&e))?;
    if head.is_empty() {
        return Err(bad("layer", "is empty"));
    }
    Ok(head[..head.len().min(8)].to_vec())
}

impl<R: Read> Stream<R> {
    /// Fills `buffer`, or as much of it as there is.
    pub(super) fn read_full(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(&error)),
            }
        }
        self.check()?;
        Ok(filled)
    }

    fn check(&self) -> Result<()> {
        if self.reader.get_ref().bytes > self.max_bytes {
            return Err(limit("max_bytes", self.max_bytes));
        }
        Ok(())
    }

    /// Reads what is left on both sides: the digests are of the whole.
    pub(super) fn finish(mut self) -> Result<Digests> {
        let mut rest = vec![0; BUFFER];
        while self.read_full(&mut rest)? > 0 {}
        let uncompressed = self.reader.into_inner();
        let mut blob = match uncompressed.inner {
            Decoder::Plain(blob) => blob,
            Decoder::Gzip(decoder) => decoder.into_inner(),
            Decoder::Zstd(decoder) => decoder.finish(),
        };
        loop {
            match blob.read(&mut rest) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(&error)),
            }
        }
        let blob = blob.into_inner();
        Ok(Digests {
            uncompressed: digest(uncompressed.hash),
            blob_size: blob.bytes,
            blob: digest(blob.hash),
        })
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(buffer),
            Self::Gzip(reader) => reader.read(buffer),
            Self::Zstd(reader) => reader.read(buffer),
        }
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
