//! Prints the OpenAPI document, to be kept as `docs/openapi.json`: `./dev openapi` does it.

#[expect(clippy::print_stdout, reason = "the program's output")]
fn main() -> Result<(), serde_json::Error> {
    println!("{}", serde_json::to_string_pretty(&nightshift_server::openapi())?);
    Ok(())
}
