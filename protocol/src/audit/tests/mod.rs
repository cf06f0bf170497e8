//! Bundles, sound and spoilt.
