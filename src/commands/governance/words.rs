//! What an amendment means, and who the validators are: in words for people, in JSON for scripts.

use super::state::LedgerView;
use crate::commands::Failure;
use kithkin_actors::node::amendment::Draft;
use kithkin_protocol::credit::{CHANGE_DELAY, ValidatorSet};
use kithkin_protocol::ids::{AccountId, HospitalId, ValidatorId};
use kithkin_protocol::ledger::{Accredited, Change, Clause, Role, ValidatorInfo};
use kithkin_protocol::units::Millis;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

/// Hospitals and issuers by name.
pub(super) type Names = BTreeMap<AccountId, String>;

/// Everything about an amendment, on several lines.
pub(super) fn explain(draft: &Draft, names: &Names) -> String {
    let mut names = names.clone();
    for clause in &draft.amendment.changes {
        if let Clause::Accredit(party) = clause {
            let name = party.name().map(|name| (party.account(), name.to_owned()));
            names.extend(name);
        }
    }
    let mut lines = vec![
        format!(
            "amendment   number {}, {:#}",
            draft.amendment.number,
            draft.digest()
        ),
        format!("ledger      {:#}", draft.chain),
        format!("it changes"),
    ];
    for (place, clause) in (1..).zip(&draft.amendment.changes) {
        let words = match clause {
            Clause::Validators(change) => in_words(change, &draft.members, &names),
            Clause::Accredit(party) => accredits(party, &names),
            Clause::Revoke { role, account } => revokes(*role, *account, &names),
        };
        lines.push(format!("  {place}. {words}"));
    }
    let n = draft.amendment.members_after(&draft.members).n();
    if n != draft.members.n() || moves_members(draft) {
        let tolerated = n.saturating_sub(1) / 3;
        lines.push(format!(
            "in force    {CHANGE_DELAY} heights after the block that holds it; {n} validators then, of which {tolerated} may fail \
             or lie"
        ));
    }
    lines.push(format!(
        "valid       until {}",
        time(draft.amendment.valid_until_ms)
    ));
    lines.push(format!("signatures  {}", signatures(draft)));
    lines.join("\n")
}

/// Who has signed, and how many are missing.
pub(super) fn signatures(draft: &Draft) -> String {
    let (quorum, n) = (draft.members.quorum(), draft.members.n());
    let signed = list(draft.signatures.keys().copied());
    match draft.missing() {
        0 => format!("{signed}: enough ({quorum} of {n} are needed)"),
        missing => format!(
            "{signed}: {missing} more of {} must sign ({quorum} of {n} are needed)",
            list(draft.unsigned())
        ),
    }
}

fn in_words(change: &Change, members: &ValidatorSet, names: &Names) -> String {
    match change {
        Change::Admit(info) => {
            format!(
                "admits a new validator as {}{}",
                info.id,
                run_by(info, names)
            ) + &keys(info)
        }
        Change::Remove(id) => match members.get(*id) {
            Some(info) => format!("removes {id}{}", run_by(info, names)) + &keys(info),
            None => format!("removes {id}"),
        },
        Change::Rekey(info) => {
            let id = info.id;
            let mut text =
                format!("{id} goes on with other keys{}", run_by(info, names)) + &keys(info);
            if let Some(before) = members.get(id) {
                text += &format!("\n     instead of{}", keys(before));
                if before.hospital != info.hospital {
                    text += &format!("\n     until now{}", run_by(before, names));
                }
            }
            text
        }
        Change::Pardon(id) => {
            format!("pardons {id}: it may be master again; one more offence excludes it")
        }
        Change::Upgrade { version, height } => format!(
            "from height {height} on the ledger follows version {version} of its rules; programs that do not know them stop there"
        ),
    }
}

fn accredits(party: &Accredited, names: &Names) -> String {
    let name = party.name().unwrap_or_default();
    let (account, key) = (party.account(), party.key());
    match party {
        Accredited::Hospital(info) => format!(
            "accredits the hospital {name}, at once\n     identifier   {account:#}\n     signing key  {key:#}\n     sealing key  {:#}",
            info.sealing
        ),
        Accredited::Issuer(_) => format!(
            "accredits {name} as issuer of clinicians' credentials, at once; from the first issuer on no hospital vouches for its \
             own\n     key          {key:#}"
        ),
        Accredited::Reviewer(info) => {
            let works = info.hospital.map(|id| {
                let at = named(id, names);
                format!(", who works at {at} and judges nothing there")
            });
            format!(
                "accredits a reviewer, at once{}\n     key          {key:#}",
                works.unwrap_or_default()
            )
        }
    }
}

fn revokes(role: Role, account: AccountId, names: &Names) -> String {
    let name = names.get(&account).map(|name| format!(" {name}"));
    let name = name.unwrap_or_default();
    let ends = match role {
        Role::Hospital => "; its live cases end, and nothing that it signs counts any more",
        Role::Issuer => "; what was asked with its credentials and is not granted ends",
        Role::Reviewer => "",
    };
    format!("revokes the {role}{name}, at once{ends}\n     account      {account:#}")
}

fn named(id: HospitalId, names: &Names) -> String {
    match names.get(&id.into()) {
        Some(name) => format!("{name} (hospital {id:#})"),
        None => format!("hospital {id:#}"),
    }
}

fn run_by(info: &ValidatorInfo, names: &Names) -> String {
    match info.hospital {
        None => ", run by no hospital".to_owned(),
        Some(id) => format!(", run by {}", named(id, names)),
    }
}

fn keys(info: &ValidatorInfo) -> String {
    let (vote, vrf, network) = (info.vote_key, info.vrf_key, info.network_key);
    format!(
        "\n     vote key     {vote:#}\n     VRF key      {vrf:#}\n     network key  {network:#}"
    )
}

/// Whether it changes who votes, or with which keys.
pub(super) fn moves_members(draft: &Draft) -> bool {
    let changes = draft.amendment.validator_changes();
    changes.iter().any(|change| match change {
        Change::Admit(_) | Change::Remove(_) | Change::Rekey(_) => true,
        Change::Pardon(_) | Change::Upgrade { .. } => false,
    })
}

fn list(ids: impl Iterator<Item = ValidatorId>) -> String {
    let all: Vec<String> = ids.map(|id| id.to_string()).collect();
    match all.is_empty() {
        true => "nobody".to_owned(),
        false => all.join(", "),
    }
}

/// A time on the calendar, in UTC.
pub(in crate::commands) fn time(ms: Millis) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(ms.0));
    // The year 9999 is the last one that can be written.
    match time.filter(|_| ms.0 < 253_402_300_800_000) {
        Some(time) => humantime::format_rfc3339_seconds(time).to_string(),
        None => "for ever".to_owned(),
    }
}

/// An amendment for scripts; `verdict` says what comparing it with a ledger gave.
pub(super) fn json(draft: &Draft, verdict: Option<&Result<(), Failure>>) -> Value {
    let changes: Vec<Value> = draft.amendment.changes.iter().map(clause_json).collect();
    let refused = verdict.map(|verdict| match verdict {
        Ok(()) => Value::Null,
        Err(failure) => Value::String(format!("{:#}", failure.parts().1)),
    });
    let mut object = json!({
        "digest": draft.digest(),
        "chain": draft.chain,
        "number": draft.amendment.number,
        "height": draft.height,
        "valid_until_ms": draft.amendment.valid_until_ms,
        "changes": changes,
        "members": draft.members.ids().collect::<Vec<_>>(),
        "quorum": draft.members.quorum(),
        "signed": draft.signatures.keys().collect::<Vec<_>>(),
        "missing": draft.missing(),
    });
    if let (Some(refused), Some(object)) = (refused, object.as_object_mut()) {
        object.insert("refused".to_owned(), refused);
    }
    object
}

fn clause_json(clause: &Clause) -> Value {
    match clause {
        Clause::Validators(change) => change_json(change),
        Clause::Accredit(party) => {
            let info = match party {
                Accredited::Hospital(info) => json!(info),
                Accredited::Issuer(info) => json!(info),
                Accredited::Reviewer(info) => json!(info),
            };
            let (role, account) = (party.role(), party.account());
            json!({ "change": "accredit", "role": role, "account": account, "info": info })
        }
        Clause::Revoke { role, account } => {
            json!({ "change": "revoke", "role": role, "account": account })
        }
    }
}

fn change_json(change: &Change) -> Value {
    match change {
        Change::Admit(info) => json!({ "change": "admit", "validator": info }),
        Change::Remove(id) => json!({ "change": "remove", "id": id }),
        Change::Rekey(info) => json!({ "change": "rekey", "validator": info }),
        Change::Pardon(id) => json!({ "change": "pardon", "id": id }),
        Change::Upgrade { version, height } => {
            json!({ "change": "upgrade", "version": version, "height": height })
        }
    }
}

/// The validators of a ledger, on several lines.
pub(super) fn ledger(view: &LedgerView) -> String {
    let standings = &view.standings;
    let next = standings.height().plus(1);
    let set = standings.newest_validators();
    let mut lines = vec![
        format!("ledger      {:#}", view.chain),
        format!("height      {}, {}", standings.height(), time(view.time_ms)),
        match view.proved {
            Some(proved) => format!("proved      from the genesis, by block {}", proved.height),
            None => "proved      no: this is the word of whoever was asked (--genesis beside --node proves it)".to_owned(),
        },
        format!("rules       version {}", standings.version_at(next)),
    ];
    if let Some((version, height)) = standings.upgrade().filter(|(_, height)| *height > next) {
        lines.push(format!(
            "            version {version} from height {height} on"
        ));
    }
    lines.push(format!(
        "amendments  {} adopted; the next one has number {0}, a newcomer becomes {}",
        view.ground().next_amendment(),
        standings.next_number()
    ));
    lines.push(match view.register.issuers_since {
        Some(since) => format!("clinicians  are vouched for by issuers, since height {since}"),
        None => "clinicians  are vouched for by their hospitals".to_owned(),
    });
    lines.push(format!(
        "validators  {}, of which {} may fail or lie; {} must sign an amendment",
        set.n(),
        set.f(),
        set.quorum()
    ));
    if set != standings.validators() {
        let height = next.plus(1);
        lines.push(format!("            (from height {height} on)"));
    }
    for info in set.iter() {
        let credit = standings
            .record(info.id)
            .map_or(0, |record| record.credit.0);
        let id = info.id.to_string();
        lines.push(format!(
            "  {id:<5} credit {credit:>7}, vote key {}{}",
            info.vote_key,
            run_by(info, &view.names)
        ));
    }
    lines.join("\n")
}

/// The validators of a ledger, for scripts.
pub(super) fn ledger_json(view: &LedgerView) -> Value {
    let standings = &view.standings;
    let next = standings.height().plus(1);
    let set = standings.newest_validators();
    let validators: Vec<Value> = set
        .iter()
        .map(|info| {
            let record = standings.record(info.id);
            json!({ "validator": info, "credit": record.map(|record| record.credit) })
        })
        .collect();
    json!({
        "chain": view.chain,
        "height": standings.height(),
        "time_ms": view.time_ms,
        "proved": view.proved.is_some(),
        "version": standings.version_at(next),
        "amendments": view.ground().next_amendment(),
        "issuers_since": view.register.issuers_since,
        "next_number": standings.next_number(),
        "quorum": set.quorum(),
        "in_force": set == standings.validators(),
        "validators": validators,
    })
}
