//! nightshift-guest
fn main() {}
