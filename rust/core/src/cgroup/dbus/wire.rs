//! D-Bus messages as bytes.

use crate::error::{Code, Error, Result};

/// What one message may have: far more than any that we ask for.
const MESSAGE_LIMIT: usize = 1 << 20;

const METHOD_CALL: u8 = 1;
pub(super) const ERROR: u8 = 3;
pub(super) const SIGNAL: u8 = 4;

/// A value that a property of a unit can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cgroup) enum Variant {
    Bool(bool),
    Number(u64),
    Text(String),
    Numbers(Vec<u32>),
    Bytes(Vec<u8>),
}

/// A growing message body, or header: every value begins at a multiple of its size.
#[derive(Default)]
pub(in crate::cgroup) struct Body(pub(super) Vec<u8>);

impl Body {
    fn align(&mut self, size: usize) {
        while !self.0.len().is_multiple_of(size) {
            self.0.push(0);
        }
    }

    pub(in crate::cgroup) fn number(&mut self, value: u32) {
        self.align(4);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(in crate::cgroup) fn bool(&mut self, value: bool) {
        self.number(value.into());
    }

    pub(in crate::cgroup) fn text(&mut self, value: &str) {
        self.number(length(value.len()));
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, value: &str) {
        self.0.push(value.len().to_le_bytes()[0]);
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(0);
    }

    /// An array whose elements begin at a multiple of `size`; the padding before the first is not counted.
    pub(in crate::cgroup) fn array(&mut self, size: usize, write: impl FnOnce(&mut Self)) {
        self.number(0);
        let head = self.0.len();
        self.align(size);
        let start = self.0.len();
        write(self);
        let count = length(self.0.len() - start);
        self.0[head - 4..head].copy_from_slice(&count.to_le_bytes());
    }

    /// `au`.
    pub(in crate::cgroup) fn numbers(&mut self, values: &[u32]) {
        self.array(4, |body| values.iter().for_each(|value| body.number(*value)));
    }

    /// `a(sv)`.
    pub(in crate::cgroup) fn properties(&mut self, properties: &[(&str, Variant)]) {
        self.array(8, |body| {
            for (name, value) in properties {
                body.align(8);
                body.text(name);
                body.variant(value);
            }
        });
    }

    fn variant(&mut self, value: &Variant) {
        match value {
            Variant::Bool(value) => {
                self.signature("b");
                self.bool(*value);
            }
            Variant::Number(value) => {
                self.signature("t");
                self.align(8);
                self.0.extend_from_slice(&value.to_le_bytes());
            }
            Variant::Text(value) => {
                self.signature("s");
                self.text(value);
            }
            Variant::Numbers(values) => {
                self.signature("au");
                self.numbers(values);
            }
            Variant::Bytes(values) => {
                self.signature("ay");
                self.array(1, |body| body.0.extend_from_slice(values));
            }
        }
    }
}

/// Nothing that we send is near 4 GiB; what were would be refused by the other side as malformed.
fn length(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// Whom a call is for: destination, path, interface.
pub(in crate::cgroup) type Target = (&'static str, &'static str, &'static str);

/// A message that came in.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) reply_to: Option<u32>,
    pub(super) member: String,
    pub(super) error: String,
    pub(super) body: Vec<u8>,
}

pub(super) fn malformed() -> Error {
    Error::new(Code::Kernel, "receive", "systemd", "what it says is no D-Bus message")
}

pub(super) fn method_call(
    serial: u32,
    target: Target,
    member: &str,
    signature: &str,
    body: &Body,
) -> Vec<u8> {
    let (destination, path, interface) = target;
    let mut head = Body(vec![b'l', METHOD_CALL, 0, 1]);
    head.number(length(body.0.len()));
    head.number(serial);
    head.array(8, |head| {
        for (code, kind, value) in
            [(1, "o", path), (2, "s", interface), (3, "s", member), (6, "s", destination)]
        {
            head.align(8);
            head.0.push(code);
            head.signature(kind);
            head.text(value);
        }
        if !signature.is_empty() {
            head.align(8);
            head.0.push(8);
            head.signature("g");
            head.signature(signature);
        }
    });
    head.align(8);
    head.0.extend_from_slice(&body.0);
    head.0
}

/// How long the first message is; None until its beginning is there.
pub(super) fn message_size(data: &[u8]) -> Result<Option<usize>> {
    let Some(head) = data.get(..16) else { return Ok(None) };
    if head[0] != b'l' {
        return Err(malformed()); // of another byte order: no systemd of this machine
    }
    let mut reader = Reader { data: head, at: 4 };
    let (Some(body), Some(_), Some(fields)) = (reader.number(), reader.number(), reader.number())
    else {
        return Err(malformed());
    };
    let size = (16 + fields as usize).next_multiple_of(8) + body as usize;
    if size > MESSAGE_LIMIT {
        return Err(malformed());
    }
    Ok((data.len() >= size).then_some(size))
}

pub(super) fn parse(data: &[u8]) -> Option<Message> {
    let mut message = Message { kind: *data.get(1)?, ..Message::default() };
    let mut reader = Reader { data, at: 4 };
    let (body, _, fields) = (reader.number()?, reader.number()?, reader.number()?);
    let end = 16 + fields as usize;
    while reader.at < end {
        reader.align(8);
        let code = reader.byte()?;
        let signature = reader.signature()?;
        match (code, signature.as_str()) {
            (5, "u") => message.reply_to = Some(reader.number()?),
            (3, "s") => message.member = reader.text()?,
            (4, "s") => message.error = reader.text()?,
            (_, "s" | "o") => drop(reader.text()?),
            (_, "g") => drop(reader.signature()?),
            (_, "u") => drop(reader.number()?),
            _ => return None, // no header field has another type
        }
    }
    let start = data.len().checked_sub(body as usize)?;
    message.body = data.get(start..)?.to_vec();
    Some(message)
}

/// Values out of bytes; None where they end too early.
pub(super) struct Reader<'a> {
    pub(super) data: &'a [u8],
    pub(super) at: usize,
}

impl Reader<'_> {
    fn align(&mut self, size: usize) {
        self.at = self.at.next_multiple_of(size);
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let taken = self.data.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        self.align(4);
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    pub(super) fn text(&mut self) -> Option<String> {
        let size = self.number()?;
        let text = String::from_utf8_lossy(self.take(size as usize)?).into_owned();
        self.take(1)?;
        Some(text)
    }

    /// What a variant has in it, if it is a text.
    pub(super) fn variant_text(&mut self) -> Option<String> {
        (self.signature()? == "s").then(|| self.text()).flatten()
    }

    fn signature(&mut self) -> Option<String> {
        let size = self.byte()?;
        let text = String::from_utf8_lossy(self.take(size.into())?).into_owned();
        self.take(1)?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{Body, Reader, Variant, message_size, method_call, parse};

    const TARGET: super::Target = ("a.b", "/a/b", "a.b.C");

    fn body() -> Body {
        let mut body = Body::default();
        body.text("x.scope");
        body.properties(&[
            ("Delegate", Variant::Bool(true)),
            ("MemoryMax", Variant::Number(1 << 40)),
            ("PIDs", Variant::Numbers(vec![7, 9])),
            ("AllowedCPUs", Variant::Bytes(vec![3])),
            ("Slice", Variant::Text("user.slice".into())),
        ]);
        body
    }

    #[test]
    fn a_call_is_read_as_it_was_written() {
        let data = method_call(3, TARGET, "Do", "sa(sv)", &body());
        assert_eq!(message_size(&data).unwrap(), Some(data.len()));
        assert_eq!(message_size(&data[..data.len() - 1]).unwrap(), None);
        let message = parse(&data).unwrap();
        let mut body_with = super::Body::default();
        body_with.variant(&Variant::Text("/user.slice".into()));
        let mut reader = Reader { data: &body_with.0, at: 0 };
        assert_eq!(reader.variant_text().unwrap(), "/user.slice");
        assert_eq!((message.kind, message.member.as_str(), message.reply_to), (1, "Do", None));
        assert_eq!(Reader { data: &message.body, at: 0 }.text().unwrap(), "x.scope");
        assert_eq!(message.body, body().0);
    }

    #[test]
    fn an_array_counts_its_elements_and_not_the_padding_before() {
        let mut body = Body::default();
        body.properties(&[("A", Variant::Bool(true))]);
        // Count, padding to 8; "A" with its length and NUL; signature "b"; padding to 4; true.
        let expected: &[u8] =
            &[16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'A', 0, 1, b'b', 0, 0, 0, 0, 1, 0, 0, 0];
        assert_eq!(body.0, expected);
    }

    #[test]
    fn what_ends_too_early_is_no_message() {
        let data = method_call(3, TARGET, "Do", "sa(sv)", &body());
        for end in 0..data.len() {
            let _ = parse(&data[..end]);
        }
        let mut huge = data;
        huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(message_size(&huge).is_err());
        huge[0] = b'B';
        assert!(message_size(&huge).is_err());
    }
}
