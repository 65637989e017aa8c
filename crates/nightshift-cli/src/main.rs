//! nightshift-cli
fn main() {}
