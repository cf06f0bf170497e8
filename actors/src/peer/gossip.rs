//! Transactions in a large set: gossipsub, among validators only.
//!
//! A message is signed by the validator that publishes it; one of anybody else is neither delivered nor passed on. It is known
//! by a digest of its content, so the same batch goes round once, whoever publishes it.

use super::codec;
use super::lane::Lane;
use super::{PeerId, Shared, streams};
use kithkin_protocol::crypto::hash;
use kithkin_protocol::ids::ValidatorId;
use libp2p::gossipsub::{
    self, Behaviour, ConfigBuilder, IdentTopic, MessageAcceptance, MessageAuthenticity, MessageId,
    ValidationMode,
};
use libp2p::identity::Keypair;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long a batch is remembered: what still waits after that goes round again.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Bytes around the content of a message.
const ENVELOPE_BYTES: usize = 1_024;
/// Batches that may wait for the validator; more are dropped.
pub(super) const ARRIVED_MAX: usize = 64;

/// A batch that a validator has published.
pub(super) type Batch = (ValidatorId, Vec<u8>);

fn topic() -> IdentTopic {
    IdentTopic::new("kithkin/transactions/1")
}

/// The behaviour, subscribed.
pub(super) fn behaviour(keypair: &Keypair) -> Result<Behaviour, String> {
    let config = ConfigBuilder::default()
        .validation_mode(ValidationMode::Strict)
        .validate_messages()
        .max_transmit_size(Lane::Transactions.frame_bytes_max() + ENVELOPE_BYTES)
        .duplicate_cache_time(REMEMBERED)
        .flood_publish(false)
        .message_id_fn(|message| {
            let id = hash("kithkin/gossip/1", &[&message.data]);
            MessageId::from(id.as_bytes().to_vec())
        })
        .build()
        .map_err(|error| error.to_string())?;
    let mut behaviour = Behaviour::new(MessageAuthenticity::Signed(keypair.clone()), config)?;
    behaviour
        .subscribe(&topic())
        .map_err(|error| error.to_string())?;
    Ok(behaviour)
}

/// Publishes a batch. With nobody in reach it is lost: what waits goes round again in a second.
pub(super) fn publish(behaviour: &mut Behaviour, batch: &[u8]) {
    if let Err(error) = behaviour.publish(topic(), batch) {
        tracing::debug!(%error, "transactions are not published");
    }
}

/// Decides over a message, and queues it for the validator.
pub(super) fn on_event(
    shared: &Shared,
    behaviour: &mut Behaviour,
    arrived: &mpsc::Sender<Batch>,
    event: gossipsub::Event,
) {
    let gossipsub::Event::Message {
        propagation_source,
        message_id,
        message,
    } = event
    else {
        return;
    };
    let author = message.source.and_then(|peer: PeerId| shared.member(&peer));
    let acceptance = match author {
        Some(_) => MessageAcceptance::Accept,
        // A validator of another moment, perhaps: no reason to punish who passed it on.
        None => MessageAcceptance::Ignore,
    };
    behaviour.report_message_validation_result(&message_id, &propagation_source, acceptance);
    if let Some(author) = author
        && arrived.try_send((author, message.data)).is_err()
    {
        tracing::debug!(%author, "transactions come faster than they are taken in; some are dropped");
    }
}

/// Hands batches to the validator, one after the other.
pub(super) async fn deliver(shared: Arc<Shared>, mut arrived: mpsc::Receiver<Batch>) {
    while let Some((author, bytes)) = arrived.recv().await {
        if !shared.blames.wait(author, Instant::now()).is_zero() {
            continue;
        }
        match codec::read(Lane::Transactions, codec::TRANSACTIONS, &bytes) {
            Ok(message) => streams::deliver(&shared, author, message, true).await,
            Err(error) => {
                if shared.blames.add(author, Instant::now()) {
                    tracing::warn!(%author, %error, "a validator publishes what cannot be read");
                }
            }
        }
    }
}
