//! Reads what the machine says of itself: its kind, panel, listeners, running Go programs, and what
//! lies below its web roots.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use guanka_core::facts::host::{Host, RunningProgram};
use guanka_core::facts::nginx::{Nginx, pass_host};
use guanka_core::facts::{Fact, Provenance, Reason, Sourced};

use super::accounts::Accounts;
use super::processes::{Process, Processes};
use super::tree::HostTree;
use super::{arguments, goheader, keepers, listeners, panel, webroots};

/// Reads a host root. For a folder, only the processes that have to do with it are looked at.
pub fn read(root: &Path, nginx: Option<&Nginx>) -> Host {
    let tree = HostTree::new(root);
    let processes = Processes::read();
    let ours = processes.belonging_to(&tree);
    let panel = panel::read(root);
    let named = nginx.map(named_ports).unwrap_or_default();
    let listening = listeners::read(&tree, &processes, &ours, &named);
    let mut candidates = ours;
    candidates.extend(listening.ports.keys().filter(|pid| **pid != std::process::id()));
    let programs = programs(&tree, &processes, &candidates, &listening.ports);
    let web_roots = webroots::read(&tree, nginx, panel.as_ref());
    Host {
        root: tree.root().display().to_string(),
        arch: arch(),
        panel,
        listeners: listening.listeners,
        programs,
        web_roots,
    }
}

/// Returns whether a host root can be looked at: a folder that is there.
pub fn is_there(root: &Path) -> bool {
    root.is_dir()
}

/// Returns the machine in Go's words.
fn arch() -> Fact<String> {
    let name = rustix::system::uname();
    let machine = name.machine().to_string_lossy();
    let go = match machine.as_ref() {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i586" | "i686" => "386",
        "loongarch64" => "loong64",
        "mips64" => "mips64",
        "ppc64le" | "ppc64" | "riscv64" | "s390x" | "mips" => machine.as_ref(),
        arm if arm.starts_with("armv") => "arm",
        other => return Fact::Unknown(Reason::OutsideOurSight(format!("uname -m: {other}"))),
    };
    let from = Provenance::Command { argv: vec!["uname".into(), "-m".into()], status: Some(0) };
    Fact::Known(Sourced { value: go.to_owned(), from })
}

/// Returns the ports that nginx listens on and passes requests to.
fn named_ports(nginx: &Nginx) -> BTreeSet<u16> {
    let listens = nginx.servers().flat_map(|server| server.inner()).filter(|d| d.name == "listen");
    let servers =
        nginx.upstreams().flat_map(|upstream| upstream.inner()).filter(|d| d.name == "server");
    let written = listens.chain(servers).filter_map(|d| d.args.first()).map(String::as_str);
    let passes: Vec<_> = nginx.proxy_locations();
    let passed = passes.iter().filter_map(|location| pass_host(location.pass));
    written.chain(passed).filter_map(port).collect()
}

/// Returns the port at the end of an address, `80`, `1.2.3.4:80`, `[::]:80`.
fn port(address: &str) -> Option<u16> {
    address.rsplit(':').next()?.parse().ok()
}

/// Returns the Go programs among some processes.
fn programs(
    tree: &HostTree,
    processes: &Processes,
    candidates: &BTreeSet<u32>,
    ports: &BTreeMap<u32, BTreeSet<u16>>,
) -> Vec<RunningProgram> {
    let accounts = Accounts::read(tree);
    let projects = keepers::panel_projects(tree);
    // Programs with many processes are read once.
    let mut known: BTreeMap<String, Option<String>> = BTreeMap::new();
    let chosen = candidates.iter().filter_map(|pid| processes.get(*pid));
    chosen
        .filter_map(|process| {
            let program = process.program.as_ref()?.display().to_string();
            let go = match process.is_replaced {
                true => goheader::read(&process.program_door()),
                false => known
                    .entry(program.clone())
                    .or_insert_with(|| goheader::read(&process.program_door()))
                    .clone(),
            }?;
            Some(RunningProgram {
                pid: process.pid,
                program,
                argv: arguments::blanked(&process.argv),
                user: accounts.name(process.uid),
                uid: process.uid,
                kept_by: keepers::keeper(process, processes, &projects, tree),
                ports: ports_of(process, ports),
                go: Some(go),
            })
        })
        .collect()
}

fn ports_of(process: &Process, ports: &BTreeMap<u32, BTreeSet<u16>>) -> Vec<u16> {
    ports.get(&process.pid).map(|own| own.iter().copied().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use guanka_core::facts::nginx::Nginx;
    use guanka_core::facts::{Fact, Reason};

    use super::{arch, named_ports};

    #[test]
    fn the_ports_of_a_configuration_are_those_listened_on_and_passed_to() {
        let text = "http { upstream u { server 127.0.0.1:7001 backup; server unix:/x.sock; }\n\
                    server { listen 80; listen [::]:81 ssl; location / { proxy_pass http://u; }\n\
                    location /a { if ($x) { proxy_pass http://localhost:9000/a; } } } }";
        let (tree, problems) = guanka_parse::nginx::parse_fragment("n", text);
        assert!(problems.is_empty());
        let nginx = Nginx {
            version: Fact::Unknown(Reason::NotThere("nginx".to_owned())),
            main_file: "n".to_owned(),
            tree,
            unreadable: Vec::new(),
            problems,
        };
        assert_eq!(named_ports(&nginx).into_iter().collect::<Vec<_>>(), [80, 81, 7001, 9000]);
    }

    #[test]
    fn this_machine_has_a_kind() {
        assert!(arch().known().is_some());
    }
}
