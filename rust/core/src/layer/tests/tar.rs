//! A writer of archives, sound ones and others.

/// Writes archives, sound ones and others.
#[derive(Default)]
pub(super) struct Tar(pub(super) Vec<u8>);

impl Tar {
    /// A header with our own IDs, so that tests need no privilege.
    pub(super) fn header(flag: u8, name: &str, link: &str, size: u64) -> [u8; 512] {
        let mut block = [0; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        let mode = if flag == b'5' { "0000755\0" } else { "0000644\0" };
        block[100..108].copy_from_slice(mode.as_bytes());
        block[108..116]
            .copy_from_slice(format!("{:07o}\0", rustix::process::geteuid().as_raw()).as_bytes());
        block[116..124]
            .copy_from_slice(format!("{:07o}\0", rustix::process::getegid().as_raw()).as_bytes());
        block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        block[136..148].copy_from_slice(b"07346545000\0"); // 2001-09-09
        block[156] = flag;
        block[157..157 + link.len()].copy_from_slice(link.as_bytes());
        block[257..265].copy_from_slice(b"ustar\x0000");
        block
    }

    pub(super) fn seal(mut block: [u8; 512]) -> [u8; 512] {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    pub(super) fn raw(mut self, block: [u8; 512], content: &[u8]) -> Self {
        self.0.extend_from_slice(&Self::seal(block));
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(super) fn file(self, name: &str, content: &[u8]) -> Self {
        self.raw(Self::header(b'0', name, "", content.len() as u64), content)
    }

    pub(super) fn other(self, flag: u8, name: &str, link: &str) -> Self {
        self.raw(Self::header(flag, name, link, 0), b"")
    }

    pub(super) fn directory(self, name: &str) -> Self {
        self.other(b'5', name, "")
    }

    pub(super) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let body = key.len() + value.len() + 3;
            // The length counts its own digits.
            let mut length = body + 1;
            while length != body + length.to_string().len() {
                length = body + length.to_string().len();
            }
            data.extend_from_slice(format!("{length} {key}=").as_bytes());
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.raw(Self::header(b'x', "pax", "", data.len() as u64), &data)
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}
