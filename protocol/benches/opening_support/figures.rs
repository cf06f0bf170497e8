//! Clocks, medians and least values, and what is known of the machine.

use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::iter::Sum;
use std::num::NonZeroUsize;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

/// Time of one thread: by the clock, and on the processor. The second hardly changes when other programs run too.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Spent {
    pub(crate) clock: Duration,
    pub(crate) cpu: Duration,
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.clock += other.clock;
        self.cpu += other.cpu;
    }
}

impl Sum for Spent {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, spent| {
            sum += spent;
            sum
        })
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

/// What `work` gives, and how long it took this thread.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Spent) {
    let (start, cpu) = (Instant::now(), cpu_time());
    let value = black_box(work());
    let spent = Spent {
        cpu: cpu_time().saturating_sub(cpu),
        clock: start.elapsed(),
    };
    (value, spent)
}

/// Figures of one thing over all runs, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) median: f64,
    pub(crate) least: f64,
}

impl Figures {
    /// Of at least one value.
    pub(crate) fn of(values: impl IntoIterator<Item = Duration>) -> Self {
        let mut values: Vec<f64> = values
            .into_iter()
            .map(|value| value.as_secs_f64())
            .collect();
        values.sort_unstable_by(f64::total_cmp);
        Self {
            median: values[values.len() / 2],
            least: values[0],
        }
    }
}

/// Both kinds of time over all runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Both {
    pub(crate) cpu: Figures,
    pub(crate) clock: Figures,
}

impl Both {
    /// Of at least one value.
    pub(crate) fn of(all: &[Spent]) -> Self {
        Self {
            cpu: Figures::of(all.iter().map(|spent| spent.cpu)),
            clock: Figures::of(all.iter().map(|spent| spent.clock)),
        }
    }
}

/// The machine, and how busy it was before and is now.
pub(crate) fn machine(load_before: Option<f64>) -> String {
    let show = |load: Option<f64>| load.map_or("unknown".to_owned(), |load| format!("{load:.1}"));
    format!(
        "{}, {} cores, load {} before and {} after.",
        processor().unwrap_or_else(|| "unknown processor".to_owned()),
        cores(),
        show(load_before),
        show(load())
    )
}

/// Threads that can work at the same time.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Processes that wanted a core in the last minute, on average; above the number of cores it disturbs.
pub(crate) fn load() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next()?.parse().ok()
}

/// The processor's name, where the system tells.
pub(crate) fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
