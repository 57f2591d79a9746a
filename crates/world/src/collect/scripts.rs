//! The start scripts that Supervisor's commands name, read below a host root.

use std::path::Path;

use guanka_core::facts::Fact;
use guanka_core::facts::script::Script;
use guanka_core::facts::supervisor::Program;
use guanka_parse::script;

use super::tree::HostTree;

/// A start script is short; what is larger is a program.
const SCRIPT_MAX: usize = 256 << 10;

/// Returns every script that a program's command starts, as the command names it.
pub fn read(root: &Path, programs: &[Program]) -> Vec<Script> {
    let tree = HostTree::new(root);
    programs.iter().filter_map(|program| script_of(&tree, program)).collect()
}

fn script_of(tree: &HostTree, program: &Program) -> Option<Script> {
    let command = program.options.get("command")?;
    let mut words = command.value.split_whitespace().filter(|word| !word.starts_with('-'));
    let first = words.next()?;
    let shell = first.rsplit('/').next().unwrap_or(first);
    let is_shell = matches!(shell, "sh" | "bash" | "dash" | "ash" | "zsh" | "ksh");
    let word = if is_shell { words.next()? } else { first };
    if is_shell && command.value.split_whitespace().any(|w| w.starts_with('-') && w.ends_with('c'))
    {
        return None;
    }
    let path = match program.options.get("directory") {
        Some(folder) if !word.starts_with('/') => format!("{}/{word}", folder.value),
        _ => word.to_owned(),
    };
    // Most commands name a program: of what is too long for a script only that much is read.
    match tree.head(&path, SCRIPT_MAX as u64 + 1) {
        Ok(bytes) if is_script(&bytes, is_shell) => {
            Some(script::read(word, &String::from_utf8_lossy(&bytes)))
        }
        Ok(_) => None,
        Err(reason) if is_shell || word.ends_with(".sh") => {
            Some(Script { path: word.to_owned(), last: Fact::Unknown(reason) })
        }
        Err(_) => None,
    }
}

fn is_script(bytes: &[u8], is_shell: bool) -> bool {
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let names_shell = first.starts_with(b"#!") && first.windows(2).any(|pair| pair == b"sh");
    bytes.len() <= SCRIPT_MAX && (names_shell || (is_shell && !bytes.starts_with(b"\x7fELF")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use guanka_parse::supervisor;

    use super::read;

    #[test]
    fn a_start_script_is_found_below_the_root_and_a_program_is_not_one() {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(root.path().join("srv/shop")).expect("made");
        let at = |name: &str| root.path().join("srv/shop").join(name);
        fs::write(at("start.sh"), "#!/bin/bash\n./shop\n").expect("written");
        fs::write(at("run"), "#!/bin/sh\nexec ./shop\n").expect("written");
        fs::write(at("shop"), b"\x7fELF").expect("written");
        let ini = "[program:a]\ncommand=bash start.sh\ndirectory=/srv/shop\n\
                   [program:b]\ncommand=/srv/shop/run\n[program:c]\ncommand=/srv/shop/shop\n\
                   [program:d]\ncommand=/srv/shop/gone.sh\n";
        let (programs, _, _) = supervisor::read("shop.ini", ini);
        let found = read(root.path(), &programs);
        let said: Vec<_> = found
            .iter()
            .map(|s| (s.path.as_str(), s.last.known().map(|last| last.is_exec)))
            .collect();
        assert_eq!(
            said,
            [("start.sh", Some(false)), ("/srv/shop/run", Some(true)), ("/srv/shop/gone.sh", None)]
        );
    }
}
