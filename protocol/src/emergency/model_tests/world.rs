//! Two cases, what was really signed for them, and every step that can be taken.

use super::calls::Call;
use super::mutants::Mutant;
use crate::emergency::case::tests::{HOSPITAL, PATIENT, approval, case, kin};
use crate::emergency::{Case, CaseError, CaseEvent, Circle, Purpose, Reason, Timing};
use crate::ids::{CaseId, HospitalId, KinId, PatientId};
use crate::ledger::Approval;
use crate::units::{Epoch, Millis};
use std::collections::BTreeSet;
use std::rc::Rc;

pub(super) const REQUESTED: u64 = 1_000;
pub(super) const EXPIRES: u64 = 3_000;
const SESSION: u64 = 1_500;
/// When blocks are made: at once; at the end of the waiting time; just before and at the request's expiry; when the last
/// session is over; when the last verdict is overdue.
const INSTANTS: [u64; 6] = [REQUESTED, 2_000, EXPIRES - 1, EXPIRES, 4_500, 9_000];
/// After all deadlines.
pub(super) const FAR: Millis = Millis(20_000);
/// The Byzantine kin.
const LIAR: usize = 0;
/// More releases add states and no behaviour; the limit itself is tested beside the case.
const RELEASES: usize = 2;
/// Most kin that are explored.
const KIN_MAX: usize = 5;

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) kin: u8,
    pub(super) threshold: u16,
    pub(super) not_before: u64,
    /// A rule that is broken on purpose.
    pub(super) mutant: Option<Mutant>,
}

/// What really happened to one case, whatever the case says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    /// Kin who signed an approval of exactly this case.
    pub(super) signed: u8,
    /// Those of them whose approval was handed in and taken.
    pub(super) given: u8,
    /// Whether the patient has vetoed.
    pub(super) vetoed: bool,
}

#[derive(Clone)]
pub(super) struct World {
    pub(super) cases: [Rc<Case>; 2],
    pub(super) records: [Record; 2],
    /// Whether the hospital is accredited no more.
    pub(super) is_hospital_gone: bool,
    /// Whether the issuer of the clinician's credential is accredited no more.
    pub(super) is_issuer_gone: bool,
    instant: usize,
    mutant: Option<Mutant>,
    /// What the rules can still look at in each case: for each kin, and as a whole.
    seen: [([u8; KIN_MAX], [u8; 19]); 2],
}

/// One thing that somebody does to one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Approve(usize),
    Refuse(usize),
    Release(usize),
    /// The approval that this kin signed for the other case.
    Replay(usize),
    /// An approval of this case in which one field is that of another request.
    Other(usize, Field),
    /// An approval by somebody who is not on the roster.
    Stranger,
    Veto,
    /// A veto by another patient.
    ForeignVeto,
    Read,
    Close,
    /// Reading and closing by another hospital.
    ForeignRead,
    ForeignClose,
    Review,
}

/// A field of an approval, beside the case, that binds it to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Circle,
    Epoch,
    Hospital,
    Purpose,
    Reason,
    Expiry,
}

impl Field {
    const ALL: [Self; 6] = [
        Self::Circle,
        Self::Epoch,
        Self::Hospital,
        Self::Purpose,
        Self::Reason,
        Self::Expiry,
    ];

    /// Makes this field that of another request.
    fn alter(self, approval: &mut Approval) {
        match self {
            Self::Circle => approval.circle = Circle::Second { after: id(1) },
            Self::Epoch => approval.epoch = Epoch(approval.epoch.0 + 1),
            Self::Hospital => approval.hospital = HospitalId([0xee; 32]),
            Self::Purpose => approval.purpose = Purpose::EmergencyTreatment,
            Self::Reason => approval.reason = Reason::Stroke,
            Self::Expiry => approval.expires_ms = Millis(EXPIRES + 1),
        }
    }
}

fn id(of: usize) -> CaseId {
    CaseId([u8::try_from(of).expect("two cases") + 1; 32])
}

/// Kin by place, from 0.
pub(super) fn member(place: usize) -> KinId {
    kin(u8::try_from(place).expect("few") + 1)
}

pub(super) fn bit(place: usize) -> u8 {
    1 << place
}

impl World {
    pub(super) fn new(setup: Setup) -> Self {
        let cases = [0, 1].map(|of| {
            let mut case = case(setup.kin, setup.threshold);
            case.id = id(of);
            case.requested_ms = Millis(REQUESTED);
            case.request.expires_ms = Millis(EXPIRES);
            case.timing = Timing {
                not_before_ms: Millis(setup.not_before),
                session_ms: Millis(SESSION),
                review_within_ms: Millis(1_000),
                remind_at_ms: Millis(1_500),
                second_circle_at_ms: Some(Millis(2_500)),
            };
            Rc::new(case)
        });
        let mut world = Self {
            cases,
            records: [Record::default(); 2],
            is_hospital_gone: false,
            is_issuer_gone: false,
            instant: 0,
            mutant: setup.mutant,
            seen: Default::default(),
        };
        world.look(0);
        world.look(1);
        world
    }

    pub(super) fn now(&self) -> Millis {
        Millis(INSTANTS[self.instant])
    }

    fn approval(of: usize) -> Approval {
        Approval {
            case: id(of),
            expires_ms: Millis(EXPIRES),
            ..approval()
        }
    }

    /// Takes note of a case that has changed, or of which more is signed.
    fn look(&mut self, of: usize) {
        for place in 0..self.cases[of].roster.len() {
            self.seen[of].0[place] = self.column(of, place);
        }
        self.seen[of].1 = self.row(of);
    }

    /// What the rules can still look at, for one kin in one case.
    fn column(&self, of: usize, place: usize) -> u8 {
        let (case, record, who) = (&self.cases[of], &self.records[of], member(place));
        let signed = u8::from(record.signed & bit(place) != 0);
        if !case.phase.is_live() {
            return signed;
        }
        let releases = case.releases.get(&who).map_or(0, Vec::len);
        signed
            | u8::from(case.approvals.contains_key(&who)) << 1
            | u8::from(case.refusals.contains_key(&who)) << 2
            | u8::from(record.given & bit(place) != 0) << 3
            | u8::try_from(releases).expect("few") << 4
    }

    /// What the rules can still look at, for one case as a whole.
    fn row(&self, of: usize) -> [u8; 19] {
        let (case, record) = (&self.cases[of], &self.records[of]);
        let granted = case.granted_ms.filter(|_| case.phase.is_live());
        let due = case.review_due_ms;
        let mut row = [0; 19];
        row[0] = case.phase as u8;
        row[1] = case.stage as u8;
        row[2] = u8::from(record.vetoed) | u8::from(case.overdue) << 1;
        row[3..11].copy_from_slice(&granted.map_or(0, |time| time.0).to_be_bytes());
        row[11..].copy_from_slice(&due.map_or(0, |time| time.0).to_be_bytes());
        row
    }

    /// The same world has the same key, and so have worlds that differ only in which honest kin did what, or in which of
    /// the cases is which. Who was revoked does not count: it has ended what it could, and nothing begins anew.
    pub(super) fn key(&self) -> Box<[u8]> {
        let orders = [[0, 1], [1, 0]].map(|order| {
            let mut kin = [[0; 2]; KIN_MAX];
            for (place, columns) in kin.iter_mut().enumerate() {
                *columns = order.map(|of| self.seen[of].0[place]);
            }
            kin[1..self.cases[0].roster.len()].sort_unstable();
            let mut key = Vec::with_capacity(64);
            key.push(u8::try_from(self.instant).expect("few"));
            key.extend(kin.as_flattened());
            for of in order {
                key.extend(self.seen[of].1);
            }
            key.into_boxed_slice()
        });
        let [one, other] = orders;
        one.min(other)
    }

    /// Whether somebody may come to do this, though it may well be refused. Honest kin decide once and release what they
    /// have approved, once; everything else is open to everybody.
    fn is_possible(&self, of: usize, act: Act) -> bool {
        let (case, record) = (&self.cases[of], &self.records[of]);
        let signed = |place| record.signed & bit(place) != 0;
        let decided = |place| signed(place) || case.refusals.contains_key(&member(place));
        let releases = |place| case.releases.get(&member(place)).map_or(0, Vec::len);
        match act {
            Act::Approve(LIAR) | Act::Refuse(LIAR) => true,
            Act::Approve(place) | Act::Refuse(place) => !decided(place),
            Act::Release(LIAR) => releases(LIAR) < RELEASES,
            Act::Release(place) => signed(place) && releases(place) == 0,
            Act::Replay(place) => self.records[1 - of].signed & bit(place) != 0,
            Act::Other(..)
            | Act::Stranger
            | Act::Veto
            | Act::ForeignVeto
            | Act::Read
            | Act::Close
            | Act::ForeignRead
            | Act::ForeignClose
            | Act::Review => true,
        }
    }

    /// The acts to try on a case: of honest kin who stand alike in both cases, one is enough.
    fn acts(&self, of: usize) -> Vec<Act> {
        let mut seen = BTreeSet::new();
        let places = (0..self.cases[0].roster.len()).filter(|place| {
            let columns = [0, 1].map(|of: usize| self.seen[of].0[*place]);
            *place == LIAR || seen.insert(columns)
        });
        let mut acts = vec![
            Act::Stranger,
            Act::Veto,
            Act::ForeignVeto,
            Act::Read,
            Act::Close,
            Act::ForeignRead,
            Act::ForeignClose,
            Act::Review,
        ];
        for place in places {
            acts.extend([
                Act::Approve(place),
                Act::Refuse(place),
                Act::Release(place),
                Act::Replay(place),
            ]);
            acts.extend(Field::ALL.map(|field| Act::Other(place, field)));
        }
        acts.retain(|act| self.is_possible(of, *act));
        acts
    }

    /// Does it to `case`, which is a copy, as the ledger would.
    fn perform(&self, of: usize, act: Act, case: &mut Case) -> Result<Vec<CaseEvent>, CaseError> {
        let approve = |kin, approval| Call::Approve(kin, approval);
        let other_hospital = HospitalId([0xee; 32]);
        let call = match act {
            Act::Approve(place) => approve(member(place), Self::approval(of)),
            Act::Refuse(place) => Call::Refuse(member(place)),
            Act::Release(place) => Call::Release(member(place)),
            Act::Replay(place) => approve(member(place), Self::approval(1 - of)),
            Act::Other(place, field) => {
                let mut approval = Self::approval(of);
                field.alter(&mut approval);
                approve(member(place), approval)
            }
            Act::Stranger => approve(kin(0xee), Self::approval(of)),
            Act::Veto => Call::Veto(PATIENT),
            Act::ForeignVeto => Call::Veto(PatientId([0xee; 32])),
            Act::Read => Call::Read(HOSPITAL),
            Act::Close => Call::Close(HOSPITAL),
            Act::ForeignRead => Call::Read(other_hospital),
            Act::ForeignClose => Call::Close(other_hospital),
            Act::Review => Call::Review,
        };
        self.call(call, case)
    }

    /// Calls the rule, or the broken one in its place.
    fn call(&self, call: Call, case: &mut Case) -> Result<Vec<CaseEvent>, CaseError> {
        match self.mutant {
            None => call.make(case, self.now()),
            Some(mutant) => mutant.call(call, case, self.now()),
        }
    }

    /// What is true afterwards, taken or not.
    fn note(&mut self, of: usize, act: Act, taken: bool) {
        let record = &mut self.records[of];
        if let Act::Approve(place) = act {
            record.signed |= bit(place);
            if taken {
                record.given |= bit(place);
            }
        } else if act == Act::Veto {
            record.vetoed |= taken;
        }
    }

    /// What an amendment can take away; it meets both cases, which are of one hospital and one clinician.
    fn revocations(&self) -> Vec<World> {
        let mut worlds = Vec::new();
        for hospital in [true, false] {
            let mut world = self.clone();
            let gone = match hospital {
                true => &mut world.is_hospital_gone,
                false => &mut world.is_issuer_gone,
            };
            if std::mem::replace(gone, true) {
                continue;
            }
            world.befall(
                self,
                match hospital {
                    true => Call::HospitalRevoked,
                    false => Call::IssuerRevoked,
                },
            );
            worlds.push(world);
        }
        worlds
    }

    /// What nobody can refuse, in both cases.
    fn befall(&mut self, before: &World, call: Call) {
        for of in [0, 1] {
            let mut case = Case::clone(&self.cases[of]);
            let befallen = self.call(call.clone(), &mut case);
            assert!(befallen.is_ok(), "{call:?} is refused");
            self.cases[of] = Rc::new(case);
            self.check_step(of, before);
            self.look(of);
        }
    }

    /// Every world that is one step away, each step checked.
    pub(super) fn next(&self) -> Vec<World> {
        let mut worlds = Vec::new();
        for of in [0, 1] {
            let before = &self.cases[of];
            let mut scratch = Case::clone(before);
            for act in self.acts(of) {
                let taken = self.perform(of, act, &mut scratch).is_ok();
                if !taken {
                    assert_eq!(
                        scratch, **before,
                        "{act:?} was refused and changed something"
                    );
                    if !matches!(act, Act::Approve(_)) {
                        continue;
                    }
                }
                let mut world = self.clone();
                world.note(of, act, taken);
                if taken {
                    let after = std::mem::replace(&mut scratch, Case::clone(before));
                    world.cases[of] = Rc::new(after);
                    world.check_taken(of, act, self);
                    world.check_step(of, self);
                }
                world.look(of);
                worlds.push(world);
            }
        }
        worlds.extend(self.revocations());
        if self.instant + 1 < INSTANTS.len() {
            let mut world = self.clone();
            world.instant += 1;
            world.befall(self, Call::Time);
            worlds.push(world);
        }
        worlds
    }
}
