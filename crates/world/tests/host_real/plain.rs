//! A service on a host without a panel: the distribution's nginx, its modules loaded by the paths
//! that its own packages write, the site's include there before guanka's file and after it.

use std::fs;
use std::net::TcpStream;
use std::process::{Command, Stdio};

use guanka_core::name::Arm;
use guanka_core::quantity::Millis;
use guanka_world::clock;
use guanka_world::ports;
use guanka_world::proxy::share;
use guanka_world::proxy::{self, Applied, Nginx, SiteError, WiringError};

use crate::nginx::cookie;
use crate::root::{self, LIMIT, Root, has, service};

/// Debian's lines that matter, and what it has elsewhere moved below the root.
const MAIN: &str = "USER
include /etc/nginx/modules-enabled/*.conf;
EXTRA
worker_processes 1;
pid ROOT/www/server/nginx/logs/nginx.pid;
error_log ROOT/run/error.log;
events { worker_connections 1024; }
http {
    client_body_temp_path ROOT/run/body;
    proxy_temp_path ROOT/run/proxy;
    fastcgi_temp_path ROOT/run/fastcgi;
    uwsgi_temp_path ROOT/run/uwsgi;
    scgi_temp_path ROOT/run/scgi;
    access_log off;
    include ROOT/etc/nginx/conf.d/*.conf;
    include ROOT/etc/nginx/sites-enabled/*;
}
";

fn write_main(root: &Root, extra: &str) {
    root.write("etc/nginx/nginx.conf", &MAIN.replace("EXTRA", extra));
}

fn write_site(root: &Root, line: &str) {
    let text = "server { listen 127.0.0.1:LISTEN; server_name shop.example.com;
                root ROOT/run/none; LINE
                location = /own { return 418; } }\n";
    root.write("etc/nginx/sites-enabled/shop", &text.replace("LINE", line));
}

/// Lays the host out; its nginx does not run yet.
fn laid_out() -> Root {
    let root = Root::new();
    for folder in ["www/server/nginx/conf", "www/server/panel"] {
        fs::remove_dir_all(root.at(folder)).expect("removed");
    }
    fs::create_dir_all(root.at("etc/nginx/conf.d")).expect("made");
    write_main(&root, "");
    write_site(&root, "");
    root
}

/// Starts nginx as the distribution does: without a prefix.
fn start(root: &Root) {
    let mut command = Command::new("/usr/sbin/nginx");
    command.args(["-e", "stderr", "-c"]).arg(root.at("etc/nginx/nginx.conf"));
    let status = command.stderr(Stdio::null()).status().expect("nginx starts");
    assert!(status.success(), "nginx does not start");
    let answers = || TcpStream::connect(("127.0.0.1", root.listen)).ok();
    clock::wait_for(LIMIT, Millis(5), answers).expect("nginx listens");
    clock::wait_for(LIMIT, Millis(5), || root.master()).expect("nginx has a master");
}

#[test]
fn modules_are_looked_for_where_the_running_nginx_looks() {
    if !has(&["nginx"]) {
        return;
    }
    let root = laid_out();
    let find = || Nginx::find(&root.host).expect("there");
    find().test().expect("the modules of the packages load");
    // nginx says where it looked; the packages' modules lie below the prefix it was built with.
    write_main(&root, "load_module modules/guanka_none.so;");
    let output = Command::new("/usr/sbin/nginx").arg("-V").output().expect("it says");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let built = said.split_whitespace().find_map(|word| word.strip_prefix("--prefix="));
    let wanted = format!("\"{}/modules/guanka_none.so\"", built.expect("a prefix"));
    let refused = find().test().expect_err("there is no such module");
    assert!(refused.contains(&wanted), "{wanted}: {refused}");
}

#[test]
fn a_service_comes_and_goes_without_a_panel() {
    if !has(&["nginx"]) {
        return;
    }
    let root = laid_out();
    start(&root);
    let wanted = root::proxy(cookie());
    let ports = ports::allot(&root.host, &service()).expect("two ports");
    let plan = || proxy::plan(&root.host, &service(), &wanted, ports);
    let Err(WiringError::Site(SiteError::NoInclude { line, .. })) = plan() else {
        panic!("the include is missing");
    };
    write_site(&root, &line);
    let nginx = Nginx::find(&root.host).expect("there");
    nginx.test().expect("the line stands before guanka's file");
    root.arm_with(Arm::Blue, "blue");
    let _blue = root.start_arm(Arm::Blue, ports.blue);
    share::build(&root.host, &service()).expect("built");
    proxy::install(&root.host, &plan().expect("a plan")).expect("installed");
    assert_eq!(root.ask("/", "x").0, 200);
    assert_eq!(root.ask("/own", "x").0, 418, "the site's own stays");
    let removed = proxy::remove(&root.host, &service()).expect("removed");
    assert!(matches!(removed, Applied::Reloaded { files, .. } if files.len() == 3));
    nginx.test().expect("the line stands after guanka's file");
    assert_eq!(root.ask("/", "x").0, 404, "the site answers by itself again");
    assert!(!root.at("etc/nginx/guanka/shop.prod").exists(), "an empty folder stays");
}
