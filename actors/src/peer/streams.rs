//! Frames on streams: one writer per peer and lane, one reader per stream that a peer has opened.
//!
//! ```text
//! on opening, the receiver says one byte: it has taken the stream
//! then, from the opener: length of the frame (u32, big-endian), kind (1 byte), frame; again and again
//! ```

use super::codec::{self, Arrived};
use super::frames::{FrameError, Frames};
use super::lane::Lane;
use super::outbox::Outbox;
use super::table::{Known, Role};
use super::{PeerId, Shared};
use crate::pace::Pace;
use crate::ports::names::ActorName;
use crate::validator::messages::Gossip;
use crate::validator::{GOSSIP_MAX, OFFENCES_MAX, Party, Validator, judge};
use kithkin_protocol::consensus;
use kithkin_protocol::ids::ValidatorId;
use kithkin_protocol::ledger::{Block, Judged, SignedTransaction};
use libp2p::StreamProtocol;
use libp2p::futures::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _,
};
use libp2p_stream::Control;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// What the receiver says when it has taken a stream.
const TAKEN: u8 = 1;
/// How long the other side may take to take a stream, or [`COALESCED_BYTES`] of a write.
const STREAM_WITHIN: Duration = Duration::from_secs(10);
/// Pause before a stream is opened again that could not be, or broke.
const REOPEN_AFTER: Duration = Duration::from_millis(50);
/// Bytes that are put together before they are written.
const COALESCED_BYTES: usize = 64 * 1024;
/// Batches of transactions that have come already are judged together, up to so many transactions: in a batch a signature costs
/// the less the larger it is, up to about here.
const TOGETHER_MAX: usize = 1_024;
/// The same, in bytes.
const TOGETHER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Longest time that a message may wait for its actor.
const SERVED_WITHIN: Duration = Duration::from_secs(30);
/// Of so many votes of one peer in a row the last one waits until it is served: more of one peer are never in the mailbox.
const UNSERVED_MAX: u32 = 64;
/// Bytes of a vote that count as one: a large page of certificates counts as many.
const VOTE_BYTES: usize = 2_048;

/// Writes what is queued for one peer in one lane, until the outbox is closed.
pub(super) async fn write_lane(
    shared: Arc<Shared>,
    mut control: Control,
    peer: PeerId,
    lane: Lane,
    outbox: Arc<Outbox>,
) {
    let mut links = shared.links.subscribe();
    let mut began = false;
    loop {
        let is_there = links.borrow().contains(&peer);
        // Who is let in no more will perhaps never be there again.
        let there = tokio::select! {
            biased;
            () = outbox.closed(lane) => false,
            there = async { links.wait_for(|all| all.contains(&peer)).await.is_ok() } => there,
        };
        if !there {
            return;
        }
        if began && !is_there {
            // What had waited for a peer that was gone is old; what still matters will be said again.
            outbox.clear(lane);
        }
        began = true;
        let opened = timeout(
            STREAM_WITHIN,
            control.open_stream(peer, StreamProtocol::new(lane.protocol())),
        )
        .await;
        if let Ok(Ok(stream)) = opened {
            match write_frames(stream, lane, &outbox, STREAM_WITHIN).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%peer, %lane, %error, "a stream has broken"),
            }
        }
        if outbox.is_closed(lane) {
            return;
        }
        tokio::time::sleep(REOPEN_AFTER).await;
    }
}

/// Writes frames until the outbox is closed; see [`STREAM_WITHIN`] for `patience`.
async fn write_frames(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    lane: Lane,
    outbox: &Outbox,
    patience: Duration,
) -> io::Result<()> {
    let mut word = [0];
    within(patience, stream.read_exact(&mut word)).await?;
    if word != [TAKEN] {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let (mut incoming, mut outgoing) = stream.split();
    let mut buffer = Vec::with_capacity(COALESCED_BYTES);
    loop {
        // The receiver never says anything more: what comes is the end.
        let frame = tokio::select! {
            frame = outbox.next(lane) => frame,
            _ = incoming.read(&mut word) => return Err(io::ErrorKind::ConnectionReset.into()),
        };
        let Some(frame) = frame else {
            return within(patience, outgoing.close()).await;
        };
        let mut next = Some(frame);
        // Many small frames leave in one piece.
        while let Some(frame) = next.take() {
            let length =
                u32::try_from(frame.bytes.len()).map_err(|_| io::ErrorKind::InvalidData)?;
            buffer.extend_from_slice(&length.to_be_bytes());
            buffer.push(frame.kind);
            if frame.bytes.len() >= COALESCED_BYTES {
                within(patience, outgoing.write_all(&buffer)).await?;
                buffer.clear();
                // Over a slow link the largest frame takes longer than a peer may be silent.
                for piece in frame.bytes.chunks(COALESCED_BYTES) {
                    within(patience, outgoing.write_all(piece)).await?;
                }
            } else {
                buffer.extend_from_slice(&frame.bytes);
            }
            if buffer.len() < COALESCED_BYTES {
                next = outbox.try_next(lane);
            }
        }
        within(patience, outgoing.write_all(&buffer)).await?;
        buffer.clear();
        within(patience, outgoing.flush()).await?;
    }
}

async fn within<T>(patience: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(patience, work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Takes the streams of one lane that peers open. A peer has one at a time: a second one ends the first.
pub(super) async fn accept_lane(
    shared: Arc<Shared>,
    mut incoming: libp2p_stream::IncomingStreams,
    lane: Lane,
) {
    let mut readers: HashMap<PeerId, AbortHandle> = HashMap::new();
    while let Some((peer, stream)) = incoming.next().await {
        readers.retain(|_, reader| !reader.is_finished());
        let shared = shared.clone();
        let reader = tokio::spawn(async move {
            if let Err(error) = read_frames(&shared, stream, peer, lane).await {
                tracing::debug!(%peer, %lane, %error, "a peer's stream has ended");
            }
        });
        if let Some(old) = readers.insert(peer, reader.abort_handle()) {
            old.abort();
        }
    }
}

/// Reads and delivers until the stream ends, or says something that no validator says.
async fn read_frames(
    shared: &Shared,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: PeerId,
    lane: Lane,
) -> io::Result<()> {
    let mut from = known(shared, &peer)?.id;
    let mut pace = pace(shared, lane);
    // Whoever opens one stream after the other is no better off.
    patience(shared, from).await;
    within(STREAM_WITHIN, stream.write_all(&[TAKEN])).await?;
    within(STREAM_WITHIN, stream.flush()).await?;
    let mut frames = Frames::new(stream, lane);
    let mut unserved = 0;
    loop {
        let (kind, bytes) = match frames.next().await {
            Ok(frame) => frame,
            Err(error) => return Err(refused(shared, from, lane, error)),
        };
        let mut length = bytes.len();
        // Who it is may have changed since the stream was opened, and whether it is anybody.
        let Known { id, role } = known(shared, &peer)?;
        from = id;
        match codec::read(lane, kind, &bytes) {
            // Not held against it: it may know of an amendment that this node has not seen yet.
            Ok(arrived) if role == Role::Guest && !arrived.is_of_sync() => {}
            Ok(Arrived::Gossip(Gossip(first))) => {
                let mut all = within_gossip(&first).to_vec();
                let end = gather(&mut frames, &mut all, &mut length);
                deliver_transactions(shared, from, all).await;
                if let Err(error) = end {
                    return Err(refused(shared, from, lane, error));
                }
            }
            Ok(arrived) => {
                unserved = (unserved + 1) % UNSERVED_MAX;
                let wait = lane != Lane::Votes || unserved == 0;
                deliver(shared, from, arrived, wait).await;
            }
            Err(error) => return Err(refused(shared, from, lane, error)),
        }
        pace.wait(units(lane, length)).await;
        patience(shared, from).await;
    }
}

fn known(shared: &Shared, peer: &PeerId) -> io::Result<Known> {
    let known = shared.known(peer);
    known.ok_or_else(|| io::ErrorKind::PermissionDenied.into())
}

/// Ends a stream; whoever says what no validator says is blamed for it.
fn refused(
    shared: &Shared,
    from: ValidatorId,
    lane: Lane,
    error: impl Into<Unreadable>,
) -> io::Error {
    match error.into() {
        Unreadable::Frame(FrameError::Stream(error)) => error,
        error => {
            if shared.blames.add(from, Instant::now()) {
                tracing::warn!(%from, %lane, %error, "a peer sends what cannot be read");
            }
            io::ErrorKind::InvalidData.into()
        }
    }
}

/// Why a stream of a peer is not read any further.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Content(#[from] codec::CodecError),
}

/// Adds the batches of transactions that have come already, whole; `length` counts the bytes.
fn gather(
    frames: &mut Frames<impl AsyncRead + Unpin>,
    all: &mut Vec<SignedTransaction>,
    length: &mut usize,
) -> Result<(), Unreadable> {
    while all.len() < TOGETHER_MAX && *length < TOGETHER_BYTES_MAX {
        let Some(next) = frames.next_now() else {
            break;
        };
        let (kind, bytes) = next?;
        *length += bytes.len();
        if let Arrived::Gossip(Gossip(more)) = codec::read(Lane::Transactions, kind, &bytes)? {
            all.extend_from_slice(within_gossip(&more));
        }
    }
    Ok(())
}

/// As many as one message may hold.
fn within_gossip(all: &[SignedTransaction]) -> &[SignedTransaction] {
    all.get(..GOSSIP_MAX).unwrap_or(all)
}

/// How fast a lane of a peer is read; in [`units`].
fn pace(shared: &Shared, lane: Lane) -> Pace {
    let limits = &shared.limits;
    let per_s = match lane {
        Lane::Votes => limits.peer_votes_per_s_max,
        Lane::Blocks | Lane::Transactions | Lane::Sync => limits.peer_bytes_per_s_max,
    };
    Pace::new(per_s, per_s)
}

fn units(lane: Lane, bytes: usize) -> u32 {
    let units = match lane {
        Lane::Votes => 1 + bytes / VOTE_BYTES,
        Lane::Blocks | Lane::Transactions | Lane::Sync => bytes,
    };
    u32::try_from(units).unwrap_or(u32::MAX)
}

/// Waits until what is held against a peer is paid off.
async fn patience(shared: &Shared, from: ValidatorId) {
    loop {
        let wait = shared.blames.wait(from, Instant::now());
        if wait.is_zero() {
            return;
        }
        tokio::time::sleep(wait).await;
    }
}

/// Votes go into the mailbox, most of them without waiting. Everything larger waits for its turn: of a peer there is one
/// block, one batch of transactions and one answer at a time in memory, and a peer that sends faster waits. Signatures of
/// transactions are judged before, beside the actors.
pub(super) async fn deliver(shared: &Shared, author: ValidatorId, arrived: Arrived, wait: bool) {
    let (from, to) = (
        ActorName::Validator(author.0),
        ActorName::Validator(shared.me.0),
    );
    let network = &shared.network;
    match arrived {
        Arrived::Consensus(message) if !wait => {
            network.receive::<Validator, _>(from, to, message);
        }
        Arrived::Lacking(message) if !wait => {
            network.receive::<Validator, _>(from, to, message);
        }
        Arrived::Lacking(message) => {
            network
                .receive_served::<Validator, _>(from, to, message, SERVED_WITHIN)
                .await;
        }
        Arrived::Consensus(message) => {
            for block in blocks(&message.0) {
                judge(&block.transactions, 1, Party::Peer).await;
            }
            network
                .receive_served::<Validator, _>(from, to, message, SERVED_WITHIN)
                .await;
        }
        Arrived::Snapshot(message) if !wait => {
            network.receive::<Validator, _>(from, to, message);
        }
        Arrived::Snapshot(message) => {
            network
                .receive_served::<Validator, _>(from, to, message, SERVED_WITHIN)
                .await;
        }
        Arrived::Gossip(Gossip(all)) => {
            deliver_transactions(shared, author, within_gossip(&all).to_vec()).await;
        }
        Arrived::Outlined(message) => {
            network
                .receive_served::<Validator, _>(from, to, *message, SERVED_WITHIN)
                .await;
        }
        Arrived::Supplied(message) => {
            judge(&message.transactions, 1, Party::Peer).await;
            network
                .receive_served::<Validator, _>(from, to, message, SERVED_WITHIN)
                .await;
        }
    }
}

/// Of transactions that were judged, those that somebody has signed: the others have been held against whoever passed them on,
/// and the validator would do it again.
fn sound(mut all: Vec<SignedTransaction>, judged: &Judged) -> Vec<SignedTransaction> {
    all.truncate(judged.count);
    if judged.bad > 0 {
        all.retain(|one| !matches!(one.verdict(), Some(Err(_))));
    }
    all
}

/// Judges transactions together, and hands the validator as many at a time as one message may hold.
async fn deliver_transactions(shared: &Shared, author: ValidatorId, all: Vec<SignedTransaction>) {
    let judged = judge(&all, OFFENCES_MAX, Party::Peer).await;
    for _ in 0..judged.bad {
        if shared.blames.add(author, Instant::now()) {
            tracing::warn!(%author, "a peer passes on transactions that nobody has signed");
        }
    }
    let (from, to) = (
        ActorName::Validator(author.0),
        ActorName::Validator(shared.me.0),
    );
    for batch in sound(all, &judged).chunks(GOSSIP_MAX) {
        let gossip = Gossip(Arc::new(batch.to_vec()));
        shared
            .network
            .receive_served::<Validator, _>(from, to, gossip, SERVED_WITHIN)
            .await;
    }
}

/// The blocks in a message.
fn blocks(message: &consensus::Message) -> Vec<&Arc<Block>> {
    match message {
        consensus::Message::Proposal(proposal) => vec![&proposal.block],
        consensus::Message::Body(block) => vec![block],
        consensus::Message::Committed(all) => all.iter().map(|last| &last.block).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::network::Frame;
    use crate::validator::signed;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use tokio::time::Sleep;

    /// Takes a piece now and then, and never says more than that it has taken the stream.
    struct Slow {
        pause: Duration,
        next: Pin<Box<Sleep>>,
        taken: usize,
        greeted: bool,
    }

    impl Slow {
        fn new(pause: Duration) -> Self {
            Self {
                pause,
                next: Box::pin(tokio::time::sleep(pause)),
                taken: 0,
                greeted: false,
            }
        }
    }

    impl AsyncRead for Slow {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            into: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            if std::mem::replace(&mut self.greeted, true) {
                return Poll::Pending;
            }
            into[0] = TAKEN;
            Poll::Ready(Ok(1))
        }
    }

    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            from: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.next.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            let pause = self.pause;
            self.next.as_mut().set(tokio::time::sleep(pause));
            let taken = from.len().min(COALESCED_BYTES);
            self.taken += taken;
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(test);
    }

    /// Each bad one is held against its peer once: the validator sees none of them.
    #[test]
    fn of_what_was_judged_only_sound_transactions_go_on() {
        let all = signed(6, |n| n % 2 == 1);
        run(async {
            let judged = judge(&all, 2, Party::Peer).await;
            assert_eq!(judged, Judged { count: 4, bad: 2 });
            let ids = |of: &[&SignedTransaction]| of.iter().map(|one| one.id()).collect::<Vec<_>>();
            let sound = sound(all.clone(), &judged);
            assert_eq!(
                ids(&sound.iter().collect::<Vec<_>>()),
                ids(&[&all[0], &all[2]])
            );
        });
    }

    /// Blocks for those who catch up are the largest frames, and who catches up may be far away.
    #[test]
    fn over_a_slow_link_a_large_frame_takes_its_time() {
        run(async {
            let (patience, pieces) = (Duration::from_secs(1), 30);
            let frame = Frame {
                kind: codec::SYNC,
                bytes: vec![7; pieces * COALESCED_BYTES].into(),
            };
            let outbox = Outbox::default();
            assert!(outbox.push(frame));
            let mut slow = Slow::new(patience / 20);
            let began = Instant::now();
            let writing = write_frames(&mut slow, Lane::Sync, &outbox, patience);
            // Nothing follows the frame, so it ends when it has failed, or not at all.
            let ended = timeout(patience * 3, writing).await;
            assert!(ended.is_err(), "{ended:?} after {:?}", began.elapsed());
            assert_eq!(slow.taken, 5 + pieces * COALESCED_BYTES);
        });
    }

    #[test]
    fn who_takes_nothing_is_not_waited_for() {
        run(async {
            let patience = Duration::from_millis(50);
            let outbox = Outbox::default();
            assert!(outbox.push(Frame {
                kind: codec::SYNC,
                bytes: vec![7; 10].into(),
            }));
            let slow = Slow::new(Duration::from_secs(3_600));
            let ended = write_frames(slow, Lane::Sync, &outbox, patience).await;
            let error = ended.expect_err("it gives up");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }
}
