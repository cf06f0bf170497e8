//! `kithkin review`: what a reviewer has to do, and the verdict.

use super::governance::{ANSWER_WITHIN, connect, time, unproved};
use super::submitting::{self, Paper};
use super::{Failure, genesis, keys};
use crate::cli::{ReviewCommand, ReviewListArgs, ReviewSubmitArgs};
use anyhow::anyhow;
use kithkin_actors::node::light::LightClient;
use kithkin_actors::node::{ClientFailure, NodeClient, ReviewerKeys, file};
use kithkin_actors::validator::messages::{Answer, Look};
use kithkin_protocol::emergency::{Case, ReviewTask, Verdict};
use kithkin_protocol::ids::{AccountId, CaseId};
use kithkin_protocol::ledger::light::Proved;
use kithkin_protocol::ledger::{State, TxBody};
use std::time::Instant;

/// What is handed in, for people.
const VERDICT: Paper = Paper {
    name: "the verdict",
    asked_by: "kithkin review list",
};

/// Lists tasks, or judges a case.
///
/// # Errors
/// [`Failure::Usage`] for files that are wrong; [`Failure::NotHeld`] for a case that waits for no verdict and for what the node or the
/// ledger refuses or does not prove; [`Failure::Cluster`] when the node does not answer.
pub async fn run(command: ReviewCommand) -> Result<(), Failure> {
    match command {
        ReviewCommand::List(args) => list(&args).await,
        ReviewCommand::Submit(args) => submit(&args).await,
    }
}

async fn list(args: &ReviewListArgs) -> Result<(), Failure> {
    let keys = ReviewerKeys::load(&args.keys).map_err(keys::failure)?;
    let reviewer = AccountId::of(&keys.signing().verifying_key());
    let client = connect(args.node).await?;
    let look = client.look(Look::Reviews(reviewer), ANSWER_WITHIN);
    let answer = look.await.map_err(|error| unproved(error.into()))?;
    let Answer::Reviews(tasks) = answer else {
        return Err(unproved(ClientFailure::Other.into()));
    };
    if args.json {
        let line = serde_json::json!({ "reviewer": reviewer, "tasks": tasks });
        println!("{line}");
        return Ok(());
    }
    match tasks.len() {
        0 => println!("nothing waits for a verdict of this reviewer"),
        1 => println!("1 case waits for a verdict"),
        many => println!("{many} cases wait for a verdict"),
    }
    for task in &tasks {
        println!("{}", words(task));
    }
    Ok(())
}

fn words(task: &ReviewTask) -> String {
    let due = match task.is_overdue {
        true => "overdue since",
        false => "due by",
    };
    format!(
        "case        {}\n  hospital  {}\n  ended     {}\n  {due}  {}",
        task.case.to_hex(),
        task.hospital.to_hex(),
        time(task.closed_ms),
        time(task.due_ms)
    )
}

async fn submit(args: &ReviewSubmitArgs) -> Result<(), Failure> {
    let genesis = file::read(&args.genesis).map_err(genesis::failure)?;
    let keys = ReviewerKeys::load(&args.keys).map_err(keys::failure)?;
    let reviewer = AccountId::of(&keys.signing().verifying_key());
    let deadline = Instant::now() + args.within;
    let mut light = LightClient::new(&genesis).map_err(unproved)?;
    let client = connect(args.node).await?;
    let (case, found) = prove(&mut light, &client, args.case).await?;
    if case.review_task().is_none() {
        return Err(Failure::NotHeld(anyhow!(
            "case {} waits for no verdict: it is {}",
            args.case.to_hex(),
            case.phase.as_str()
        )));
    }
    let verdict = Verdict::from(args.verdict);
    let body = TxBody::Review {
        case: args.case,
        verdict,
    };
    let place = (genesis.chain_id(), found.time_ms);
    let transaction = submitting::envelope(&client, place, keys.signing(), body).await?;
    let proof = submitting::hand_in(&client, transaction, &VERDICT, deadline).await?;
    let height = proof.header.height;
    let (case, _) = prove(&mut light, &client, args.case).await?;
    light.transaction(proof).map_err(unproved)?;
    let given = case.review.map(|review| (review.reviewer, review.verdict));
    if given != Some((reviewer, verdict)) {
        return Err(Failure::NotHeld(anyhow!(
            "the verdict is in the block at height {height}, and the state after it does not have it: the node conceals that the \
             ledger has refused it"
        )));
    }
    if args.json {
        let line = serde_json::json!({
            "case": args.case,
            "verdict": verdict,
            "reviewer": reviewer,
            "height": height,
        });
        println!("{line}");
    } else {
        println!(
            "judged      {} at height {height}, proved from the genesis",
            verdict.as_str()
        );
    }
    Ok(())
}

/// The case as it stands, proved from the genesis, and the block that proves it.
async fn prove(
    light: &mut LightClient,
    client: &NodeClient,
    id: CaseId,
) -> Result<(Case, Proved), Failure> {
    let entry = light.entry::<Case>(client, State::case_key(id), ANSWER_WITHIN);
    let (case, proved) = entry.await.map_err(unproved)?;
    let unknown = || Failure::NotHeld(anyhow!("the ledger has no case {}", id.to_hex()));
    Ok((case.ok_or_else(unknown)?, proved))
}
