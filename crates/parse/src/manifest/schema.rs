//! The JSON Schema of `guanka.toml` (draft-07, which taplo and editors read), from the one list.

use guanka_core::say::Lang;
use serde_json::{Map, Value, json};

use super::SECTIONS;
use super::keys::{Key, KeyKind, Section};

/// Returns the schema with descriptions in one language.
pub fn json_schema(lang: Lang) -> Value {
    let mut root = Map::new();
    for section in SECTIONS {
        insert(
            &mut root,
            &section.path.split('.').collect::<Vec<_>>(),
            section_schema(section, lang),
        );
    }
    // `[env.X.section]` sets a section anew, so an environment takes every other section too.
    let overlay: Map<String, Value> = root
        .iter()
        .filter(|(name, _)| *name != "env")
        .map(|(n, s)| (n.clone(), s.clone()))
        .collect();
    if let Some(environment) = root
        .get_mut("env")
        .and_then(|env| env.get_mut("additionalProperties"))
        .and_then(|any| any.get_mut("properties"))
        .and_then(Value::as_object_mut)
    {
        environment.extend(overlay);
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "guanka.toml",
        "type": "object",
        "additionalProperties": false,
        "required": ["app", "env", "proxy"],
        "properties": root,
    })
}

/// Puts a section's schema at its path; `*` becomes `additionalProperties`.
fn insert(properties: &mut Map<String, Value>, path: &[&str], schema: Value) {
    let [name, rest @ ..] = path else { return };
    if rest.is_empty() {
        properties.insert((*name).to_owned(), schema);
        return;
    }
    let table = properties
        .entry((*name).to_owned())
        .or_insert_with(|| json!({ "type": "object", "additionalProperties": false }));
    let Some(table) = table.as_object_mut() else { return };
    if rest == ["*"] {
        table.insert("additionalProperties".to_owned(), schema);
        return;
    }
    let inner = table.entry("properties").or_insert_with(|| json!({}));
    if let Some(inner) = inner.as_object_mut() {
        insert(inner, rest, schema);
    }
}

fn section_schema(section: &Section, lang: Lang) -> Value {
    let properties: Map<String, Value> =
        section.keys.iter().map(|key| (key.name.to_owned(), key_schema(key, lang))).collect();
    json!({
        "type": "object",
        "description": section.about.get(lang),
        "additionalProperties": false,
        "properties": properties,
    })
}

fn key_schema(key: &Key, lang: Lang) -> Value {
    let pattern = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let mut schema = match key.kind {
        KeyKind::Text => json!({ "type": "string" }),
        KeyKind::Switch => json!({ "type": "boolean" }),
        KeyKind::Number => json!({ "type": "integer", "minimum": 0 }),
        KeyKind::Duration => pattern(r"^[0-9.]+(ms|s|m|h|d)$"),
        KeyKind::Size => pattern(r"^[0-9.]+[BbKkMmGg]$"),
        KeyKind::Percent => pattern(r"^[0-9.]+%$"),
        KeyKind::Rate => pattern(r"^[0-9.]+/[sm]$"),
        KeyKind::Cpu => pattern(r"^[0-9]+%$"),
        KeyKind::Limit => pattern(r"^[0-9.]+(%|ms|s|m|h)$"),
        KeyKind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        KeyKind::TextOrTexts => json!({
            "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
        }),
        KeyKind::Word(words) => json!({ "enum": words }),
        KeyKind::Allows => json!({ "type": "array", "items": {
            "type": "object",
            "additionalProperties": false,
            "required": ["check", "until", "reason"],
            "properties": {
                "check": { "type": "string" },
                "until": { "type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$" },
                "reason": { "type": "string" },
            },
        }}),
    };
    if let Some(table) = schema.as_object_mut() {
        let about = key.about.get(lang);
        let about = if key.default.is_empty() {
            about.to_owned()
        } else {
            format!("{about} ({})", key.default)
        };
        table.insert("description".to_owned(), Value::String(about));
    }
    schema
}
