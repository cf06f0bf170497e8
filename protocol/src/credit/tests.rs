//! Tests of credit.
