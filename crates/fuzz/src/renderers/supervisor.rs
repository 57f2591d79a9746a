//! An arm as a program of Supervisor's, read by its rules: expansions first, then shell words.

use guanka_world::hostroot::HostRoot;
use guanka_world::managers::supervisor::{Autostart, program_text};

use super::{ArmWords, Field, PLAIN, Renderer, Texts, Trouble, arm, refused, same};
use crate::reading::{shell_words, specifiers};
use crate::tape::Tape;

/// The ini file.
pub const INI: Renderer = Renderer {
    name: "ini",
    fields: &[
        Field { name: "app", plain: "shop", frame: "a{}" },
        Field { name: "env", plain: "prod", frame: "p{}" },
        Field {
            name: "root",
            plain: "/var/tmp/guanka-fuzz/root",
            frame: "/var/tmp/guanka-fuzz/{}/root",
        },
        Field {
            name: "launcher",
            plain: "/opt/guanka/bin/guanka",
            frame: "/var/tmp/guanka-fuzz/{}/guanka",
        },
    ],
    trial,
};

fn trial(values: &[&str], tape: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let &[app, env, root, launcher] = values else { return Err(refused("four values")) };
    let spec = arm(&ArmWords { app, env, launcher, ..PLAIN }, tape)?;
    let host = HostRoot::new(root);
    let autostart = if tape.below(2) == 0 { Autostart::Disabled } else { Autostart::Enabled };
    let text = program_text(&host, &spec, autostart).map_err(refused)?;
    let (programs, includes, problems) = guanka_parse::supervisor::read("rendered", &text);
    same("includes and problems", &(includes.len(), problems.len()), &(0, 0))?;
    let [program] = programs.as_slice() else {
        return Err(Trouble::Differs(format!("{} programs", programs.len())));
    };
    let (service, arm) = (spec.service.to_string(), spec.arm.to_string());
    same("the name", &program.name, &format!("guanka-{service}-{arm}"))?;
    let option = |key: &str| {
        let found = program.options.get(key).map(|found| found.value.as_str());
        found.and_then(specifiers).unwrap_or_default()
    };
    let meant = [launcher, "exec", "--root", root, "--service", &service, "--arm", &arm];
    let meant: Vec<String> = meant.iter().map(|word| (*word).to_owned()).collect();
    same("the command", &shell_words(&option("command")), &Some(meant))?;
    let log = host.arm_log(&spec.service, spec.arm).display().to_string();
    same("the log", &option("stdout_logfile"), &log)?;
    same("the options", &program.options.len(), &14)?;
    Ok(vec![text])
}
