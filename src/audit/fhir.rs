//! What a bundle proves, said in FHIR: a collection of AuditEvents (IHE BALP) and Provenance.
//!
//! | proved | resource |
//! |---|---|
//! | a request | Provenance of the case: the clinician is its author, for the hospital |
//! | a kin's approval or refusal | AuditEvent, BALP AuthZconsent |
//! | the first release | AuditEvent, emergency override started |
//! | a release, for each tier that holds records | AuditEvent, BALP PrivacyDisclosure.Source |
//! | a report of a read | AuditEvent, BALP PatientRead: that it was reported is proved |
//! | the end of an opened case | AuditEvent, emergency override stopped |
//! | a verdict | Provenance of the case: the reviewer has verified it |
//!
//! Everything derives from the findings: the same findings give the same bytes. The ledger knows keys and no machines, so a
//! machine stands here under the account that signed. A release says nothing of single records: what is disclosed are the
//! records of the batches that the bundle shows for the tier. The other end of a disclosure is no fact of the ledger.

use kithkin_fhir::FactError;
use kithkin_fhir::audit::{
    Decision, Disclosure, Event, Override, Phase, Read, Records, Requester, Side, Stamp, Verdict,
    event,
};
use kithkin_fhir::code::{ActReason, AgentRole, DataOperation};
use kithkin_fhir::fact::{Address, Identifier, Ledger, Machine, Namespace, Party, PartyKind};
use kithkin_fhir::provenance::{Agent, Provenance, Target, provenance};
use kithkin_protocol::audit::words::{reason_words, refusal_words};
use kithkin_protocol::audit::{
    CaseFinding, Decision as Decided, Findings, Mark, ReadReport, Release, ScopeFinding, Subject,
};
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::emergency::Purpose;
use kithkin_protocol::ids::{AccountId, KinId, PatientId};
use serde_json::{Map, Value, json};

/// Name of the document in the bundle. The number is that of these rules: other rules, another name.
pub const NAME: &str = "events-1.fhir.json";

/// What it is.
pub const MEDIA_TYPE: &str = "application/fhir+json";

/// Where resources would stand on a server. The address leads nowhere (RFC 2606).
const BASE: &str = "https://kithkin.invalid/fhir";

/// Writes the events of all cases, in the order of the chain, as a collection.
///
/// # Errors
/// [`FactError`] when something cannot be written; no findings of a ledger lead there.
pub fn events(findings: &Findings) -> Result<Vec<u8>, FactError> {
    let mut entries = Vec::new();
    for case in &findings.cases {
        let told = Told {
            patient: findings.patient.id,
            case,
        };
        let mut resources = told.resources()?;
        // Stable: what stands at one place stays in the order in which it was told.
        resources.sort_by_key(|(mark, _)| (mark.height, mark.index));
        entries.extend(resources.into_iter().map(|(_, resource)| entry(resource)));
    }
    let identifier = match findings.subject {
        Subject::Case(id) => Identifier::new(Namespace::Case, id.to_hex()),
        Subject::Patient(id) => Identifier::new(Namespace::Patient, id.to_hex()),
    };
    let mut bundle = json!({
        "resourceType": "Bundle",
        "type": "collection",
        "identifier": {"system": identifier.system, "value": identifier.value},
    });
    // An empty list is none in FHIR.
    if let (Some(members), false) = (bundle.as_object_mut(), entries.is_empty()) {
        members.insert("entry".to_owned(), Value::Array(entries));
    }
    Ok(sorted(bundle).to_string().into_bytes())
}

fn entry(resource: Value) -> Value {
    let part = |name: &str| resource[name].as_str().unwrap_or_default().to_owned();
    let url = format!("{BASE}/{}/{}", part("resourceType"), part("id"));
    json!({"fullUrl": url, "resource": resource})
}

/// The same value with the members of every object in the order of their names, however the library keeps them.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members.into_iter().collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            let members = members
                .into_iter()
                .map(|(name, value)| (name, sorted(value)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// A case, about to be told.
struct Told<'a> {
    patient: PatientId,
    case: &'a CaseFinding,
}

/// A resource and where what it says stands.
type Placed = (Mark, Value);

impl Told<'_> {
    fn resources(&self) -> Result<Vec<Placed>, FactError> {
        let case = self.case;
        let mut all = vec![self.requested()?];
        for decision in &case.decisions {
            all.push(self.decided(decision)?);
        }
        if let Some(first) = case.releases.first() {
            all.push(self.overridden(Phase::Started, first.mark, first.mark.time_ms.0)?);
        }
        for release in &case.releases {
            for scope in &case.scopes {
                all.extend(self.released(release, scope)?);
            }
        }
        for read in &case.reads {
            all.extend(self.read(read)?);
        }
        if let (Some(closing), false) = (case.closed, case.releases.is_empty()) {
            // Time leaves no transaction: the last one before says until when the case is open.
            let mark = closing
                .mark
                .unwrap_or_else(|| self.last_before(closing.time_ms.0));
            all.push(self.overridden(Phase::Stopped, mark, closing.time_ms.0)?);
        }
        if let Some(judged) = case.verdict {
            all.push(self.judged(judged.reviewer, judged.mark)?);
        }
        Ok(all)
    }

    fn requested(&self) -> Result<Placed, FactError> {
        let hospital = party(
            PartyKind::Organization,
            Namespace::Hospital,
            self.hospital(),
        );
        let author = Agent {
            role: AgentRole::Author,
            who: party(
                PartyKind::Practitioner,
                Namespace::Clinician,
                self.clinician(),
            ),
            on_behalf_of: Some(hospital),
        };
        let mark = self.case.requested;
        self.provenance(mark, DataOperation::Create, vec![self.purpose()], author)
    }

    fn judged(&self, reviewer: AccountId, mark: Mark) -> Result<Placed, FactError> {
        let verifier = Agent {
            role: AgentRole::Verifier,
            who: party(
                PartyKind::Practitioner,
                Namespace::Clinician,
                reviewer.to_hex(),
            ),
            on_behalf_of: None,
        };
        let reasons = vec![ActReason::Compliance];
        self.provenance(mark, DataOperation::Append, reasons, verifier)
    }

    fn provenance(
        &self,
        mark: Mark,
        activity: DataOperation,
        reasons: Vec<ActReason>,
        agent: Agent,
    ) -> Result<Placed, FactError> {
        let stated = Provenance {
            targets: vec![Target::Identified(self.case_id())],
            recorded_ms: mark.time_ms.0,
            occurred: None,
            activity,
            reasons,
            agents: vec![agent],
            ledger: ledger(mark),
            test_data: false,
        };
        Ok((mark, provenance(&stated)?))
    }

    fn decided(&self, decision: &Decided) -> Result<Placed, FactError> {
        let case = self.case;
        let consent = format!("{}-epoch-{}", self.patient.to_hex(), case.epoch);
        let decided = Decision {
            patient: self.patient_id(),
            requester: self.requester(),
            client: machine(self.hospital()),
            purpose: self.purpose(),
            kin: kin(decision.kin),
            consent: Identifier::new(Namespace::Consent, consent),
            case: self.case_id(),
            tiers: case.scopes.iter().map(|scope| scope.tier).collect(),
            verdict: match decision.refused {
                None => Verdict::Approved,
                Some(reason) => Verdict::Refused {
                    reason: refusal_words(reason).to_owned(),
                },
            },
        };
        self.event(
            decision.mark,
            decision.mark.time_ms.0,
            Event::Decision(decided),
        )
    }

    fn overridden(&self, phase: Phase, mark: Mark, at_ms: u64) -> Result<Placed, FactError> {
        let changed = Override {
            phase,
            patient: self.patient_id(),
            requester: self.requester(),
            node: machine(self.hospital()),
            case: self.case_id(),
            reason: match phase {
                Phase::Started => Some(reason_words(self.case.reason).to_owned()),
                Phase::Stopped => None,
            },
        };
        self.event(mark, at_ms, Event::Override(changed))
    }

    /// None for a tier of which no record is shown: nothing was disclosed.
    fn released(
        &self,
        release: &Release,
        scope: &ScopeFinding,
    ) -> Result<Option<Placed>, FactError> {
        let held = scope.batches.iter().map(|batch| batch.records);
        let held = held.fold(0u32, u32::saturating_add);
        let count = match u32::try_from(scope.only) {
            Ok(named) if named > 0 => named.min(held),
            _ => held,
        };
        if count == 0 {
            return Ok(None);
        }
        let disclosed = Disclosure {
            side: Side::Source,
            patient: self.patient_id(),
            requester: self.requester(),
            kin: kin(release.kin),
            source: machine(release.kin.to_hex()),
            recipient: machine(self.hospital()),
            records: Records {
                id: records(release.digest),
                case: self.case_id(),
                tier: scope.tier,
                count,
            },
        };
        let at_ms = release.mark.time_ms.0;
        let placed = self.event(release.mark, at_ms, Event::Disclosure(disclosed))?;
        Ok(Some(placed))
    }

    /// None for a report of nothing.
    fn read(&self, report: &ReadReport) -> Result<Option<Placed>, FactError> {
        if report.records == 0 {
            return Ok(None);
        }
        let read = Read {
            patient: self.patient_id(),
            requester: self.requester(),
            client: machine(self.clinician()),
            server: machine(self.hospital()),
            records: Records {
                id: records(report.digest),
                case: self.case_id(),
                tier: report.tier,
                count: report.records,
            },
        };
        let placed = self.event(report.mark, report.mark.time_ms.0, Event::Read(read))?;
        Ok(Some(placed))
    }

    fn event(&self, mark: Mark, recorded_ms: u64, what: Event) -> Result<Placed, FactError> {
        let stamp = Stamp {
            recorded_ms,
            ledger: ledger(mark),
            purposes: vec![self.purpose()],
            test_data: false,
        };
        Ok((mark, event(&stamp, &what)?))
    }

    /// The last transaction of the case up to a time.
    fn last_before(&self, time_ms: u64) -> Mark {
        let case = self.case;
        let decisions = case.decisions.iter().map(|decision| decision.mark);
        let releases = case.releases.iter().map(|release| release.mark);
        let reads = case.reads.iter().map(|read| read.mark);
        let all = decisions.chain(releases).chain(reads);
        let before = all.filter(|mark| mark.time_ms.0 <= time_ms);
        before
            .max_by_key(|mark| (mark.height, mark.index))
            .unwrap_or(case.requested)
    }

    fn purpose(&self) -> ActReason {
        match self.case.purpose {
            Purpose::BreakGlass => ActReason::BreakGlass,
            Purpose::EmergencyTreatment => ActReason::EmergencyTreatment,
        }
    }

    fn requester(&self) -> Requester {
        Requester {
            clinician: Identifier::new(Namespace::Clinician, self.clinician()),
            hospital: Identifier::new(Namespace::Hospital, self.hospital()),
        }
    }

    fn patient_id(&self) -> Identifier {
        Identifier::new(Namespace::Patient, self.patient.to_hex())
    }

    fn case_id(&self) -> Identifier {
        Identifier::new(Namespace::Case, self.case.id.to_hex())
    }

    fn hospital(&self) -> String {
        self.case.hospital.id.to_hex()
    }

    fn clinician(&self) -> String {
        AccountId::of(&self.case.clinician).to_hex()
    }
}

fn ledger(mark: Mark) -> Ledger {
    Ledger {
        transaction: mark.transaction.to_hex(),
        height: mark.height.0,
    }
}

fn kin(id: KinId) -> Identifier {
    Identifier::new(Namespace::Kin, id.to_hex())
}

fn records(digest: Digest) -> Identifier {
    Identifier::new(Namespace::Record, digest.to_hex())
}

fn party(kind: PartyKind, namespace: Namespace, id: String) -> Party {
    Party {
        kind,
        id: Identifier::new(namespace, id),
    }
}

/// The machine of an account: the ledger knows no other name of it.
fn machine(account: String) -> Machine {
    Machine {
        address: Address::Uri(format!("urn:kithkin:account:{account}")),
        id: Identifier::new(Namespace::Node, account),
    }
}
