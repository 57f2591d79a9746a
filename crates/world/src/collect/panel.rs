//! The BaoTa panel (aaPanel abroad): whether it is there, its version, the sites of its database.
//! The database is opened for reading only and without its lock and journal files.

use std::path::Path;
use std::time::Duration;

use guanka_core::facts::host::{Panel, PanelSite};
use guanka_core::facts::{Fact, Provenance, Reason, Sourced};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};

use super::tree::HostTree;

/// How many sites are read; hosts with more than a thousand are rare.
const SITES_MAX: usize = 20_000;

/// The file whose `g.version` names the panel's version.
const VERSION_FILE: &str = "/www/server/panel/class/common.py";

/// Looks for the panel below a root: both anchors must be there.
pub fn read(root: &Path) -> Option<Panel> {
    let tree = HostTree::new(root);
    (tree.has("/var/bt_setupPath.conf") && tree.has(VERSION_FILE)).then(|| Panel {
        kind: kind(&tree).to_owned(),
        version: version(&tree),
        sites: sites(&tree),
    })
}

/// Tells the two editions apart: the international one keeps a second tree of classes.
fn kind(tree: &HostTree) -> &'static str {
    let is_abroad = std::fs::symlink_metadata(tree.locate("/www/server/panel/class_v2")).is_ok();
    if is_abroad { "aapanel" } else { "baota" }
}

fn version(tree: &HostTree) -> Fact<String> {
    let text = match tree.text(VERSION_FILE) {
        Ok(text) => text,
        Err(reason) => return Fact::Unknown(reason),
    };
    let path = tree.locate(VERSION_FILE).display().to_string();
    match literal(&text) {
        Some(value) => Fact::Known(Sourced { value, from: Provenance::Path(path) }),
        None => Fact::Unknown(Reason::NotThere(format!("g.version in {path}"))),
    }
}

/// Returns the text in quotes that is assigned to `g.version`.
fn literal(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let value = line.trim().strip_prefix("g.version")?.trim_start().strip_prefix('=')?.trim();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let inside = value[1..].split(quote).next()?;
        (!inside.is_empty()).then(|| inside.to_owned())
    })
}

/// Reads the sites of the newer split database, else of the older single one.
fn sites(tree: &HostTree) -> Vec<PanelSite> {
    ["/www/server/panel/data/db/site.db", "/www/server/panel/data/default.db"]
        .iter()
        .map(|path| tree.locate(path))
        .find_map(|path| read_sites(&path).ok())
        .unwrap_or_default()
}

/// Returns the names of the panel's projects with their settings, the panel's own JSON.
pub(super) fn project_configs(tree: &HostTree) -> Vec<(String, String)> {
    let rows = ["/www/server/panel/data/db/site.db", "/www/server/panel/data/default.db"]
        .iter()
        .map(|path| tree.locate(path))
        .find_map(|path| rows(&path, &["name", "project_config"]).ok());
    let rows = rows.unwrap_or_default().into_iter();
    // The panel's JSON escapes slashes in some versions.
    rows.map(|mut row| (row.remove(0), row.remove(0).replace("\\/", "/"))).collect()
}

fn read_sites(path: &Path) -> rusqlite::Result<Vec<PanelSite>> {
    let rows = rows(path, &["name", "path", "project_type"])?;
    let site = |mut row: Vec<String>| {
        let (name, path, kind) = (row.remove(0), row.remove(0), row.remove(0));
        // Before there were kinds of projects, every site was one for PHP.
        let kind = if kind.is_empty() { "PHP".to_owned() } else { kind };
        PanelSite { name, path, kind }
    };
    Ok(rows.into_iter().map(site).filter(|site| !site.name.is_empty()).collect())
}

/// Reads some columns of the panel's table of sites.
fn rows(path: &Path, wanted: &[&str]) -> rusqlite::Result<Vec<Vec<String>>> {
    let mut address = String::from("file:");
    for byte in path.to_string_lossy().bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
                address.push(char::from(byte));
            }
            other => address.push_str(&format!("%{other:02X}")),
        }
    }
    // Without `immutable` SQLite would create or touch the files beside a database that uses a
    // write-ahead log. What the panel wrote in the last moment may be missing from the answer.
    address.push_str("?mode=ro&immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let database = Connection::open_with_flags(address, flags)?;
    database.busy_timeout(Duration::from_millis(500))?;
    let mut query = database.prepare("SELECT * FROM sites LIMIT ?1")?;
    let columns: Vec<String> = query.column_names().map(str::to_owned).collect();
    let rows = query.query_map([SITES_MAX as i64], |row| {
        Ok(wanted.iter().map(|name| column(row, &columns, name)).collect())
    })?;
    Ok(rows.filter_map(Result::ok).collect())
}

/// Returns a column as text; empty when it is missing or of another kind.
fn column(row: &Row<'_>, columns: &[String], name: &str) -> String {
    let at = columns.iter().position(|column| column == name);
    match at.and_then(|at| row.get_ref(at).ok()) {
        Some(ValueRef::Text(text) | ValueRef::Blob(text)) => {
            String::from_utf8_lossy(text).into_owned()
        }
        Some(ValueRef::Integer(number)) => number.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use guanka_core::facts::Fact;
    use rusqlite::Connection;

    use super::{literal, read};

    fn host(database: &str, schema: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("has one")).expect("made");
            fs::write(path, text).expect("written");
        };
        write("var/bt_setupPath.conf", "/www");
        write("www/server/panel/class/common.py", "import g\n    g.version = '9.1.2'\n");
        write(database, "");
        let path = dir.path().join(database);
        Connection::open(path).and_then(|db| db.execute_batch(schema)).expect("a database");
        dir
    }

    fn names(root: &Path) -> Vec<(String, String, String)> {
        let panel = read(root).expect("a panel");
        panel.sites.into_iter().map(|s| (s.name, s.path, s.kind)).collect()
    }

    #[test]
    fn version_and_sites_are_read_from_the_newer_database() {
        let host = host(
            "www/server/panel/data/db/site.db",
            "PRAGMA journal_mode=WAL; CREATE TABLE sites (id INTEGER, name TEXT, path TEXT, \
             project_type TEXT); INSERT INTO sites VALUES (1, 'api', '/www/api/api', 'Go');",
        );
        let panel = read(host.path()).expect("a panel");
        assert_eq!(panel.kind, "baota");
        assert_eq!(panel.version.known().map(String::as_str), Some("9.1.2"));
        let want = ("api".to_owned(), "/www/api/api".to_owned(), "Go".to_owned());
        assert_eq!(names(host.path()), [want]);
    }

    #[test]
    fn missing_columns_of_an_older_database_are_tolerated() {
        let host = host(
            "www/server/panel/data/default.db",
            "CREATE TABLE sites (id INTEGER, name TEXT); INSERT INTO sites VALUES (1, 'old');",
        );
        assert_eq!(names(host.path()), [("old".to_owned(), String::new(), "PHP".to_owned())]);
    }

    #[test]
    fn a_broken_database_or_version_does_not_hide_the_panel() {
        let host = host("www/server/panel/data/db/site.db", "");
        fs::write(host.path().join("www/server/panel/data/db/site.db"), "no database").expect("ok");
        fs::write(host.path().join("www/server/panel/class/common.py"), "x").expect("ok");
        let panel = read(host.path()).expect("a panel");
        assert!(panel.sites.is_empty());
        assert!(matches!(panel.version, Fact::Unknown(_)));
    }

    #[test]
    fn only_both_anchors_make_a_panel() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(read(dir.path()).is_none());
        assert_eq!(literal("g.version = \"11.7.0\" # x").as_deref(), Some("11.7.0"));
        assert_eq!(literal("gg.version = 1\ng.versions='2'"), None);
    }
}
