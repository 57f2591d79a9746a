//! The way to the host: first contact, the key that can do one thing, a host that is not itself, a
//! wire that is cut.

use anyhow::{Context, Result, ensure};

use super::Case;
use super::ground::{Ground, HOST, new_host_keys};

pub(super) const CASES: &[Case] = &[
    ("the machine runs with its panel: nginx answers", runs),
    ("a host whose key nobody compared is refused, and nothing is sent", not_compared),
    ("a wrong fingerprint is refused", wrong_fingerprint),
    ("host add: agent, unit, users and trust in place, started at boot", added),
    ("adding it again changes nothing", added_again),
    ("guanka's key can talk to the agent and do nothing else", one_thing),
    ("host ls and host doctor", looked_at),
    ("a cut wire is silence, a closed port is refusal: told apart", told_apart),
    ("a host key that changed is refused, with what to do", changed_key),
];

/// What every other case rests on.
pub(super) const NEEDED: &[Case] = &[CASES[0], CASES[3]];

pub(super) fn runs(ground: &mut Ground) -> Result<()> {
    let state = ground.machine.run(&["systemctl", "is-system-running"]);
    ensure!(state.is_ok(), "units failed: {:?}", ground.machine.run(&["systemctl", "--failed"]));
    let (code, _) = ground.ask("/")?;
    ensure!(code == 200, "the panel's site answers {code}");
    Ok(())
}

fn not_compared(ground: &mut Ground) -> Result<()> {
    let answer = ground.call(&["host", "add", HOST])?.exits(2)?;
    answer.says(&["GK1214", "SHA256:", "--fingerprint"])?;
    ensure!(!ground.machine.root().join("opt/guanka").exists(), "something was sent");
    Ok(())
}

fn wrong_fingerprint(ground: &mut Ground) -> Result<()> {
    let wrong = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let answer = ground.call(&["host", "add", HOST, "--fingerprint", wrong])?.exits(2)?;
    answer.says(&["GK1214", wrong])?;
    Ok(())
}

/// The unit of the agent's root half.
const HELPER: &str = "guanka-helper.service";

/// Returns the fingerprint as the host itself says it.
fn fingerprint(ground: &Ground) -> Result<String> {
    let key = "/etc/ssh/ssh_host_ed25519_key.pub";
    let said = ground.machine.run(&["ssh-keygen", "-lf", key])?;
    said.split_whitespace().nth(1).map(str::to_owned).context("a fingerprint")
}

pub(super) fn added(ground: &mut Ground) -> Result<()> {
    let print = fingerprint(ground)?;
    ground.call(&["host", "add", HOST, "--fingerprint", &print])?.exits(0)?;
    let machine = &ground.machine;
    for (unit, user) in [("guanka-agent.service", "guanka-agent"), (HELPER, "root")] {
        machine.run(&["systemctl", "is-enabled", unit])?;
        ensure!(machine.is_active(unit), "{unit} does not run");
        let shown = machine.run(&["systemctl", "show", "--property=MainPID", "--value", unit])?;
        let owner = machine.run(&["stat", "-c", "%U", &format!("/proc/{}", shown.trim())])?;
        ensure!(owner.trim() == user, "{unit} runs as {owner}");
    }
    let modes = machine.run(&["stat", "-c", "%a %U", "/etc/guanka/trust.toml"])?;
    ensure!(modes.trim() == "600 root", "trust.toml is {modes}");
    let socket = machine.run(&["stat", "-c", "%a %U %G", "/run/guanka/agent.sock"])?;
    ensure!(socket.trim() == "660 guanka-agent guanka", "the socket is {socket}");
    let hands = machine.run(&["stat", "-c", "%a %U", "/run/guanka-helper/helper.sock"])?;
    ensure!(hands.trim() == "600 guanka-agent", "the helper's socket is {hands}");
    let left = machine.run(&["sh", "-c", "ls -d /tmp/guanka.* 2>/dev/null || true"])?;
    ensure!(left.trim().is_empty(), "left behind: {left}");
    Ok(())
}

fn added_again(ground: &mut Ground) -> Result<()> {
    let started = |ground: &Ground| {
        let wanted = "--property=ExecMainStartTimestampMonotonic";
        ground.machine.run(&["systemctl", "show", wanted, "guanka-agent.service"])
    };
    let before = started(ground)?;
    ground.call(&["host", "add", HOST])?.exits(0)?;
    ensure!(started(ground)? == before, "the agent was started anew");
    let keys = ground.machine.run(&["cat", "/opt/guanka/home/.ssh/authorized_keys"])?;
    ensure!(keys.lines().count() == 1, "{keys}");
    Ok(())
}

fn one_thing(ground: &mut Ground) -> Result<()> {
    let key = ground.key().display().to_string();
    let options = ["-i", key.as_str(), "-o", "IdentitiesOnly=yes"];
    let target = HOST.replace("root@", "guanka@");
    // Whatever is asked for, the agent's end of the wire answers; closed input ends it.
    for words in [["id", "-u"], ["cat", "/etc/shadow"]] {
        let words = [target.as_str(), words[0], words[1]];
        let answer = ground.ssh(&options, &words)?;
        ensure!(!answer.text.contains("root:") && answer.text.trim().is_empty(), "{}", answer.text);
    }
    let forward =
        [&options[..], &["-o", "ExitOnForwardFailure=yes", "-W", "127.0.0.1:80"]].concat();
    let answer = ground.ssh(&forward, &[target.as_str()])?;
    ensure!(answer.code != Some(0), "it forwards: {}", answer.text);
    let as_root = ground.ssh(&options, &[HOST, "id", "-u"])?;
    ensure!(as_root.code == Some(255), "guanka's key logs in as root");
    Ok(())
}

fn looked_at(ground: &mut Ground) -> Result<()> {
    ground.call(&["host", "ls"])?.exits(0)?.says(&[HOST, "guanka@"])?;
    ground.call(&["host", "doctor", HOST])?.exits(0)?.says(&["agent", "nginx 1.22", "panel"])?;
    ground.call(&["host", "doctor", "-oProxyCommand=x"])?.exits(2)?;
    Ok(())
}

fn told_apart(ground: &mut Ground) -> Result<()> {
    ground.machine.wire.set(false)?;
    let silent = ground.call(&["host", "doctor", HOST]);
    ground.machine.wire.set(true)?;
    silent?.exits(1)?.says(&["GK1213", "does not answer"])?;
    ground.machine.run(&["systemctl", "stop", "ssh.service"])?;
    let refused = ground.call(&["host", "doctor", HOST]);
    ground.machine.run(&["systemctl", "start", "ssh.service"])?;
    refused?.exits(1)?.says(&["GK1213", "no ssh listens"])?;
    ground.call(&["host", "doctor", HOST])?.exits(0)?;
    Ok(())
}

fn changed_key(ground: &mut Ground) -> Result<()> {
    let root = ground.machine.root();
    let aside = ground.at("old-keys");
    std::fs::create_dir_all(&aside)?;
    let keys: Vec<_> = std::fs::read_dir(root.join("etc/ssh"))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().contains("ssh_host_"))
        .collect();
    for key in &keys {
        let name = key.file_name().context("a name")?;
        std::fs::copy(key, aside.join(name))?;
        std::fs::remove_file(key)?;
    }
    new_host_keys(&root)?;
    ground.machine.run(&["systemctl", "restart", "ssh.service"])?;
    let tried = ground.call(&["host", "doctor", HOST]);
    for key in &keys {
        let name = key.file_name().context("a name")?;
        std::fs::copy(aside.join(name), key)?;
    }
    ground.machine.run(&["systemctl", "restart", "ssh.service"])?;
    tried?.exits(1)?.says(&["GK1213", "another one", "ssh-keygen -R"])?;
    ground.call(&["host", "doctor", HOST])?.exits(0)?;
    Ok(())
}
