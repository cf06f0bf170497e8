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
//!   |                                                           +-- ttl | close | veto --------+--> Closed --> Reviewed
//!   |-- refusals put the threshold out of reach --> Refused
//!   |-- the patient's veto ------------------------> Vetoed
//!   `-- the request's expiry ----------------------> Expired
//! ```

mod case;
mod policy;
mod request;

pub use case::{Case, CaseError, CaseEvent, ClosedBy, Phase, RELEASES_MAX, Timing, Verdict};
pub use policy::{TierPolicy, WAITING_MS_MAX};
pub use request::{
    Purpose, REQUEST_MS_MAX, Reason, RefusalReason, Request, SCOPE_RECORDS_MAX, SESSION_MS_MAX,
    Scope,
};
