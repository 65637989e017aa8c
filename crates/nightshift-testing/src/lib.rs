//! nightshift-testing
