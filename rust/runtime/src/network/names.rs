//! DNS messages (RFC 1035), as far as answers about our own names need them; all others go on as they are.

use std::net::IpAddr;

/// In seconds: a container's address may be another's soon.
const TTL: u32 = 1;

const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;
const INTERNET: u16 = 1;
const HEADER: usize = 12;
const NO_ERROR: u8 = 0;
pub(super) const SERVER_FAILURE: u8 = 2;
const LABEL: usize = 63;

/// A question.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// The name, lower case, without the dot at its end.
    pub(super) name: String,
    kind: u16,
    /// Where it ends in the message.
    end: usize,
}

/// What there is to say of a name.
#[derive(Debug)]
pub(super) enum Known {
    /// These addresses, of both kinds.
    Addresses(Vec<IpAddr>),
    /// This name, of an address.
    Name(String),
    /// Nothing of ours.
    Other,
}

impl Question {
    /// The one question of a query; `None` for what is no query, or has another number of them.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let header = message.get(..HEADER)?;
        let is_query = header[2] & 0xf8 == 0;
        if !is_query || header[4..6] != [0, 1] {
            return None;
        }
        let mut labels = Vec::new();
        let mut at = HEADER;
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            match length {
                0 => break,
                1..=LABEL => labels.push(message.get(at..at + length)?),
                _ => return None, // a pointer has nothing to point to here
            }
            at += length;
        }
        let kind = u16::from_be_bytes(*message.get(at..)?.first_chunk()?);
        let class = u16::from_be_bytes(*message.get(at + 2..)?.first_chunk()?);
        let name = String::from_utf8(labels.join(&b'.')).ok()?.to_ascii_lowercase();
        (class == INTERNET).then_some(Self { name, kind, end: at + 4 })
    }

    /// The address that a question for a name in `in-addr.arpa` or `ip6.arpa` is about.
    pub(super) fn reversed(&self) -> Option<IpAddr> {
        if self.kind != PTR {
            return None;
        }
        if let Some(parts) = self.name.strip_suffix(".in-addr.arpa") {
            let bytes: Vec<u8> = parts.rsplit('.').map_while(|part| part.parse().ok()).collect();
            return <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
        }
        let parts = self.name.strip_suffix(".ip6.arpa")?;
        let digits: Vec<u8> =
            parts.rsplit('.').map_while(|digit| u8::from_str_radix(digit, 16).ok()).collect();
        let bytes: Vec<u8> =
            digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | (low & 0xf)).collect();
        <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
    }

    /// The answer to the query that this question is from; `None` if it is not ours to give.
    pub(super) fn answer(&self, query: &[u8], known: &Known) -> Option<Vec<u8>> {
        let records: Vec<(u16, Vec<u8>)> = match known {
            Known::Other => return None,
            Known::Name(name) => vec![(PTR, encode(name)?)],
            Known::Addresses(addresses) => addresses
                .iter()
                .filter_map(|address| match (address, self.kind) {
                    (IpAddr::V4(address), A) => Some((A, address.octets().to_vec())),
                    (IpAddr::V6(address), AAAA) => Some((AAAA, address.octets().to_vec())),
                    _ => None,
                })
                .collect(),
        };
        let mut message = self.reply(query, NO_ERROR)?;
        message[6..8].copy_from_slice(&u16::try_from(records.len()).ok()?.to_be_bytes());
        for (kind, data) in records {
            message.extend_from_slice(&[0xc0, u8::try_from(HEADER).ok()?]); // the name of the question
            message.extend_from_slice(&kind.to_be_bytes());
            message.extend_from_slice(&INTERNET.to_be_bytes());
            message.extend_from_slice(&TTL.to_be_bytes());
            message.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
            message.extend_from_slice(&data);
        }
        Some(message)
    }

    /// A reply with the question and no records.
    pub(super) fn reply(&self, query: &[u8], code: u8) -> Option<Vec<u8>> {
        let mut message = query.get(..self.end)?.to_vec();
        message[2] = 0x84 | (query[2] & 1); // a response, authoritative; recursion as desired
        message[3] = 0x80 | code; // available
        message[6..HEADER].fill(0);
        Some(message)
    }
}

fn encode(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let length =
            u8::try_from(label.len()).ok().filter(|length| usize::from(*length) <= LABEL)?;
        bytes.push(length);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        message.extend(encode(name).unwrap());
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&[0, 1]);
        message.extend_from_slice(&[0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0]); // EDNS
        message
    }

    #[test]
    fn names_have_addresses_of_the_kind_asked_for() {
        let query = query("Web", A);
        let question = Question::parse(&query).unwrap();
        assert_eq!(question.name, "web");
        let known = Known::Addresses(vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()]);
        let answer = question.answer(&query, &known).unwrap();
        assert_eq!(answer[..12], [0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(answer[21..], [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 10, 0, 0, 2]);
        assert_eq!(question.answer(&query, &Known::Other), None);
    }

    #[test]
    fn addresses_have_names() {
        let query = query("2.0.0.10.in-addr.arpa", PTR);
        let question = Question::parse(&query).unwrap();
        assert_eq!(question.reversed(), Some("10.0.0.2".parse().unwrap()));
        let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
        let question = Question { name: six.to_owned(), kind: PTR, end: 0 };
        assert_eq!(question.reversed(), Some("fd00::1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_query_is_nothing() {
        let good = query("web", A);
        for length in 0..good.len() - 11 {
            assert_eq!(Question::parse(&good[..length]), None, "{length}");
        }
        let mut pointer = good.clone();
        pointer[HEADER] = 0xc0;
        assert_eq!(Question::parse(&pointer), None);
        let mut response = good;
        response[2] |= 0x80;
        assert_eq!(Question::parse(&response), None);
    }
}
