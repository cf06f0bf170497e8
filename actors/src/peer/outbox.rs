//! What waits to be sent to one peer: a bounded queue per lane. When one is full, the oldest goes.

use super::codec;
use super::lane::Lane;
use crate::ports::network::Frame;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// What became of the frames of one lane to one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// Put into the queue.
    pub queued: u64,
    /// Taken out to be written to a stream.
    pub taken: u64,
    /// Thrown away because the queue was full.
    pub dropped: u64,
    /// Bytes taken out, without the length prefixes.
    pub bytes: u64,
}

impl LaneStats {
    pub(super) fn add(&mut self, more: Self) {
        self.queued += more.queued;
        self.taken += more.taken;
        self.dropped += more.dropped;
        self.bytes += more.bytes;
    }
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Frame>,
    bytes: usize,
    closed: bool,
    stats: LaneStats,
}

#[derive(Default)]
struct LaneQueue {
    queue: Mutex<Queue>,
    filled: Notify,
}

/// The queues to one peer.
#[derive(Default)]
pub(super) struct Outbox([LaneQueue; Lane::ALL.len()]);

impl Outbox {
    /// Queues a frame; false when the queue was full and lost its oldest for it, or is closed.
    pub(super) fn push(&self, frame: Frame) -> bool {
        let Some(lane) = codec::lane(frame.kind) else {
            return false;
        };
        let Some(place) = self.0.get(lane.index()) else {
            return false;
        };
        let mut whole = true;
        {
            let mut queue = place.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.closed || frame.bytes.len() > lane.frame_bytes_max() {
                queue.stats.dropped += 1;
                return false;
            }
            queue.bytes += frame.bytes.len();
            queue.frames.push_back(frame);
            queue.stats.queued += 1;
            while queue.bytes > lane.queue_bytes_max()
                || queue.frames.len() > lane.queue_frames_max()
            {
                let Some(oldest) = queue.frames.pop_front() else {
                    break;
                };
                queue.bytes -= oldest.bytes.len();
                queue.stats.dropped += 1;
                whole = false;
            }
        }
        place.filled.notify_one();
        whole
    }

    /// The next frame of a lane if one waits.
    pub(super) fn try_next(&self, lane: Lane) -> Option<Frame> {
        let place = self.0.get(lane.index())?;
        let mut queue = place.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let frame = queue.frames.pop_front()?;
        queue.bytes -= frame.bytes.len();
        queue.stats.taken += 1;
        queue.stats.bytes += frame.bytes.len() as u64;
        Some(frame)
    }

    /// Waits for the next frame of a lane; none when the outbox was closed. One waiter per lane.
    pub(super) async fn next(&self, lane: Lane) -> Option<Frame> {
        let place = self.0.get(lane.index())?;
        loop {
            if let Some(frame) = self.try_next(lane) {
                return Some(frame);
            }
            if self.is_closed(lane) {
                return None;
            }
            place.filled.notified().await;
        }
    }

    /// Waits until the outbox is closed. Nobody else waits for the same lane meanwhile.
    pub(super) async fn closed(&self, lane: Lane) {
        while let Some(place) = self.0.get(lane.index()) {
            if self.is_closed(lane) {
                return;
            }
            place.filled.notified().await;
        }
    }

    /// Whether nothing will be sent any more.
    pub(super) fn is_closed(&self, lane: Lane) -> bool {
        self.0.get(lane.index()).is_none_or(|place| {
            let queue = place.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.closed
        })
    }

    /// Throws everything away, for good.
    pub(super) fn close(&self) {
        for place in &self.0 {
            {
                let mut queue = place.queue.lock().unwrap_or_else(PoisonError::into_inner);
                queue.closed = true;
                queue.frames.clear();
                queue.bytes = 0;
            }
            place.filled.notify_one();
        }
    }

    /// Throws away what waits in a lane: it was meant for a moment that is over.
    pub(super) fn clear(&self, lane: Lane) {
        if let Some(place) = self.0.get(lane.index()) {
            let mut queue = place.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.stats.dropped += queue.frames.len() as u64;
            queue.frames.clear();
            queue.bytes = 0;
        }
    }

    pub(super) fn stats(&self, lane: Lane) -> LaneStats {
        self.0
            .get(lane.index())
            .map_or_else(LaneStats::default, |place| {
                let queue = place.queue.lock().unwrap_or_else(PoisonError::into_inner);
                queue.stats
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: usize) -> Frame {
        Frame {
            kind: codec::BLOCKS,
            bytes: vec![0; bytes].into(),
        }
    }

    #[test]
    fn a_full_queue_loses_its_oldest_and_says_so() {
        let outbox = Outbox::default();
        for n in 0..Lane::Blocks.queue_frames_max() {
            assert!(outbox.push(frame(n)));
        }
        assert!(!outbox.push(frame(99)));
        let stats = outbox.stats(Lane::Blocks);
        assert_eq!((stats.queued, stats.dropped), (17, 1));
        assert_eq!(
            outbox.try_next(Lane::Blocks).map(|f| f.bytes.len()),
            Some(1)
        );
    }

    #[test]
    fn bytes_are_bounded_too_and_a_frame_that_is_too_large_never_enters() {
        let outbox = Outbox::default();
        let large = Lane::Blocks.frame_bytes_max();
        assert!(outbox.push(frame(large)));
        assert!(outbox.push(frame(large)));
        assert!(!outbox.push(frame(1)));
        assert!(!outbox.push(frame(large + 1)));
        let lengths: Vec<usize> = std::iter::from_fn(|| outbox.try_next(Lane::Blocks))
            .map(|frame| frame.bytes.len())
            .collect();
        assert_eq!(lengths, [large, 1]);
        outbox.close();
        assert!(!outbox.push(frame(1)));
    }
}
