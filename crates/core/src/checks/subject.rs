//! What belongs to the service that is being checked: its servers and listeners in the source, its
//! entries with a process manager, the ports it is known to listen on.

use std::collections::BTreeSet;

use super::Missing;
use crate::facts::declared::Declared;
use crate::facts::gosource::{GoListen, GoServer, GoSource};
use crate::facts::host::RunningProgram;
use crate::facts::supervisor::Program;
use crate::facts::systemd::Unit;
use crate::facts::{Fact, Facts, Provenance, Reason};
use crate::finding::Evidence;
use crate::say::Said;

/// A port that the service listens on, and how that is known.
pub(super) struct Port {
    /// The port.
    pub(super) number: u16,
    /// Where it is said.
    pub(super) evidence: Evidence,
}

/// What keeps the service running.
#[derive(Default)]
pub(super) struct Kept<'a> {
    /// Its Supervisor programs.
    pub(super) programs: Vec<&'a Program>,
    /// Its systemd units.
    pub(super) units: Vec<&'a Unit>,
    /// It is declared and not installed yet: guanka will write its entry from this.
    pub(super) rendered: Option<&'a Declared>,
    /// Its entries are guanka's own: the next release writes them anew from this.
    pub(super) renewed: Option<&'a Declared>,
    /// There are entries, and which of them is the service's could not be told.
    pub(super) unclear: Option<Missing>,
}

/// Returns whether a package's folder belongs to the declared program: another program's own folder
/// does not, everything else may.
pub(super) fn is_ours(facts: &Facts, folder: &str) -> bool {
    let (Some(declared), Some(source)) = (&facts.declared, &facts.source) else { return true };
    let clean = |path: &str| path.trim_start_matches("./").trim_end_matches('/').to_owned();
    let program = match clean(&declared.app.program) {
        path if path.is_empty() => ".".to_owned(),
        path => path,
    };
    let folder = clean(folder);
    let is_main = |path: &str| source.mains.iter().any(|m| clean(&m.folder) == clean(path));
    folder == program || !is_main(&folder) || !is_main(&program)
}

/// Returns the service's servers with their indexes.
pub(super) fn servers(facts: &Facts) -> Vec<(usize, &GoServer)> {
    let all = facts.source.iter().flat_map(|s| s.servers.iter().enumerate());
    all.filter(|(_, server)| is_ours(facts, &server.folder)).collect()
}

/// Returns whether what stands in two folders can be linked into one program: two programs' own
/// folders never are.
pub(super) fn share_a_program(source: &GoSource, one: &str, other: &str) -> bool {
    let is_main = |folder: &str| source.mains.iter().any(|m| m.folder == folder);
    one == other || !is_main(one) || !is_main(other)
}

/// Returns the service's listening calls; a module without a program is a library and serves
/// nothing by itself.
pub(super) fn listens(facts: &Facts) -> Vec<&GoListen> {
    let programs = facts.source.iter().filter(|s| !s.mains.is_empty());
    let all = programs.flat_map(|s| s.listens.iter());
    all.filter(|listen| is_ours(facts, &listen.folder)).collect()
}

/// Returns the running programs that are built from the service's module or are its binary.
pub(super) fn running(facts: &Facts) -> Vec<&RunningProgram> {
    let module = facts.module.as_ref().and_then(|m| m.module.known());
    let ours = names(facts);
    let all = facts.host.iter().flat_map(|h| h.programs.iter());
    all.filter(|program| {
        let words = program.go.as_deref().unwrap_or_default();
        let by_module = module.is_some_and(|m| words.split_whitespace().any(|w| w == m));
        by_module || (module.is_none() && ours.contains(base(&program.program)))
    })
    .collect()
}

/// Returns what keeps the service running, as far as this run can see.
pub(super) fn kept(facts: &Facts) -> Kept<'_> {
    let everything = Kept {
        programs: facts.supervisor.iter().collect(),
        units: facts.units.iter().collect(),
        ..Kept::default()
    };
    if let Some(declared) = &facts.declared {
        let own = guankas_own(facts, declared);
        return if own.programs.is_empty() && own.units.is_empty() {
            Kept { rendered: Some(declared), ..own }
        } else {
            Kept { renewed: Some(declared), ..own }
        };
    }
    let ours = names(facts);
    let named = Kept {
        programs: facts.supervisor.iter().filter(|p| runs_one_of(p, &ours)).collect(),
        units: facts.units.iter().filter(|u| unit_runs_one_of(u, &ours)).collect(),
        ..Kept::default()
    };
    let total = everything.programs.len() + everything.units.len();
    if named.programs.len() + named.units.len() > 0 {
        named
    } else if total <= 1 || facts.source.is_none() {
        everything
    } else {
        let words = Said::new(
            format!("{total} 个进程守护条目中哪一个运行本程序"),
            format!("which of {total} process manager entries runs this program"),
        );
        let tried = ours.into_iter().collect::<Vec<_>>().join(", ");
        let missing = Missing { what: words, reason: Reason::NotThere(tried) };
        Kept { unclear: Some(missing), ..Kept::default() }
    }
}

/// Returns every port the service is known to listen on: constants in the source, what the process
/// manager hands over, what its running program holds.
pub(super) fn ports(facts: &Facts) -> Vec<Port> {
    let mut found = Vec::new();
    let kept = kept(facts);
    for listen in listens(facts) {
        if let Fact::Known(addr) = &listen.addr {
            let Some(number) = port_of(&addr.value) else { continue };
            let says = Said::new(
                format!("程序监听 {}", addr.value),
                format!("the program listens on {}", addr.value),
            );
            found.push(Port { number, evidence: Evidence::new(addr.from.clone(), says) });
        }
        for key in &listen.addr_from {
            found.extend(handed_over(&kept, key));
        }
    }
    for program in running(facts) {
        for number in &program.ports {
            let says = Said::new(
                format!("运行中的进程 {} 监听 {number}", program.pid),
                format!("the running process {} listens on {number}", program.pid),
            );
            let from = Provenance::Path(program.program.clone());
            found.push(Port { number: *number, evidence: Evidence::new(from, says) });
        }
    }
    found
}

/// Returns the port in `host:port`, `:port` or a bare port.
pub(super) fn port_of(addr: &str) -> Option<u16> {
    addr.rsplit(':').next().unwrap_or(addr).parse().ok()
}

/// Returns the host in `host:port`; empty when the address is for every interface.
pub(super) fn host_of(addr: &str) -> &str {
    addr.rsplit_once(':').map_or("", |(host, _)| host.trim_matches(['[', ']']))
}

/// Returns the file name of a path.
pub(super) fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Returns the words of a command line, quotes and brackets of a shell taken off.
pub(super) fn words(command: &str) -> impl Iterator<Item = &str> {
    command.split(|c: char| c.is_whitespace() || "\"';&|()".contains(c)).filter(|w| !w.is_empty())
}

/// Returns the file names under which the service's program may be started.
fn names(facts: &Facts) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    found.extend(facts.declared.iter().map(|d| d.service.app().to_owned()));
    found.extend(facts.binary.iter().map(|b| base(&b.file).to_owned()));
    let module = facts.module.as_ref().and_then(|m| m.module.known());
    let is_version = |word: &str| {
        word.strip_prefix('v')
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    found.extend(
        module
            .iter()
            .filter_map(|m| m.rsplit('/').find(|word| !is_version(word)).map(str::to_owned)),
    );
    let mains = facts.source.iter().flat_map(|s| s.mains.iter());
    found.extend(mains.map(|m| base(&m.folder).to_owned()).filter(|name| name != "."));
    found
}

fn guankas_own<'a>(facts: &'a Facts, declared: &Declared) -> Kept<'a> {
    let program = format!("guanka-{}-", declared.service);
    let unit = format!("guanka-{}@", declared.service);
    Kept {
        programs: facts.supervisor.iter().filter(|p| p.name.starts_with(&program)).collect(),
        units: facts.units.iter().filter(|u| u.name.starts_with(&unit)).collect(),
        ..Kept::default()
    }
}

fn runs_one_of(program: &Program, names: &BTreeSet<String>) -> bool {
    let command = program.options.get("command").map(|c| c.value.as_str()).unwrap_or_default();
    is_named(&program.name, names) || words(command).any(|word| names.contains(base(word)))
}

/// guanka's own entries are called `guanka-<app>.<env>-<arm>` and `guanka-<app>.<env>@`.
fn is_named(entry: &str, names: &BTreeSet<String>) -> bool {
    let app = entry.strip_prefix("guanka-").and_then(|rest| rest.split('.').next());
    names.contains(entry) || app.is_some_and(|app| names.contains(app))
}

fn unit_runs_one_of(unit: &Unit, names: &BTreeSet<String>) -> bool {
    let stem = unit.name.trim_end_matches(".service");
    let command = unit.last("Service", "ExecStart").map(|e| e.value.as_str()).unwrap_or_default();
    is_named(stem, names) || words(command).any(|word| names.contains(base(word)))
}

/// Returns the ports that a process manager hands over under `$NAME` or `-flag`.
fn handed_over(kept: &Kept<'_>, key: &str) -> Vec<Port> {
    let mut texts = Vec::new();
    for program in &kept.programs {
        let option = if key.starts_with('$') { "environment" } else { "command" };
        texts.extend(program.options.get(option).map(|v| (v.value.as_str(), &v.span)));
    }
    for unit in &kept.units {
        let option = if key.starts_with('$') { "Environment" } else { "ExecStart" };
        let entries = unit.entries.iter().filter(|e| e.section == "Service" && e.key == option);
        texts.extend(entries.map(|e| (e.value.as_str(), &e.span)));
    }
    let port = |(text, span): &(&str, &crate::facts::Span)| {
        let value = given(text, key)?;
        let number = port_of(value)?;
        let says = Said::new(format!("{key} = {value}"), format!("{key} = {value}"));
        Some(Port { number, evidence: Evidence::at(span, says) })
    };
    texts.iter().filter_map(port).collect()
}

/// Returns the value given to `$NAME` in `A=1,NAME="x"`, or to `-flag` in a command line.
fn given<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut parts = text
        .split(|c: char| c.is_whitespace() || c == ',' || c == '"' || c == '\'')
        .filter(|part| !part.is_empty());
    if let Some(name) = key.strip_prefix('$') {
        let at = parts.find(|part| part.strip_prefix(name).is_some_and(|r| r.starts_with('=')))?;
        let value = &at[name.len() + 1..];
        return if value.is_empty() { parts.next() } else { Some(value) };
    }
    let flag = key.trim_start_matches('-');
    let at = parts.find(|part| {
        let name = part.trim_start_matches('-');
        part.starts_with('-') && name.split('=').next() == Some(flag)
    })?;
    at.split_once('=').map(|(_, value)| value).or_else(|| parts.next())
}

#[cfg(test)]
mod tests {
    use super::{given, host_of, port_of, words};

    #[test]
    fn a_handed_over_address_is_read_from_environment_and_flags() {
        assert_eq!(given("GIN_MODE=\"release\",PORT=\"8081\"", "$PORT"), Some("8081"));
        assert_eq!(given("\"PORT=8081\" A=b", "$PORT"), Some("8081"));
        assert_eq!(given("MYPORT=1", "$PORT"), None);
        assert_eq!(given("/srv/shop -listen 127.0.0.1:9000", "-listen"), Some("127.0.0.1:9000"));
        assert_eq!(given("/srv/shop --listen=:9000 -v", "-listen"), Some(":9000"));
        assert_eq!(given("/srv/shop -v", "-listen"), None);
    }

    #[test]
    fn addresses_split_into_host_and_port() {
        assert_eq!((host_of(":8080"), port_of(":8080")), ("", Some(8080)));
        assert_eq!((host_of("[::1]:80"), port_of("[::1]:80")), ("::1", Some(80)));
        assert_eq!((host_of("8080"), port_of("8080")), ("", Some(8080)));
        assert_eq!(port_of("unix"), None);
    }

    #[test]
    fn a_shell_command_gives_up_its_words() {
        let found: Vec<_> = words("bash -c \"cd /srv && ./shop\"").collect();
        assert_eq!(found, ["bash", "-c", "cd", "/srv", "./shop"]);
    }
}
