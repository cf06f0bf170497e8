//! One validator, two hospitals, a patient with three kin, and a chain that they write.

use crate::consensus::{Certificate, Vote, VoteKind};
use crate::crypto::group::ScalarBytes;
use crate::crypto::vrf::VrfSecretKey;
use crate::crypto::{OpeningKey, Secret32, Signature, SigningKey};
use crate::emergency::{
    CaseEvent, Circle, ClinicalRole, Credential, Escalation, Phase, Purpose, Reason, Request,
    Scope, TierPolicy,
};
use crate::ids::{AccountId, CaseId, HospitalId, KinId, PatientId, ValidatorId};
use crate::ledger::*;
use crate::sharing::{SchnorrProof, SessionSecret, Threshold, TierKey, deal};
use crate::units::{Epoch, Sequence, Tier, View};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use std::collections::BTreeMap;

pub(super) fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(Secret32::new([n; 32]))
}

pub(super) const VALIDATOR: u8 = 1;
pub(super) const HOSPITAL: u8 = 2;
pub(super) const OTHER_HOSPITAL: u8 = 3;
pub(super) const REVIEWER: u8 = 4;
pub(super) const PATIENT: u8 = 5;
pub(super) const KIN: [u8; 3] = [11, 12, 13];
pub(super) const SECOND_KIN: [u8; 3] = [31, 32, 33];
pub(super) const CLINICIAN: u8 = 20;

pub(super) fn hospital_info(n: u8) -> HospitalInfo {
    HospitalInfo {
        key: key(n).verifying_key(),
        sealing: OpeningKey::from_seed(Secret32::new([n; 32])).sealing_key(),
        name: format!("hospital {n}"),
    }
}

pub(super) fn genesis() -> Genesis {
    Genesis {
        time_ms: Millis(1_000_000),
        profile: Profile::Balanced,
        workload: Workload::Records,
        validators: vec![ValidatorInfo {
            id: ValidatorId(0),
            vote_key: key(VALIDATOR).verifying_key(),
            vrf_key: VrfSecretKey::from_seed(Secret32::new([99; 32])).public_key(),
            network_key: key(98).verifying_key(),
            hospital: Some(HospitalId::of(&key(HOSPITAL).verifying_key())),
        }],
        hospitals: vec![hospital_info(HOSPITAL), hospital_info(OTHER_HOSPITAL)],
        reviewers: vec![ReviewerInfo {
            key: key(REVIEWER).verifying_key(),
            hospital: None,
        }],
        review_within_ms: Millis(7 * 24 * 3_600_000),
    }
}

/// A chain with one validator and everybody's sequence numbers.
pub(super) struct Chain {
    pub(super) ledger: Ledger,
    pub(super) stored: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) last: Option<Certificate>,
    pub(super) sequences: BTreeMap<u8, u64>,
    pub(super) rng: ChaCha20Rng,
    summary: TierKey,
}

impl Chain {
    pub(super) fn new() -> Self {
        Self::of(Workload::Records)
    }

    pub(super) fn of(workload: Workload) -> Self {
        Self::founded(Genesis {
            workload,
            ..genesis()
        })
    }

    pub(super) fn founded(genesis: Genesis) -> Self {
        let (ledger, writes) = Ledger::genesis(&genesis).expect("a valid genesis");
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let mut chain = Self {
            ledger,
            stored: BTreeMap::new(),
            last: None,
            sequences: BTreeMap::new(),
            summary: TierKey::random(&mut rng),
            rng,
        };
        chain.store(&writes);
        chain
    }

    pub(super) fn store(&mut self, writes: &[Write]) {
        for (key, value) in writes {
            match value {
                Some(value) => self.stored.insert(key.clone(), value.clone()),
                None => self.stored.remove(key),
            };
        }
    }

    pub(super) fn sign(&mut self, signer: u8, body: TxBody) -> SignedTransaction {
        let sequence = self.sequences.entry(signer).or_default();
        *sequence += 1;
        let sequence = Sequence(*sequence - 1);
        self.sign_with(signer, sequence, body)
    }

    pub(super) fn sign_with(
        &self,
        signer: u8,
        sequence: Sequence,
        body: TxBody,
    ) -> SignedTransaction {
        Transaction {
            chain: self.ledger.chain(),
            signer: key(signer).verifying_key(),
            sequence,
            valid_until_ms: self.ledger.head_time().plus(60_000),
            body,
        }
        .sign(&key(signer))
    }

    pub(super) fn block(&self, after_ms: u64, transactions: Vec<SignedTransaction>) -> Block {
        let vrf = VrfSecretKey::from_seed(Secret32::new([99; 32]));
        let (_, vrf_proof) = vrf
            .prove(&self.ledger.standings().beacon_input())
            .expect("provable");
        Block::new(
            Header {
                chain: self.ledger.chain(),
                height: self.ledger.height().plus(1),
                parent_id: self.ledger.head_id(),
                parent_state_root: self.ledger.state_root(),
                author: ValidatorId(0),
                view: View(1),
                time_ms: self.ledger.head_time().plus(after_ms),
                tx_root: Block::tx_root(&transactions),
                parent_cert: self.last.clone(),
                late_votes: Vec::new(),
                evidence: Vec::new(),
                vrf_proof,
            },
            transactions,
        )
    }

    /// Executes a block and checks that what was stored gives the same ledger back.
    pub(super) fn run_after(
        &mut self,
        after_ms: u64,
        transactions: Vec<SignedTransaction>,
    ) -> Vec<What> {
        let block = self.block(after_ms, transactions);
        assert_eq!(self.ledger.check_block(&block), Ok(()));
        let effects = self.ledger.execute(&block).expect("a checked block");
        self.store(&effects.writes);
        let vote = Vote::sign(
            self.ledger.chain(),
            VoteKind::Finalize,
            block.header.height,
            View(1),
            block.id(),
            ValidatorId(0),
            &key(VALIDATOR),
        );
        self.last = Some(Certificate {
            kind: VoteKind::Finalize,
            height: block.header.height,
            view: View(1),
            id: block.id(),
            votes: vec![(vote.signer, vote.signature)],
        });
        let entries: Vec<_> = self.stored.clone().into_iter().collect();
        let restored = Ledger::restore(&entries).expect("a stored ledger");
        assert_eq!(restored.state_root(), self.ledger.state_root());
        assert_eq!(restored.head_id(), self.ledger.head_id());
        effects.events.into_iter().map(|event| event.what).collect()
    }

    pub(super) fn run(&mut self, transactions: Vec<SignedTransaction>) -> Vec<What> {
        self.run_after(1, transactions)
    }

    pub(super) fn act(&mut self, signer: u8, body: TxBody) -> Vec<What> {
        let transaction = self.sign(signer, body);
        self.run(vec![transaction])
    }

    pub(super) fn rejected(&mut self, signer: u8, body: TxBody) -> Rejection {
        // What time does by itself stands in front.
        match self.act(signer, body).as_slice() {
            [.., What::Rejected { reason, .. }] => reason.clone(),
            other => panic!("expected a rejection, got {other:?}"),
        }
    }

    /// What the ledger says to a request that it refuses; the patient must have been told the same.
    pub(super) fn refused(&mut self, hospital: u8, request: Request) -> Rejection {
        let expected = HospitalId::of(&key(hospital).verifying_key());
        match self
            .act(hospital, TxBody::Request(Box::new(request)))
            .as_slice()
        {
            [
                ..,
                What::Attempt {
                    patient: told,
                    hospital: of,
                    reason: seen,
                },
                What::Rejected { reason, signer },
            ] => {
                assert_eq!((*told, *of), (patient(), expected));
                assert_eq!((seen, *signer), (reason, expected.into()));
                reason.clone()
            }
            other => panic!("expected a refused request, got {other:?}"),
        }
    }

    pub(super) fn enrolment(&mut self) -> Enrolment {
        let tiers = Tier::ALL
            .into_iter()
            .map(|tier| {
                let threshold = Threshold::majority(KIN.len()).expect("three kin");
                let other = TierKey::random(&mut self.rng);
                let tier_key = match tier {
                    Tier::Summary => &self.summary,
                    Tier::Chart | Tier::Sensitive => &other,
                };
                let (commitments, _) = deal(tier_key, threshold, &mut self.rng).expect("dealt");
                TierShares {
                    tier,
                    commitments,
                    policy: TierPolicy::default_for(tier),
                }
            })
            .collect();
        let mut enrolment = Enrolment {
            sealing: OpeningKey::from_seed(Secret32::new([PATIENT; 32])).sealing_key(),
            roster: KIN.iter().map(member).collect(),
            tiers,
            rules: crate::roster::RosterRules::default(),
            escalation: Escalation::default(),
            second: None,
            sponsor: HospitalId::of(&key(HOSPITAL).verifying_key()),
            sponsor_signature: Signature([0; 64]),
            acceptances: Vec::new(),
        };
        self.accept(&mut enrolment);
        enrolment
    }

    /// A second circle of three, with a sharing of the summary key of its own; nobody has accepted yet.
    pub(super) fn second_circle(&mut self) -> SecondCircle {
        let threshold = Threshold::majority(SECOND_KIN.len()).expect("three kin");
        let (commitments, _) = deal(&self.summary, threshold, &mut self.rng).expect("dealt");
        SecondCircle {
            roster: SECOND_KIN.iter().map(member).collect(),
            commitments,
            acceptances: Vec::new(),
        }
    }

    pub(super) fn accept(&self, enrolment: &mut Enrolment) {
        let digest = enrolment.digest(self.ledger.chain(), patient());
        enrolment.sponsor_signature = Enrolment::sponsor(&digest, &key(HOSPITAL));
        let accept = |n: &u8| {
            let kin = KinId::of(&key(*n).verifying_key());
            key(*n).sign(&Enrolment::acceptance(&digest, kin))
        };
        enrolment.acceptances = KIN.iter().map(accept).collect();
        if let Some(second) = &mut enrolment.second {
            second.acceptances = SECOND_KIN.iter().map(accept).collect();
        }
    }

    pub(super) fn enrol(&mut self) {
        self.enrol_with(|_, _| ());
    }

    /// Enrols the patient with a change that everybody agrees to.
    pub(super) fn enrol_with(&mut self, change: impl FnOnce(&mut Self, &mut Enrolment)) {
        let mut enrolment = self.enrolment();
        change(self, &mut enrolment);
        self.accept(&mut enrolment);
        let events = self.act(PATIENT, TxBody::Enrol(Box::new(enrolment)));
        assert_eq!(events, vec![What::Enrolled { patient: patient() }]);
    }

    pub(super) fn request(&mut self) -> Request {
        self.request_of(HOSPITAL)
    }

    pub(super) fn request_of(&mut self, hospital: u8) -> Request {
        self.request_vouched(hospital, hospital)
    }

    /// A clinician's credential for work at a hospital, good for a day.
    pub(super) fn credential(&self, hospital: u8, issuer: u8) -> Credential {
        Credential {
            clinician: key(CLINICIAN).verifying_key(),
            issuer: AccountId([0; 32]),
            role: ClinicalRole::Physician,
            hospital: HospitalId::of(&key(hospital).verifying_key()),
            valid_until_ms: self.ledger.head_time().plus(24 * 3_600_000),
            signature: Signature([0; 64]),
        }
        .signed(self.ledger.chain(), &key(issuer))
    }

    /// A request of a hospital for whose clinician `issuer` vouches.
    pub(super) fn request_vouched(&mut self, hospital: u8, issuer: u8) -> Request {
        let credential = self.credential(hospital, issuer);
        self.request_for(hospital, credential, |_| ())
    }

    /// A request of `hospital`, changed before it is proved and signed.
    pub(super) fn request_with(
        &mut self,
        hospital: u8,
        change: impl FnOnce(&mut Request),
    ) -> Request {
        let credential = self.credential(hospital, hospital);
        self.request_for(hospital, credential, change)
    }

    /// A request of `hospital` with a credential, changed before it is proved and signed.
    pub(super) fn request_for(
        &mut self,
        hospital: u8,
        credential: Credential,
        change: impl FnOnce(&mut Request),
    ) -> Request {
        let hospital = HospitalId::of(&key(hospital).verifying_key());
        let secret = SessionSecret::random(&mut self.rng);
        let mut request = Request {
            patient: patient(),
            epoch: Epoch(1),
            circle: Circle::First,
            scopes: vec![Scope {
                tier: Tier::Summary,
                up_to: self.ledger.height(),
                only: Vec::new(),
            }],
            purpose: Purpose::BreakGlass,
            reason: Reason::Unconscious,
            encounter: Digest([1; 32]),
            clinician: key(CLINICIAN).verifying_key(),
            credential: Some(credential),
            session: crate::sharing::SessionPublic {
                point: secret.point(),
                proof: SchnorrProof {
                    challenge: ScalarBytes([0; 32]),
                    response: ScalarBytes([0; 32]),
                },
            },
            session_key: OpeningKey::random(&mut self.rng).sealing_key(),
            expires_ms: self.ledger.head_time().plus(600_000),
            session_ms: Millis(60_000),
            clinician_signature: Signature([0; 64]),
        };
        change(&mut request);
        let chain = self.ledger.chain();
        request.session = secret.prove(&request.binding(chain, hospital), &mut self.rng);
        request.signed(chain, hospital, &key(CLINICIAN))
    }

    pub(super) fn open_case(&mut self) -> CaseId {
        let request = self.request();
        self.opened(HOSPITAL, request)
    }

    /// The case that a request opens.
    pub(super) fn opened(&mut self, hospital: u8, request: Request) -> CaseId {
        let events = self.act(hospital, TxBody::Request(Box::new(request)));
        let opened = events.iter().find_map(|what| match what {
            What::Case {
                case,
                step: CaseEvent::Requested,
                ..
            } => Some(*case),
            _ => None,
        });
        opened.unwrap_or_else(|| panic!("expected a case, got {events:?}"))
    }

    pub(super) fn approval(&self, case: CaseId) -> TxBody {
        let case = self.ledger.state().case(case).expect("on chain");
        TxBody::Approve(Approval::of(case))
    }

    pub(super) fn phase(&self, case: CaseId) -> Phase {
        self.ledger.state().case(case).expect("on chain").phase
    }
}

fn member(n: &u8) -> Member {
    Member {
        key: key(*n).verifying_key(),
        sealing: OpeningKey::from_seed(Secret32::new([*n; 32])).sealing_key(),
        relation: crate::roster::Relation::Friend,
    }
}

pub(super) fn patient() -> PatientId {
    PatientId::of(&key(PATIENT).verifying_key())
}
