//! Host roots with the machine's real nginx and Supervisor.

#![expect(clippy::print_stdout, reason = "a skipped test says why")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::daemons::answers;
use super::{HostRootInfo, Ports, create, start, stop};
use crate::process;
use crate::setup::{self, Tools};

/// What each of the small commands here may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

const SITE: &str = "shop.example.com";

/// A folder of the test's own; its daemons are stopped and it is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("guanka-root-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = stop(&self.0);
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the machine's programs; a test that needs others is skipped with the reason.
fn tools() -> Option<Tools> {
    let program = |path: &str| Some(PathBuf::from(path)).filter(|path| path.is_file());
    let tools = (|| {
        Some(Tools {
            nginx: program("/usr/sbin/nginx")?,
            supervisord: program("/usr/bin/supervisord")?,
            supervisorctl: program("/usr/bin/supervisorctl")?,
            go: PathBuf::new(),
        })
    })();
    if tools.is_none() {
        println!("skipped: nginx or Supervisor is not on this machine");
    }
    tools
}

fn mode(root: &Path, path: &str) -> u32 {
    fs::metadata(root.join(path)).expect(path).mode() & 0o777
}

#[test]
fn a_root_is_laid_out_as_the_panel_lays_out_a_host() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let ports = Ports::free().expect("four ports");
    let info = create(&folder.0, &tools, ports).expect("written");
    let read = |path: &str| fs::read_to_string(info.root.join(path)).expect(path);
    assert_eq!(read("var/bt_setupPath.conf"), "/www\n");
    assert!(read("www/server/panel/class/common.py").contains("g.version = \"11.7.0\""));
    let ambient = read("www/server/nginx/conf/proxy.conf");
    assert!(ambient.contains("proxy_next_upstream error timeout invalid_header http_500"));
    assert!(ambient.contains("proxy_cache cache_one;"));
    let site = read("www/server/panel/vhost/nginx/shop.example.com.conf");
    let before = |a: &str, b: &str| site.find(a).expect(a) < site.find(b).expect(b);
    assert!(before("extension/shop.example.com/*.conf;", "#SSL-START"));
    assert!(before("#SSL-START", "location ~ \\.well-known"));
    assert!(read("etc/passwd").contains("www:x:1001:1001:"));
    if setup::is_root() {
        let panel = "www/server/panel";
        assert_eq!(mode(&info.root, panel), 0o600);
        assert_eq!(mode(&info.root, &format!("{panel}/vhost/nginx/extension")), 0o755);
        let own = format!("{panel}/vhost/nginx/extension/shop.example.com");
        assert_eq!(mode(&info.root, &own), 0o600);
    }
    assert_eq!(HostRootInfo::read(&info.root).expect("recorded"), info);
    assert!(create(&folder.0, &tools, ports).is_err(), "not into a folder that holds something");
}

#[test]
fn no_text_is_left_with_a_blank_to_fill_in() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let info = create(&folder.0, &tools, Ports::free().expect("ports")).expect("written");
    let mut folders = vec![info.root];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder").flatten() {
            let kind = entry.file_type().expect("a kind");
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let text = fs::read_to_string(entry.path()).expect("a text");
                assert!(!text.contains("@ROOT") && !text.contains("_PORT@"), "{:?}", entry.path());
                assert!(!text.contains("_LINE@"), "{:?}", entry.path());
            }
        }
    }
}

#[test]
fn nginx_and_supervisor_start_answer_and_stop_and_only_theirs() {
    let Some(tools) = tools() else { return };
    let (one, two) = (Folder::new(), Folder::new());
    let first = create(&one.0, &tools, Ports::free().expect("ports")).expect("written");
    let second = create(&two.0, &tools, Ports::free().expect("ports")).expect("written");
    let running = start(&first.root).expect("both start");
    let other = start(&second.root).expect("both start");
    assert!(answers(first.ports.shop, SITE, "/") && answers(second.ports.shop, SITE, "/"));
    assert_eq!(start(&first.root).expect("nothing to do"), running);
    stop(&first.root).expect("both stop");
    assert!(!running.nginx.is_alive() && !running.supervisord.is_alive());
    assert!(other.nginx.is_alive() && other.supervisord.is_alive());
    assert!(!answers(first.ports.shop, SITE, "/") && answers(second.ports.shop, SITE, "/"));
    stop(&first.root).expect("nothing to do");
    let again = start(&first.root).expect("both start again");
    assert_ne!(again.nginx, running.nginx);
}

#[test]
fn what_is_added_to_a_root_takes_effect_and_ends_with_it() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let info = create(&folder.0, &tools, Ports::free().expect("ports")).expect("written");
    start(&info.root).expect("both start");
    let panel = info.root.join("www/server/panel");
    let added = "location = /added { default_type text/plain; return 200 added; }\n";
    fs::write(panel.join("vhost/nginx/extension/shop.example.com/a.conf"), added).expect("a file");
    let run = |command: &mut std::process::Command| {
        process::run(command, &info.root.join("tmp/said"), LIMIT).expect("it works")
    };
    run(process::clean(&info.root.join("etc/init.d/nginx")).arg("reload"));
    let is_served = || answers(info.ports.shop, SITE, "/added").then_some(());
    process::wait_for("the added location", LIMIT, is_served).expect("served");
    assert!(!answers(info.ports.shop, "other.example.com", "/added"), "the default site");

    let pid_file = info.root.join("tmp/pid");
    let program = format!(
        "[program:waits]\ncommand=/bin/sh -c \"echo $$ > {}; exec sleep 600\"\nstartsecs=0\n",
        pid_file.display()
    );
    fs::write(panel.join("plugin/supervisor/profile/waits.ini"), program).expect("a file");
    let conf = info.root.join("etc/supervisor/supervisord.conf");
    run(process::clean(&info.supervisorctl).arg("-c").arg(conf).arg("update"));
    let pid = process::wait_for("the added program", LIMIT, || {
        fs::read_to_string(&pid_file).ok()?.trim().parse::<u32>().ok()
    });
    let proc = PathBuf::from(format!("/proc/{}", pid.expect("it starts")));
    assert!(proc.exists());
    stop(&info.root).expect("both stop");
    assert!(!proc.exists());
}

#[test]
fn a_name_that_a_config_could_misread_is_refused() {
    let Some(tools) = tools() else { return };
    let ports = Ports::free().expect("ports");
    for name in ["with blank", "semi;colon", "per%cent", "quote'", "dollar$"] {
        let root = std::env::temp_dir().join(format!("guanka-{}-{name}", std::process::id()));
        let error = create(&root, &tools, ports).expect_err(name);
        assert!(!root.exists());
        assert!(error.to_string().contains("has only letters"), "{error}");
    }
    let long = std::env::temp_dir().join("x".repeat(90));
    let error = create(&long, &tools, ports).expect_err("too long");
    assert!(!long.exists());
    assert!(error.to_string().contains("at most"), "{error}");
}

#[test]
fn a_folder_that_nginx_workers_cannot_reach_is_refused() {
    let Some(tools) = tools() else { return };
    if !setup::is_root() {
        println!("skipped: without root, nginx's workers are this user's");
        return;
    }
    let folder = Folder::new();
    fs::create_dir(&folder.0).expect("a folder");
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o700)).expect("closed");
    let error = create(&folder.0.join("host"), &tools, Ports::free().expect("ports"));
    let text = error.expect_err("closed").to_string();
    assert!(text.contains("cannot get through") && text.contains("/var/tmp"), "{text}");
}
