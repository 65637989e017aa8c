//! nightshift-agent
