//! A tar header: fixed fields of a block (tar(5)).

use super::archive::Kind;
use super::bad;
use crate::{Code, Error, Result};

pub(super) const BLOCK: usize = 512;

/// A block of 512 bytes that says what follows.
pub(super) struct Header(pub(super) [u8; BLOCK]);

impl Header {
    pub(super) const MODE: std::ops::Range<usize> = 100..108;
    pub(super) const UID: std::ops::Range<usize> = 108..116;
    pub(super) const GID: std::ops::Range<usize> = 116..124;
    pub(super) const SIZE: std::ops::Range<usize> = 124..136;
    pub(super) const MTIME: std::ops::Range<usize> = 136..148;
    pub(super) const CHECKSUM: std::ops::Range<usize> = 148..156;

    /// The sum of all bytes, those of the checksum itself as spaces; old writers summed signed bytes.
    pub(super) fn is_sound(&self) -> bool {
        let fold = |value: fn(u8) -> i64| -> i64 {
            let bytes = self.0.iter().enumerate();
            bytes
                .map(|(at, byte)| value(if Self::CHECKSUM.contains(&at) { b' ' } else { *byte }))
                .sum()
        };
        let Ok(claimed) = number(&self.0[Self::CHECKSUM]) else {
            return false;
        };
        claimed == fold(i64::from) || claimed == fold(|byte| i64::from(byte.cast_signed()))
    }

    pub(super) fn number(&self, field: std::ops::Range<usize>) -> Result<i64> {
        number(&self.0[field])
    }

    pub(super) fn size(&self) -> Result<u64> {
        unsigned(self.number(Self::SIZE)?)
    }

    pub(super) fn flag(&self) -> u8 {
        self.0[156]
    }

    /// The name, with the prefix that POSIX headers have (GNU's use that place for other things).
    pub(super) fn path(&self) -> Vec<u8> {
        let name = until_nul(&self.0[..100]);
        let is_posix = &self.0[257..263] == b"ustar\0";
        let prefix = if is_posix { until_nul(&self.0[345..500]) } else { b"" };
        if prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    pub(super) fn link(&self) -> Vec<u8> {
        until_nul(&self.0[157..257]).to_vec()
    }

    pub(super) fn kind(&self, path: &[u8]) -> Result<Kind> {
        Ok(match self.flag() {
            // v7 had no type for directories.
            0 | b'0' if path.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' | b'4' => Kind::Device,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            flag => {
                let message = format!("member type {:?} is not supported", char::from(flag));
                let subject = String::from_utf8_lossy(path).into_owned();
                return Err(Error::new(Code::Unsupported, "unpack", subject, message));
            }
        })
    }
}

pub(super) fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits between spaces and NULs, nothing being 0; or, with the top bit set, big-endian two's complement.
pub(super) fn number(field: &[u8]) -> Result<i64> {
    let refuse = || bad("layer", "a header has a malformed number");
    if field[0] & 0x80 != 0 {
        // The top bit is the mark, the next one the sign.
        let mut value = if field[0] & 0x40 != 0 { -1i64 } else { 0 };
        for (at, byte) in field.iter().enumerate() {
            let byte =
                if at == 0 { (byte & 0x7f) | if value < 0 { 0x80 } else { 0 } } else { *byte };
            value = value
                .checked_mul(256)
                .and_then(|v| v.checked_add(i64::from(byte)))
                .ok_or_else(refuse)?;
        }
        return Ok(value);
    }
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default().trim_ascii();
    text.iter().try_fold(0i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8).map(|v| v + i64::from(digit - b'0')).ok_or_else(refuse),
        _ => Err(refuse()),
    })
}

pub(super) fn unsigned(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| bad("layer", "a header has a negative size"))
}
