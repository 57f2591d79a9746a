//! The panel's own list of Supervisor programs. Without an entry there a program runs, but the
//! panel does not show it; entries of others stay as they are.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::spec::{ArmSpec, RunAs};
use crate::files;
use crate::hostroot::HostRoot;

/// Adds or renews an arm's entry, where the panel keeps such a list.
pub(super) fn add(host: &HostRoot, program: &str, command: &str, spec: &ArmSpec) -> io::Result<()> {
    let user = match &spec.run_as {
        RunAs::User { name, .. } => name.as_str(),
        RunAs::Caller => "root",
    };
    change(host, |list| enter(list, program, command, user))
}

/// Puts one program into a list, in place of its older entry.
pub fn enter(list: &mut Vec<Value>, program: &str, command: &str, user: &str) {
    let entry = json!({
        "program": program, "command": command, "user": user, "path": "/", "priority": "999",
    });
    match list.iter_mut().find(|e| e["program"] == program) {
        Some(found) => *found = entry,
        None => list.push(entry),
    }
}

/// Takes an arm's entry out.
pub(super) fn remove(host: &HostRoot, program: &str) -> io::Result<()> {
    change(host, |list| list.retain(|e| e["program"] != program))
}

fn path(host: &HostRoot) -> PathBuf {
    host.at("/www/server/panel/plugin/supervisor/config.json")
}

/// Rewrites the list when it changes. One that is not a list is the panel's to repair.
fn change(host: &HostRoot, edit: impl FnOnce(&mut Vec<Value>)) -> io::Result<()> {
    let path = path(host);
    let Some((mode, Value::Array(before))) = read(&path)? else { return Ok(()) };
    let mut list = before.clone();
    edit(&mut list);
    if list != before {
        files::replace(&path, &serde_json::to_vec(&list)?, mode)?;
    }
    Ok(())
}

fn read(path: &Path) -> io::Result<Option<(u32, Value)>> {
    match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
        Ok(bytes) => {
            let mode = fs::metadata(path)?.permissions().mode() & 0o777;
            let is_empty = bytes.iter().all(u8::is_ascii_whitespace);
            let list = if is_empty { Some(json!([])) } else { serde_json::from_slice(&bytes).ok() };
            Ok(list.map(|value| (mode, value)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::{change, path, remove};
    use crate::hostroot::HostRoot;

    #[test]
    fn entries_of_others_stay_and_a_broken_list_is_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = HostRoot::new(dir.path());
        let file = path(&host);
        remove(&host, "guanka-shop.prod-blue").expect("no panel, nothing to do");
        assert!(!file.exists());
        fs::create_dir_all(file.parent().expect("has one")).expect("made");
        fs::write(&file, r#"[{"program":"api","note":"中"}]"#).expect("written");
        change(&host, |list| list.push(json!({"program": "guanka-shop.prod-blue"})))
            .expect("added");
        remove(&host, "guanka-shop.prod-blue").expect("removed");
        let list: Value = serde_json::from_slice(&fs::read(&file).expect("there")).expect("a list");
        assert_eq!(list, json!([{"program": "api", "note": "中"}]));
        fs::write(&file, "{torn").expect("written");
        change(&host, |list| list.clear()).expect("left alone");
        assert_eq!(fs::read_to_string(&file).expect("there"), "{torn");
    }
}
