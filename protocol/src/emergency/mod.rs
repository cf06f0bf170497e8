//! One emergency case, from the request to the reviewer's verdict.
//!
//! The case is a pure state machine; the ledger feeds it transactions in block
//! order and block time, so all honest nodes see the same case. Who may sign
//! what is checked here; whether the signature holds is checked by
//! [`crate::ledger`]. The cryptography of the opening itself is in
//! [`crate::sharing`].
//!
//! ```text
//! Requested --threshold-many approvals, waiting time over--> Granted --first release--> Open --+
//!   |  (Waiting while only the waiting time is missing)         |                              |
//!   |                                                           +-- ttl | close | veto | ------+--> Closed --> Reviewed
//!   |                                                               revocation
//!   |-- refusals put the threshold out of reach --> Refused
//!   |-- the patient's veto ------------------------> Vetoed
//!   |-- hospital or issuer revoked ----------------> Revoked
//!   `-- the request's expiry ----------------------> Expired
//! ```
//!
//! While approvals are missing, time brings two events: kin are to be asked again, and the hospital may turn to the
//! patient's second circle. That is a case of its own, with its own roster and majority, for the summary only; when it
//! may be opened stands in [`SecondCircleError`].

mod case;
mod credential;
mod deeds;
mod disclosure;
#[cfg(test)]
mod model_tests;
mod phase;
mod policy;
mod request;
mod second;
mod step;
mod timing;

pub use case::Case;
pub use credential::{CREDENTIAL_MS_MAX, ClinicalRole, Credential, CredentialError};
pub use deeds::{Reading, Refusal, Review, ReviewTask};
pub use disclosure::{
    Advice, Asked, Disclosure, Facts, HospitalFacts, KinLine, Outcome, Price, ReviewState, Said,
    TierLine,
};
pub use phase::{ClosedBy, Phase, Verdict};
pub use policy::{Escalation, LISTED_MAX, REMIND_MS_MIN, TierPolicy, WAITING_MS_MAX, WhoMayAsk};
pub use request::{
    Circle, Purpose, REQUEST_MS_MAX, Reason, RefusalReason, Request, SCOPE_RECORDS_MAX,
    SESSION_MS_MAX, Scope,
};
pub use second::{SECOND_CIRCLE_WITHIN_MS, SecondCircleError};
pub use step::{CaseError, CaseEvent, RELEASES_MAX, ReachError};
pub use timing::{Stage, Timing};
