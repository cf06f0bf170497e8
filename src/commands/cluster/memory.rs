//! How much memory this process holds, as Linux tells; nothing elsewhere.

use serde::Serialize;

/// Resident memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Memory {
    /// Now, in bytes.
    pub(super) rss_bytes: Option<u64>,
    /// The most that it ever was, in bytes.
    pub(super) rss_peak_bytes: Option<u64>,
}

impl Memory {
    /// Reads `/proc/self/status`.
    pub(super) fn now() -> Self {
        std::fs::read_to_string("/proc/self/status")
            .map(|status| Self::parse(&status))
            .unwrap_or_default()
    }

    fn parse(status: &str) -> Self {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            kib.checked_mul(1024)
        };
        Self {
            rss_bytes: bytes("VmRSS:"),
            rss_peak_bytes: bytes("VmHWM:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_figures_are_read() {
        let memory =
            Memory::parse("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t  1024 kB\nThreads:\t3\n");
        assert_eq!(memory.rss_peak_bytes, Some(2 << 20));
        assert_eq!(memory.rss_bytes, Some(1 << 20));
        assert_eq!(Memory::parse("nothing"), Memory::default());
    }
}
