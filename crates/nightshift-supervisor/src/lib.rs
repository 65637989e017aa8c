//! nightshift-supervisor
