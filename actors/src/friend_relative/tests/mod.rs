//! The kin as an actor, in a whole cluster; the tests play the patient or a hospital where they misbehave.

mod deciding;
mod offers;
mod releasing;
mod shards;
