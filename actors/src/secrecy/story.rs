//! The story: a patient enrols, a hospital writes, another is granted access and reads, and opens everything in an emergency; the case is
//! closed, the kin refresh their shares; the phone is lost, the keys are rebuilt on another and dealt anew, and there is an emergency once more.
//! And all secrets of it.

use super::search::Needles;
use super::transport::Tape;
use crate::friend_relative::kept_shares;
use crate::friend_relative::messages::{Decide, Decision, FetchUpload};
use crate::hospital::consent::messages::ReadGranted;
use crate::hospital::messages::{CloseCase, ReadCase, RequestOpening, WriteRecord};
use crate::patient::consent::messages::GrantAccess;
use crate::patient::messages::{ReadAll, Rebuild, Source};
use crate::ports::store::{Store, StoreOptions};
use crate::ports::vault::Vault;
use crate::testing::{AUTHOR, House, NEW, PATIENT, SPONSOR, kin};
use kithkin_fhir::fixture::demo_bundle;
use kithkin_protocol::consent::GrantPurpose;
use kithkin_protocol::crypto::{Digest, OpeningKey, Secret32};
use kithkin_protocol::emergency::{Purpose, Reason};
use kithkin_protocol::ids::CaseId;
use kithkin_protocol::ledger::Enrolment;
use kithkin_protocol::sharing::{HeldShare, ShareContext, TierKey, capsule_key_direct, open_share};
use kithkin_protocol::units::{Epoch, Millis, Tier};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;
use tracing_subscriber::fmt::MakeWriter;

/// Length of the pieces of plaintext that are looked for, and from one to the next.
const WINDOW: usize = 24;
const STRIDE: usize = 61;
/// Shortest value of a bundle that is looked for by itself.
const VALUE_BYTES_MIN: usize = 10;

/// Kin of the patient.
const KIN: u8 = 5;

/// The story while it is told.
pub(super) struct Story {
    house: House,
    /// Every secret that was seen in the vault at any time, by owner and name.
    vault: BTreeMap<(String, String), Secret32>,
    /// Shares of later epochs than the first, as kin kept them.
    shares: Vec<(String, HeldShare)>,
    folder: std::path::PathBuf,
}

/// The story when it is over.
pub(super) struct Told {
    /// What the cluster has left on the disk.
    pub(super) folder: TempDir,
    pub(super) log: Vec<u8>,
    pub(super) tape: Tape,
    vault: BTreeMap<(String, String), Secret32>,
    /// As it stood when the records were sealed.
    enrolment: Enrolment,
    /// Shares of later epochs than the first.
    shares: Vec<(String, HeldShare)>,
}

/// Collects log lines.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.write(line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Story {
    /// Tells it. `planted` is logged, and sent to a kin where an identifier belongs.
    pub(super) async fn told(planted: Digest) -> Told {
        let log = Log::default();
        let lines = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(log.clone());
        lines
            .try_init()
            .expect("no other test of this process logs");
        let house = House::open(4).await;
        let tape = Arc::new(Mutex::new(Tape::default()));
        let noted = tape.clone();
        house.cluster.network().tap(move |event| {
            let mut tape = noted.lock().unwrap_or_else(PoisonError::into_inner);
            tape.note(event);
        });
        let mut story = Self {
            vault: BTreeMap::new(),
            shares: Vec::new(),
            folder: house.folder().to_owned(),
            house,
        };
        let enrolment = story.begins().await;
        let case = story.emergency().await;
        let closed = story.house.ask_hospital(AUTHOR, CloseCase(case)).await;
        closed.expect("closed");
        story.refreshed().await;
        story.phone_is_lost().await;
        story.emergency().await;
        story.look_into_vault();
        tracing::trace!(planted = ?planted.0, "what must be found");
        let fetch = FetchUpload {
            root: planted,
            ground: None,
        };
        let refused = story.house.ask_kin_as(AUTHOR, 0, fetch).await;
        assert!(refused.is_err(), "there is no such upload");
        let Self {
            house,
            vault,
            mut shares,
            ..
        } = story;
        let folder = house.close().await;
        let store = Store::open(folder.path(), StoreOptions::default()).expect("it opens");
        shares.extend(shares_in(&store, folder.path(), Epoch(3)));
        store.close().expect("closed");
        let tape = std::mem::take(&mut *tape.lock().unwrap_or_else(PoisonError::into_inner));
        let log = std::mem::take(&mut *log.0.lock().unwrap_or_else(PoisonError::into_inner));
        Told {
            folder,
            log,
            tape,
            vault,
            enrolment,
            shares,
        }
    }

    /// Enrolment, records, and a hospital that may read them for a while.
    async fn begins(&mut self) -> Enrolment {
        let mut wish = self.house.wish();
        // Those who vouch for another device need not wait for the lost one.
        wish.rules.veto_ms = Millis(1);
        self.house.ask_patient(wish).await.expect("enrolled");
        self.look_into_vault();
        let write = WriteRecord {
            patient: self.house.patient(),
            bundle: Arc::new(demo_bundle().to_vec()),
            patience_ms: Millis(30_000),
        };
        let written = self.house.ask_hospital(SPONSOR, write).await;
        assert_eq!(written.expect("written").batches.len(), Tier::ALL.len());
        let wish = GrantAccess {
            hospital: self.house.hospital(AUTHOR),
            scopes: Tier::ALL
                .into_iter()
                .map(|tier| (tier, BTreeSet::new()))
                .collect(),
            purpose: GrantPurpose::Treatment,
            begins_in_ms: Millis(0),
            ends_in_ms: Millis(600_000),
        };
        let granted = self.house.ask_patient(wish).await.expect("both sign");
        assert!(granted.delivered && granted.left_out.is_empty());
        self.look_into_vault();
        let read = ReadGranted {
            grant: granted.grant,
            tiers: BTreeSet::new(),
            within_ms: Millis(30_000),
        };
        let opened = self.house.ask_hospital(AUTHOR, read).await.expect("read");
        assert!(opened.unopened.is_empty() && opened.shut.is_empty());
        assert_eq!(opened.records.len(), granted.keys);
        self.house.on_chain().await.expect("enrolled").enrolment
    }

    /// From the request to the opened records, on the hospital's screen and the patient's; the case stays open.
    async fn emergency(&mut self) -> CaseId {
        let request = RequestOpening {
            patient: self.house.patient(),
            tiers: Tier::ALL.to_vec(),
            purpose: Purpose::BreakGlass,
            reason: Reason::Unconscious,
            encounter: "encounter 1".to_owned(),
            expires_in_ms: Millis(600_000),
            session_ms: Millis(600_000),
            credential: None,
            after: None,
        };
        let requested = self.house.ask_hospital(AUTHOR, request).await;
        let case = requested.expect("requested").case;
        self.look_into_vault();
        for n in 0..3 {
            let decision = Decision::Approve;
            let decided = self.house.ask_kin(n, Decide { case, decision }).await;
            decided.expect("approved");
        }
        let read = ReadCase {
            case,
            tier: None,
            within_ms: Millis(30_000),
        };
        let opened = self.house.ask_hospital(AUTHOR, read).await;
        assert_eq!(opened.expect("opened").unopened, Vec::new());
        let own = ReadAll {
            tiers: Tier::ALL.to_vec(),
            only: Vec::new(),
            source: Source::Hospital,
        };
        let device = self.house.on_chain().await.expect("enrolled").device;
        let read = if device == self.house.identity(PATIENT).account() {
            self.house.ask_patient(own).await
        } else {
            self.house.ask_new_device(own).await
        };
        read.expect("read by the patient");
        self.look_into_vault();
        case
    }

    /// Waits until the kin have shares of another epoch, and notes them.
    async fn refreshed(&mut self) {
        let entry = self
            .house
            .until_on_chain(|entry| entry.epoch > Enrolment::EPOCH);
        assert_eq!(entry.await.epoch, Epoch(2));
        // Kin take up what stands on chain when they hear of it.
        for n in 0..KIN {
            self.house.until_looked(kin(n), 2).await;
        }
        self.look_into_vault();
        let store = self.house.cluster.store();
        self.shares.extend(shares_in(store, &self.folder, Epoch(2)));
        // Looking into their key spaces took these over: the kin go on in new incarnations.
        for n in 0..KIN {
            self.house.crash(kin(n)).await;
        }
    }

    /// Kin vouch for another device; it rebuilds the keys from their shares and deals others.
    async fn phone_is_lost(&mut self) {
        self.house.vouch_for_new_device().await;
        let account = self.house.identity(NEW).account();
        self.house
            .until_on_chain(|entry| entry.device == account)
            .await;
        let patient = self.house.patient();
        let rebuilt = self.house.ask_new_device(Rebuild { patient }).await;
        let rebuilt = rebuilt.expect("rebuilt");
        assert_eq!((rebuilt.wrong, rebuilt.silent), (Vec::new(), Vec::new()));
        self.look_into_vault();
        self.house
            .until_on_chain(|entry| entry.epoch == Epoch(3))
            .await;
        for n in 0..KIN {
            self.house.until_looked(kin(n), 2).await;
        }
        self.look_into_vault();
    }

    fn look_into_vault(&mut self) {
        let keys = self.folder.join("keys");
        let vault = Vault::open(&keys).expect("the vault opens");
        for entry in std::fs::read_dir(&keys).expect("a folder") {
            let owner = entry.expect("an entry").file_name();
            let owner = owner.into_string().expect("a name");
            let of_owner = vault.keys_of(&owner);
            for name in of_owner.names().expect("names") {
                // One that is destroyed at this moment is none any more.
                if let Some(secret) = of_owner.load(&name).expect("readable") {
                    self.vault.insert((owner.clone(), name), secret);
                }
            }
        }
    }
}

/// What kin keep of shares of this epoch, opened with what is in the vault.
fn shares_in(store: &Store, folder: &Path, of: Epoch) -> Vec<(String, HeldShare)> {
    let vault = Vault::open(&folder.join("keys")).expect("the vault opens");
    let mut shares = Vec::new();
    for n in 0..KIN {
        let name = kin(n).to_string();
        let space = store.space(&name).expect("a space");
        for (epoch, tier, share) in kept_shares(space, &vault.keys_of(&name)) {
            assert_eq!(epoch, of, "{name} has not taken up its new shares");
            shares.push((format!("share of {name}, {tier}, epoch {epoch}"), share));
        }
    }
    assert_eq!(shares.len(), usize::from(KIN) * Tier::ALL.len());
    shares
}

impl Told {
    /// Everything that must not be found.
    pub(super) fn needles(&self, needles: &mut Needles) {
        for ((owner, name), secret) in &self.vault {
            needles.secret(format!("{name} of {owner}"), secret.expose());
        }
        for (name, share) in &self.shares {
            needles.secret(name.clone(), &share.share().to_bytes()[1..]);
        }
        self.dealt_shares(needles);
        self.record_keys(needles);
        self.texts(needles);
    }

    /// Shares of the first epoch, as the patient's device dealt them.
    fn dealt_shares(&self, needles: &mut Needles) {
        let mut count = 0;
        for (to, offer) in &self.tape.offers {
            let seed = &self.vault[&(to.to_string(), "opening".to_owned())];
            let key = OpeningKey::from_seed(seed.clone());
            for (tier, sealed) in &offer.shares {
                let context = ShareContext {
                    patient: offer.patient,
                    tier: *tier,
                    epoch: Epoch(1),
                };
                let shares = offer.enrolment.tier(*tier).expect("all tiers");
                let commitments = &shares.commitments;
                let share = open_share(sealed, &key, offer.index, &context, commitments);
                let share = share.expect("dealt to this kin");
                let name = format!("share of {to}, {tier}, epoch 1");
                needles.secret(name, &share.to_bytes()[1..]);
                count += 1;
            }
        }
        assert!(
            count >= usize::from(KIN) * Tier::ALL.len(),
            "{count} shares"
        );
    }

    /// The key of every record, by the patient's own keys.
    fn record_keys(&self, needles: &mut Needles) {
        let tiers: Vec<TierKey> = self
            .vault
            .iter()
            .filter(|((owner, name), _)| *owner == PATIENT.to_string() && name.starts_with("tier-"))
            .map(|(_, secret)| TierKey::from_secret(secret).expect("a key"))
            .collect();
        let mut records = 0;
        for upload in self.tape.uploads.values() {
            let shares = self.enrolment.tier(upload.tier).expect("all tiers");
            let public = shares.commitments.public_key();
            let key = tiers.iter().find(|key| key.public() == *public);
            let key = key.expect("the patient's device has it");
            for checked in upload.check(&shares.commitments).expect("good capsules") {
                let capsule_key = capsule_key_direct(key, &checked).expect("its own key");
                let dek = capsule_key.record_key(checked.capsule()).expect("its own");
                needles.secret(
                    format!("key of record {}", checked.context().record),
                    dek.expose(),
                );
                records += 1;
            }
        }
        assert_eq!(records, self.tape.opened.len(), "every record was opened");
    }

    /// Pieces of every record, and values of the bundle.
    fn texts(&self, needles: &mut Needles) {
        for (n, record) in self.tape.opened.values().enumerate() {
            for (at, window) in record.bytes.windows(WINDOW).enumerate().step_by(STRIDE) {
                needles.text(
                    format!("record {n} of {}, from byte {at}", record.tier),
                    window,
                );
            }
        }
        let bundle: Value = serde_json::from_slice(demo_bundle()).expect("JSON");
        let mut values = Vec::new();
        collect(&bundle, &mut values);
        for value in values {
            needles.text(format!("value {value}"), value.as_bytes());
        }
    }
}

/// Names, codes and words in a bundle.
fn collect<'a>(value: &'a Value, values: &mut Vec<&'a str>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| collect(one, values)),
        Value::Object(members) => {
            for (name, member) in members {
                let telling = [
                    "family",
                    "display",
                    "text",
                    "value",
                    "code",
                    "reference",
                    "line",
                ];
                match member {
                    Value::String(text) if telling.contains(&name.as_str()) => {
                        let long = text.len() >= VALUE_BYTES_MIN;
                        if long && !values.contains(&text.as_str()) {
                            values.push(text);
                        }
                    }
                    _ => collect(member, values),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
