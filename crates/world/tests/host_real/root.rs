//! A small panel host below a temporary folder, with real nginx and real programs on the loopback.
//! The programs are this test's own executable, started again with one test's name.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use guanka_core::facts::declared::{ForwardedProto, LogPlace, Logs, Proxy, Sticky};
use guanka_core::facts::guard::Guard;
use guanka_core::facts::release::{MANIFEST_SCHEMA, Manifest, ReleaseFile};
use guanka_core::name::{Arm, Digest, Domain, ServiceName};
use guanka_core::quantity::{Bytes, Millis, SharePercent};
use guanka_world::clock;
use guanka_world::hash;
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::spec::{ArmSpec, RunAs};
use guanka_world::releases::Store;

/// The site's domain.
pub(crate) const DOMAIN: &str = "shop.example.com";
/// How long anything here may take.
pub(crate) const LIMIT: Millis = Millis::from_secs(20);

/// A panel host below a folder that is removed at the end, its nginx ended.
pub(crate) struct Root {
    pub(crate) host: HostRoot,
    pub(crate) listen: u16,
    dir: tempfile::TempDir,
}

/// A program of ours, ended with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Some(master) = self.master() {
            let pid = rustix::process::Pid::from_raw(master as i32).expect("a process");
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let gone = || (!Path::new(&format!("/proc/{master}")).exists()).then_some(());
            clock::wait_for(LIMIT, Millis(5), gone);
        }
    }
}

/// Returns whether programs are there; says which one is not.
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
pub(crate) fn has(programs: &[&str]) -> bool {
    programs.iter().all(|program| {
        let is_there =
            ["/usr/sbin", "/usr/bin"].iter().any(|d| Path::new(d).join(program).exists());
        if !is_there {
            eprintln!("skipped: {program} is not installed");
        }
        is_there
    })
}

pub(crate) fn service() -> ServiceName {
    ServiceName::new("shop", "prod").expect("a good name")
}

pub(crate) fn share(percent: u8) -> SharePercent {
    SharePercent::new(percent).expect("a percentage")
}

pub(crate) fn proxy(sticky: Sticky) -> Proxy {
    Proxy {
        domain: Domain::new(DOMAIN).expect("a domain"),
        sticky,
        upload_max: Bytes(1 << 20),
        read_timeout: Millis(15_000),
        keepalive: Millis(30_000),
        forwarded_proto: ForwardedProto::Scheme,
        streams: Vec::new(),
        stream_timeout: Millis::from_secs(3600),
        debug: Guard::default(),
        metrics: None,
    }
}

impl Root {
    /// Lays the host out: the ambient cache and replays of the panel, a site with its extension
    /// include, a Supervisor folder.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("opened");
        let port = TcpListener::bind("127.0.0.1:0").expect("a port");
        let listen = port.local_addr().expect("an address").port();
        let root = Self { host: HostRoot::new(dir.path()), listen, dir };
        let folders = [
            "www/server/nginx/sbin",
            "www/server/nginx/logs",
            "www/server/panel/vhost/nginx/extension/shop",
            "www/server/panel/plugin/supervisor/profile",
            "www/wwwlogs",
            "www/wwwroot/shop/.well-known",
            "etc/supervisor",
            "run",
        ];
        for folder in folders {
            fs::create_dir_all(root.at(folder)).expect("made");
        }
        let conf = "www/server/nginx/conf";
        root.write(&format!("{conf}/nginx.conf"), MAIN);
        root.write(&format!("{conf}/proxy.conf"), AMBIENT);
        root.write("www/server/panel/vhost/nginx/shop.conf", SITE);
        root.write("www/wwwroot/shop/.well-known/a", "the site's own\n");
        root.write("etc/passwd", "root:x:0:0::/:/bin/sh\n");
        root
    }

    /// Returns a path below the root.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Writes a file below the root, `ROOT` and `LISTEN` filled in.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("has one")).expect("made");
        let root = self.dir.path().display().to_string();
        let user = if rustix::process::geteuid().is_root() { "user www-data;" } else { "" };
        let text = text.replace("ROOT", &root).replace("LISTEN", &self.listen.to_string());
        fs::write(path, text.replace("USER", user)).expect("written");
    }

    /// Starts nginx and waits until it answers.
    pub(crate) fn start_nginx(&self) {
        let program = self.at("www/server/nginx/sbin/nginx");
        symlink("/usr/sbin/nginx", &program).expect("linked");
        let log = self.at("www/server/nginx/logs/error.log");
        let mut command = Command::new(&program);
        command.arg("-e").arg(&log).arg("-p").arg(self.at("www/server/nginx"));
        command.arg("-c").arg(self.at("www/server/nginx/conf/nginx.conf"));
        let status = command.stderr(Stdio::null()).status().expect("nginx starts");
        assert!(status.success(), "{}", fs::read_to_string(&log).unwrap_or_default());
        let answers = || TcpStream::connect(("127.0.0.1", self.listen)).ok();
        clock::wait_for(LIMIT, Millis(5), answers).expect("nginx listens");
        clock::wait_for(LIMIT, Millis(5), || self.master()).expect("nginx has a master");
    }

    /// Returns nginx's master.
    pub(crate) fn master(&self) -> Option<u32> {
        let text = fs::read_to_string(self.at("www/server/nginx/logs/nginx.pid")).ok()?;
        text.trim().parse().ok()
    }

    /// Stages a release whose program is this executable, made different by its label.
    pub(crate) fn stage(&self, label: &str) -> (Manifest, Digest) {
        let exe = std::env::current_exe().expect("this executable");
        let mut program = fs::read(exe).expect("readable");
        // Bytes behind an ELF file's end change its hash and nothing else.
        program.extend_from_slice(label.as_bytes());
        let manifest = Manifest {
            schema: MANIFEST_SCHEMA,
            service: service(),
            target: "linux/amd64".to_owned(),
            program: "shop".to_owned(),
            artifact: hash::of_bytes(&program),
            config: hash::of_bytes(b"config"),
            go: "none".to_owned(),
            revision: Some(label.to_owned()),
            files: vec![ReleaseFile {
                path: "bin/shop".to_owned(),
                size_bytes: program.len() as u64,
                mode: 0o755,
                sha256: hash::of_bytes(&program),
            }],
        };
        let mut open = |_: &ReleaseFile| -> io::Result<Box<dyn Read>> {
            Ok(Box::new(io::Cursor::new(program.clone())))
        };
        let store = Store::new(&self.host, &service());
        let staged = store.stage(&manifest, &mut open).expect("staged");
        (manifest, staged.digest)
    }

    /// Stages a release and points an arm at it; returns the hash of its program.
    pub(crate) fn arm_with(&self, arm: Arm, label: &str) -> Digest {
        let (manifest, digest) = self.stage(label);
        Store::new(&self.host, &service()).point_arm(arm, &digest).expect("pointed");
        manifest.files[0].sha256.clone()
    }

    /// Starts an arm's program as a child and waits until it listens.
    pub(crate) fn start_arm(&self, arm: Arm, port: u16) -> Running {
        let program = self.host.arm(&service(), arm).join("bin/shop");
        let mut command = Command::new(program);
        command.args(["--exact", "arm_program", "--nocapture"]).stdout(Stdio::null());
        command.env("GUANKA_ARM", arm.as_str()).env("PORT", port.to_string());
        let running = Running(command.spawn().expect("the program starts"));
        let listens = || TcpStream::connect(("127.0.0.1", port)).ok();
        clock::wait_for(LIMIT, Millis(5), listens).expect("the program listens");
        running
    }

    /// Builds an arm's start for a manager.
    pub(crate) fn spec(&self, arm: Arm, port: u16, run_as: RunAs) -> ArmSpec {
        ArmSpec {
            schema: 1,
            service: service(),
            arm,
            program: "shop".to_owned(),
            args: ["--exact", "arm_program", "--nocapture"].map(str::to_owned).to_vec(),
            env: BTreeMap::from([("PORT".to_owned(), port.to_string())]),
            port,
            nofile: 4096,
            memory: Some(Bytes(256 << 20)),
            soft_memory: None,
            cpu: None,
            reads_quota: false,
            notifies: false,
            low_ports: false,
            credentials: Vec::new(),
            run_as,
            folder: None,
            data_dirs: Vec::new(),
            stop_grace: Millis(1000),
            logs: Logs {
                rotate: Bytes(1 << 20),
                every: None,
                keep: 1,
                budget: Bytes(2 << 30),
                place: LogPlace::File,
            },
            launcher: self.at("launcher"),
        }
    }

    /// Returns the body of one answer through nginx for a client with a cookie.
    pub(crate) fn ask(&self, path: &str, cookie: &str) -> (u16, String) {
        let mut client = Client::connect(self.listen).expect("connected");
        client.get(path, cookie).expect("an answer")
    }
}

/// A client that keeps its connection, never retries and looks at nothing but status and length.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) fn get(&mut self, path: &str, cookie: &str) -> io::Result<(u16, String)> {
        let text = format!("GET {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nCookie: sid={cookie}\r\n\r\n");
        self.0.get_mut().write_all(text.as_bytes())?;
        let (first, headers) = head(&mut self.0)?;
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok());
        let mut body = vec![0; length(&headers)];
        self.0.read_exact(&mut body)?;
        let status = status.ok_or_else(|| io::Error::other("no status"))?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// Reads a first line and the headers, names in small letters.
fn head(from: &mut impl BufRead) -> io::Result<(String, BTreeMap<String, String>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let first = lines.first().cloned().unwrap_or_default();
    let pair = |line: &String| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    Ok((first, lines.iter().skip(1).filter_map(pair).collect()))
}

fn length(headers: &BTreeMap<String, String>) -> usize {
    headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0)
}

/// Is the program of an arm: answers every request with its arm and the headers it was sent. In an
/// ordinary test run nobody asks for it and it returns at once.
pub(crate) fn arm_program() {
    let (Ok(arm), Ok(port)) = (std::env::var("GUANKA_ARM"), std::env::var("PORT")) else { return };
    // The port no arm is given: the program ends at once, as one with a broken setting does.
    assert!(port != "0", "told to fail");
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).expect("its own port");
    for stream in listener.incoming().flatten() {
        let arm = arm.clone();
        thread::spawn(move || serve(stream, &arm));
    }
}

fn serve(stream: TcpStream, arm: &str) -> Option<()> {
    let _ = stream.set_nodelay(true);
    let mut out = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let (first, headers) = head(&mut reader).ok()?;
        io::copy(&mut reader.by_ref().take(length(&headers) as u64), &mut io::sink()).ok()?;
        let body = match first.split(' ').nth(1)? {
            "/headers" => format!("{headers:?}"),
            "/debug/pprof/" => "Types of profiles available: /debug/pprof/heap".to_owned(),
            "/metrics" => format!("# TYPE arm gauge\narm{{name=\"{arm}\"}} 1\n"),
            _ => arm.to_owned(),
        };
        let status = if first.contains("/broken") { 500 } else { 200 };
        let length = body.len();
        // A cache that is not switched off would keep this and answer for the wrong arm.
        let text = format!(
            "HTTP/1.1 {status} x\r\nCache-Control: max-age=60\r\nContent-Length: {length}\r\n\r\n\
             {body}"
        );
        out.write_all(text.as_bytes()).ok()?;
    }
}

const MAIN: &str = "USER
worker_processes 2;
pid ROOT/www/server/nginx/logs/nginx.pid;
error_log ROOT/www/server/nginx/logs/error.log;
events { worker_connections 1024; }
http {
    include proxy.conf;
    client_body_temp_path ROOT/www/server/nginx/body;
    proxy_temp_path ROOT/www/server/nginx/proxy_temp;
    fastcgi_temp_path ROOT/www/server/nginx/fastcgi;
    uwsgi_temp_path ROOT/www/server/nginx/uwsgi;
    scgi_temp_path ROOT/www/server/nginx/scgi;
    access_log off;
    # nginx would close a connection after 1000 requests, share moved or not.
    keepalive_requests 100000000;
    include ROOT/www/server/panel/vhost/nginx/*.conf;
}
";

const AMBIENT: &str = "proxy_cache_path ROOT/www/server/nginx/cache keys_zone=cache_one:10m;
proxy_cache cache_one;
proxy_next_upstream error timeout invalid_header http_500 http_503 http_404;
";

const SITE: &str = "server {
    listen 127.0.0.1:LISTEN;
    server_name shop.example.com;
    root ROOT/www/wwwroot/shop;
    include ROOT/www/server/panel/vhost/nginx/extension/shop/*.conf;
    location ~ \\.well-known { allow all; }
    location ~ .*\\.js$ { expires 12h; }
    access_log ROOT/www/wwwlogs/shop.log;
}
";
