//! nightshift-model
