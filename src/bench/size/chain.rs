//! A chain of validators that all agree, and what each of its blocks takes in a validator's store.
//!
//! Blocks are built, checked, finalized and executed by the ledger's own code. Keys come from the system's randomness: every key, digest and
//! signature has a fixed length, so they change no figure.

use crate::bench::house::{Fault, Shape, founded, identity, info};
use anyhow::{Context as _, bail};
use kithkin_protocol::consensus::{Algorithm, Certificate, Identity, Timing, Vote, VoteKind};
use kithkin_protocol::crypto::SigningKey;
use kithkin_protocol::ids::{ChainId, ValidatorId};
use kithkin_protocol::ledger::{
    BLOCK_BYTES_MAX, Block, Header, Ledger, Profile, SignedTransaction, Transaction, TxBody, What,
    Workload,
};
use kithkin_protocol::units::{Sequence, View};
use kithkin_protocol::wire;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Room for header and certificate in a block.
const HEADER_ROOM: usize = 64 * 1024;

/// What blocks take in a store: bytes of their frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// Headers, each with the certificate of the block before inside, and what frames the transactions.
    pub headers: usize,
    /// The certificate that is stored beside each block, with the block's identifier.
    pub certificates: usize,
    /// Receipts of kin in the transactions.
    pub receipts: usize,
    /// Signed transactions, without receipts.
    pub transactions: usize,
    /// All of it.
    pub total: usize,
}

/// Bytes by what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Fields(pub Vec<Field>);

/// What some of the bytes are for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// What for.
    pub name: &'static str,
    /// How many, in all blocks together.
    pub bytes: usize,
}

/// A signed transaction, how many of its bytes are receipts, and what its body consists of.
pub(super) struct Entry {
    pub(super) transaction: SignedTransaction,
    pub(super) receipts: usize,
    pub(super) body: Fields,
}

/// What was stored.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) blocks: usize,
    pub(super) bytes: Bytes,
    pub(super) fields: Fields,
}

/// The chain. A clone goes on by itself.
#[derive(Clone)]
pub(super) struct Chain {
    ledger: Ledger,
    validators: Vec<Arc<Identity>>,
    last: Option<Certificate>,
    sequences: BTreeMap<[u8; 32], u64>,
}

impl Chain {
    /// As many validators, and a hospital with this key. The ledger takes opaque transactions beside the others.
    pub(super) fn found(validators: u16, hospital: &SigningKey) -> anyhow::Result<Self> {
        let identities: Vec<_> = (0..validators).map(identity).collect();
        let shape = Shape {
            validators,
            profile: Profile::Balanced,
            workload: Workload::Opaque,
            algorithm: Algorithm::default(),
            fault: Fault::None,
            timing: Timing::default(),
        };
        let infos = identities.iter().map(|identity| info(identity));
        let genesis = founded(&shape, infos.collect(), std::slice::from_ref(hospital));
        Ok(Self {
            ledger: Ledger::genesis(&genesis)?.0,
            validators: identities,
            last: None,
            sequences: BTreeMap::new(),
        })
    }

    pub(super) fn id(&self) -> ChainId {
        self.ledger.chain()
    }

    pub(super) fn sign(&mut self, key: &SigningKey, body: TxBody) -> SignedTransaction {
        let signer = key.verifying_key();
        let sequence = self.sequences.entry(signer.0).or_default();
        let number = Sequence(*sequence);
        *sequence += 1;
        Transaction {
            chain: self.id(),
            signer,
            sequence: number,
            valid_until_ms: self.ledger.head_time().plus(600_000),
            body,
        }
        .sign(key)
    }

    /// Puts the transactions on chain, as many into each block as fit.
    pub(super) fn store(&mut self, entries: Vec<Entry>) -> anyhow::Result<Stored> {
        let mut stored = Stored::default();
        let (mut group, mut length) = (Vec::new(), 0);
        for entry in entries {
            let more = entry.transaction.encoded_len();
            if length + more > BLOCK_BYTES_MAX - HEADER_ROOM && !group.is_empty() {
                self.append(std::mem::take(&mut group), &mut stored)?;
                length = 0;
            }
            length += more;
            group.push(entry);
        }
        self.append(group, &mut stored)?;
        // What no field accounts for: the heads of lists, pairs and frames.
        let named: usize = stored.fields.0.iter().map(|field| field.bytes).sum();
        let framing = stored.bytes.total.checked_sub(named);
        let framing = framing.context("the fields have more bytes than the blocks")?;
        stored.fields.add("framing", framing);
        Ok(stored)
    }

    /// The next block, with these transactions: none of them may be refused.
    pub(super) fn append(
        &mut self,
        entries: Vec<Entry>,
        stored: &mut Stored,
    ) -> anyhow::Result<()> {
        let receipts: usize = entries.iter().map(|entry| entry.receipts).sum();
        let mut transactions = Vec::with_capacity(entries.len());
        for entry in entries {
            stored.fields.envelope(&entry.transaction);
            stored.fields.merge(entry.body);
            transactions.push(entry.transaction);
        }
        // The version byte of a transaction's own frame is no part of the block's.
        let in_block: usize = transactions.iter().map(|tx| tx.encoded_len() - 1).sum();
        let block = self.block(transactions)?;
        self.ledger.check_block(&block)?;
        let effects = self.ledger.execute(&block)?;
        let refused = effects
            .events
            .into_iter()
            .find_map(|event| match event.what {
                What::Rejected { reason, .. } => Some(reason),
                _ => None,
            });
        if let Some(reason) = refused {
            bail!("the ledger refuses a transaction of the measurement: {reason}");
        }
        let certificate = self.finalize(&block);
        let certificates = wire::encode(&(block.id(), &certificate)).len();
        stored.fields.block(&block.header, certificates);
        self.last = Some(certificate);
        let frame = wire::encode(&block).len();
        stored.blocks += 1;
        stored.bytes.add(Bytes {
            headers: frame - in_block,
            certificates,
            receipts,
            transactions: in_block - receipts,
            total: frame + certificates,
        });
        Ok(())
    }

    fn block(&self, transactions: Vec<SignedTransaction>) -> anyhow::Result<Block> {
        let standings = self.ledger.standings();
        let order = standings.leader_order();
        let author = *order.first().context("there is no master")?;
        let (_, vrf_proof) = self
            .identity(author)?
            .vrf_key
            .prove(&standings.beacon_input())?;
        let header = Header {
            chain: self.id(),
            height: self.ledger.height().plus(1),
            parent_id: self.ledger.head_id(),
            parent_state_root: self.ledger.state_root(),
            author,
            view: View(1),
            time_ms: self.ledger.head_time().plus(1_000),
            tx_root: Block::tx_root(&transactions),
            parent_cert: self.last.clone(),
            late_votes: Vec::new(),
            evidence: Vec::new(),
            vrf_proof,
        };
        Ok(Block::new(header, transactions))
    }

    fn identity(&self, id: ValidatorId) -> anyhow::Result<&Identity> {
        let found = self.validators.iter().find(|identity| identity.id == id);
        found.map(Arc::as_ref).context("an unknown master")
    }

    /// The finalization, by all of them.
    fn finalize(&self, block: &Block) -> Certificate {
        let (height, view, id) = (block.header.height, block.header.view, block.id());
        let votes = self.validators.iter().map(|identity| {
            let (kind, key) = (VoteKind::Finalize, &identity.vote_key);
            let vote = Vote::sign(self.id(), kind, height, view, id, identity.id, key);
            (identity.id, vote.signature)
        });
        Certificate {
            kind: VoteKind::Finalize,
            height,
            view,
            id,
            votes: votes.collect(),
        }
    }
}

impl Stored {
    pub(super) fn add(&mut self, more: Self) {
        self.blocks += more.blocks;
        self.bytes.add(more.bytes);
        self.fields.merge(more.fields);
    }
}

impl Bytes {
    pub(super) fn add(&mut self, more: Self) {
        self.headers += more.headers;
        self.certificates += more.certificates;
        self.receipts += more.receipts;
        self.transactions += more.transactions;
        self.total += more.total;
    }
}

/// Length of a value inside a frame.
pub(super) fn length<T: Serialize>(value: &T) -> usize {
    wire::encode(value).len().saturating_sub(1)
}

impl Fields {
    pub(super) fn add(&mut self, name: &'static str, bytes: usize) {
        match self.0.iter_mut().find(|field| field.name == name) {
            Some(field) => field.bytes += bytes,
            None => self.0.push(Field { name, bytes }),
        }
    }

    pub(super) fn merge(&mut self, more: Self) {
        for Field { name, bytes } in more.0 {
            self.add(name, bytes);
        }
    }

    fn envelope(&mut self, transaction: &SignedTransaction) {
        let Transaction {
            chain,
            signer,
            sequence,
            valid_until_ms,
            body: _,
        } = &transaction.content;
        self.add("transaction: chain", length(chain));
        self.add("transaction: signer, which is the author", length(signer));
        let limits = length(sequence) + length(valid_until_ms);
        self.add("transaction: sequence, deadline", limits);
        self.add("transaction: signature", length(&transaction.signature));
    }

    fn block(&mut self, header: &Header, certificate: usize) {
        let Header {
            chain,
            height,
            parent_id,
            parent_state_root,
            author,
            view,
            time_ms,
            tx_root,
            parent_cert,
            late_votes,
            evidence,
            vrf_proof,
        } = header;
        let place = length(chain) + length(height) + length(view) + length(author);
        self.add(
            "block: chain, height, view, master, time",
            place + length(time_ms),
        );
        let roots = length(parent_id) + length(parent_state_root) + length(tx_root);
        self.add("block: block before, state root, transaction root", roots);
        self.add(
            "block: certificate of the block before",
            length(parent_cert),
        );
        let others = length(late_votes) + length(evidence) + length(vrf_proof);
        self.add("block: beacon proof, late votes, evidence", others);
        self.add("block: certificate, stored beside it", certificate);
    }
}
