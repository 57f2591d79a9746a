//! What is written as JSON: the panel's list, an arm's file, a message to the agent.

use guanka_core::name::ServiceName;
use guanka_world::managers::mirror;
use guanka_world::managers::spec::ArmSpec;
use guanka_world::transport::wire::{Request, Taking};
use serde_json::{Value, json};

use super::{ArmWords, Field, PLAIN, Renderer, Texts, Trouble, arm, refused, same};
use crate::tape::Tape;

/// The panel's list of programs.
pub const PANEL_LIST: Renderer = Renderer {
    name: "panel-list",
    fields: &[
        Field { name: "program", plain: "guanka-shop.prod-blue", frame: "guanka-{}" },
        Field { name: "command", plain: "/opt/guanka/bin/guanka exec", frame: "/opt/{}/guanka" },
        Field { name: "user", plain: "gk_shop_prod", frame: "gk_{}" },
        Field { name: "another program", plain: "api", frame: "a{}" },
    ],
    trial: panel_list,
};

/// The file that an arm is started by.
pub const ARM_FILE: Renderer = Renderer {
    name: "arm-file",
    fields: &[
        Field { name: "app", plain: "shop", frame: "a{}" },
        Field { name: "env", plain: "prod", frame: "p{}" },
        Field { name: "program", plain: "shop", frame: "a{}" },
        Field { name: "argument", plain: "-v", frame: "-x={}" },
        Field { name: "variable", plain: "PORT", frame: "A{}" },
        Field { name: "value", plain: "18001", frame: "a{}b" },
        Field { name: "user", plain: "gk_shop_prod", frame: "a{}" },
        Field { name: "data folder", plain: "/srv/data", frame: "/srv/{}/data" },
        Field { name: "launcher", plain: "/opt/guanka/bin/guanka", frame: "/opt/{}/guanka" },
        Field { name: "folder", plain: "/srv/shop", frame: "/srv/{}/shop" },
        Field { name: "credential", plain: "db", frame: "d{}" },
    ],
    trial: arm_file,
};

/// A message to the agent.
pub const MESSAGE: Renderer = Renderer {
    name: "message",
    fields: &[
        Field { name: "app", plain: "shop", frame: "a{}" },
        Field { name: "env", plain: "prod", frame: "p{}" },
        Field { name: "holder", plain: "root@host, pid 12", frame: "root@{}" },
    ],
    trial: message,
};

/// Reads JSON back, on one line where that is how it is written.
fn read(text: &str) -> Result<Value, Trouble> {
    serde_json::from_str(text).map_err(|error| Trouble::Differs(format!("no JSON: {error}")))
}

fn panel_list(values: &[&str], tape: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let &[program, command, user, other] = values else { return Err(refused("four values")) };
    let own = json!({
        "program": program, "command": command, "user": user, "path": "/", "priority": "999",
    });
    let foreign = json!({ "program": other, "note": tape.byte() });
    let mut list = vec![foreign.clone()];
    if tape.below(2) == 1 {
        list.push(json!({ "program": program, "command": "older" }));
    }
    mirror::enter(&mut list, program, command, user);
    let text = Value::Array(list).to_string();
    // A program of the same name is the one that is renewed.
    let meant = if other == program { json!([own]) } else { json!([foreign, own]) };
    let found = read(&text)?;
    if other != program || found.as_array().is_some_and(|list| list.len() == 1) {
        same("the list", &found, &meant)?;
    }
    Ok(vec![text])
}

fn arm_file(values: &[&str], tape: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let &[app, env, program, arg, variable, value, user, data_dir, launcher, folder, credential] =
        values
    else {
        return Err(refused("eleven values"));
    };
    let words = ArmWords { app, env, program, arg, variable, value, user, ..PLAIN };
    let words = ArmWords { data_dir, launcher, folder, credential, ..words };
    let spec = arm(&words, tape)?;
    let text = serde_json::to_string_pretty(&spec).map_err(refused)?;
    let found: ArmSpec = serde_json::from_str(&text)
        .map_err(|error| Trouble::Differs(format!("it does not read back: {error}")))?;
    same("the arm's file", &found, &spec)?;
    Ok(vec![text])
}

fn message(values: &[&str], tape: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let &[app, env, holder] = values else { return Err(refused("three values")) };
    let service = ServiceName::new(app, env).map_err(refused)?;
    let taking = Taking::Free;
    let epoch = tape.number();
    let meant = [
        Request::TakeLease { service: service.clone(), holder: holder.to_owned(), taking },
        Request::RenewLease { service, epoch },
    ];
    let mut texts = Vec::new();
    for request in meant {
        let text = serde_json::to_string(&request).map_err(refused)?;
        let found: Request = serde_json::from_str(&text)
            .map_err(|error| Trouble::Differs(format!("it does not read back: {error}")))?;
        same("the message", &format!("{found:?}"), &format!("{request:?}"))?;
        texts.push(text);
    }
    Ok(texts)
}
