//! nginx installed anew or upgraded by the panel: its own configuration is overwritten, the sites'
//! folder stays, every process is ended and one is started.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::{Panel, read, write};
use crate::hostroot;
use crate::process;

/// The kernel ends a killed process at once; a busy machine takes longer.
const GONE: Duration = Duration::from_secs(10);

impl Panel {
    /// Overwrites what the panel ships and starts afresh.
    pub(crate) fn reinstall_nginx(&self) -> Result<()> {
        let conf = self.at("/www/server/nginx/conf");
        for name in ["nginx.conf", "proxy.conf", "mime.types"] {
            let path = conf.join(name);
            let text = read(&path)?;
            fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
            // What somebody had added of their own is lost.
            let stock: Vec<&str> = text.lines().filter(|line| !line.contains("# own")).collect();
            write(&path, &(stock.join("\n") + "\n"))?;
        }
        let cache = self.at("/www/server/nginx/proxy_cache_dir");
        if cache.exists() {
            fs::remove_dir_all(&cache).context("empty the cache")?;
        }
        self.kill_and_start()
    }

    /// Kills every nginx process of the host and starts one, without waiting for requests.
    pub(super) fn kill_and_start(&self) -> Result<()> {
        self.kill()?;
        let pid_file = self.at("/www/server/nginx/logs/nginx.pid");
        if pid_file.exists() {
            fs::remove_file(&pid_file).context("remove nginx.pid")?;
        }
        hostroot::start(&self.info.root).map(|_| ())
    }

    /// Kills every nginx process of the host.
    pub(crate) fn kill(&self) -> Result<()> {
        let root = self.info.root.display().to_string();
        let processes = processes();
        let masters: Vec<u32> = processes
            .iter()
            .filter(|p| p.line.starts_with("nginx: master") && p.line.contains(&root))
            .map(|p| p.pid)
            .collect();
        let is_one = |p: &&Seen| masters.contains(&p.pid) || masters.contains(&p.parent);
        for found in processes.iter().filter(is_one) {
            let Some(pid) = i32::try_from(found.pid).ok().and_then(Pid::from_raw) else { continue };
            // A worker may end by itself once its master is gone.
            let _ = kill_process(pid, Signal::KILL);
            let folder = format!("/proc/{}/fd", found.pid);
            process::wait_for("nginx is gone", GONE, || {
                let is_gone = fs::read_dir(&folder).map_or(true, |mut open| open.next().is_none());
                is_gone.then_some(())
            })?;
        }
        Ok(())
    }
}

/// A process: its number, its parent's, its command line.
struct Seen {
    pid: u32,
    parent: u32,
    line: String,
}

fn processes() -> Vec<Seen> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some(Seen { pid, parent, line: String::from_utf8_lossy(&line).into_owned() })
    })
    .collect()
}
