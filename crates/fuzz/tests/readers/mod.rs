//! The readers themselves: nginx, systemd, Supervisor, ssh, and Python for JSON and requests. Each
//! is asked what it understood. Where one is not on the machine, that is said and nothing is held.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use guanka_fuzz::renderers::Texts;
use serde_json::{Value, json};

/// Where the frames of the fields lie; nginx and Supervisor want the folders of logs to be there.
const GROUND: &str = "/var/tmp/guanka-fuzz";

/// Holds a text that was written to what its reader makes of it.
pub(crate) fn hold(renderer: &str, values: &[String], texts: &Texts) -> Result<(), String> {
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    match (renderer, values.as_slice()) {
        ("nginx-http" | "nginx-format" | "nginx-routes" | "nginx-metrics", _) => nginx(&[], texts),
        ("nginx-source", [_, _, _, _, authority]) => with_authority(authority, texts),
        ("draft", _) => draft(&texts[0]),
        ("nginx-server", [_, _, _, log, site, _]) => nginx(&[log, site], texts),
        ("unit", values) => unit(values, texts),
        ("ini", values) => ini(values, texts),
        ("panel-list" | "arm-file" | "message", _) => texts.iter().try_for_each(|t| json_of(t)),
        ("key-line", _) => key_line(&texts[0]),
        ("ssh-command", [target, key, known]) => ssh(target, key, known, &texts[0]),
        ("question", values) => question(values, &texts[0]),
        // Read by rules of their own, or by a reader of CommonMark, already.
        ("page" | "markdown" | "report-lines" | "pass-file", _) => Ok(()),
        (other, _) => Err(format!("{other} has no reader")),
    }
}

/// Returns a program's path where it is there; the message is for whoever reads the test's output.
fn there(path: &str) -> Option<&str> {
    let is_there = Path::new(path).exists();
    if !is_there {
        let _ = writeln!(std::io::stderr(), "not held: there is no {path}");
    }
    is_there.then_some(path)
}

/// A folder that goes away with the trial.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("own-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let path = Path::new(GROUND).join(name);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a program; returns its output, or its error text.
fn said(command: &mut Command, input: &str) -> Result<String, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut stdin = child.stdin.take().expect("piped");
    // A program that does not read its input closes it, which is no fault.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(out.into_owned()) } else { Err(format!("{out}{err}")) }
}

/// nginx tests the three files as part of a whole and dumps them byte for byte.
fn nginx(logs: &[&str], texts: &Texts) -> Result<(), String> {
    let Some(program) = there("/usr/sbin/nginx") else { return Ok(()) };
    let folder = Folder::new();
    let site = format!("server {{\nlisten 127.0.0.1:18999;\n{}}}\n", texts[2]);
    let names = ["0.format.conf", "zz.conf", "site.conf"];
    for (name, text) in names.iter().zip([&texts[0], &texts[1], &site]) {
        folder.write(name, text);
    }
    let mut made = vec![format!("{GROUND}/log"), format!("{GROUND}/site")];
    made.extend(logs.iter().map(|log| (*log).to_owned()));
    for log in &made {
        // What is not below the ground is not made here; nginx says so if it minds.
        if let Some(parent) = Path::new(log).parent().filter(|p| p.starts_with(GROUND)) {
            fs::create_dir_all(parent).map_err(|error| error.to_string())?;
        }
    }
    let main = "pid own.pid;\nerror_log stderr;\nevents {}\nhttp {\ninclude *.conf;\n}\n";
    let main = folder.write("nginx.main", main);
    let mut command = Command::new(program);
    command.args(["-T", "-q", "-e", "stderr", "-p"]).arg(&folder.0).arg("-c").arg(main);
    let dumped = said(&mut command, "")?;
    for text in [&texts[0], &texts[1], &site] {
        if !dumped.contains(text.as_str()) {
            return Err(format!("nginx did not read {text}"));
        }
    }
    Ok(())
}

/// nginx reads the authority's certificates when it is tested, so there must be some.
fn with_authority(authority: &str, texts: &Texts) -> Result<(), String> {
    const OF_THE_SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";
    if there(OF_THE_SYSTEM).is_none() || !authority.starts_with(GROUND) {
        return Ok(());
    }
    let parent = Path::new(authority).parent().expect("below the ground");
    fs::create_dir_all(parent).map_err(|error| error.to_string())?;
    fs::copy(OF_THE_SYSTEM, authority).map_err(|error| error.to_string())?;
    nginx(&[], texts)
}

/// Python's reader of TOML finds tables where the draft has them.
fn draft(text: &str) -> Result<(), String> {
    if there("/usr/lib/python3.11/tomllib").is_none() {
        return Ok(());
    }
    let script =
        "import json, sys, tomllib\nprint(json.dumps(list(tomllib.load(sys.stdin.buffer))))";
    let mut command = Command::new("/usr/bin/python3");
    let told = said(command.args(["-c", script]), text)?;
    let read: Value = serde_json::from_str(&told).map_err(|error| error.to_string())?;
    let meant: Vec<&str> = match text.contains("\n[process]") {
        true => vec!["app", "build", "env", "proxy", "process", "slo", "gates"],
        false => vec!["app", "build", "env", "proxy", "slo", "gates"],
    };
    if read == json!(meant) { Ok(()) } else { Err(format!("Python reads {read} in {text}")) }
}

/// systemd's checker says what it understood when it is asked for everything.
fn unit(values: &[&str], texts: &Texts) -> Result<(), String> {
    let &[app, env, root, program, arg, variable, value, user, data, work, _] = values else {
        return Err("eleven values".to_owned());
    };
    let Some(checker) = there("/usr/bin/systemd-analyze") else { return Ok(()) };
    let folder = Folder::new();
    let path = folder.write(&format!("guanka-{app}.{env}@blue.service"), &texts[0]);
    let mut command = Command::new(checker);
    command.env("SYSTEMD_LOG_LEVEL", "debug");
    command.args(["--no-pager", "--man=no", "--recursive-errors=no", "verify"]).arg(&path);
    // It ends badly where the program is not there, and has told what it read before.
    let told = match said(&mut command, "") {
        Ok(told) | Err(told) => told,
    };
    let all = |key: &str| -> Vec<&str> {
        told.lines().filter_map(|line| line.trim_start().strip_prefix(key)).collect()
    };
    let home = format!("{}/opt/guanka/{app}.{env}/arms/blue", root.trim_end_matches('/'));
    let one = |key: &str, meant: &str| match all(key).as_slice() {
        [found] if *found == meant => Ok(()),
        found => Err(format!("systemd reads {key}{found:?} for {meant:?}")),
    };
    one("User: ", user)?;
    one("WorkingDirectory: ", work)?;
    one("ReadWritePaths: ", data)?;
    let log = format!("{}/var/log/guanka/{app}.{env}/blue.log", root.trim_end_matches('/'));
    one("StandardOutputFileToAppend: ", &log)?;
    let pair = format!("{variable}={value}");
    if !all("Environment: ").contains(&pair.as_str()) {
        return Err(format!("systemd has {:?} without {pair}", all("Environment: ")));
    }
    let words: Vec<String> = ["-v", arg].iter().map(|word| word.replace('$', "$$")).collect();
    match all("Command Line: ").as_slice() {
        [line] => {
            let read = guanka_fuzz::reading::shell_words(&line.replace("\\$", "$"));
            let meant = [vec![format!("{home}/bin/{program}")], words].concat();
            let is_same = read.as_ref() == Some(&meant);
            if is_same { Ok(()) } else { Err(format!("systemd runs {line} for {meant:?}")) }
        }
        lines => Err(format!("systemd runs {lines:?}")),
    }
}

/// Supervisor's own options, as it would start the program.
const SUPERVISOR: &str = r#"
import json, shlex, sys
from supervisor.options import ServerOptions
options = ServerOptions()
options.realize(["-c", sys.argv[1]])
print(json.dumps([
    [p.name, p.stdout_logfile] + shlex.split(p.command)
    for g in options.process_group_configs for p in g.process_configs
]))
"#;

fn ini(values: &[&str], texts: &Texts) -> Result<(), String> {
    let &[app, env, root, launcher] = values else { return Err("four values".to_owned()) };
    if there("/usr/lib/python3/dist-packages/supervisor").is_none() {
        return Ok(());
    }
    let folder = Folder::new();
    let own = folder.0.display();
    let log = format!("{root}/var/log/guanka/{app}.{env}/blue.log");
    fs::create_dir_all(Path::new(&log).parent().expect("has one")).map_err(|e| e.to_string())?;
    let text = format!("[supervisord]\nlogfile={own}/own.log\n{}", texts[0]);
    let path = folder.write("supervisord.conf", &text);
    let mut command = Command::new("/usr/bin/python3");
    let told = said(command.arg("-c").arg(SUPERVISOR).arg(&path), "")?;
    let read: Value = serde_json::from_str(&told).map_err(|error| error.to_string())?;
    let (name, service) = (format!("guanka-{app}.{env}-blue"), format!("{app}.{env}"));
    let meant = json!([[
        name,
        log,
        launcher,
        "exec",
        "--root",
        root,
        "--service",
        service,
        "--arm",
        "blue"
    ]]);
    if read == meant { Ok(()) } else { Err(format!("Supervisor reads {read} for {meant}")) }
}

/// The panel is a Python program; what it reads must be what was written.
fn json_of(text: &str) -> Result<(), String> {
    if there("/usr/bin/python3").is_none() {
        return Ok(());
    }
    let script = "import json, sys\nprint(json.dumps(json.load(sys.stdin)))";
    let mut command = Command::new("/usr/bin/python3");
    let told = said(command.env("PYTHONUTF8", "1").args(["-c", script]), text)?;
    let read = |text: &str| serde_json::from_str::<Value>(text).map_err(|error| error.to_string());
    if read(&told)? == read(text)? { Ok(()) } else { Err(format!("Python reads {told}")) }
}

/// ssh's own tool finds exactly one key in the line.
fn key_line(line: &str) -> Result<(), String> {
    let Some(program) = there("/usr/bin/ssh-keygen") else { return Ok(()) };
    let folder = Folder::new();
    let path = folder.write("authorized_keys", &format!("{line}\n"));
    let told = said(Command::new(program).arg("-lf").arg(&path), "");
    // A body of plain letters that is no key lets nobody in, which is as good as refused.
    match told {
        Ok(told) if told.lines().count() == 1 => Ok(()),
        Ok(told) => Err(format!("ssh finds {told}")),
        Err(_) if !line.contains(guanka_fuzz::renderers::secure_shell::KEY) => Ok(()),
        Err(told) => Err(told),
    }
}

/// ssh prints the configuration that it would use.
fn ssh(target: &str, key: &str, known: &str, args: &str) -> Result<(), String> {
    let Some(program) = there("/usr/bin/ssh") else { return Ok(()) };
    let mut command = Command::new(program);
    command.arg("-G").args(args.split('\0'));
    let told = said(&mut command, "")?;
    let value = |key: &str| {
        let line = told.lines().find(|line| line.starts_with(&format!("{key} ")));
        line.map(|line| line[key.len() + 1..].to_owned()).unwrap_or_default()
    };
    let (user, host) = target.split_once('@').unwrap_or(("", target));
    let is_user = user.is_empty() || value("user") == user;
    if !is_user || value("hostname") != host.to_ascii_lowercase() {
        return Err(format!("ssh goes to {}@{}", value("user"), value("hostname")));
    }
    // A key's tokens are read when it is opened, so they stand here as they were given.
    let read = [value("identityfile").replace("%%", "%"), value("userknownhostsfile")];
    if read == [key, known] { Ok(()) } else { Err(format!("ssh reads {read:?}")) }
}

/// Python's server reads the request.
const SERVER: &str = r#"
import io, json, sys
from http.server import BaseHTTPRequestHandler
class Handler(BaseHTTPRequestHandler):
    def __init__(self, data):
        self.rfile = io.BytesIO(data)
        self.wfile = io.BytesIO()
        self.error = None
        self.raw_requestline = self.rfile.readline()
        self.ok = self.parse_request()
    def send_error(self, code, message=None, explain=None):
        self.error = f"{code} {message}"
handler = Handler(sys.stdin.buffer.read())
if not handler.ok:
    sys.exit(str(handler.error))
print(json.dumps([handler.command, handler.path, handler.headers.items()]))
"#;

fn question(values: &[&str], text: &str) -> Result<(), String> {
    let &[method, host, path, header, value] = values else { return Err("five values".to_owned()) };
    if there("/usr/bin/python3").is_none() {
        return Ok(());
    }
    let mut command = Command::new("/usr/bin/python3");
    let told = said(command.args(["-c", SERVER]), text)?;
    let read: Value = serde_json::from_str(&told).map_err(|error| error.to_string())?;
    // Python reads a byte as a letter.
    let bytes = |text: &str| text.bytes().map(char::from).collect::<String>();
    let mut headers =
        vec![["Host".to_owned(), bytes(host)], ["Connection".to_owned(), "close".to_owned()]];
    headers.push([header.to_owned(), bytes(value.trim())]);
    if !matches!(method, "GET" | "HEAD") {
        headers.push(["Content-Length".to_owned(), "0".to_owned()]);
    }
    let meant = json!([method, bytes(path), headers]);
    if read == meant { Ok(()) } else { Err(format!("a server reads {read} for {meant}")) }
}
