//! nightshift-channel
