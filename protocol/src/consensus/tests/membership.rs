//! Sets that change while the cluster runs, through crashes.

use super::net::Net;
use super::*;
use crate::credit::{CHANGE_DELAY, FAREWELL_HEIGHTS, Part};
use crate::ledger::{Amendment, Change, Transaction, TxBody, ValidatorInfo};
use crate::units::Sequence;

impl Net {
    /// Hands in an amendment signed by these nodes with their first keys.
    fn govern(&mut self, by: &[usize], number: u64, changes: Vec<Change>) {
        let chain = self.fixture.genesis.chain_id();
        let amendment = Amendment {
            number,
            valid_until_ms: Millis(self.now + 600_000),
            changes,
        };
        let identities = &self.fixture.identities;
        let signatures = by.iter().map(|&node| {
            let identity = &identities[node];
            (identity.id, amendment.sign(chain, &identity.vote_key))
        });
        let governance = amendment.clone().combine(signatures.collect::<Vec<_>>());
        let key = &identities[by[0]].vote_key;
        self.sequence += 1;
        let transaction = Transaction {
            chain,
            signer: key.verifying_key(),
            sequence: Sequence(self.sequence),
            valid_until_ms: Millis(self.now + 600_000),
            body: TxBody::Governance(Box::new(governance)),
        };
        self.waiting.push(transaction.sign(key));
    }

    fn info(&self, node: usize) -> ValidatorInfo {
        let people = fixture(
            u16::try_from(self.configs.len()).unwrap(),
            Profile::Balanced,
        );
        people.genesis.validators[node].clone()
    }

    fn members(&self, node: usize) -> Vec<u16> {
        let standings = self.cores[node].as_ref().unwrap().ledger().standings();
        standings.validators().ids().map(|id| id.0).collect()
    }

    fn head(&self, node: usize) -> u64 {
        self.disks[node].chain.len() as u64
    }
}

/// One node is down while another is admitted; then all wait for the newcomer, which catches up and votes; the crashed one
/// comes back into a set that it does not know; a founder is removed and stops.
#[test]
fn sets_change_while_nodes_are_down() {
    let mut net = Net::new(4, 5);
    net.run_to(&[0, 1, 2, 3], 2);
    net.crash(3);
    let newcomer = net.info(4);
    net.govern(&[0, 1, 2], 0, vec![Change::Admit(newcomer)]);
    // Four of five must vote from two heights after the amendment on: nothing goes on without the newcomer.
    let decided = loop {
        let next = net.head(0) + 1;
        net.run_to(&[0, 1, 2], next);
        let standings = net.cores[0].as_ref().unwrap().ledger().standings();
        if standings.amendments() == 1 {
            break next;
        }
    };
    net.run_to(&[0, 1, 2], decided + 1);
    assert_eq!(net.members(0), [0, 1, 2, 3, 4]);
    net.start(4);
    net.run_to(&[0, 1, 2, 4], decided + 6);
    assert!(net.voted[4].0 > decided + 1, "the newcomer votes");
    assert!(net.voted[3].0 < decided, "the crashed one did not");
    net.start(3);
    let far = net.head(0) + 4;
    net.run_to(&[0, 1, 2, 3, 4], far);
    assert!(net.voted[3].0 > decided);

    net.govern(&[1, 2, 3, 4], 1, vec![Change::Remove(ValidatorId(0))]);
    let decided = loop {
        let next = net.head(1) + 1;
        net.run_to(&[1], next);
        let standings = net.cores[1].as_ref().unwrap().ledger().standings();
        if standings.amendments() == 2 {
            break next;
        }
    };
    // It follows, but its last vote is for the last height of the old set at most.
    net.run_to(&[0, 1, 2, 3, 4], decided + 6);
    assert_eq!(net.members(0), [1, 2, 3, 4]);
    assert!(
        net.voted[0].0 <= decided + 1,
        "{} after {decided}",
        net.voted[0]
    );
    let standings = net.cores[1].as_ref().unwrap().ledger().standings();
    let part = |node: usize| standings.part_of(&net.fixture.identities[node]);
    assert_eq!((part(0), part(4)), (Part::Left, Part::Votes));
    let company = standings.company();
    let ids = |infos: &[ValidatorInfo]| infos.iter().map(|info| info.id.0).collect::<Vec<_>>();
    assert_eq!(ids(&company.members), [1, 2, 3, 4]);
    // It may learn for a while that it has left.
    assert_eq!(ids(&company.former), [0]);
    let forgotten = Height(decided + CHANGE_DELAY + FAREWELL_HEIGHTS - 1);
    assert!(company.until.is_some_and(|until| until <= forgotten));
    for height in (net.head(1)..forgotten.0).step_by(200) {
        net.run_to(&[1, 2, 3, 4], height);
    }
    net.run_to(&[1, 2, 3, 4], forgotten.0);
    let company = |node: usize, net: &Net| {
        let core = net.cores[node].as_ref().unwrap();
        core.ledger().standings().company()
    };
    assert_eq!(company(1, &net).former, []);
    for (height, finalized) in (1u64..).zip(&net.disks[1].chain) {
        let set = net.cores[1]
            .as_ref()
            .unwrap()
            .ledger()
            .standings()
            .validators_at(Height(height));
        let certificate = &finalized.certificate;
        assert_eq!(
            certificate.verify(net.fixture.genesis.chain_id(), set),
            Ok(()),
            "{height}"
        );
    }
}

/// A validator that was given its next keys goes over to them without a pause, also through a crash.
#[test]
fn a_live_validator_changes_its_keys() {
    let mut net = Net::new(4, 5);
    // The keys of a fifth person become the second ones of validator 1.
    let keys = crate::testing::fixture(5, Profile::Balanced)
        .identities
        .remove(4);
    let keys = Arc::try_unwrap(keys).expect("nobody else has it");
    let next = Arc::new(Identity {
        id: ValidatorId(1),
        ..keys
    });
    net.crash(1);
    net.configs[1].successor = Some(next);
    net.start(1);
    let info = ValidatorInfo {
        id: ValidatorId(1),
        ..net.info(4)
    };
    net.run_to(&[0, 1, 2, 3], 2);
    let parts = |net: &Net| {
        let standings = net.cores[0].as_ref().unwrap().ledger().standings();
        let config = &net.configs[1];
        [&config.me, &config.successor].map(|keys| standings.part_of(keys.as_ref().unwrap()))
    };
    assert_eq!(parts(&net), [Part::Votes, Part::Waits]);
    net.govern(&[0, 1, 2], 0, vec![Change::Rekey(info.clone())]);
    net.run_to(&[0, 1, 2, 3], 8);
    let standings = |net: &Net, node: usize| {
        net.cores[node]
            .as_ref()
            .unwrap()
            .ledger()
            .standings()
            .clone()
    };
    assert_eq!(
        standings(&net, 0).validators().get(ValidatorId(1)),
        Some(&info)
    );
    let old = parts(&net);
    assert!(
        matches!(old, [Part::Leaves | Part::Left, Part::Votes]),
        "{old:?}"
    );
    // With another one down, every vote of it is needed.
    net.crash(3);
    let far = net.head(0) + 4;
    net.run_to(&[0, 1, 2], far);
    net.crash(1);
    net.start(1);
    net.run_to(&[0, 1, 2], far + 4);
    assert!(standings(&net, 0).rows().all(|row| row.offences == 0));
}
