//! Frames out of a stream, one after the other, with nothing lost when the waiting is given up in between.

use super::lane::Lane;
use libp2p::futures::io::BufReader;
use libp2p::futures::{AsyncBufReadExt as _, AsyncRead, FutureExt as _};
use std::io;

/// Bytes that are read from the stream at a time.
const CAPACITY: usize = 64 * 1024;
/// Bytes in front of a frame: its length and its kind.
const HEAD: usize = 5;

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// More than the lane carries.
    #[error("a frame of {length} bytes is announced, and the lane {lane} carries {}", lane.frame_bytes_max())]
    TooLong {
        /// Bytes announced.
        length: u64,
        /// Where.
        lane: Lane,
    },
    /// The stream has ended or broken.
    #[error(transparent)]
    Stream(#[from] io::Error),
}

/// A frame as it came: its kind and what is in it.
pub(super) type Raw = (u8, Vec<u8>);

/// The receiving end of a lane.
pub(super) struct Frames<S> {
    stream: BufReader<S>,
    lane: Lane,
    /// What has come of the frame that is under way, head included.
    begun: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Frames<S> {
    pub(super) fn new(stream: S, lane: Lane) -> Self {
        Self {
            stream: BufReader::with_capacity(CAPACITY, stream),
            lane,
            begun: Vec::new(),
        }
    }

    /// The next frame. May be dropped while it waits: what has come is kept for the next call.
    ///
    /// # Errors
    /// [`FrameError`]; nothing more comes after one.
    pub(super) async fn next(&mut self) -> Result<Raw, FrameError> {
        loop {
            let wanted = self.wanted()?;
            if self.begun.len() == wanted && wanted >= HEAD {
                let mut frame = std::mem::take(&mut self.begun);
                let kind = frame.get(HEAD - 1).copied().unwrap_or_default();
                frame.drain(..HEAD);
                return Ok((kind, frame));
            }
            let ready = self.stream.fill_buf().await?;
            if ready.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            // Grows with what arrives, not with what was announced.
            let taken = ready.len().min(wanted - self.begun.len());
            self.begun
                .extend_from_slice(ready.get(..taken).unwrap_or_default());
            self.stream.consume_unpin(taken);
        }
    }

    /// The next frame, if all of it is here already.
    pub(super) fn next_now(&mut self) -> Option<Result<Raw, FrameError>> {
        self.next().now_or_never()
    }

    /// How many bytes the frame under way has, head included, as far as is known.
    fn wanted(&self) -> Result<usize, FrameError> {
        let Some([a, b, c, d, _]) = self.begun.first_chunk::<HEAD>() else {
            return Ok(HEAD);
        };
        let length = u32::from_be_bytes([*a, *b, *c, *d]);
        match usize::try_from(length) {
            Ok(length) if length <= self.lane.frame_bytes_max() => Ok(HEAD + length),
            _ => Err(FrameError::TooLong {
                length: u64::from(length),
                lane: self.lane,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// Hands out piece after piece; an empty one means that nothing is there yet. At the end, the end.
    struct Pieces(VecDeque<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            into: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            match self.0.pop_front() {
                Some(piece) if piece.is_empty() => Poll::Pending,
                Some(piece) => {
                    into[..piece.len()].copy_from_slice(&piece);
                    Poll::Ready(Ok(piece.len()))
                }
                None => Poll::Ready(Ok(0)),
            }
        }
    }

    fn written(kind: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).expect("short");
        [&length.to_be_bytes(), [kind].as_slice(), bytes].concat()
    }

    /// Cut anywhere, and given up at every cut: all frames come, whole and in order.
    #[test]
    fn nothing_is_lost_between_two_calls() {
        let all = [written(1, b"one"), written(2, b""), written(3, &[7; 300])].concat();
        for step in 1..all.len() {
            let pieces = all
                .chunks(step)
                .flat_map(|piece| [piece.to_vec(), Vec::new()]);
            let mut frames = Frames::new(Pieces(pieces.collect()), Lane::Transactions);
            let mut seen = Vec::new();
            let end = loop {
                match frames.next_now() {
                    Some(Ok(frame)) => seen.push(frame),
                    Some(Err(error)) => break error,
                    None => {}
                }
            };
            let expected = [(1, b"one".to_vec()), (2, Vec::new()), (3, vec![7; 300])];
            assert_eq!(seen, expected, "pieces of {step} bytes");
            assert!(matches!(end, FrameError::Stream(_)), "{end}");
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_when_it_is_announced() {
        let most = Lane::Votes.frame_bytes_max();
        let head = u32::try_from(most + 1).expect("fits").to_be_bytes();
        let pieces = VecDeque::from([[head.as_slice(), &[1]].concat()]);
        let mut frames = Frames::new(Pieces(pieces), Lane::Votes);
        let refused = frames.next_now();
        let length = most as u64 + 1;
        assert!(
            matches!(&refused, Some(Err(FrameError::TooLong { length: found, .. })) if *found == length),
            "{refused:?}"
        );
    }
}
