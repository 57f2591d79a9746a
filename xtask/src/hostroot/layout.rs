//! What lies where in a host root, with the modes that the panel gives.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::HostRootInfo;
use crate::setup;

/// A file: where, its text, its mode.
type Placed = (&'static str, &'static str, u32);

const FILES: &[Placed] = &[
    ("/etc/passwd", include_str!("files/passwd"), 0o644),
    ("/etc/group", include_str!("files/group"), 0o644),
    ("/etc/os-release", include_str!("files/os-release"), 0o644),
    ("/etc/init.d/nginx", include_str!("files/init-nginx.sh"), 0o755),
    ("/etc/init.d/bt", include_str!("files/init-bt.sh"), 0o755),
    ("/etc/supervisor/supervisord.conf", include_str!("files/supervisord.conf"), 0o644),
    ("/var/bt_setupPath.conf", "/www\n", 0o644),
    ("/www/server/panel/class/common.py", include_str!("files/common.py"), 0o600),
    ("/www/server/panel/data/port.pl", "8888", 0o600),
    ("/www/server/panel/plugin/supervisor/config.json", "[]", 0o600),
    ("/www/server/panel/vhost/nginx/0.default.conf", include_str!("files/default.conf"), 0o644),
    (
        "/www/server/panel/vhost/nginx/phpfpm_status.conf",
        include_str!("files/phpfpm_status.conf"),
        0o644,
    ),
    (
        "/www/server/panel/vhost/nginx/shop.example.com.conf",
        include_str!("files/shop.example.com.conf"),
        0o644,
    ),
    ("/www/server/panel/vhost/nginx/go_api.conf", include_str!("files/go_api.conf"), 0o644),
    ("/www/server/panel/vhost/nginx/well-known/shop.example.com.conf", "", 0o600),
    ("/www/server/panel/vhost/nginx/well-known/api.conf", "", 0o600),
    ("/www/server/panel/vhost/rewrite/shop.example.com.conf", "", 0o644),
    ("/www/server/panel/vhost/rewrite/go_api.conf", "", 0o644),
    ("/www/server/nginx/conf/nginx.conf", include_str!("files/nginx.conf"), 0o644),
    ("/www/server/nginx/conf/proxy.conf", include_str!("files/proxy.conf"), 0o644),
    ("/www/server/nginx/conf/mime.types", include_str!("files/mime.types"), 0o644),
    ("/www/server/nginx/conf/enable-php-00.conf", "", 0o644),
    ("/www/server/nginx/html/index.html", include_str!("files/404.html"), 0o644),
    ("/www/wwwroot/shop.example.com/index.html", include_str!("files/index.html"), 0o644),
    ("/www/wwwroot/shop.example.com/404.html", include_str!("files/404.html"), 0o644),
    ("/www/wwwroot/shop.example.com/.htaccess", "", 0o644),
];

/// Folders that hold no file yet.
const FOLDERS: &[&str] = &[
    "/run",
    "/tmp",
    "/var/lib",
    "/var/log/supervisor",
    "/var/run",
    "/opt",
    "/www/backup",
    "/www/server/cron",
    "/www/server/nginx/logs",
    "/www/server/nginx/sbin",
    "/www/server/panel/plugin/supervisor/log",
    "/www/server/panel/plugin/supervisor/profile",
    "/www/server/panel/vhost/cert",
    "/www/server/panel/vhost/nginx/dir_auth",
    "/www/server/panel/vhost/nginx/extension/api",
    "/www/server/panel/vhost/nginx/extension/shop.example.com",
    "/www/server/panel/vhost/nginx/proxy",
    "/www/server/panel/vhost/nginx/redirect",
    "/www/server/pass",
    "/www/wwwlogs",
    "/www/wwwroot/api",
    "/www/wwwroot/java_node_ssl",
];

/// Folders that the panel leaves open to everyone.
const OPEN: &[&str] =
    &["/www/server/go_project/vhost/scripts", "/www/wwwlogs/go", "/var/tmp/gopids"];

/// Folders under the panel's tree that stay 0755; the panel's installers make the others 0600, so
/// that only root gets through.
const PASSABLE: &[&str] = &["nginx", "extension", "proxy", "redirect", "dir_auth"];

/// Files that a machine has of its own.
const MACHINES_OWN: &[&str] = &["/etc/passwd", "/etc/group", "/etc/os-release"];

/// What makes units of start scripts; gone from systemd 260 on.
const START_SCRIPTS: &str = "/usr/lib/systemd/system-generators/systemd-sysv-generator";

/// The unit that it would make of the panel's script.
const NGINX_UNIT: &str = "[Unit]\nAfter=network.target\n\n[Service]\nType=forking\n\
                          ExecStart=/etc/init.d/nginx start\nExecStop=/etc/init.d/nginx stop\n\
                          KillMode=process\nGuessMainPID=no\nRemainAfterExit=yes\n\n\
                          [Install]\nWantedBy=multi-user.target\n";

/// Lays the panel out on the file system of a machine that is to be booted from it: its root is `/`
/// there, its sites listen on port 80, and the panel's script starts nginx at boot.
pub(crate) fn write_machine(info: &HostRootInfo) -> Result<()> {
    write_for(info, "", &|text| text.replace("127.0.0.1:@SHOP_PORT@", "80"))?;
    let at = |path: &str| info.root.join(path.trim_start_matches('/'));
    // The distribution's unit would start an nginx with another configuration.
    match fs::remove_file(at("/lib/systemd/system/nginx.service")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!("remove nginx.service: {error}")
        }
        _ => {}
    }
    if !at(START_SCRIPTS).exists() {
        return write_file(&at("/etc/systemd/system/nginx.service"), NGINX_UNIT, 0o644)
            .and_then(|()| link_unit(&at("/etc/systemd/system/multi-user.target.wants")));
    }
    for level in 2..=5 {
        let folder = at(&format!("/etc/rc{level}.d"));
        folders(&folder)?;
        let start = folder.join("S01nginx");
        if !start.is_symlink() {
            link(Path::new("../init.d/nginx"), &start)?;
        }
    }
    Ok(())
}

/// Has nginx's unit started at boot.
fn link_unit(wants: &Path) -> Result<()> {
    folders(wants)?;
    let start = wants.join("nginx.service");
    if start.is_symlink() { Ok(()) } else { link(Path::new("../nginx.service"), &start) }
}

/// Writes everything below the root.
pub(super) fn write(info: &HostRootInfo) -> Result<()> {
    write_for(info, &info.root.to_string_lossy(), &str::to_owned)
}

/// Writes everything below the root, for programs that call it `inner`.
fn write_for(info: &HostRootInfo, inner: &str, change: &dyn Fn(&str) -> String) -> Result<()> {
    let at = |path: &str| info.root.join(path.trim_start_matches('/'));
    set_mode(&info.root, 0o755)?;
    for folder in FOLDERS {
        folders(&at(folder))?;
    }
    for folder in OPEN {
        folders(&at(folder))?;
        set_mode(&at(folder), 0o777)?;
    }
    let is_machine = inner.is_empty();
    for (path, text, mode) in FILES {
        if is_machine && MACHINES_OWN.contains(path) {
            continue;
        }
        let path = at(path);
        folders(path.parent().unwrap_or(&info.root))?;
        write_file(&path, &filled(&change(text), info, inner), *mode)?;
    }
    let base_dir = format!("open_basedir={inner}/www/wwwroot/shop.example.com/:/tmp/\n");
    write_file(&at("/www/wwwroot/shop.example.com/.user.ini"), &base_dir, 0o644)?;
    let version = format!("{}\n", setup::nginx_version(&info.nginx)?);
    write_file(&at("/www/server/nginx/version.pl"), &version, 0o644)?;
    link(&info.nginx, &at("/www/server/nginx/sbin/nginx"))?;
    folders(&at("/usr/bin"))?;
    let own = format!("{inner}/www/server/nginx/sbin/nginx");
    link(Path::new(&own), &at("/usr/bin/nginx"))?;
    if setup::is_root() {
        lock(&at("/www/server/panel"))?;
    }
    Ok(())
}

/// Puts the root and its ports into a text.
fn filled(text: &str, info: &HostRootInfo, inner: &str) -> String {
    let (user, supervisor_user) = if setup::is_root() {
        (format!("user {};\n", worker_user()), "user=root\n")
    } else {
        (String::new(), "")
    };
    text.replace("@ROOT@", inner)
        .replace("@SHOP_PORT@", &info.ports.shop.to_string())
        .replace("@API_PORT@", &info.ports.api.to_string())
        .replace("@API_BACKEND_PORT@", &info.ports.api_backend.to_string())
        .replace("@STATUS_PORT@", &info.ports.status.to_string())
        .replace("@USER_LINE@", &user)
        .replace("@SUPERVISOR_USER_LINE@", supervisor_user)
}

/// Returns the machine's user for nginx's workers: nginx looks names up in the machine's own list,
/// where the panel's `www` need not be.
fn worker_user() -> &'static str {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let has = |name: &str| users.lines().any(|line| line.split(':').next() == Some(name));
    if has("www-data") { "www-data" } else { "nobody" }
}

/// Makes the folders of the panel's tree 0600, innermost first.
fn lock(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("read {}", folder.display()))?.path();
        if path.is_dir() {
            lock(&path)?;
        }
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    set_mode(folder, if PASSABLE.contains(&name.as_ref()) { 0o755 } else { 0o600 })
}

/// Makes a folder and its parents, each 0755 whatever the umask.
fn folders(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let Some(parent) = folder.parent() else { bail!("{} has no parent", folder.display()) };
    folders(parent)?;
    fs::create_dir(folder).with_context(|| format!("create {}", folder.display()))?;
    set_mode(folder, 0o755)
}

fn write_file(path: &Path, text: &str, mode: u32) -> Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    set_mode(path, mode)
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("set the mode of {}", path.display()))
}

fn link(target: &Path, link: &Path) -> Result<()> {
    symlink(target, link).with_context(|| format!("link {}", link.display()))
}
