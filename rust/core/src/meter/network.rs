//! Bytes and packets of a network namespace, from `net/dev` of a process in it.

/// Counters of all interfaces but the loopback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Came in.
    pub received_bytes: u64,
    /// Came in.
    pub received_packets: u64,
    /// Went out.
    pub sent_bytes: u64,
    /// Went out.
    pub sent_packets: u64,
}

/// Reads the text of /proc/<pid>/net/dev (proc_pid_net(5)).
#[must_use]
pub fn parse(text: &str) -> Traffic {
    let mut traffic = Traffic::default();
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        if name.trim() == "lo" {
            continue;
        }
        let mut words = rest.split_ascii_whitespace().map(|word| word.parse::<u64>().unwrap_or(0));
        let mut at = |index: usize| words.nth(index).unwrap_or(0);
        // Eight columns of what came in, then eight of what went out; each begins with bytes and packets.
        let (received, packets) = (at(0), at(0));
        traffic.received_bytes += received;
        traffic.received_packets += packets;
        traffic.sent_bytes += at(6);
        traffic.sent_packets += at(0);
    }
    traffic
}

#[cfg(test)]
mod tests {
    use super::{Traffic, parse};

    #[test]
    fn the_loopback_is_no_traffic() {
        let text = "Inter-|   Receive                                                |  Transmit\n \
                    face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs\n\
                    lo:     990       9    0    0    0     0          0         0      990       9    0\n  \
                    eth0: 1500000    1200    0    0    0     0          0         0    70000     800    0    0    0     0       0          0\n";
        let expected = Traffic {
            received_bytes: 1_500_000,
            received_packets: 1200,
            sent_bytes: 70000,
            sent_packets: 800,
        };
        assert_eq!(parse(text), expected);
    }
}
