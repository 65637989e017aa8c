//! nightshift-screen
