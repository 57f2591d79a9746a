//! Where the releases take place: a host root whose site also speaks TLS and HTTP/2, the service's
//! project, and guanka called as a user calls it.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::clients::{self, Clients};
use crate::demo::ground::{Afterwards, Ground as Host};
use crate::demo::program::Program;
use crate::demo::words::Lang;
use crate::hostroot::HostRootInfo;
use crate::process;
use crate::setup::Tools;

/// The site of the first service.
const DOMAIN: &str = "shop.example.com";
/// The site of the second one.
const SECOND: &str = "second.example.com";
/// The first service's name, as its folders have it.
pub(super) const SERVICE: &str = "streams.bench";

/// A gated release takes a minute; a first build fetches a module.
const SHIP_LIMIT: Duration = Duration::from_secs(300);
/// openssl and short calls, on a busy machine.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// The service's files.
const FILES: [(&str, &str); 4] = [
    ("go.mod", include_str!("files/service/go.mod")),
    ("go.sum", include_str!("files/service/go.sum")),
    ("main.go", include_str!("files/service/main.go")),
    ("routes.go", include_str!("files/service/routes.go")),
];

/// How the site is reached.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) domain: &'static str,
    pub(super) plain: u16,
    pub(super) secure: u16,
    pub(super) ca: PathBuf,
}

/// One of the two services, which lead their lives beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    First,
    Second,
}

impl Service {
    /// Both.
    pub(super) const BOTH: [Self; 2] = [Self::First, Self::Second];

    /// Returns its app's name.
    const fn app(self) -> &'static str {
        match self {
            Self::First => "streams",
            Self::Second => "second",
        }
    }

    const fn domain(self) -> &'static str {
        match self {
            Self::First => DOMAIN,
            Self::Second => SECOND,
        }
    }
}

/// The host, the projects and the programs.
pub(super) struct Ground {
    host: Host,
    guanka: Program,
    site: Site,
    clients: PathBuf,
}

/// How a release ended.
pub(super) struct Shipped {
    /// guanka's exit code.
    pub(super) exit: i32,
    /// Its report.
    pub(super) report: Value,
}

impl Ground {
    /// Lays the host out and starts it.
    pub(super) fn open(tools: &Tools, program: PathBuf, afterwards: Afterwards) -> Result<Self> {
        let secure = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let host = Host::open_with(tools, afterwards, |info| {
            certificate(info)?;
            sites(info, secure)
        })?;
        let guanka = Program::new(program, tools, Lang::En, &host.folder)?;
        let ca = cert_folder(&host.host).join("fullchain.pem");
        let site = Site { domain: DOMAIN, plain: host.host.ports.shop, secure, ca };
        let clients = clients::build(tools, &host.folder)?;
        let ground = Self { host, guanka, site, clients };
        for service in Service::BOTH {
            clients::write(&ground.project(service), &FILES)?;
        }
        Ok(ground)
    }

    /// Stops what was started and removes the folder.
    pub(super) fn close(mut self) -> Result<()> {
        self.host.close()
    }

    /// Returns the host's root.
    pub(super) fn root(&self) -> &Path {
        &self.host.host.root
    }

    /// Returns the folder of a service's project.
    fn project(&self, service: Service) -> PathBuf {
        match service {
            Service::First => self.host.project.clone(),
            Service::Second => self.host.folder.join("second"),
        }
    }

    /// Makes a project another release, declared as a text says.
    pub(super) fn release(&self, service: Service, name: &str, sections: &str) -> Result<()> {
        let version = format!("package main\n\nconst release = \"{name}\"\n");
        let manifest = declared(service, self.root(), sections);
        let files = [("version.go", version.as_str()), ("guanka.toml", &manifest)];
        clients::write(&self.project(service), &files)
    }

    /// Ships a project as it lies there, to the release's end.
    pub(super) fn ship(&self, service: Service) -> Result<Shipped> {
        let app = service.app();
        let log = self.at(&format!("{app}-ship.json"));
        let mut child = self.spawn_ship(service, &log)?;
        let waited = process::wait_for("guanka ship", SHIP_LIMIT, || child.try_wait().transpose());
        if waited.is_err() {
            // Best effort: it may have ended meanwhile.
            let _ = child.kill();
            let _ = child.wait();
        }
        let exit = waited?.context("wait for guanka ship")?.code().unwrap_or(-1);
        let said = fs::read_to_string(&log).unwrap_or_default();
        let last = said.lines().last().unwrap_or_default();
        let report = serde_json::from_str(last)
            .with_context(|| format!("guanka ship ended with {exit} and no report: {last}"))?;
        Ok(Shipped { exit, report })
    }

    /// Starts to ship and leaves the driver to the caller.
    pub(super) fn driver(&self) -> Result<Child> {
        self.spawn_ship(Service::First, &self.at("driver.json"))
    }

    fn spawn_ship(&self, service: Service, log: &Path) -> Result<Child> {
        let shown = self.project(service).display().to_string();
        let mut command = self.guanka.command(&["ship", "--json", "--project", &shown]);
        let create =
            |path: &Path| File::create(path).with_context(|| format!("write {}", path.display()));
        let errors = create(&log.with_extension("log"))?;
        command.stdin(Stdio::null()).stdout(create(log)?).stderr(errors);
        command.spawn().context("start guanka ship")
    }

    /// Calls a verb about the project; it must end with an exit code.
    pub(super) fn call(&self, words: &[&str], exit: i32) -> Result<String> {
        let project = self.host.project.display().to_string();
        let all = [words, &["--project", &project]].concat();
        let answer = self.guanka.ask(&mut self.guanka.command(&all))?;
        let (found, said) = (answer.exit, answer.said);
        ensure!(found == exit, "guanka {} ended with {found}: {}", words.join(" "), said.trim());
        Ok(said)
    }

    /// Returns what `status --json` says of the service.
    pub(super) fn status(&self) -> Result<Value> {
        let said = self.call(&["status", "--json"], 0)?;
        let value: Value = serde_json::from_str(said.lines().last().unwrap_or_default())
            .context("status is JSON")?;
        Ok(value["services"][0].clone())
    }

    /// Starts the clients of the first service.
    pub(super) fn clients(&self) -> Result<Clients> {
        Clients::start(&self.clients, &self.site, 1, &self.at("clients.log"))
    }

    /// Starts clients of a service that send half of the load.
    pub(super) fn half_of_clients(&self, service: Service) -> Result<Clients> {
        let site = Site { domain: service.domain(), ..self.site.clone() };
        let log = self.at(&format!("{}-clients.log", service.app()));
        Clients::start(&self.clients, &site, Service::BOTH.len(), &log)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.host.folder.join(name)
    }
}

/// Returns a guanka.toml: what every part has in common, then the part's own sections.
fn declared(service: Service, root: &Path, sections: &str) -> String {
    let (app, domain, root) = (service.app(), service.domain(), root.display());
    format!(
        "[app]\nname = \"{app}\"\nlisten_env = \"PORT\"\nhealth = \"/healthz\"\n\n[env.bench]\n\
         hosts = [\"local:{root}\"]\nproduction = false\n\n[process]\nmanager = \"supervisor\"\n\
         stop_grace = \"12s\"\n\n[proxy]\ndomain = \"{domain}\"\nsticky = \"request\"\n\
         keepalive = \"1s\"\nread_timeout = \"2s\"\n\n{sections}"
    )
}

fn cert_folder(info: &HostRootInfo) -> PathBuf {
    info.root.join("www/server/panel/vhost/cert").join(DOMAIN)
}

/// Makes a certificate that signs itself.
fn certificate(info: &HostRootInfo) -> Result<()> {
    let folder = cert_folder(info);
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let mut make = process::clean(Path::new("openssl"));
    make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    make.args(["-days", "2", "-subj", &format!("/CN={DOMAIN}"), "-addext"]);
    make.arg(format!("subjectAltName=DNS:{DOMAIN},DNS:{SECOND}"));
    make.arg("-keyout").arg(folder.join("privkey.pem"));
    make.arg("-out").arg(folder.join("fullchain.pem"));
    process::run(&mut make, &info.root.join("tmp/openssl.log"), CALL_LIMIT).map(|_| ())
}

/// Has the site speak TLS and HTTP/2 too, as the panel writes it, and lays a second one beside it.
fn sites(info: &HostRootInfo, secure: u16) -> Result<()> {
    let folder = info.root.join("www/server/panel/vhost");
    let path = folder.join(format!("nginx/{DOMAIN}.conf"));
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let plain = format!("listen 127.0.0.1:{};\n", info.ports.shop);
    ensure!(text.contains(&plain), "{} does not hold {plain:?}", path.display());
    let cert = cert_folder(info).display().to_string();
    let tls = [
        &plain,
        &format!("    listen 127.0.0.1:{secure} ssl http2;\n"),
        &format!("    ssl_certificate {cert}/fullchain.pem;\n"),
        &format!("    ssl_certificate_key {cert}/privkey.pem;\n"),
        "    ssl_protocols TLSv1.2 TLSv1.3;\n",
    ];
    let tls = tls.concat();
    let text = text.replacen(&plain, &tls, 1);
    // Both are of the same certificate.
    let second = text
        .replace(DOMAIN, SECOND)
        .replace(&cert_folder(info).display().to_string().replace(DOMAIN, SECOND), &cert);
    fs::write(&path, &text).context("write the site")?;
    for empty in ["nginx/well-known", "rewrite"] {
        fs::write(folder.join(empty).join(format!("{SECOND}.conf")), "").context("write a file")?;
    }
    for made in
        [folder.join("nginx/extension").join(SECOND), info.root.join("www/wwwroot").join(SECOND)]
    {
        fs::create_dir_all(&made).with_context(|| format!("make {}", made.display()))?;
    }
    fs::write(folder.join(format!("nginx/{SECOND}.conf")), second).context("write a site")
}
