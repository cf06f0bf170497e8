//! What measurements of opening share: a patient with kin and records, the work of kin and hospital in steps, and the
//! figures made of it. Also part of `bench/abe`.

#![allow(dead_code, reason = "each program that measures uses a part of it")]
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark is what measures time; its own copy of this lint fires in one of two crates"
)]

pub(crate) mod chart;
pub(crate) mod figures;
pub(crate) mod scene;
pub(crate) mod work;
