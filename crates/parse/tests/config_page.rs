//! The page about guanka.toml, `docs/config.md`, written from the one list of its sections and
//! keys. The test repairs a stale page and fails that once.

#![expect(clippy::disallowed_methods, reason = "a test of the repository's own files opens them")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use guanka_core::say::Lang;
use guanka_parse::manifest::{Key, KeyKind, SECTIONS, json_schema, read};

/// What stands above the tables.
const HEAD: &str = "\
<!-- Generated from the list in crates/parse/src/manifest/listing.rs; a test rebuilds it. -->
# guanka.toml

每个键都列在这里。不认识的段或键会报错(退出码 2),并指出最接近的写法。\
时间、大小、速率、百分比必须带单位。\
`[env.名字.段]` 里的键只为该环境逐个覆盖 `[段]` 里的同名键,例如 `[env.test.proxy]`。\
编辑器可用的 JSON Schema:`guanka schema`。

Every key is listed here. A section or key that is not known is an error (exit code 2) which names \
the nearest one that is. Times, sizes, rates and shares carry their unit. The keys of \
`[env.NAME.SECTION]` are laid over those of `[SECTION]` one by one, for that environment only: \
`[env.test.proxy]`. The JSON Schema for editors: `guanka schema`.

最小的例子 · The smallest example:
";

/// The smallest file that is right.
const SMALLEST: &str = r#"[app]
name = "api"
listen_env = "PORT"

[env.prod]
hosts = ["local:/"]

[proxy]
domain = "api.example.com"
"#;

/// Builds the page.
fn page() -> String {
    let mut page = format!("{HEAD}\n```toml\n{SMALLEST}```\n");
    for section in SECTIONS {
        let path = section.path.replace('*', "NAME");
        let (zh, en) = (cell(section.about.get(Lang::Zh)), cell(section.about.get(Lang::En)));
        let _ = write!(page, "\n## `[{path}]`\n\n{zh} · {en}\n\n");
        page.push_str("| 键 key | 值 value | 默认 default | 含义 | meaning |\n");
        page.push_str("|---|---|---|---|---|\n");
        for key in section.keys {
            page.push_str(&row(key));
        }
    }
    page
}

fn row(key: &Key) -> String {
    let (zh, en) = (cell(key.about.get(Lang::Zh)), cell(key.about.get(Lang::En)));
    format!("| `{}` | {} | {} | {zh} | {en} |\n", key.name, value(key.kind), default(key))
}

/// Returns what a value looks like, by example.
fn value(kind: KeyKind) -> String {
    let example = match kind {
        KeyKind::Text => "\"…\"",
        KeyKind::Switch => "true` `false",
        KeyKind::Number => "3",
        KeyKind::Duration => "\"30s\"",
        KeyKind::Size => "\"10M\"",
        KeyKind::Percent => "\"0.06%\"",
        KeyKind::Rate => "\"200/s\"",
        KeyKind::Cpu => "\"150%\"",
        KeyKind::Limit => "\"0.06%\"` `\"950ms\"",
        KeyKind::Texts => "[\"…\"]",
        KeyKind::TextOrTexts => "\"…\"` `[\"…\"]",
        KeyKind::Allows => "[{ check = \"…\", until = \"2027-01-31\", reason = \"…\" }]",
        KeyKind::Word(words) => {
            let quoted: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            return quoted.join(" ");
        }
    };
    format!("`{example}`")
}

/// Returns the default as it is written in the file.
fn default(key: &Key) -> String {
    let is_bare = matches!(key.kind, KeyKind::Switch | KeyKind::Number);
    match key.default {
        "" => "–".to_owned(),
        text if is_bare || text.starts_with('[') => format!("`{text}`"),
        text => format!("`\"{text}\"`"),
    }
}

/// Returns a text that may stand in a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "\\<").replace('*', "\\*")
}

#[test]
fn the_page_under_docs_is_the_list_in_words() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config.md");
    let wanted = page();
    let found = fs::read_to_string(&path).unwrap_or_default();
    if found != wanted {
        fs::write(&path, &wanted).expect("docs can be written");
    }
    assert!(found == wanted, "docs/config.md was stale and is repaired");
}

#[test]
fn the_smallest_example_of_the_page_is_a_whole_declaration() {
    let file = read("guanka.toml", SMALLEST, None);
    assert_eq!(file.problems, []);
    assert!(file.declared.is_some());
    let required = json_schema(Lang::En)["required"].clone();
    for section in required.as_array().expect("a list of sections") {
        let name = section.as_str().expect("a name");
        assert!(SMALLEST.contains(&format!("[{name}")), "{name} is required and not in it");
    }
}
