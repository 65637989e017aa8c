//! Names of fields in the OpenAPI document, as they are on the wire.
//!
//! utoipa does not read serde's `rename_all_fields`, so fields of enum variants would be spelt as in Rust.

use utoipa::openapi::schema::{AdditionalProperties, ArrayItems};
use utoipa::openapi::{OpenApi, RefOr, Schema};

/// Spells every field in camel case, which all of the protocol has on the wire.
pub(super) fn camel_case(document: &mut OpenApi) {
    for schema in document.components.iter_mut().flat_map(|components| components.schemas.values_mut()) {
        respell(schema);
    }
}

fn respell(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::Ref(_) => {}
        RefOr::T(Schema::Object(object)) => {
            for name in &mut object.required {
                *name = camel(name);
            }
            let properties = std::mem::take(&mut object.properties);
            object.properties = properties
                .into_iter()
                .map(|(name, mut property)| {
                    respell(&mut property);
                    (camel(&name), property)
                })
                .collect();
            if let Some(AdditionalProperties::RefOr(more)) = object.additional_properties.as_deref_mut() {
                respell(more);
            }
        }
        RefOr::T(Schema::Array(array)) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                respell(items);
            }
        }
        RefOr::T(Schema::OneOf(one)) => one.items.iter_mut().for_each(respell),
        RefOr::T(Schema::AllOf(all)) => all.items.iter_mut().for_each(respell),
        RefOr::T(Schema::AnyOf(any)) => any.items.iter_mut().for_each(respell),
        RefOr::T(_) => {}
    }
}

fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let mut spelt = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        spelt.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        spelt.push_str(letters.as_str());
    }
    spelt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_several_words_has_a_hump_for_each_and_others_stay() {
        let spelt = ["exit_code", "took_ms", "exitCode", "run"].map(camel);
        assert_eq!(spelt, ["exitCode", "tookMs", "exitCode", "run"]);
    }

    #[test]
    fn odd_names_are_spelt_without_a_panic() {
        let spelt = ["", "_", "a_", "_a", "a__b", "ä_ö"].map(camel);
        assert_eq!(spelt, ["", "", "a", "A", "aB", "äÖ"]);
    }
}
