//! nginx with two workers that logs each request's number, below a temporary folder on a disk.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use guanka_core::quantity::Millis;
use guanka_world::clock;
use guanka_world::proxy::Nginx;
use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::{Fallible, LIMIT};

/// Where nginx lies on Debian, below a panel, and from its own package.
const PLACES: [&str; 4] =
    ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx", "/www/server/nginx/sbin/nginx"];

/// A running nginx, ended and removed with its owner.
pub(crate) struct Host {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its access log.
    pub(crate) log: PathBuf,
    nginx: Nginx,
    dir: tempfile::TempDir,
}

/// Returns a folder on a disk: what is synced must really be written.
pub(crate) fn base() -> PathBuf {
    let disk = Path::new("/var/tmp");
    if disk.is_dir() { disk.to_owned() } else { std::env::temp_dir() }
}

impl Host {
    /// Lays it out and starts it.
    pub(crate) fn start() -> Fallible<Self> {
        let dir = tempfile::tempdir_in(base())?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = dir.path().join("site.json");
        let user = if geteuid().is_root() { "user www-data;" } else { "" };
        let text = MAIN.replace("ROOT", &dir.path().display().to_string()).replace("USER", user);
        let main_file = dir.path().join("nginx.conf");
        fs::write(&main_file, text.replace("LISTEN", &address.to_string()))?;
        fs::write(&log, "")?;
        fs::set_permissions(&log, fs::Permissions::from_mode(0o640))?;
        let binary = PLACES.iter().map(PathBuf::from).find(|place| place.is_file());
        let nginx = Nginx {
            binary: binary.ok_or("nginx is not installed")?,
            prefix: Some(dir.path().to_owned()),
            main_file,
            pid_file: dir.path().join("nginx.pid"),
            http_folder: dir.path().to_owned(),
            extension_folder: None,
            version: None,
            error_log: dir.path().join("error.log"),
            user: None,
        };
        let mut command = Command::new(&nginx.binary);
        command.arg("-p").arg(dir.path()).arg("-c").arg(&nginx.main_file);
        if !command.stdin(Stdio::null()).stderr(Stdio::null()).status()?.success() {
            let why = fs::read_to_string(&nginx.error_log).unwrap_or_default();
            return Err(format!("nginx does not start: {why}").into());
        }
        let host = Self { address, log, nginx, dir };
        let answers = || TcpStream::connect(address).ok().filter(|_| host.nginx.master().is_ok());
        clock::wait_for(LIMIT, Millis(5), answers).ok_or("nginx does not listen")?;
        Ok(host)
    }

    /// Has nginx open its logs anew, as guanka does.
    pub(crate) fn reopen(&self) -> io::Result<Vec<u32>> {
        self.nginx.reopen().map_err(io::Error::other)
    }

    /// Has nginx read its configuration anew, as the panel's cutter does.
    pub(crate) fn reload(&self) -> Fallible<()> {
        let master = i32::try_from(self.nginx.master()?)?;
        Ok(kill_process(Pid::from_raw(master).ok_or("no master")?, Signal::HUP)?)
    }

    /// Returns whose the log is now, and its mode.
    pub(crate) fn owner(&self) -> Fallible<String> {
        let found = fs::metadata(&self.log)?;
        Ok(format!("{}:{} {:o}", found.uid(), found.gid(), found.mode() & 0o777))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let Ok(master) = self.nginx.master() else { return };
        let Some(pid) = i32::try_from(master).ok().and_then(Pid::from_raw) else { return };
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::TERM);
        let process = format!("/proc/{master}");
        clock::wait_for(LIMIT, Millis(5), || (!Path::new(&process).exists()).then_some(()));
        let _ = self.dir.path();
    }
}

const MAIN: &str = "USER
worker_processes 2;
pid ROOT/nginx.pid;
error_log ROOT/error.log;
events { worker_connections 256; }
http {
    client_body_temp_path ROOT/body;
    proxy_temp_path ROOT/proxy_temp;
    fastcgi_temp_path ROOT/fastcgi;
    uwsgi_temp_path ROOT/uwsgi;
    scgi_temp_path ROOT/scgi;
    keepalive_requests 100000000;
    log_format numbered escape=json '{\"n\":$arg_n,\"ts\":$msec,\"id\":\"$request_id\",\
\"uri\":\"$request_uri\",\"agent\":\"$http_user_agent\"}';
    server {
        listen LISTEN;
        access_log ROOT/site.json numbered;
        location / { return 204; }
    }
}
";
