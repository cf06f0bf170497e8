//! Shards to the kin, receipts back.

use crate::friend_relative::FriendRelative;
use crate::friend_relative::messages::{KinError, StoreShards};
use crate::hospital::desk::Desk;
use crate::hospital::messages::Unsigned;
use crate::hospital::sealing::Pieces;
use crate::upload::Upload;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use kithkin_protocol::crypto::{Digest, VerifyingKey};
use kithkin_protocol::ids::KinId;
use kithkin_protocol::ledger::Enrolment;
use kithkin_protocol::record::{Receipt, ReceiptBody};
use kithkin_protocol::units::ShareIndex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a kin may take to check and store a few records, and what each further one adds.
const TRY: Duration = Duration::from_secs(3);
const TRY_PER_RECORD: Duration = Duration::from_millis(2);
/// Pause before a kin is asked again that answered, but could not do it.
const PAUSE: Duration = Duration::from_millis(200);

/// One upload on its way to the kin.
#[derive(Clone)]
pub(super) struct Spread {
    pub(super) root: Digest,
    pub(super) upload: Arc<Upload>,
    pub(super) pieces: Arc<Pieces>,
    pub(super) enrolment: Arc<Enrolment>,
}

impl Spread {
    /// Asks these kin, all at once and again and again, until each has signed or `deadline` is over. Returns receipts, and who has not
    /// signed and why.
    pub(super) async fn to(
        &self,
        desk: &Desk,
        indices: impl IntoIterator<Item = ShareIndex>,
        deadline: Instant,
    ) -> (Vec<Receipt>, Vec<Unsigned>) {
        let mut asked: FuturesUnordered<_> = indices
            .into_iter()
            .map(|index| async move { (index, self.to_one(desk, index, deadline).await) })
            .collect();
        let (mut receipts, mut unsigned) = (Vec::new(), Vec::new());
        while let Some((index, answer)) = asked.next().await {
            match answer {
                Ok(receipt) => receipts.push(receipt),
                Err(reason) => {
                    tracing::info!(upload = %self.root, %index, reason, "a kin has not signed for its shards");
                    let member = self.enrolment.roster.get(index.position());
                    unsigned.extend(member.map(|member| Unsigned {
                        kin: member.id(),
                        reason,
                    }));
                }
            }
        }
        (receipts, unsigned)
    }

    async fn to_one(
        &self,
        desk: &Desk,
        index: ShareIndex,
        deadline: Instant,
    ) -> Result<Receipt, String> {
        let member = self.enrolment.roster.get(index.position());
        let key = member.ok_or("nobody has this share index")?.key;
        let name = desk.setting.directory.name(KinId::of(&key));
        let name = name.ok_or("the directory does not know this kin")?;
        let records = u32::try_from(self.upload.capsules.len()).unwrap_or(u32::MAX);
        let within = TRY + TRY_PER_RECORD * records;
        let message = StoreShards {
            upload: Arc::clone(&self.upload),
            shards: self.pieces.of(index),
        };
        loop {
            let asked =
                desk.port
                    .ask_until::<FriendRelative, _>(name, message.clone(), within, deadline);
            let refused = match asked.await.map_err(|error| error.to_string())? {
                Ok(receipt) => return self.check(receipt, index, &key).map(|()| receipt),
                // The same again would be refused again.
                Err(
                    error @ (KinError::Shards { .. }
                    | KinError::TooMuch { .. }
                    | KinError::Full { .. }
                    | KinError::Erased { .. }),
                ) => {
                    return Err(error.to_string());
                }
                Err(error) => error.to_string(),
            };
            if Instant::now() + PAUSE >= deadline {
                return Err(refused);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether a receipt says exactly that this kin holds exactly its shards.
    fn check(&self, receipt: Receipt, index: ShareIndex, key: &VerifyingKey) -> Result<(), String> {
        let upload = &self.upload;
        let expected = ReceiptBody {
            chain: upload.chain,
            kin: KinId::of(key),
            index,
            patient: upload.patient,
            tier: upload.tier,
            epoch: upload.epoch,
            manifest_root: self.root,
            held: self.pieces.held(index, &upload.manifest),
        };
        if receipt.body != expected {
            return Err("the receipt is for something else".to_owned());
        }
        receipt.verify(key).map_err(|error| error.to_string())
    }
}

/// The share indices of a roster.
pub(super) fn indices(enrolment: &Enrolment) -> impl Iterator<Item = ShareIndex> + use<> {
    (0..enrolment.roster.len()).filter_map(ShareIndex::from_position)
}
