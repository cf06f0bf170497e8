//! What a hospital would try that does not keep to a grant: asking kin for pieces although it has ended. For demonstrations.

use super::messages::Misused;
use super::offer::refused;
use crate::friend_relative::FriendRelative;
use crate::friend_relative::messages::{FetchShards, Ground};
use crate::hospital::desk::{Desk, PROVED_WITHIN, ledger};
use crate::hospital::messages::HospitalError;
use crate::scope::{batch_places, prove_batch};
use futures_util::future::join_all;
use kithkin_protocol::ids::{GrantId, KinId};
use std::time::{Duration, Instant};

/// How long one kin may take to answer.
const TRY: Duration = Duration::from_secs(10);

/// Asks every kin once for the pieces of the first upload that the grant covered.
pub(super) async fn misuse(desk: &Desk, id: GrantId) -> Result<Vec<Misused>, HospitalError> {
    let deadline = Instant::now() + PROVED_WITHIN;
    let unknown = HospitalError::UnknownGrant { grant: id };
    let grant = desk.grant(id, deadline).await?.ok_or(unknown)?;
    let (enrolled, _) = desk.prove_patient(grant.patient(), deadline).await?;
    let (client, patient) = (&desk.client, grant.patient());
    for scope in &grant.terms.scopes {
        let places = batch_places(
            client,
            &desk.port,
            (patient, scope.tier, scope.up_to),
            scope.up_to,
            deadline,
        );
        let Some(place) = places.await.map_err(ledger)?.first().copied() else {
            continue;
        };
        let Some(entry) = prove_batch(client, place, deadline).await.map_err(ledger)? else {
            continue;
        };
        let question = FetchShards {
            root: entry.header.manifest_root,
            only: Vec::new(),
            ground: Some(Ground::Grant(id, place)),
        };
        let kin = enrolled.enrolment.roster.iter().map(|member| member.id());
        return Ok(join_all(kin.map(|kin| ask(desk, kin, question.clone()))).await);
    }
    Err(refused(id, "it covers no batch"))
}

async fn ask(desk: &Desk, kin: KinId, question: FetchShards) -> Misused {
    let refused = match desk.setting.directory.name(kin) {
        None => Some("the directory does not know this kin".to_owned()),
        Some(name) => {
            let asked = desk.port.ask::<FriendRelative, _>(name, question, TRY);
            match asked.await {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(error) => Some(error.to_string()),
            }
        }
    };
    Misused { kin, refused }
}
