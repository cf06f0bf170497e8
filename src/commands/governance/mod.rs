//! `kithkin governance`: an amendment's way from the first draft to the ledger.
//!
//! `state`: what it is compared with. `words`: what it means. `submit`: the last step. The file and its rules are in
//! `kithkin_actors::node::amendment`.

mod state;
mod submit;
mod words;

use super::keys::{self, hospital_id, read_public};
use super::{Failure, genesis};
use crate::cli::{CombineArgs, GovernanceCommand, ProposeArgs, ShowArgs, SignArgs};
use anyhow::anyhow;
use kithkin_actors::node::NodeKeys;
use kithkin_actors::node::amendment::{AmendmentError, Draft};
use kithkin_actors::node::keys::{Public, PublicKeys};
use kithkin_protocol::credit::Standings;
use kithkin_protocol::crypto::VerifyingKey;
use kithkin_protocol::ids::{AccountId, ValidatorId};
use kithkin_protocol::ledger::{Accredited, Change, Clause, IssuerInfo, ReviewerInfo, Role};
use state::LedgerView;
pub(super) use state::{ANSWER_WITHIN, connect, now, unproved};
use std::path::Path;
pub(super) use words::time;

/// Does one step of an amendment's way.
///
/// # Errors
/// [`Failure::Usage`] for files and flags that are wrong, and for what the ledger would refuse; [`Failure::NotHeld`] for what it
/// did refuse; [`Failure::Storage`] when a file cannot be written; [`Failure::Cluster`] when the node does not answer.
pub async fn run(command: GovernanceCommand) -> Result<(), Failure> {
    match command {
        GovernanceCommand::Propose(args) => propose(&args).await,
        GovernanceCommand::Sign(args) => sign(&args).await,
        GovernanceCommand::Combine(args) => combine(&args),
        GovernanceCommand::Submit(args) => submit::run(&args).await,
        GovernanceCommand::Show(args) => show(&args).await,
    }
}

async fn propose(args: &ProposeArgs) -> Result<(), Failure> {
    let mut view = LedgerView::of(&args.state).await?.ok_or_else(|| {
        Failure::Usage(anyhow!(
            "an amendment is written on a state: give --node, or --genesis when none was adopted yet"
        ))
    })?;
    let mut changes = accreditations(args)?;
    let members = validator_changes(args, &view.standings)?;
    changes.extend(members.into_iter().map(Clause::Validators));
    changes.extend(revocations(args)?);
    if changes.is_empty() {
        return Err(Failure::Usage(anyhow!(
            "nothing is to change: give --admit, --remove, --rekey, --pardon, --upgrade, or --accredit-... or --revoke-... with \
             hospital, issuer or reviewer"
        )));
    }
    let span = u64::try_from(args.valid_for.as_millis()).unwrap_or(u64::MAX);
    // Block time stands still where nothing happens, and before the first block it lies in the past.
    let until = view.time_ms.max(state::now()).plus(span);
    let draft = Draft::propose(&view.ground(), changes, until).map_err(failure)?;
    view.check_parties(&draft.amendment).await?;
    view.learn_names(&draft.amendment).await?;
    draft.write(&args.out).map_err(failure)?;
    println!("{}", words::explain(&draft, &view.names));
    Ok(())
}

/// Who is to be accredited: hospitals first, reviewers may work there.
fn accreditations(args: &ProposeArgs) -> Result<Vec<Clause>, Failure> {
    let mut parties = Vec::new();
    for path in &args.accredit_hospital {
        match read_public(path)? {
            Public::Hospital(keys) => parties.push(Accredited::Hospital(keys.info())),
            Public::Validator(_) => {
                return Err(Failure::Usage(anyhow!(
                    "{} holds a validator's keys; a hospital's are needed here",
                    path.display()
                )));
            }
        }
    }
    for (key, name) in &args.accredit_issuer {
        let (key, name) = (*key, name.clone());
        parties.push(Accredited::Issuer(IssuerInfo { key, name }));
    }
    for reviewer in &args.accredit_reviewer {
        parties.push(Accredited::Reviewer(reviewer_info(reviewer)?));
    }
    Ok(parties.into_iter().map(Clause::Accredit).collect())
}

/// A reviewer's key, and where the reviewer works.
pub(super) fn reviewer_info(
    (key, hospital): &(VerifyingKey, Option<String>),
) -> Result<ReviewerInfo, Failure> {
    let hospital = hospital.as_deref().map(hospital_id).transpose()?;
    Ok(ReviewerInfo {
        key: *key,
        hospital,
    })
}

/// Who is to be accredited no more.
fn revocations(args: &ProposeArgs) -> Result<Vec<Clause>, Failure> {
    let mut parties: Vec<(Role, AccountId)> = Vec::new();
    for text in &args.revoke_hospital {
        parties.push((Role::Hospital, hospital_id(text)?.into()));
    }
    let issuers = args.revoke_issuer.iter();
    parties.extend(issuers.map(|key| (Role::Issuer, AccountId::of(key))));
    let reviewers = args.revoke_reviewer.iter();
    parties.extend(reviewers.map(|key| (Role::Reviewer, AccountId::of(key))));
    let clauses = parties.into_iter();
    Ok(clauses
        .map(|(role, account)| Clause::Revoke { role, account })
        .collect())
}

/// What is asked for, in an order in which nothing stands in the way of what follows.
fn validator_changes(args: &ProposeArgs, standings: &Standings) -> Result<Vec<Change>, Failure> {
    let members = standings.newest_validators();
    let mut changes = Vec::new();
    for (offset, text) in (0u16..).zip(&args.admit) {
        let id = standings.next_number().0.checked_add(offset);
        let id = id.ok_or_else(|| Failure::Usage(anyhow!("no numbers are left")))?;
        changes.push(Change::Admit(
            validator_keys(text)?.validator(ValidatorId(id)),
        ));
    }
    for (id, text) in &args.rekey {
        let mut info = validator_keys(text)?.validator(*id);
        if info.hospital.is_none() {
            info.hospital = members.get(*id).and_then(|before| before.hospital);
        }
        changes.push(Change::Rekey(info));
    }
    changes.extend(args.remove.iter().map(|id| Change::Remove(*id)));
    changes.extend(args.pardon.iter().map(|id| Change::Pardon(*id)));
    if let Some((version, height)) = args.upgrade {
        changes.push(Change::Upgrade { version, height });
    }
    Ok(changes)
}

/// A validator's public keys, and after `=` the hospital that runs it.
pub(super) fn validator_keys(text: &str) -> Result<PublicKeys, Failure> {
    let whole = Path::new(text);
    let (path, hospital) = match text.rsplit_once('=') {
        Some((path, hospital)) if !whole.exists() => (Path::new(path), Some(Path::new(hospital))),
        _ => (whole, None),
    };
    let mut keys = match read_public(path)? {
        Public::Validator(keys) => keys,
        Public::Hospital(_) => {
            return Err(Failure::Usage(anyhow!(
                "{} holds a hospital's keys; a validator's are needed here",
                path.display()
            )));
        }
    };
    if let Some(path) = hospital {
        keys.hospital = match read_public(path)? {
            Public::Hospital(hospital) => Some(hospital.info().id()),
            Public::Validator(_) => {
                return Err(Failure::Usage(anyhow!(
                    "{} holds a validator's keys; after = comes the hospital that runs it",
                    path.display()
                )));
            }
        };
    }
    Ok(keys)
}

async fn sign(args: &SignArgs) -> Result<(), Failure> {
    let mut draft = Draft::read(&args.file).map_err(failure)?;
    let mut view = LedgerView::of(&args.state).await?;
    if let Some(view) = &mut view {
        view.check(&draft)?;
        view.check_parties(&draft.amendment).await?;
        view.learn_names(&draft.amendment).await?;
    }
    let node_keys = NodeKeys::load(&args.keys).map_err(keys::failure)?;
    let id = draft.sign(&node_keys).map_err(failure)?;
    draft.write(&args.out).map_err(failure)?;
    let names = view.as_ref().map(|view| view.names.clone());
    println!("{}", words::explain(&draft, &names.unwrap_or_default()));
    println!("signed by {id}, in {}", args.out.display());
    if view.is_none() {
        eprintln!(
            "kithkin: not compared with the ledger: that the file names the right members and is next was not checked \
             (--node or --genesis does)"
        );
    }
    Ok(())
}

fn combine(args: &CombineArgs) -> Result<(), Failure> {
    let mut whole: Option<Draft> = None;
    for path in &args.files {
        let draft = Draft::read(path).map_err(failure)?;
        match &mut whole {
            None => whole = Some(draft),
            Some(whole) => whole.merge(draft).map_err(failure)?,
        }
    }
    let whole = whole.ok_or_else(|| Failure::Usage(anyhow!("give at least one file")))?;
    whole.write(&args.out).map_err(failure)?;
    println!("{}", words::signatures(&whole));
    Ok(())
}

async fn show(args: &ShowArgs) -> Result<(), Failure> {
    let mut view = LedgerView::of(&args.state).await?;
    let Some(path) = &args.file else {
        let view = view.ok_or_else(|| {
            Failure::Usage(anyhow!(
                "show what? Give the file of an amendment, --node or --genesis"
            ))
        })?;
        match args.json {
            true => println!("{}", words::ledger_json(&view)),
            false => println!("{}", words::ledger(&view)),
        }
        return Ok(());
    };
    let draft = Draft::read(path).map_err(failure)?;
    let mut verdict = None;
    if let Some(view) = &mut view {
        view.learn_names(&draft.amendment).await?;
        verdict = Some(match view.check(&draft) {
            Ok(()) => view.check_parties(&draft.amendment).await,
            refused => refused,
        });
    }
    let names = view.as_ref().map(|view| view.names.clone());
    if args.json {
        println!("{}", words::json(&draft, verdict.as_ref()));
    } else {
        println!("{}", words::explain(&draft, &names.unwrap_or_default()));
    }
    // Whoever asked for the comparison wants to see it in the exit code.
    verdict.unwrap_or(Ok(()))
}

/// What is wrong with an amendment is for a person to put right; a disk that fails is something else.
pub(super) fn failure(error: AmendmentError) -> Failure {
    match &error {
        AmendmentError::Io {
            action: "written", ..
        } => Failure::Storage(error.into()),
        _ => Failure::Usage(error.into()),
    }
}
