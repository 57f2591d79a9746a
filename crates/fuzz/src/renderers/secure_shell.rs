//! What ssh is given: the line that lets a key talk to the agent, and the command that connects.

use std::path::PathBuf;

use guanka_world::managers::own_unit::authorized_line;
use guanka_world::transport::ssh::{self, Options, Target};

use super::{Field, Renderer, Texts, Trouble, refused, same};
use crate::reading::ssh_paths;
use crate::tape::Tape;

/// A key as ssh makes it, for the line's plain value.
pub const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMt1VN2dRjUyPSBYNB0bHGTbC5Er6HRJvuN42Qy2rM8v";

/// A line of `authorized_keys`.
pub const KEY_LINE: Renderer = Renderer {
    name: "key-line",
    fields: &[Field { name: "key", plain: KEY, frame: "ssh-ed25519 AAAA{}" }],
    trial: key_line,
};

/// The command that connects.
pub const COMMAND: Renderer = Renderer {
    name: "ssh-command",
    fields: &[
        Field { name: "target", plain: "root@host.example", frame: "root@a{}" },
        Field { name: "key's file", plain: "/home/a/.guanka/key", frame: "/home/{}/key" },
        Field { name: "known hosts", plain: "/home/a/.guanka/known", frame: "/home/{}/known" },
    ],
    trial: command,
};

fn key_line(values: &[&str], _: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let &[key] = values else { return Err(refused("one value")) };
    let line = authorized_line(key).ok_or_else(|| refused("no public key of ssh's"))?;
    let fixed = "restrict,command=\"/opt/guanka/bin/guanka agent --connect\" ";
    let rest = line.strip_prefix(fixed).ok_or(Trouble::Differs(format!("begins {line:?}")))?;
    let (found, meant): (Vec<&str>, Vec<&str>) =
        (rest.split(' ').collect(), key.split_whitespace().take(2).collect());
    same("the key", &found, &meant)?;
    let is_plain = |c: char| c.is_ascii_graphic() && !"\"#\\'".contains(c);
    same("plain letters", &found.iter().all(|word| word.chars().all(is_plain)), &true)?;
    Ok(vec![line])
}

fn command(values: &[&str], tape: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let &[target, identity, known] = values else { return Err(refused("three values")) };
    let target = Target::parse(target).ok_or_else(|| refused("no name of a host"))?;
    let known_hosts = match tape.below(2) {
        0 => vec![PathBuf::from(known)],
        _ => vec![PathBuf::from("/etc/known"), PathBuf::from(known)],
    };
    let options = Options { config: None, identity: Some(identity.into()), known_hosts };
    let command = ssh::command(&target, &options, &["true"]).map_err(refused)?;
    let args: Vec<String> =
        command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let end = [args.len().saturating_sub(3), args.len()];
    same("the end", &args[end[0]..end[1]].join(" "), &format!("-- {} true", target.as_str()))?;
    let keyword = "UserKnownHostsFile=";
    let files = args.iter().find_map(|arg| arg.strip_prefix(keyword)).unwrap_or_default();
    let meant: Vec<String> =
        options.known_hosts.iter().map(|path| path.display().to_string()).collect();
    same("the known hosts", &ssh_paths(files), &Some(meant))?;
    let keyword = "IdentityFile=";
    let key = args.iter().find_map(|arg| arg.strip_prefix(keyword)).unwrap_or_default();
    same("the key's file", &ssh_paths(key), &Some(vec![identity.to_owned()]))?;
    Ok(vec![args.join("\0")])
}
