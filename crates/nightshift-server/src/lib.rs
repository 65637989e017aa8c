//! nightshift-server
