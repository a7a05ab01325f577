//! Lists of CPUs and memory nodes as the specification and the kernel write them: `0-3,7` (cpuset(7), list format).

use crate::error::{Code, Error, Result};

/// The highest number we take, as runc: no machine has more, and a typing error must not cost memory.
const LIMIT: u32 = 64 * 1024;

/// A list as the words of a bit mask; empty for an empty list.
///
/// # Errors
/// `invalid_spec` with the field and the list.
pub fn parse(field: &str, list: &str) -> Result<Vec<u64>> {
    let refuse = || Error::new(Code::InvalidSpec, field, list, "is not a list such as 0-3,7");
    let mut words: Vec<u64> = Vec::new();
    for range in list.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (number(first).ok_or_else(refuse)?, number(last).ok_or_else(refuse)?);
        if first > last || last > LIMIT {
            return Err(refuse());
        }
        let length = last as usize / 64 + 1;
        if words.len() < length {
            words.resize(length, 0);
        }
        for bit in first as usize..=last as usize {
            words[bit / 64] |= 1 << (bit % 64);
        }
    }
    if words.is_empty() && !list.is_empty() {
        return Err(refuse());
    }
    Ok(words)
}

/// Digits only: `parse` of the standard library takes a sign as well.
fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lists() {
        assert_eq!(parse("f", "").unwrap(), Vec::<u64>::new());
        assert_eq!(parse("f", "0-3,7").unwrap(), [0x8f]);
        assert_eq!(parse("f", " 1 - 2 , ,64").unwrap(), [0b110, 1]);
        for bad in ["x", "3-1", "1-", "-1", "+1", ",", "0-99999999", "65537", "1 2"] {
            assert!(parse("f", bad).is_err(), "{bad}");
        }
    }
}
