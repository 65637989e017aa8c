//! nightshift-store
