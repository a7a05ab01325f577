//! PAX extended headers: `LENGTH KEY=VALUE\n`, where the length counts the whole record (pax(1)).

use super::archive::Timestamp;
use super::bad;
use crate::Result;

/// What the records say about the next member (or, for global ones, about all that follow).
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) mtime: Option<Timestamp>,
    /// `SCHILY.xattr.NAME`.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: Sparse,
}

/// GNU tar's three ways to describe holes in PAX archives.
#[derive(Clone, Debug, Default)]
pub(super) struct Sparse {
    /// 1.0: the map stands before the data.
    pub(super) major: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    /// 0.0 and 0.1: offset, length, offset, length, ….
    pub(super) map: Vec<u64>,
}

impl Records {
    /// Adds the records of one header; a later one wins, and an empty value takes the key back.
    pub(super) fn parse(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            let (record, rest) =
                split(data).ok_or_else(|| bad("layer", "a PAX record is malformed"))?;
            let equals = record.iter().position(|byte| *byte == b'=');
            let at = equals.ok_or_else(|| bad("layer", "a PAX record has no value"))?;
            self.set(&record[..at], &record[at + 1..])?;
            data = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let text = || (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = text(),
            b"linkpath" => self.link = text(),
            b"size" => self.size = number(key, value)?,
            b"uid" => self.uid = signed(key, value)?,
            b"gid" => self.gid = signed(key, value)?,
            b"mtime" => self.mtime = time(key, value)?,
            b"GNU.sparse.name" => self.sparse.name = text(),
            b"GNU.sparse.major" => self.sparse.major = number(key, value)?,
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => {
                self.sparse.real_size = number(key, value)?
            }
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                self.sparse.map.extend(number(key, value)?);
            }
            b"GNU.sparse.map" => {
                for part in value.split(|byte| *byte == b',') {
                    self.sparse.map.extend(number(key, part)?);
                }
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.retain(|(known, _)| known != name);
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
                // Others are comments, times that no file system lets one set, names of users, and the
                // second spelling of attributes that bsdtar writes beside the first.
            }
        }
        Ok(())
    }
}

/// One record without its length and newline, and what follows it.
fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = data.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
    if length > data.len() || length < space + 2 || data[length - 1] != b'\n' {
        return None;
    }
    Some((&data[space + 1..length - 1], &data[length..]))
}

fn number(key: &[u8], value: &[u8]) -> Result<Option<u64>> {
    parse(key, value)
}

fn signed(key: &[u8], value: &[u8]) -> Result<Option<i64>> {
    parse(key, value)
}

fn parse<T: std::str::FromStr>(key: &[u8], value: &[u8]) -> Result<Option<T>> {
    if value.is_empty() {
        return Ok(None);
    }
    let parsed = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    match parsed {
        Some(number) => Ok(Some(number)),
        None => {
            Err(bad("layer", format!("PAX record {}: not a number", String::from_utf8_lossy(key))))
        }
    }
}

/// Seconds with a fraction, which may be negative as a whole.
fn time(key: &[u8], value: &[u8]) -> Result<Option<Timestamp>> {
    let dot = value.iter().position(|byte| *byte == b'.').unwrap_or(value.len());
    let Some(seconds) = signed(key, &value[..dot])? else {
        return Ok(None);
    };
    let digits = value.get(dot + 1..).unwrap_or_default();
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(bad("layer", "PAX record mtime: not a time"));
    }
    let mut nanoseconds = 0i64;
    for place in 0..9 {
        nanoseconds =
            nanoseconds * 10 + i64::from(digits.get(place).map_or(0, |digit| digit - b'0'));
    }
    if value.starts_with(b"-") && nanoseconds > 0 {
        // The kernel counts nanoseconds upwards from the second before.
        return Ok(Some(Timestamp {
            seconds: seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        }));
    }
    Ok(Some(Timestamp { seconds, nanoseconds }))
}
