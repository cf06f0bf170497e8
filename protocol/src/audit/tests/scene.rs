//! Four validators, two patients with five kin each, two hospitals and a reviewer, and a source that shows their chain.

use crate::audit::{Attachment, AuditError, Bundle, Findings, Source, Subject, build, verify};
use crate::consensus::Certificate;
use crate::crypto::group::ScalarBytes;
use crate::crypto::{Digest, OpeningKey, Secret32, Signature, SigningKey};
use crate::emergency::{
    Circle, ClinicalRole, Credential, Escalation, Purpose, Reason, Request, Scope, TierPolicy,
    WhoMayAsk,
};
use crate::ids::{AccountId, CaseId, HospitalId, KinId, PatientId};
use crate::ledger::light::Step;
use crate::ledger::test_chain::Chain;
use crate::ledger::{
    Approval, BatchPlace, Block, Enrolment, HospitalInfo, Ledger, Member, ReviewerInfo,
    SecondCircle, SecondWord, SignedTransaction, State, StateProof, TierShares, Transaction,
    TreeError, TxBody, What, release_digest,
};
use crate::record::{BatchHeader, BatchStatus, Receipt, ReceiptBody, ReceiptLine, receipts_root};
use crate::roster::{Relation, RosterRules, RosterStep};
use crate::sharing::{SchnorrProof, SessionPublic, SessionSecret, Threshold, TierKey, deal};
use crate::units::{Epoch, Height, Millis, Sequence, ShareIndex, Tier};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use std::collections::BTreeMap;

pub(super) const HOSPITAL: u8 = 2;
pub(super) const OTHER_HOSPITAL: u8 = 3;
pub(super) const REVIEWER: u8 = 4;
pub(super) const PATIENT: u8 = 5;
pub(super) const OTHER_PATIENT: u8 = 6;
pub(super) const KIN: [u8; 5] = [11, 12, 13, 14, 15];
pub(super) const SECOND_KIN: [u8; 3] = [16, 17, 18];
const CLINICIAN: u8 = 20;

/// How long `chart` waits when life is not at risk.
pub(super) const WAITING_MS: u64 = 4_000;

pub(super) fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(Secret32::new([n; 32]))
}

fn sealing(n: u8) -> crate::crypto::SealingKey {
    OpeningKey::from_seed(Secret32::new([n; 32])).sealing_key()
}

pub(super) fn patient(n: u8) -> PatientId {
    PatientId::of(&key(n).verifying_key())
}

pub(super) fn kin(n: u8) -> KinId {
    KinId::of(&key(n).verifying_key())
}

pub(super) fn hospital(n: u8) -> HospitalId {
    HospitalId::of(&key(n).verifying_key())
}

fn member(n: &u8) -> Member {
    Member {
        key: key(*n).verifying_key(),
        sealing: sealing(*n),
        relation: Relation::Sibling,
    }
}

pub(super) struct Scene {
    pub(super) chain: Chain,
    sequences: BTreeMap<u8, u64>,
    rng: ChaCha20Rng,
    /// Summary keys of the patients.
    summaries: BTreeMap<u8, TierKey>,
}

impl Scene {
    /// Both patients are enrolled.
    pub(super) fn new() -> Self {
        let mut chain = Chain::new(4, 6);
        let info = |n: u8| HospitalInfo {
            key: key(n).verifying_key(),
            sealing: sealing(n),
            name: format!("Hospital {n}"),
        };
        chain.genesis.hospitals = vec![info(HOSPITAL), info(OTHER_HOSPITAL)];
        chain.genesis.reviewers = vec![ReviewerInfo {
            key: key(REVIEWER).verifying_key(),
            hospital: None,
        }];
        chain.ledger = Ledger::genesis(&chain.genesis).unwrap().0;
        let mut scene = Self {
            chain,
            sequences: BTreeMap::new(),
            rng: ChaCha20Rng::from_seed([1; 32]),
            summaries: BTreeMap::new(),
        };
        for n in [PATIENT, OTHER_PATIENT] {
            let enrolment = scene.enrolment(n);
            let done = scene.act(n, TxBody::Enrol(Box::new(enrolment)));
            assert_eq!(
                done,
                [What::Enrolled {
                    patient: patient(n)
                }]
            );
        }
        scene
    }

    pub(super) fn sign(&mut self, signer: u8, body: TxBody) -> SignedTransaction {
        let sequence = self.sequences.entry(signer).or_default();
        *sequence += 1;
        Transaction {
            chain: self.chain.ledger.chain(),
            signer: key(signer).verifying_key(),
            sequence: Sequence(*sequence - 1),
            valid_until_ms: self.chain.ledger.head_time().plus(60_000),
            body,
        }
        .sign(&key(signer))
    }

    pub(super) fn act(&mut self, signer: u8, body: TxBody) -> Vec<What> {
        let transaction = self.sign(signer, body);
        self.chain.push(vec![transaction])
    }

    fn enrolment(&mut self, n: u8) -> Enrolment {
        let threshold = Threshold::majority(KIN.len()).unwrap();
        let summary = TierKey::random(&mut self.rng);
        let mut tiers = Vec::new();
        for tier in Tier::ALL {
            let other = TierKey::random(&mut self.rng);
            let secret = match tier {
                Tier::Summary => &summary,
                Tier::Chart | Tier::Sensitive => &other,
            };
            let (commitments, _) = deal(secret, threshold, &mut self.rng).unwrap();
            let mut policy = TierPolicy::default_for(tier);
            if tier == Tier::Chart {
                policy.waiting_ms = Millis(WAITING_MS);
                let mut listed = vec![hospital(HOSPITAL), hospital(OTHER_HOSPITAL)];
                listed.sort();
                policy.who = WhoMayAsk::Only(listed);
            }
            tiers.push(TierShares {
                tier,
                commitments,
                policy,
            });
        }
        let threshold = Threshold::majority(SECOND_KIN.len()).unwrap();
        let (commitments, _) = deal(&summary, threshold, &mut self.rng).unwrap();
        let mut enrolment = Enrolment {
            sealing: sealing(n),
            tiers,
            roster: KIN.iter().map(member).collect(),
            rules: RosterRules::default(),
            escalation: Escalation {
                remind_after_ms: Millis(3_000),
                second_circle_after_ms: Millis(6_000),
            },
            second: Some(SecondCircle {
                roster: SECOND_KIN.iter().map(member).collect(),
                commitments,
                acceptances: Vec::new(),
            }),
            sponsor: hospital(HOSPITAL),
            sponsor_signature: Signature([0; 64]),
            acceptances: Vec::new(),
        };
        let digest = enrolment.digest(self.chain.ledger.chain(), patient(n));
        enrolment.sponsor_signature = Enrolment::sponsor(&digest, &key(HOSPITAL));
        let accept = |n: &u8| key(*n).sign(&Enrolment::acceptance(&digest, kin(*n)));
        enrolment.acceptances = KIN.iter().map(accept).collect();
        let accepted = SECOND_KIN.iter().map(accept).collect();
        enrolment.second.as_mut().unwrap().acceptances = accepted;
        self.summaries.insert(n, summary);
        enrolment
    }

    /// A patient names these three as the second circle.
    pub(super) fn name_second(&mut self, n: u8, members: &[u8; 3]) -> Vec<What> {
        let threshold = Threshold::majority(members.len()).unwrap();
        let (commitments, _) = deal(&self.summaries[&n], threshold, &mut self.rng).unwrap();
        let entry = self.chain.ledger.state().patient(patient(n)).unwrap();
        let mut circle = SecondCircle {
            roster: members.iter().map(member).collect(),
            commitments,
            acceptances: Vec::new(),
        };
        let epochs = entry.circles().next_second();
        let word = |circle| SecondWord {
            epochs,
            circle: Some(circle),
        };
        let digest = word(circle.clone()).digest(self.chain.ledger.chain(), patient(n));
        let accept = |n: &u8| key(*n).sign(&Enrolment::acceptance(&digest, kin(*n)));
        circle.acceptances = members.iter().map(accept).collect();
        let step = RosterStep::NameSecond(Box::new(word(circle)));
        let body = TxBody::Roster {
            patient: patient(n),
            step: Box::new(step),
        };
        self.act(n, body)
    }

    /// Changes the state between two blocks, as a handover would have done over many of them.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut State)) {
        let mut state = self.chain.ledger.state().clone();
        change(&mut state);
        let entries: Vec<_> = state.entries().collect();
        self.chain.ledger = Ledger::restore(&entries).unwrap();
    }

    /// A batch of two records that all kin hold.
    pub(super) fn put_batch(&mut self, of: u8, tier: Tier, mark: u8) {
        let mut header = BatchHeader {
            chain: self.chain.ledger.chain(),
            patient: patient(of),
            tier,
            author: hospital(HOSPITAL),
            epoch: Epoch(1),
            manifest_root: Digest([mark; 32]),
            records: 2,
            bytes: 200,
            receipts_root: Digest::ZERO,
            receipts: 5,
            status: BatchStatus::Stored,
        };
        let receipt = |(position, n): (usize, &u8)| -> Receipt {
            ReceiptBody {
                chain: header.chain,
                kin: kin(*n),
                index: ShareIndex::from_position(position).unwrap(),
                patient: header.patient,
                tier,
                epoch: header.epoch,
                manifest_root: header.manifest_root,
                held: Digest([*n; 32]),
            }
            .sign(&key(*n))
        };
        let receipts: Vec<Receipt> = KIN.iter().enumerate().map(receipt).collect();
        header.receipts_root = receipts_root(&receipts).unwrap();
        let body = TxBody::Batch {
            header: Box::new(header),
            receipts: receipts.iter().map(ReceiptLine::from).collect(),
        };
        assert!(matches!(
            self.act(HOSPITAL, body).as_slice(),
            [What::Batch { stored: true, .. }]
        ));
    }

    pub(super) fn request(&mut self, by: u8, of: u8, tiers: &[Tier], purpose: Purpose) -> Request {
        self.request_with(by, of, tiers, |request| request.purpose = purpose)
    }

    /// A request for a threat to life, changed before it is proved and signed.
    pub(super) fn request_with(
        &mut self,
        by: u8,
        of: u8,
        tiers: &[Tier],
        change: impl FnOnce(&mut Request),
    ) -> Request {
        let epoch = self
            .chain
            .ledger
            .state()
            .patient(patient(of))
            .unwrap()
            .epoch;
        let secret = SessionSecret::random(&mut self.rng);
        let mut request = Request {
            patient: patient(of),
            epoch,
            circle: Circle::First,
            scopes: tiers
                .iter()
                .map(|tier| Scope {
                    tier: *tier,
                    up_to: self.chain.ledger.height(),
                    only: Vec::new(),
                })
                .collect(),
            purpose: Purpose::BreakGlass,
            reason: Reason::Unconscious,
            encounter: Digest([1; 32]),
            clinician: key(CLINICIAN).verifying_key(),
            session: SessionPublic {
                point: secret.point(),
                proof: SchnorrProof {
                    challenge: ScalarBytes([0; 32]),
                    response: ScalarBytes([0; 32]),
                },
            },
            session_key: OpeningKey::random(&mut self.rng).sealing_key(),
            expires_ms: self.chain.ledger.head_time().plus(12_000),
            session_ms: Millis(30_000),
            clinician_signature: Signature([0; 64]),
            credential: Some(self.credential(by, by)),
        };
        change(&mut request);
        let chain = self.chain.ledger.chain();
        request.session = secret.prove(&request.binding(chain, hospital(by)), &mut self.rng);
        request.signed(chain, hospital(by), &key(CLINICIAN))
    }

    /// Somebody vouches for the clinician at a hospital.
    pub(super) fn credential(&self, at: u8, issuer: u8) -> Credential {
        Credential {
            clinician: key(CLINICIAN).verifying_key(),
            issuer: AccountId([0; 32]),
            role: ClinicalRole::Physician,
            hospital: hospital(at),
            valid_until_ms: self.chain.ledger.head_time().plus(86_400_000),
            signature: Signature([0; 64]),
        }
        .signed(self.chain.ledger.chain(), &key(issuer))
    }

    /// A hospital asks for the summary, life being at risk.
    pub(super) fn open(&mut self, by: u8, of: u8) -> CaseId {
        self.open_with(by, of, |_| ())
    }

    /// A hospital asks for the summary, in some way.
    pub(super) fn open_with(
        &mut self,
        by: u8,
        of: u8,
        change: impl FnOnce(&mut Request),
    ) -> CaseId {
        let request = self.request_with(by, of, &[Tier::Summary], change);
        let transaction = self.sign(by, TxBody::Request(Box::new(request)));
        let id = CaseId(transaction.id().0);
        self.chain.push(vec![transaction]);
        assert!(self.chain.ledger.state().case(id).is_some());
        id
    }

    pub(super) fn approval(&self, case: CaseId) -> TxBody {
        let case = self.chain.ledger.state().case(case).unwrap();
        TxBody::Approve(Approval::of(case))
    }

    pub(super) fn approve(&mut self, case: CaseId, by: &[u8]) {
        for n in by {
            let approval = self.approval(case);
            self.act(*n, approval);
        }
    }

    pub(super) fn release(case: CaseId, n: u8) -> TxBody {
        TxBody::Release {
            case,
            digest: release_digest(&[Digest([n; 32])]),
        }
    }

    /// What the ledger shows now: one more block proves it.
    pub(super) fn view(&mut self) -> View {
        let ledger = self.chain.ledger.clone();
        View::of(&mut self.chain, ledger)
    }

    pub(super) fn bundle(&mut self, subject: Subject) -> Bundle {
        let mut view = self.view();
        build(&self.chain.genesis, &mut view, subject, attachments()).unwrap()
    }

    pub(super) fn verify(&self, bundle: &Bundle) -> Result<Findings, AuditError> {
        verify(&self.chain.genesis, bundle)
    }

    /// A bundle, and what it shows.
    pub(super) fn shown(&mut self, subject: Subject) -> (Bundle, Findings) {
        let bundle = self.bundle(subject);
        let findings = self.verify(&bundle).unwrap();
        (bundle, findings)
    }
}

pub(super) fn attachments() -> Vec<Attachment> {
    let event = |name: &str, text: &str| {
        let media_type = "application/fhir+json".to_owned();
        Attachment::new(name.to_owned(), media_type, text.as_bytes().to_vec())
    };
    vec![
        event(
            "2-read.json",
            r#"{"resourceType":"AuditEvent","action":"R"}"#,
        ),
        event(
            "1-request.json",
            r#"{"resourceType":"AuditEvent","action":"E"}"#,
        ),
    ]
}

/// A chain as somebody saw it at some height.
pub(super) struct View {
    pub(super) ledger: Ledger,
    pub(super) steps: Vec<Step>,
    pub(super) blocks: Vec<(Block, Certificate)>,
}

impl View {
    /// Shows `ledger` under the header of the next block, which `chain` writes.
    pub(super) fn of(chain: &mut Chain, ledger: Ledger) -> Self {
        let electorate = ledger.prove(State::electorate_key()).unwrap();
        let blocks = chain.blocks.clone();
        chain.push(Vec::new());
        let (head, certificate) = chain.blocks.last().unwrap().clone();
        let mut steps = chain.steps.clone();
        steps.retain(|step| step.header.height < head.header.height);
        steps.push(Step {
            header: head.into_parts().header,
            certificate,
            electorate,
        });
        Self {
            ledger,
            steps,
            blocks,
        }
    }
}

impl Source for View {
    type Error = TreeError;

    fn steps(&mut self) -> Result<Vec<Step>, TreeError> {
        Ok(self.steps.clone())
    }

    fn prove(&mut self, key: Vec<u8>) -> Result<StateProof, TreeError> {
        self.ledger.prove(key)
    }

    fn block(&mut self, height: Height) -> Result<Option<(Block, Certificate)>, TreeError> {
        let mut blocks = self.blocks.iter();
        Ok(blocks
            .find(|(block, _)| block.header.height == height)
            .cloned())
    }

    fn cases_of(&mut self, patient: PatientId) -> Result<Vec<CaseId>, TreeError> {
        let cases = self.ledger.state().cases_of(patient);
        Ok(cases.map(|case| case.id).collect())
    }

    fn batches_of(
        &mut self,
        patient: PatientId,
        tier: Tier,
        up_to: Height,
    ) -> Result<Vec<BatchPlace>, TreeError> {
        let batches = self.ledger.state().batches_of(patient, tier, up_to);
        Ok(batches.map(|(place, _)| *place).collect())
    }

    fn heights_of(
        &mut self,
        _: &[CaseId],
        first: Height,
        last: Height,
    ) -> Result<Vec<Height>, TreeError> {
        Ok((first.0..=last.0).map(Height).collect())
    }
}
