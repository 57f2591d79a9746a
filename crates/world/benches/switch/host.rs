//! A panel host below a temporary folder: a real nginx with one worker, a site that guanka is wired
//! into, and a site as it is done without guanka, whose upstream is an included file.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use guanka_core::facts::declared::{ForwardedProto, Proxy, Sticky};
use guanka_core::facts::guard::Guard;
use guanka_core::name::{Arm, Domain, ServiceName};
use guanka_core::quantity::{Bytes, Millis};
use guanka_world::clock;
use guanka_world::hostroot::HostRoot;
use guanka_world::ports::{self, ArmPorts};
use guanka_world::proxy::{self, Nginx, Turnover};
use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::Fallible;
use crate::arms::Running;

/// The site's domain.
pub(crate) const DOMAIN: &str = "shop.example.com";
/// The cookie that keeps a user on an arm.
pub(crate) const COOKIE: &str = "sid";
/// How long anything here may take.
const LIMIT: Millis = Millis::from_secs(20);
/// Where nginx lies on Debian, below a panel, and from its own package.
const PLACES: [&str; 4] =
    ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx", "/www/server/nginx/sbin/nginx"];

/// The host with all that runs on it, ended and removed with its owner.
pub(crate) struct Host {
    /// Its root.
    pub(crate) root: HostRoot,
    /// The service.
    pub(crate) service: ServiceName,
    /// Where guanka's site listens.
    pub(crate) shared: SocketAddr,
    /// Where the site without guanka listens.
    pub(crate) plain: SocketAddr,
    nginx: Nginx,
    ports: ArmPorts,
    _arms: [Running; 2],
    _daemon: Daemon,
}

/// nginx's folder, and nginx itself once it runs.
struct Daemon(tempfile::TempDir);

impl Drop for Daemon {
    fn drop(&mut self) {
        let Some(master) = master(self.0.path()) else { return };
        // It may have ended by itself.
        let _ = kill_process(master, Signal::TERM);
        let process = format!("/proc/{}", master.as_raw_nonzero());
        clock::wait_for(LIMIT, Millis(5), || (!Path::new(&process).exists()).then_some(()));
    }
}

impl Host {
    /// Lays the host out, starts arms and nginx and wires the service.
    pub(crate) fn start() -> Fallible<Self> {
        let daemon = Daemon(tempfile::tempdir()?);
        let dir = daemon.0.path();
        // nginx's workers are another user and must reach the share folders.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
        let (shared, plain) = free_addresses()?;
        lay_out(dir, shared, plain)?;
        let root = HostRoot::new(dir);
        let service = ServiceName::new("shop", "prod").map_err(|_| "no good name")?;
        let ports = ports::allot(&root, &service)?;
        set_plain(dir, ports.blue)?;
        let arms =
            [Running::start(Arm::Blue, ports.blue)?, Running::start(Arm::Green, ports.green)?];
        run_nginx(dir)?;
        for addr in [shared, plain] {
            let answers = || TcpStream::connect(addr).ok();
            clock::wait_for(LIMIT, Millis(5), answers).ok_or("nginx does not listen")?;
        }
        clock::wait_for(LIMIT, Millis(5), || master(dir)).ok_or("nginx wrote no pid file")?;
        let declared = Proxy {
            domain: Domain::new(DOMAIN).map_err(|_| "no good domain")?,
            sticky: Sticky::Cookie(COOKIE.to_owned()),
            upload_max: Bytes(1 << 20),
            read_timeout: Millis(15_000),
            keepalive: Millis(30_000),
            forwarded_proto: ForwardedProto::Scheme,
            streams: Vec::new(),
            stream_timeout: Millis::from_secs(3600),
            debug: Guard::default(),
            metrics: None,
        };
        let wiring = proxy::plan(&root, &service, &declared, ports)?;
        proxy::install(&root, &wiring)?;
        let nginx = wiring.nginx;
        Ok(Self { root, service, shared, plain, nginx, ports, _arms: arms, _daemon: daemon })
    }

    /// Returns nginx's version.
    pub(crate) fn version(&self) -> String {
        let numbers = self.nginx.version.map(|v| format!("{}.{}.{}", v.0, v.1, v.2));
        numbers.unwrap_or_else(|| "of unknown version".to_owned())
    }

    /// Points the plain site at an arm as it is done without guanka, and waits until the workers
    /// of before are gone.
    pub(crate) fn reload_onto(&self, arm: Arm) -> Fallible<()> {
        set_plain(self._daemon.0.path(), self.ports.of(arm))?;
        match self.nginx.reload()? {
            Turnover::Complete => Ok(()),
            Turnover::OldWorkersLeft(pids) => Err(format!("old workers stay: {pids:?}").into()),
        }
    }

    /// Returns nginx's workers by their process numbers.
    pub(crate) fn workers(&self) -> Fallible<String> {
        let master = self.nginx.master()?;
        Ok(fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?)
    }

    /// Returns how many errors nginx logged.
    pub(crate) fn errors(&self) -> usize {
        let log = fs::read_to_string(&self.nginx.error_log).unwrap_or_default();
        let is_error =
            |line: &&str| ["[error]", "[crit]", "[alert]"].iter().any(|w| line.contains(w));
        log.lines().filter(is_error).count()
    }
}

/// Returns two addresses that nothing listens on.
fn free_addresses() -> Fallible<(SocketAddr, SocketAddr)> {
    let sockets = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok((sockets.0.local_addr()?, sockets.1.local_addr()?))
}

fn lay_out(dir: &Path, shared: SocketAddr, plain: SocketAddr) -> Fallible<()> {
    for folder in ["sbin", "logs", "conf"] {
        fs::create_dir_all(dir.join("www/server/nginx").join(folder))?;
    }
    fs::create_dir_all(dir.join("www/server/panel/vhost/nginx/extension/shop"))?;
    fs::create_dir_all(dir.join("www/wwwlogs"))?;
    let fill = |text: &str| {
        let user = if geteuid().is_root() { "user www-data;" } else { "" };
        let text = text.replace("ROOT", &dir.display().to_string()).replace("USER", user);
        text.replace("SHARED", &shared.to_string()).replace("PLAIN", &plain.to_string())
    };
    fs::write(dir.join("www/server/nginx/conf/nginx.conf"), fill(MAIN))?;
    fs::write(dir.join("www/server/panel/vhost/nginx/shop.conf"), fill(SITE))?;
    fs::write(dir.join("www/server/panel/vhost/nginx/plain.conf"), fill(PLAIN_SITE))?;
    Ok(())
}

/// Writes the plain site's upstream beside and renames it, so that nginx never reads half of it.
fn set_plain(dir: &Path, port: u16) -> Fallible<()> {
    let beside = dir.join("www/server/nginx/conf/plain.new");
    fs::write(&beside, format!("server 127.0.0.1:{port};\n"))?;
    fs::rename(&beside, dir.join("www/server/nginx/conf/plain.upstream"))?;
    Ok(())
}

fn run_nginx(dir: &Path) -> Fallible<()> {
    let there = PLACES.iter().map(PathBuf::from).find(|place| place.is_file());
    let program = dir.join("www/server/nginx/sbin/nginx");
    symlink(there.ok_or("nginx is not installed")?, &program)?;
    let log = dir.join("www/server/nginx/logs/error.log");
    let mut command = Command::new(&program);
    command.arg("-e").arg(&log).arg("-p").arg(dir.join("www/server/nginx"));
    command.arg("-c").arg(dir.join("www/server/nginx/conf/nginx.conf"));
    if command.stdin(Stdio::null()).stderr(Stdio::null()).status()?.success() {
        Ok(())
    } else {
        Err(format!("nginx does not start: {}", fs::read_to_string(&log)?).into())
    }
}

fn master(dir: &Path) -> Option<Pid> {
    let text = fs::read_to_string(dir.join("www/server/nginx/logs/nginx.pid")).ok()?;
    Pid::from_raw(text.trim().parse().ok()?)
}

const MAIN: &str = "USER
worker_processes 1;
pid ROOT/www/server/nginx/logs/nginx.pid;
error_log ROOT/www/server/nginx/logs/error.log;
events { worker_connections 1024; }
http {
    client_body_temp_path ROOT/www/server/nginx/body;
    proxy_temp_path ROOT/www/server/nginx/proxy_temp;
    fastcgi_temp_path ROOT/www/server/nginx/fastcgi;
    uwsgi_temp_path ROOT/www/server/nginx/uwsgi;
    scgi_temp_path ROOT/www/server/nginx/scgi;
    access_log off;
    # nginx closes a connection after 1000 requests, whatever is measured here.
    keepalive_requests 100000000;
    include ROOT/www/server/panel/vhost/nginx/*.conf;
}
";

const SITE: &str = "server {
    listen SHARED;
    server_name shop.example.com;
    include ROOT/www/server/panel/vhost/nginx/extension/shop/*.conf;
    access_log ROOT/www/wwwlogs/shop.log;
}
";

const PLAIN_SITE: &str = "upstream plain {
    include ROOT/www/server/nginx/conf/plain.upstream;
    keepalive 64;
    keepalive_timeout 30s;
}
server {
    listen PLAIN;
    server_name plain.example.com;
    access_log ROOT/www/wwwlogs/plain.log;
    location / {
        proxy_pass http://plain;
        proxy_http_version 1.1;
        proxy_set_header Connection \"\";
    }
}
";
