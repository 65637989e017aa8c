//! nightshift-forge
