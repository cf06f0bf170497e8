//! The patient's order to erase a batch: who may give it and when, and what it changes.

use super::chain::*;
use super::{batch, batch_body};
use crate::ids::BatchId;
use crate::ledger::*;
use crate::units::{Height, Tier};

/// A patient with one degraded batch.
fn written() -> (Chain, BatchId, BatchPlace) {
    let mut chain = Chain::new();
    chain.enrol();
    let (header, lines) = batch(&chain, &KIN[..2]);
    chain.act(HOSPITAL, batch_body(header, lines));
    let place = (patient(), Tier::Chart, chain.ledger.height(), 0);
    (chain, header.id(), place)
}

fn ordered(chain: &Chain, batch: BatchId) -> bool {
    let entry = chain.ledger.state().batch(batch).expect("on chain");
    entry.ordered_ms.is_some()
}

#[test]
fn the_patient_orders_it_once_and_nobody_else() {
    let (mut chain, batch, place) = written();
    for signer in [HOSPITAL, OTHER_HOSPITAL, KIN[0], REVIEWER] {
        let refused = chain.rejected(signer, TxBody::Erase { batch });
        assert_eq!(refused, OrderError::NotPatient { batch }.into());
    }
    let none = BatchId([9; 32]);
    let unknown = chain.rejected(PATIENT, TxBody::Erase { batch: none });
    assert_eq!(unknown, OrderError::Unknown { batch: none }.into());
    assert!(!ordered(&chain, batch));
    let events = chain.act(PATIENT, TxBody::Erase { batch });
    let author = crate::ids::HospitalId::of(&key(HOSPITAL).verifying_key());
    let patient = patient();
    let told = What::Erase {
        patient,
        author,
        batch,
        place,
    };
    assert_eq!(events, [told]);
    let entry = chain.ledger.state().batch(batch).expect("on chain");
    assert_eq!(entry.ordered_ms, Some(chain.ledger.head_time()));
    let proof = chain
        .ledger
        .prove(State::batch_key(place))
        .expect("provable");
    assert_eq!(proof.verify(&chain.ledger.state_root()), Ok(()));
    let again = chain.rejected(PATIENT, TxBody::Erase { batch });
    assert_eq!(again, OrderError::Twice { batch }.into());
}

/// Kin and hospital list the batches of an open case by what the ledger says: it must not change under their hands.
#[test]
fn nothing_is_ordered_while_a_case_is_open() {
    let (mut chain, batch, _) = written();
    let case = chain.open_case();
    let refused = chain.rejected(PATIENT, TxBody::Erase { batch });
    assert_eq!(refused, OrderError::CaseOpen.into());
    chain.act(PATIENT, TxBody::Veto { case });
    chain.act(PATIENT, TxBody::Erase { batch });
    assert!(ordered(&chain, batch));
}

/// What is to be erased is not completed any more, even by whoever has all receipts.
#[test]
fn what_is_ordered_is_not_stocked_up() {
    let (mut chain, id, _) = written();
    let (_, receipts) = batch(&chain, &KIN);
    chain.act(PATIENT, TxBody::Erase { batch: id });
    let refused = chain.rejected(
        HOSPITAL,
        TxBody::Restock {
            batch: id,
            receipts,
        },
    );
    assert!(
        matches!(refused, Rejection::Batch { field } if field.contains("erased")),
        "{refused}"
    );
}

/// The places of a drill that is under way were drawn with the batch among them.
#[test]
fn an_order_has_a_drill_drawn_anew() {
    let (mut chain, batch, _) = written();
    let entry = |chain: &Chain| {
        chain
            .ledger
            .state()
            .patient(patient())
            .expect("enrolled")
            .clone()
    };
    let every = entry(&chain).enrolment.rules.drill_every_ms;
    chain.run_after(every.0, Vec::new());
    let (first, _) = entry(&chain).drill.round.expect("a drill is due");
    chain.act(PATIENT, TxBody::Erase { batch });
    assert_eq!(entry(&chain).drill.round, None);
    chain.run(Vec::new());
    let (next, _) = entry(&chain).drill.round.expect("drawn anew");
    assert!(next > first && next > Height(0));
}
