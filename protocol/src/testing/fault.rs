//! What can go wrong in a run, and which of it a run draws from.

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Up to 30 % of all messages are lost.
    Loss,
    /// Up to 20 % arrive twice.
    Duplicates,
    /// Delays up to a hundred times as long as the shortest.
    Reordering,
    /// Some messages are late by more than a timeout.
    Spikes,
    /// The validators fall into two groups.
    Partition,
    /// One link works in one direction only.
    OneWay,
    /// A crash between any two steps, and between write and sync; some stay down for long.
    Crash,
    /// A node is set back to an older copy of its whole disk, perhaps with the clock of that moment.
    OldCopy,
    /// The validators change: some come, go, or take other keys.
    SetChange,
    /// A clock jumps, ahead or back.
    Clock,
    /// A disk that takes up to 200 ms to sync.
    SlowDisk,
    /// Validators that break the rules.
    Byzantine,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Loss,
        Self::Duplicates,
        Self::Reordering,
        Self::Spikes,
        Self::Partition,
        Self::OneWay,
        Self::Crash,
        Self::OldCopy,
        Self::SetChange,
        Self::Clock,
        Self::SlowDisk,
        Self::Byzantine,
    ];

    /// Its name in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Duplicates => "duplicates",
            Self::Reordering => "reordering",
            Self::Spikes => "spikes",
            Self::Partition => "partition",
            Self::OneWay => "one-way",
            Self::Crash => "crash",
            Self::OldCopy => "old-copy",
            Self::SetChange => "set-change",
            Self::Clock => "clock",
            Self::SlowDisk => "slow-disk",
            Self::Byzantine => "byzantine",
        }
    }
}

/// Which faults a run draws from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Faults {
    /// Three to six kinds of all.
    #[default]
    All,
    /// What networks do, and nothing else.
    Network,
    /// Crashes, old copies of disks, slow disks and losses.
    Crashes,
    /// None, to see that the calm works.
    None,
}

impl Faults {
    pub(super) fn kinds(self) -> &'static [Fault] {
        use Fault::{
            Clock, Crash, Duplicates, Loss, OldCopy, OneWay, Partition, Reordering, SetChange,
            SlowDisk, Spikes,
        };
        match self {
            Self::All => &[
                Loss, Duplicates, Reordering, Spikes, Partition, OneWay, Crash, OldCopy, SetChange,
                Clock, SlowDisk,
            ],
            Self::Network => &[Loss, Duplicates, Reordering, Spikes, Partition, OneWay],
            Self::Crashes => &[Crash, OldCopy, SlowDisk, Loss],
            Self::None => &[],
        }
    }
}
