//! Every message that leaves an actor, as bytes.
//!
//! Inside one process messages are not written as bytes, so each kind of message is written down here, field by field: a new field does not compile, and
//! a kind of message that nobody has written down yet fails the test. Between a person's screen and that person's own actor
//! ([`ActorName::Driver`] and a patient, kin or hospital) secrets may be told; that is kept apart.

use crate::friend_relative::messages::{
    Bundle, FetchBundle, FetchRewrapped, FetchShards, FetchUpload, KinError, OfferShares,
    ReleaseShares, ReleasedShares, StoreShards,
};
use crate::hospital::consent::messages::{DeliverKeys, GrantOffer, GrantOpened, ProposeGrant};
use crate::hospital::messages::{
    DeliverPartials, FetchRecords, Fetched, HospitalError, Opened, Sponsor, WriteRecord,
};
use crate::leader::messages::Assemble;
use crate::patient::messages::{FetchCapsules, FetchRedealt, PatientError};
use crate::ports::names::ActorName;
use crate::ports::network::TapEvent;
use crate::upload::{OpenedRecord, Upload};
use crate::validator::messages::Prove;
use crate::validator::messages::{
    Answer, Assembled, AwaitTx, Chain, Consensus, Finalized, Follow, Gossip, Lacking, LightSteps,
    Look, Notice, Outlined, ProveFinal, Proved, ProvedFinal, QueryError, Snapshot, Submit,
    SubmitMany, Supplied,
};
use core::any::Any;
use core::fmt::Display;
use kithkin_protocol::crypto::{Digest, Signature, hash};
use kithkin_protocol::ids::{BlockId, RecordId, TxId};
use kithkin_protocol::ledger::AdmissionError;
use kithkin_protocol::ledger::light::Step;
use kithkin_protocol::record::{Receipt, RewrappedBatch, Shard};
use kithkin_protocol::units::Height;
use kithkin_protocol::wire;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What was said.
#[derive(Default)]
pub(super) struct Tape {
    /// All messages on the transport, one after the other; the same bytes once.
    pub(super) bytes: Vec<u8>,
    /// How many there were.
    pub(super) messages: usize,
    /// Kinds of messages that cannot be read.
    pub(super) unread: BTreeSet<&'static str>,
    /// What screens were told of plaintexts, and told.
    pub(super) screens: Vec<u8>,
    /// Records as a clinician's screen got them in an emergency.
    pub(super) opened: BTreeMap<RecordId, OpenedRecord>,
    /// Shares on their way to kin.
    pub(super) offers: Vec<(ActorName, OfferShares)>,
    /// Uploads on their way to kin.
    pub(super) uploads: BTreeMap<Digest, Arc<Upload>>,
    seen: BTreeSet<Digest>,
}

impl Tape {
    pub(super) fn note(&mut self, event: &TapEvent<'_>) {
        if is_screen(event.from, event.to) {
            self.note_screen(event.content);
            return;
        }
        self.messages += 1;
        let Some(bytes) = bytes_of(event.content) else {
            self.unread.insert(event.type_name);
            return;
        };
        if self.seen.insert(hash("seen", &[&bytes])) {
            self.bytes.extend(bytes);
        }
        if let Some(offer) = event.content.downcast_ref::<OfferShares>() {
            self.offers.push((event.to, offer.clone()));
        }
        if let Some(store) = event.content.downcast_ref::<StoreShards>() {
            let upload = &store.upload;
            self.uploads.insert(upload.root(), upload.clone());
        }
    }

    fn note_screen(&mut self, content: &dyn Any) {
        if let Some(write) = content.downcast_ref::<WriteRecord>() {
            self.screens.extend(write.bundle.iter());
        }
        if let Some(Ok(opened)) = content.downcast_ref::<Result<Opened, HospitalError>>() {
            for record in &opened.records {
                self.screens.extend(&record.bytes);
                self.opened.insert(record.record, record.clone());
            }
        }
        if let Some(Ok(opened)) = content.downcast_ref::<Result<GrantOpened, HospitalError>>() {
            for record in &opened.records {
                self.screens.extend(&record.bytes);
            }
        }
    }
}

fn is_screen(from: ActorName, to: ActorName) -> bool {
    let person = |name| {
        matches!(
            name,
            ActorName::Patient(_) | ActorName::Kin(..) | ActorName::Hospital(_)
        )
    };
    (from == ActorName::Driver && person(to)) || (to == ActorName::Driver && person(from))
}

/// A message as bytes; none for a kind that is not written down here.
fn bytes_of(content: &dyn Any) -> Option<Vec<u8>> {
    let people = KIN.iter().chain(PATIENT).chain(HOSPITAL).chain(CONSENT);
    let mut readers = people.chain(VALIDATOR).chain(LEDGER);
    readers.find_map(|read| read(content))
}

type Reader = fn(&dyn Any) -> Option<Vec<u8>>;

/// A message, by its fields.
fn told<M: 'static>(content: &dyn Any, fields: fn(&M) -> Vec<u8>) -> Option<Vec<u8>> {
    content.downcast_ref().map(fields)
}

/// A reply, or the words of an error.
fn reply<T: 'static, E: Display + 'static>(
    content: &dyn Any,
    fields: fn(&T) -> Vec<u8>,
) -> Option<Vec<u8>> {
    let reply: &Result<T, E> = content.downcast_ref()?;
    Some(match reply {
        Ok(reply) => fields(reply),
        Err(error) => error.to_string().into_bytes(),
    })
}

fn plain<T: Serialize>(value: &T) -> Vec<u8> {
    wire::encode(value)
}

const KIN: &[Reader] = &[
    |content| {
        told(content, |message: &OfferShares| {
            let OfferShares {
                patient,
                enrolment,
                index,
                shares,
            } = message;
            plain(&(patient, &**enrolment, index, shares))
        })
    },
    |content| {
        told(content, |message: &StoreShards| {
            let StoreShards { upload, shards } = message;
            plain(&(&**upload, shards))
        })
    },
    |content| {
        told(content, |message: &FetchUpload| {
            let FetchUpload { root, ground } = message;
            plain(&(root, format!("{ground:?}")))
        })
    },
    |content| {
        told(content, |message: &FetchShards| {
            let FetchShards { root, only, ground } = message;
            plain(&(root, only, format!("{ground:?}")))
        })
    },
    |content| {
        told(content, |message: &FetchBundle| {
            let FetchBundle {
                patient,
                handover,
                dealer,
            } = message;
            plain(&(patient, handover, dealer))
        })
    },
    |content| reply::<Signature, KinError>(content, plain),
    |content| reply::<Receipt, KinError>(content, plain),
    |content| reply::<Arc<Upload>, KinError>(content, |upload| plain(&**upload)),
    |content| reply::<Vec<(RecordId, Shard)>, KinError>(content, plain),
    |content| {
        told(content, |ReleaseShares { patient }: &ReleaseShares| {
            plain(patient)
        })
    },
    |content| {
        told(content, |message: &FetchRewrapped| {
            let FetchRewrapped {
                under,
                root,
                ground,
            } = message;
            plain(&(under, root, format!("{ground:?}")))
        })
    },
    |content| reply::<Bundle, KinError>(content, plain),
    |content| {
        reply::<ReleasedShares, KinError>(content, |released| {
            let ReleasedShares { epoch, shares } = released;
            plain(&(epoch, shares))
        })
    },
    |content| reply::<Arc<RewrappedBatch>, KinError>(content, |batch| plain(&**batch)),
];

const PATIENT: &[Reader] = &[
    |content| {
        told(content, |FetchRedealt { handover }: &FetchRedealt| {
            plain(handover)
        })
    },
    |content| {
        told(content, |FetchCapsules { under, root }: &FetchCapsules| {
            plain(&(under, root))
        })
    },
    |content| reply::<Bundle, PatientError>(content, plain),
    |content| reply::<Arc<RewrappedBatch>, PatientError>(content, |batch| plain(&**batch)),
];

const CONSENT: &[Reader] = &[
    |content| {
        told(content, |message: &ProposeGrant| {
            let ProposeGrant {
                scopes,
                purpose,
                from_ms,
                until_ms,
            } = message;
            plain(&(scopes, purpose, from_ms, until_ms))
        })
    },
    |content| {
        told(content, |DeliverKeys { grant, keys }: &DeliverKeys| {
            plain(&(grant, keys))
        })
    },
    |content| {
        reply::<GrantOffer, HospitalError>(content, |offer| {
            let GrantOffer { terms, signature } = offer;
            plain(&(terms, signature))
        })
    },
];

const HOSPITAL: &[Reader] = &[
    |content| {
        told(content, |message: &Sponsor| {
            let Sponsor { patient, enrolment } = message;
            plain(&(patient, &**enrolment))
        })
    },
    |content| {
        told(content, |message: &DeliverPartials| {
            let DeliverPartials { case, partials } = message;
            plain(&(case, partials))
        })
    },
    |content| told(content, |FetchRecords { root }: &FetchRecords| plain(root)),
    |content| reply::<Signature, HospitalError>(content, plain),
    |content| reply::<(), HospitalError>(content, plain),
    |content| {
        reply::<Fetched, HospitalError>(content, |fetched| {
            let Fetched {
                upload,
                ciphertexts,
            } = fetched;
            plain(&(&**upload, ciphertexts))
        })
    },
];

const VALIDATOR: &[Reader] = &[
    |content| told(content, |Consensus(message): &Consensus| plain(message)),
    |content| told(content, |Gossip(all): &Gossip| plain(&**all)),
    |content| told(content, |Outlined(outline): &Outlined| plain(outline)),
    |content| told::<Lacking>(content, plain),
    |content| told::<Supplied>(content, plain),
    |content| told(content, |Snapshot(message): &Snapshot| plain(message)),
    |content| {
        told(content, |message: &Assemble| {
            let Assemble {
                height,
                view,
                ahead_of,
                time_ms,
                bytes_max,
                state,
                candidates,
            } = message;
            let entries: Vec<_> = state.entries().collect();
            let order = (height, view, ahead_of, time_ms, bytes_max);
            plain(&(order, entries, candidates))
        })
    },
    |content| {
        told(content, |message: &Assembled| {
            let Assembled {
                height,
                view,
                ahead_of,
                transactions,
            } = message;
            plain(&(height, view, ahead_of, transactions))
        })
    },
    |content| content.is::<()>().then(Vec::new),
];

const LEDGER: &[Reader] = &[
    |content| told(content, |Submit(transaction): &Submit| plain(transaction)),
    |content| told(content, |SubmitMany(all): &SubmitMany| plain(all)),
    |content| {
        told(content, |Chain { from, count }: &Chain| {
            plain(&(from, count))
        })
    },
    |content| told(content, |AwaitTx(id): &AwaitTx| plain(id)),
    |content| told(content, |Prove(key): &Prove| plain(key)),
    |content| told(content, |ProveFinal(key): &ProveFinal| plain(key)),
    |content| told(content, |LightSteps { after }: &LightSteps| plain(after)),
    |content| told::<Look>(content, plain),
    |content| told(content, |Follow(concerns): &Follow| plain(concerns)),
    // Events hold nothing but what stands on chain, and print all of it.
    |content| {
        told(content, |Notice(events): &Notice| {
            format!("{events:?}").into_bytes()
        })
    },
    |content| reply::<TxId, AdmissionError>(content, plain),
    |content| {
        told(content, |all: &Vec<Result<TxId, AdmissionError>>| {
            format!("{all:?}").into_bytes()
        })
    },
    |content| reply::<Vec<(Height, BlockId)>, QueryError>(content, plain),
    |content| reply::<Finalized, QueryError>(content, plain),
    |content| reply::<Proved, QueryError>(content, plain),
    |content| reply::<ProvedFinal, QueryError>(content, plain),
    |content| reply::<Vec<Step>, QueryError>(content, plain),
    |content| reply::<Answer, QueryError>(content, plain),
];
