//! The collectors on a small panel host written here: what they find, that they change nothing, and
//! that they still answer without root's rights.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use guanka_core::facts::host::{RunningProgram, SuspectKind};
use guanka_core::facts::{Fact, Reason};
use guanka_core::quantity::Millis;
use guanka_world::collect::fitness::{self, PidFile, Socket};
use guanka_world::collect::{host, nginx, panel, supervisor, units};
use guanka_world::{clock, hash};
use rusqlite::Connection;

/// A panel host in a temporary folder.
struct Root(tempfile::TempDir);

impl Root {
    /// Writes the host; `port` is what its site passes requests to.
    fn new(port: u16) -> Self {
        let root = Self(tempfile::tempdir().expect("a folder"));
        root.write_nginx(port);
        root.write_managers();
        root.write("var/bt_setupPath.conf", "/www");
        root.write("www/server/panel/class/common.py", "g.version = '11.7.0'\n");
        root.write("www/server/panel/data/db/site.db", "");
        let database = root.path().join("www/server/panel/data/db/site.db");
        Connection::open(database)
            .and_then(|db| {
                db.execute_batch(
                    "PRAGMA journal_mode=WAL;
                     CREATE TABLE sites (id INTEGER, name TEXT, path TEXT, project_type TEXT);
                     INSERT INTO sites VALUES (1, 'shop', '/www/wwwroot/shop', 'PHP');
                     INSERT INTO sites VALUES (2, 'api', '/www/api/api', 'Go');",
                )
            })
            .expect("a database");
        root.write("www/wwwroot/shop/index.html", "<p>");
        root.write("www/wwwroot/shop/app", "\x7fELF");
        root.write("www/wwwroot/shop/.env", "A=1");
        let own = fs::metadata(root.path()).expect("there").uid();
        root.write("etc/passwd", &format!("tester:x:{own}:0::/:/bin/sh\nwww:x:1007:1007::/:\n"));
        symlink("/etc", root.path().join("www/wwwroot/shop/out")).expect("linked");
        root
    }

    fn write_nginx(&self, port: u16) {
        let conf = "www/server/nginx/conf";
        self.write(
            &format!("{conf}/nginx.conf"),
            "user www;\npid /www/server/nginx/logs/nginx.pid;\nevents {}\nhttp {\n\
             include proxy.conf;\ninclude /www/server/panel/vhost/nginx/*.conf;\n}\n",
        );
        self.write(&format!("{conf}/proxy.conf"), "proxy_cache cache_one;\n");
        let vhost = "www/server/panel/vhost/nginx";
        // One include names the root's own folder, the other the host's: both must be found.
        let extension = self.path().join(vhost).join("extension/api/*.conf");
        self.write(
            &format!("{vhost}/go_api.conf"),
            &format!(
                "server {{\n  listen 80;\n  server_name api.example.com;\n  root /www/api/api;\n  \
                 include {};\n  location / {{ proxy_pass http://127.0.0.1:{port}; }}\n}}\n",
                extension.display()
            ),
        );
        self.write(&format!("{vhost}/extension/api/a.conf"), "# nothing\nset $x 1;\n");
        self.write(
            &format!("{vhost}/shop.conf"),
            "server { listen 80; root /www/wwwroot/shop; include /www/gone.conf; }",
        );
        self.write(
            "www/server/nginx/sbin/nginx",
            "#!/bin/sh\necho 'nginx version: nginx/1.24.0' >&2\n\
             echo 'configure arguments: --add-module=/src/ngx_cache_purge' >&2\n",
        );
        self.mode("www/server/nginx/sbin/nginx", 0o755);
        self.write("www/server/nginx/logs/nginx.pid", "1\n");
    }

    fn write_managers(&self) {
        self.write(
            "etc/supervisor/supervisord.conf",
            "[unix_http_server]\nfile=/var/run/supervisor.sock ; x\n[include]\n\
             files = /www/server/panel/plugin/supervisor/profile/*.ini\n",
        );
        self.write(
            "www/server/panel/plugin/supervisor/profile/api.ini",
            "[program:api]\ncommand=/www/api/api\nuser=root\n",
        );
        let system = "etc/systemd/system";
        self.write(&format!("{system}/shop.service"), "[Service]\nExecStart=/www/shop/shop\n");
        self.write(&format!("{system}/shop.service.d/10.conf"), "[Service]\nUser=www\n");
        self.write(&format!("{system}/db.service"), "[Service]\nExecStart=/usr/sbin/mysqld\n");
        symlink("/dev/null", self.path().join(system).join("masked.service")).expect("linked");
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("has one")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn mode(&self, name: &str, mode: u32) {
        let path = self.path().join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    }

    /// Every path with what would show a change: kind, mode, owner, size, time and content.
    fn fingerprint(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        for entry in walkdir::WalkDir::new(self.path()).into_iter().map(|e| e.expect("readable")) {
            let meta = entry.path().symlink_metadata().expect("there");
            let content = match meta.is_file() {
                true => hash::of_file(entry.path()).expect("read").to_string(),
                false => String::new(),
            };
            let line = format!(
                "{:o} {} {} {} {}.{} {content}",
                meta.mode(),
                meta.uid(),
                meta.gid(),
                meta.size(),
                meta.mtime(),
                meta.mtime_nsec()
            );
            found.insert(entry.path().to_owned(), line);
        }
        found
    }
}

/// Ends the child with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_panel_host_is_read_as_a_whole() {
    let root = Root::new(18_990);
    let found = nginx::read(root.path()).expect("an nginx");
    let version = found.version.known().expect("told");
    assert_eq!((version.number, version.modules.join(" ")), ((1, 24, 0), "ngx_cache_purge".into()));
    assert!(found.problems.is_empty());
    let real = fs::canonicalize(root.path()).expect("there");
    let gone = real.join("www/gone.conf").display().to_string();
    assert_eq!(found.unreadable, [(gone.clone(), Reason::NotThere(gone))]);
    let api = found.servers().next().expect("a server");
    let set = api.inner().iter().find(|d| d.name == "set").expect("included");
    let extension = real.join("www/server/panel/vhost/nginx/extension/api/a.conf");
    assert_eq!(set.span.file, extension.display().to_string());
    assert_eq!(set.span.line, 2);
    let ambient = found.proxy_locations()[0].effective("proxy_cache").map(|d| d.text());
    assert_eq!(ambient.as_deref(), Some("cache_one"));

    let (programs, problems) = supervisor::read(root.path());
    assert!(problems.is_empty());
    assert_eq!(programs.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["api"]);
    let (services, problems) = units::read(root.path());
    assert!(problems.is_empty());
    assert_eq!(services.iter().map(|u| u.name.as_str()).collect::<Vec<_>>(), ["shop.service"]);
    assert_eq!(services[0].user().known().map(String::as_str), Some("www"));

    let facts = host::read(root.path(), Some(&found));
    let panel = facts.panel.expect("a panel");
    assert_eq!(panel.version.known().map(String::as_str), Some("11.7.0"));
    assert_eq!(panel.sites.len(), 2);
    assert_eq!(facts.web_roots.len(), 1, "a Go project's path is no web root");
    let shop = &facts.web_roots[0];
    assert_eq!(shop.span.as_ref().map(|s| s.line), Some(1));
    let kinds: Vec<_> = shop.suspects.iter().map(|s| s.kind).collect();
    assert_eq!(kinds, [SuspectKind::Secret, SuspectKind::Program]);
}

#[test]
fn nothing_on_the_host_changes() {
    let root = Root::new(18_991);
    let before = root.fingerprint();
    let found = nginx::read(root.path());
    supervisor::read(root.path());
    units::read(root.path());
    panel::read(root.path());
    host::read(root.path(), found.as_ref());
    fitness::nginx_pid(root.path(), found.as_ref().expect("an nginx"));
    fitness::supervisor_socket(root.path());
    fitness::agent_socket(root.path());
    fitness::disk_space(root.path(), "/opt/guanka").expect("told");
    assert_eq!(root.fingerprint(), before);
    root.write("www/new", "x");
    assert_ne!(root.fingerprint(), before, "the fingerprint would see a change");
}

#[test]
fn a_listener_that_the_configuration_names_is_told_with_its_process() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let root = Root::new(port);
    let found = nginx::read(root.path());
    let facts = host::read(root.path(), found.as_ref());
    let listeners = facts.listeners.known().expect("told");
    let ours = listeners.iter().find(|l| l.port == port).expect("found");
    assert_eq!(ours.address, "127.0.0.1");
    assert_eq!(ours.pid, Some(std::process::id()));
    let without = host::read(root.path(), None);
    let listeners = without.listeners.known().expect("told");
    assert!(listeners.iter().all(|l| l.port != port), "nobody names it then");
}

/// Builds a Go program that listens where `-listen` says, or says why it could not.
fn go_program(root: &Root) -> Option<PathBuf> {
    root.write("www/api/go.mod", "module example.com/shop/api\n\ngo 1.18\n");
    root.write(
        "www/api/main.go",
        "package main\n\nimport (\n\t\"flag\"\n\t\"net\"\n)\n\nfunc main() {\n\
         \taddr := flag.String(\"listen\", \"\", \"\")\n\tflag.String(\"password\", \"\", \"\")\n\
         \tflag.Parse()\n\tl, err := net.Listen(\"tcp\", *addr)\n\tif err != nil {\n\
         \t\tpanic(err)\n\t}\n\tl.Accept()\n}\n",
    );
    let folder = root.path().join("www/api");
    let built = Command::new("go")
        .args(["build", "-o", "api", "."])
        .current_dir(&folder)
        .envs([("GOTOOLCHAIN", "local"), ("GOPROXY", "off"), ("GOFLAGS", "-mod=mod")])
        .env("CGO_ENABLED", "0")
        .output();
    match built {
        Ok(output) if output.status.success() => Some(folder.join("api")),
        Ok(output) => panic!("go build: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            eprintln!("skipped: no go on this machine ({error})");
            None
        }
    }
}

#[test]
fn a_running_go_program_is_found_with_its_port_and_without_its_secrets() {
    let root = Root::new(18_992);
    let Some(program) = go_program(&root) else { return };
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    let child = Command::new(&program)
        .args([&format!("-listen=127.0.0.1:{port}"), "-password", "hunter2"])
        .current_dir(root.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    let pid = child.id();
    let _running = Running(child);
    root.write("var/tmp/gopids/api.pid", &format!("{pid}\n"));
    let find = || -> Option<RunningProgram> {
        let facts = host::read(root.path(), None);
        facts.programs.into_iter().find(|p| p.pid == pid && !p.ports.is_empty())
    };
    let found = clock::wait_for(Millis(20_000), Millis(50), find).expect("found while it runs");
    assert_eq!(found.ports, [port]);
    assert_eq!(found.user, "tester");
    assert_eq!(found.kept_by, "panel go project");
    assert_eq!(found.argv[2..], ["-password", "***"]);
    let go = found.go.expect("told");
    assert!(go.starts_with("go1.") && go.ends_with(" example.com/shop/api"), "{go}");
}

#[test]
fn a_pid_file_is_held_against_the_processes() {
    let root = Root::new(18_993);
    let found = nginx::read(root.path()).expect("an nginx");
    let state = || fitness::nginx_pid(root.path(), &found).1;
    assert!(matches!(state(), PidFile::Another(1, _)));
    root.write("www/server/nginx/logs/nginx.pid", "");
    assert_eq!(state(), PidFile::NoNumber);
    // One more than the most processes a kernel can have.
    root.write("www/server/nginx/logs/nginx.pid", "4194305\n");
    assert_eq!(state(), PidFile::Dead(4_194_305));
    fs::remove_file(root.path().join("www/server/nginx/logs/nginx.pid")).expect("removed");
    assert_eq!(state(), PidFile::Missing);
}

#[test]
fn the_test_of_nginx_leaves_no_files_behind() {
    let Some(program) = ["/usr/sbin/nginx"].into_iter().find(|p| Path::new(p).exists()) else {
        eprintln!("skipped: no nginx on this machine");
        return;
    };
    let root = Root(tempfile::tempdir().expect("a folder"));
    let real = fs::canonicalize(root.path()).expect("there");
    let real = real.display();
    root.write(
        "etc/nginx/nginx.conf",
        &format!(
            "pid {real}/nginx.pid;\nerror_log {real}/error.log;\nevents {{}}\n\
             http {{ access_log {real}/access.log; }}\n"
        ),
    );
    root.write("usr/sbin/x", "");
    symlink(program, root.path().join("usr/sbin/nginx")).expect("linked");
    let before: Vec<PathBuf> = root.fingerprint().into_keys().collect();
    let found = nginx::read(root.path()).expect("an nginx");
    let output = fitness::nginx_test(root.path(), &found).expect("it runs");
    assert!(output.stderr.contains("nginx.conf"), "{output:?}");
    assert_eq!(root.fingerprint().into_keys().collect::<Vec<_>>(), before);
}

#[test]
fn sockets_are_told_apart() {
    let root = Root::new(18_994);
    let state = || fitness::supervisor_socket(root.path()).expect("a Supervisor").1;
    assert_eq!(state(), Socket::Missing);
    let path = root.path().join("var/run/supervisor.sock");
    fs::create_dir_all(path.parent().expect("has one")).expect("made");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
    assert_eq!(state(), Socket::Open);
    drop(listener);
    assert_eq!(state(), Socket::Refused);
}

/// Names the test below to itself when it runs again as another user.
const UNPRIVILEGED_ROOT: &str = "GUANKA_TEST_UNPRIVILEGED_ROOT";

#[test]
fn without_rights_the_answer_is_unknown_with_a_reason() {
    if let Some(path) = std::env::var_os(UNPRIVILEGED_ROOT) {
        return judge_without_rights(Path::new(&path));
    }
    let root = Root::new(18_995);
    for closed in ["www/server/panel/class/common.py", "www/server/nginx/conf/proxy.conf"] {
        root.mode(closed, 0o000);
    }
    root.mode("", 0o755);
    root.mode("www/wwwroot/shop", 0o000);
    if fs::metadata(root.path()).expect("there").uid() != 0 {
        return judge_without_rights(root.path());
    }
    let nobody = 65_534;
    let ran = Command::new(std::env::current_exe().expect("known"))
        .args(["--exact", "without_rights_the_answer_is_unknown_with_a_reason"])
        .env(UNPRIVILEGED_ROOT, root.path())
        .uid(nobody)
        .gid(nobody)
        .output();
    match ran {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
        }
        Err(error) => eprintln!("skipped: the test cannot run as another user ({error})"),
    }
}

fn judge_without_rights(root: &Path) {
    let found = nginx::read(root).expect("an nginx");
    let closed = |(file, reason): &(String, Reason)| {
        file.ends_with("proxy.conf") && matches!(reason, Reason::NotReadable(_))
    };
    assert!(found.unreadable.iter().any(closed), "{:?}", found.unreadable);
    let facts = host::read(root, Some(&found));
    let panel = facts.panel.expect("a panel");
    assert!(matches!(panel.version, Fact::Unknown(Reason::NotReadable(_))));
    assert!(!facts.web_roots.is_empty());
    assert!(facts.web_roots.iter().all(|r| !r.is_complete), "a closed folder is not complete");
}
