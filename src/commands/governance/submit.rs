//! `kithkin governance submit`: from a file with a quorum's signatures to a final block.

use super::state::{ANSWER_WITHIN, LedgerView, Source, silent};
use super::{Failure, failure, keys, words};
use crate::cli::SubmitArgs;
use crate::commands::submitting::{self, Paper};
use anyhow::anyhow;
use kithkin_actors::node::amendment::{AmendmentError, Draft};
use kithkin_actors::node::client::News;
use kithkin_actors::node::{ClientFailure, NodeKeys};
use kithkin_protocol::credit::CHANGE_DELAY;
use kithkin_protocol::ledger::{Change, Clause, TxBody};
use kithkin_protocol::units::Height;
use std::time::Instant;

/// What is handed in, for people.
const AMENDMENT: Paper = Paper {
    name: "the amendment",
    asked_by: "kithkin governance show",
};

/// Hands an amendment in and waits until it is final.
pub(super) async fn run(args: &SubmitArgs) -> Result<(), Failure> {
    let draft = Draft::read(&args.file).map_err(failure)?;
    let governance = draft.governance().map_err(failure)?;
    let node_keys = NodeKeys::load(&args.keys).map_err(keys::failure)?;
    let deadline = Instant::now() + args.within;
    let mut source = Source::open(args.node, args.genesis.as_deref()).await?;
    let view = in_force(&mut source, deadline).await?;
    view.check(&draft)?;
    let vote_key = node_keys.public().vote_key;
    let mut members = view.standings.validators().iter();
    let member = members.find(|info| info.vote_key == vote_key);
    let Some(member) = member else {
        return Err(failure(AmendmentError::NotMember { vote_key }));
    };
    let key = node_keys.identity_as(member.id).vote_key;
    let body = TxBody::Governance(Box::new(governance));
    let place = (view.chain, view.time_ms);
    let transaction = submitting::envelope(&source.client, place, &key, body).await?;
    let proof = submitting::hand_in(&source.client, transaction, &AMENDMENT, deadline).await?;
    let height = proof.header.height;
    let proved = args.genesis.is_some();
    if proved {
        let after = source.view().await?;
        source.check_final(proof)?;
        if after.ground().next_amendment() <= draft.amendment.number {
            return Err(Failure::NotHeld(anyhow!(
                "the amendment is in the block at height {height}, and the state after it does not have it: the node conceals \
                 that the ledger has refused it"
            )));
        }
    }
    report(args.json, &draft, height, proved);
    Ok(())
}

/// The ledger once the changes that were adopted before are in force: until then others would have to sign.
async fn in_force(source: &mut Source, deadline: Instant) -> Result<LedgerView, Failure> {
    let news = source.client.follow(ANSWER_WITHIN).await;
    let mut news = news.map_err(silent)?;
    loop {
        let view = source.view().await?;
        if view.standings.validators() == view.standings.newest_validators() {
            return Ok(view);
        }
        let next = tokio::time::timeout_at(deadline.into(), news.recv()).await;
        match next {
            Ok(Some(News::Final(_) | News::Missed(_))) => {}
            Ok(None) => return Err(silent(ClientFailure::Closed)),
            Err(_) => {
                return Err(Failure::NotHeld(anyhow!(
                    "another change of the validators is not in force yet: try again"
                )));
            }
        }
    }
}

fn report(json: bool, draft: &Draft, height: Height, proved: bool) {
    let changes = draft.amendment.validator_changes();
    let upgrade = changes.iter().rev().find_map(|change| match change {
        Change::Upgrade { version, height } => Some((*version, *height)),
        Change::Admit(_) | Change::Remove(_) | Change::Rekey(_) | Change::Pardon(_) => None,
    });
    let members_from = words::moves_members(draft).then(|| height.plus(CHANGE_DELAY));
    let mut clauses = draft.amendment.changes.iter();
    let at_once = clauses.any(|clause| match clause {
        Clause::Accredit(_) | Clause::Revoke { .. } => true,
        Clause::Validators(_) => false,
    });
    if json {
        let line = serde_json::json!({
            "digest": draft.digest(),
            "number": draft.amendment.number,
            "height": height,
            "members_from": members_from,
            "rules_from": upgrade.map(|(_, height)| height),
            "accredited_from": at_once.then_some(height),
            "proved": proved,
        });
        println!("{line}");
        return;
    }
    let proof = if proved {
        ", proved from the genesis"
    } else {
        ""
    };
    println!("adopted     at height {height}{proof}");
    if let Some(from) = members_from {
        println!("in force    the validators change at height {from}");
    }
    if let Some((version, from)) = upgrade {
        println!("in force    version {version} of the rules from height {from} on");
    }
    match (members_from.is_none() && upgrade.is_none(), at_once) {
        (true, _) => println!("in force    now"),
        (false, true) => println!("in force    now, as far as accreditations go"),
        (false, false) => {}
    }
}
