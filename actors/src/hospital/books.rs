//! What a hospital writes down of its uploads and cases. Keys: see `disk`.

use crate::hospital::disk::{Disk, decode, key};
use crate::hospital::messages::HospitalError;
use crate::hospital::partials::Slot;
use crate::ports::store::Batch;
use kithkin_protocol::crypto::group::PointBytes;
use kithkin_protocol::crypto::{Digest, Sealed};
use kithkin_protocol::emergency::Request;
use kithkin_protocol::ids::{CaseId, KinId};
use kithkin_protocol::ledger::{Enrolment, Era};
use kithkin_protocol::record::{BatchHeader, BatchStatus, CopiesErased, Receipt, Rewrapped};
use kithkin_protocol::sharing::{Commitments, KIN_MAX, SignedPartial};
use kithkin_protocol::units::{CircleKind, Epoch, Height, Millis, ShareIndex, Tier};
use kithkin_protocol::wire;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where an upload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// Kept here; nothing was signed for the ledger.
    Sealed,
    /// Its header was handed to the ledger at this time, when the chain stood at this height or higher.
    Submitted(Millis, Height),
    /// It stands on chain.
    Placed(BatchStatus),
}

/// An upload's receipts, and its header once there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holding {
    pub(super) stage: Stage,
    /// As it was signed first; receipts that come later are not in it.
    pub(super) header: Option<BatchHeader>,
    /// In the order in which they came; no index twice.
    pub(super) receipts: Vec<Receipt>,
}

impl Holding {
    pub(super) fn holds(&self, index: ShareIndex) -> bool {
        self.receipts
            .iter()
            .any(|receipt| receipt.body.index == index)
    }

    /// Takes a checked receipt in.
    pub(super) fn add(&mut self, receipt: Receipt) {
        if !self.holds(receipt.body.index) && self.receipts.len() < KIN_MAX {
            self.receipts.push(receipt);
        }
    }
}

/// A case of this hospital. The roster cannot change while the case is live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CaseFile {
    pub(super) case: CaseId,
    pub(super) request: Request,
    pub(super) enrolment: Enrolment,
    /// How records were cut, and who holds the pieces, by the epoch since which they have been cut so.
    pub(super) eras: BTreeMap<Epoch, Era>,
    /// Since when records sealed before open with capsules that a new device of the patient has made.
    pub(super) rewrapped: Option<Rewrapped>,
}

impl CaseFile {
    /// Which circle is asked.
    pub(super) fn circle(&self) -> CircleKind {
        self.request.circle.kind()
    }

    /// What partial openings of a tier are checked against.
    pub(super) fn commitments(&self, tier: Tier) -> Option<&Commitments> {
        self.enrolment.commitments(self.circle(), tier)
    }
}

/// A partial opening that its kin signed and that is bad. Masked by `E`, so it may be kept and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Forgery {
    pub(super) kin: KinId,
    /// What is wrong with it.
    pub(super) fault: String,
    /// Signed evidence; a bad shard is not signed.
    pub(super) partial: Option<(Tier, SignedPartial)>,
}

/// One delivery as it came.
pub(super) type Delivery = Vec<(Tier, Sealed)>;

/// Uploads' receipts, repairs, cases, partial openings.
#[derive(Clone)]
pub(super) struct Books(Disk);

impl Books {
    pub(super) fn new(disk: Disk) -> Self {
        Self(disk)
    }

    pub(super) fn holding(&self, root: Digest) -> Result<Option<Holding>, HospitalError> {
        self.0.read(&key(b'h', &[root.as_ref()]))
    }

    /// Writes a holding down, and with it whether there is still something to do.
    pub(super) async fn put_holding(
        &self,
        root: Digest,
        holding: &Holding,
    ) -> Result<(), HospitalError> {
        let mut batch = Batch::default();
        batch.put(key(b'h', &[root.as_ref()]), wire::encode(holding));
        let mark = key(b'r', &[root.as_ref()]);
        if holding.stage == Stage::Placed(BatchStatus::Stored) {
            batch.delete(mark);
        } else {
            batch.put(mark, wire::encode(&()));
        }
        self.0.write(batch).await
    }

    pub(super) async fn remove_holding(&self, root: Digest) -> Result<(), HospitalError> {
        let mut batch = Batch::default();
        batch
            .delete(key(b'h', &[root.as_ref()]))
            .delete(key(b'r', &[root.as_ref()]));
        self.0.write(batch).await
    }

    /// At most `limit` uploads that are not finished, behind `after`.
    pub(super) fn unfinished(
        &self,
        after: Option<Digest>,
        limit: usize,
    ) -> Result<Vec<Digest>, HospitalError> {
        let start = after.map_or(vec![b'r'], |root| key(b'r', &[root.as_ref(), &[0]]));
        let pairs = self.0.scan(b"r", &start, limit)?;
        Ok(pairs
            .iter()
            .filter_map(|(key, _)| Some(Digest(key.get(1..)?.try_into().ok()?)))
            .collect())
    }

    /// The receipt for copies that were erased by order.
    pub(super) fn erased(&self, root: Digest) -> Result<Option<CopiesErased>, HospitalError> {
        self.0.read(&key(b'z', &[root.as_ref()]))
    }

    /// Durable on return.
    pub(super) async fn put_erased(
        &self,
        root: Digest,
        receipt: &CopiesErased,
    ) -> Result<(), HospitalError> {
        let mut batch = Batch::default();
        batch.put(key(b'z', &[root.as_ref()]), wire::encode(receipt));
        self.0.write(batch).await
    }

    /// Remembers a request before it is submitted: after a crash its case is looked for.
    pub(super) async fn put_request(&self, request: &Request) -> Result<(), HospitalError> {
        let mut batch = Batch::default();
        batch.put(request_key(request.session.point), wire::encode(request));
        self.0.write(batch).await
    }

    pub(super) async fn remove_request(&self, session: PointBytes) -> Result<(), HospitalError> {
        let mut batch = Batch::default();
        batch.delete(request_key(session));
        self.0.write(batch).await
    }

    /// Requests that may or may not be on chain. All of them: their keys must not be taken for orphans.
    pub(super) fn requests(&self) -> Result<Vec<Request>, HospitalError> {
        let pairs = self.0.scan(b"q", b"q", usize::MAX)?;
        pairs
            .iter()
            .map(|(key, value)| decode(key, value))
            .collect()
    }

    /// A request has become a case.
    pub(super) async fn put_case(&self, file: &CaseFile) -> Result<(), HospitalError> {
        let mut batch = Batch::default();
        batch
            .put(key(b'k', &[file.case.as_ref()]), wire::encode(file))
            .put(key(b'o', &[file.case.as_ref()]), wire::encode(&()))
            .delete(request_key(file.request.session.point));
        self.0.write(batch).await
    }

    pub(super) fn case(&self, case: CaseId) -> Result<Option<CaseFile>, HospitalError> {
        self.0.read(&key(b'k', &[case.as_ref()]))
    }

    /// Cases that may still be open.
    pub(super) fn open_cases(&self) -> Result<Vec<CaseId>, HospitalError> {
        let pairs = self.0.scan(b"o", b"o", usize::MAX)?;
        Ok(pairs
            .iter()
            .filter_map(|(key, _)| Some(CaseId(key.get(1..)?.try_into().ok()?)))
            .collect())
    }

    /// Whether a case may still be open.
    pub(super) fn is_open(&self, case: CaseId) -> Result<bool, HospitalError> {
        Ok(self.0.raw(&key(b'o', &[case.as_ref()]))?.is_some())
    }

    /// The case is over and its session keys are destroyed: nobody can use its partial openings any more.
    pub(super) async fn end_case(&self, case: CaseId) -> Result<(), HospitalError> {
        let mut batch = Batch::default();
        batch
            .delete(key(b'o', &[case.as_ref()]))
            .delete_prefix(key(b'p', &[case.as_ref()]));
        self.0.write(batch).await
    }

    /// Keeps the `number`th delivery of a kin, as the frame that it is.
    pub(super) async fn put_delivery(
        &self,
        case: CaseId,
        (index, number): Slot,
        frame: Vec<u8>,
    ) -> Result<(), HospitalError> {
        let mut batch = Batch::default();
        let place = [index.get(), number];
        batch.put(key(b'p', &[case.as_ref(), &place]), frame);
        self.0.write(batch).await
    }

    /// One delivery of a case.
    pub(super) fn delivery(
        &self,
        case: CaseId,
        (index, number): Slot,
    ) -> Result<Option<Delivery>, HospitalError> {
        let place = [index.get(), number];
        self.0.read(&key(b'p', &[case.as_ref(), &place]))
    }

    /// Every delivery of a case, by share index and number, as the frame that it is.
    pub(super) fn deliveries(&self, case: CaseId) -> Result<Vec<(Slot, Vec<u8>)>, HospitalError> {
        let prefix = key(b'p', &[case.as_ref()]);
        let pairs = self.0.scan(&prefix, &prefix, usize::MAX)?;
        Ok(pairs
            .into_iter()
            .filter_map(|(key, frame)| match key.last_chunk() {
                Some([index, number]) => Some(((ShareIndex::new(*index).ok()?, *number), frame)),
                None => None,
            })
            .collect())
    }

    pub(super) async fn put_forgery(
        &self,
        case: CaseId,
        forgery: &Forgery,
    ) -> Result<(), HospitalError> {
        let mut batch = Batch::default();
        let key = key(b'f', &[case.as_ref(), forgery.kin.as_ref()]);
        batch.put(key, wire::encode(forgery));
        self.0.write(batch).await
    }

    /// Who forged something in a case.
    pub(super) fn forgers(&self, case: CaseId) -> Result<Vec<KinId>, HospitalError> {
        let prefix = key(b'f', &[case.as_ref()]);
        let pairs = self.0.scan(&prefix, &prefix, KIN_MAX)?;
        Ok(pairs
            .iter()
            .filter_map(|(key, _)| Some(KinId(*key.last_chunk()?)))
            .collect())
    }
}

fn request_key(session: PointBytes) -> Vec<u8> {
    key(b'q', &[session.as_ref()])
}
