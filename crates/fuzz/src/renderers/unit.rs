//! An arm's systemd unit, read by systemd's rules of quoting, specifiers and variables.

use guanka_parse::systemd;
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::spec::{ArmSpec, RunAs};
use guanka_world::managers::systemd::unit_text;

use super::{ArmWords, Field, PLAIN, Renderer, Texts, Trouble, arm, refused, same};
use crate::reading::{specifiers, unit_words, variables};
use crate::tape::Tape;

/// The unit.
pub const UNIT: Renderer = Renderer {
    name: "unit",
    fields: &[
        Field { name: "app", plain: "shop", frame: "a{}" },
        Field { name: "env", plain: "prod", frame: "p{}" },
        Field { name: "root", plain: "/", frame: "/var/tmp/guanka-fuzz/{}/root" },
        Field { name: "program", plain: "shop", frame: "a{}" },
        Field { name: "argument", plain: "-v", frame: "-x={}" },
        Field { name: "variable", plain: "PORT", frame: "A{}" },
        Field { name: "value", plain: "18001", frame: "a{}b" },
        Field { name: "user", plain: "gk_shop_prod", frame: "a{}" },
        Field {
            name: "data folder",
            plain: "/var/tmp/guanka-fuzz/data",
            frame: "/var/tmp/guanka-fuzz/{}/data",
        },
        Field {
            name: "folder",
            plain: "/var/tmp/guanka-fuzz/folder",
            frame: "/var/tmp/guanka-fuzz/{}/folder",
        },
        Field { name: "credential", plain: "db", frame: "d{}" },
    ],
    trial,
};

fn trial(values: &[&str], tape: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let &[app, env, root, program, arg, variable, value, user, data_dir, folder, credential] =
        values
    else {
        return Err(refused("eleven values"));
    };
    let words = ArmWords { app, env, program, arg, variable, value, user, ..PLAIN };
    let words = ArmWords { data_dir, folder, credential, ..words };
    let spec = arm(&words, tape)?;
    let host = HostRoot::new(root);
    let text = unit_text(&host, &spec).map_err(refused)?;
    let (unit, problems) = systemd::read(("rendered", "rendered", &text), &[]);
    same("the problems", &problems.len(), &0)?;
    let all = |key: &str| -> Vec<String> {
        let of = unit.entries.iter().filter(|e| e.section == "Service" && e.key == key);
        of.map(|e| e.value.clone()).collect()
    };
    let path = |key: &str| all(key).first().and_then(|text| specifiers(text)).unwrap_or_default();
    let home = host.arm(&spec.service, spec.arm);
    let program = format!("{}/bin/{program}", home.display());
    same("the command", &command(&all("ExecStart")), &Some([&[program], &*spec.args].concat()))?;
    same("the environment", &environment(&all("Environment")), &Some(own_variables(&host, &spec)))?;
    let RunAs::User { name, .. } = &spec.run_as else { return Err(refused("no user")) };
    same("the user", &user_of(&all("User")), &Some(name.clone()))?;
    same("the folder", &path("WorkingDirectory"), &folder.to_owned())?;
    let source = host.at(&format!("/etc/guanka/credentials/{}/{credential}", spec.service));
    let secret = format!("{credential}:{}", source.display());
    same("the secret", &path("LoadCredential"), &secret)?;
    same("the data folder", &path("ReadWritePaths"), &data_dir.to_owned())?;
    let log = host.arm_log(&spec.service, spec.arm);
    same("the log", &path("StandardOutput"), &format!("append:{}", log.display()))?;
    // Everything else is made of constants and numbers; one line more would be somebody's own.
    let lines = 51 + usize::from(spec.memory.is_some()) * 2 + usize::from(spec.notifies);
    same("the lines", &unit.entries.len(), &lines)?;
    Ok(vec![text])
}

/// Reads the one command line there may be.
fn command(lines: &[String]) -> Option<Vec<String>> {
    let [line] = lines else { return None };
    let words = unit_words(line)?;
    // A lone semicolon parts commands; ours are quoted, which `unit_words` marks by keeping them.
    words.iter().map(|word| variables(&specifiers(word)?)).collect()
}

/// Reads every assignment; each line holds exactly one.
fn environment(lines: &[String]) -> Option<Vec<String>> {
    lines
        .iter()
        .map(|line| match unit_words(line)?.as_slice() {
            [word] => specifiers(word),
            _ => None,
        })
        .collect()
}

/// Reads a user as systemd does: digits alone are a number and no name.
fn user_of(lines: &[String]) -> Option<String> {
    let [user] = lines else { return None };
    let is_number = !user.is_empty() && user.bytes().all(|b| b.is_ascii_digit());
    let is_folder = matches!(user.as_str(), "." | "..");
    if is_number || is_folder { None } else { specifiers(user) }
}

/// Returns the whole environment that an arm is meant to have.
fn own_variables(host: &HostRoot, spec: &ArmSpec) -> Vec<String> {
    let mut meant = vec!["PATH=/usr/local/bin:/usr/bin:/bin".to_owned(), "LANG=C.UTF-8".to_owned()];
    meant.extend(spec.memory.map(|memory| format!("GOMEMLIMIT={}", memory.0 / 10 * 9)));
    meant.extend(spec.env.iter().map(|(name, value)| format!("{name}={value}")));
    meant.push(format!("GUANKA_ARM={}", spec.arm));
    meant.push(format!("GUANKA_ACTIVE_FILE={}", host.active_file(&spec.service).display()));
    meant
}
