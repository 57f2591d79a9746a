//! Who else would rotate guanka's logs: logrotate by its patterns, scheduled scripts, the panel's
//! cutters, Supervisor by its own sizes. Two rotators on one file lose lines, so each is found with
//! its place before anything is installed.

use std::path::{Component, Path};

use guanka_core::facts::Span;
use guanka_core::facts::supervisor::Program;
use guanka_core::name::{Arm, ServiceName};
use guanka_core::say::Said;
use guanka_parse::logrotate;
use guanka_parse::text::SourceText;

use super::tree::{HostTree, fits};
use super::{nginx, panel, supervisor};
use crate::hostroot::HostRoot;
use crate::managers::program_name;
use crate::proxy;

/// Where logrotate is told what to rotate.
const LOGROTATE: &[&str] = &["/etc/logrotate.conf", "/etc/logrotate.d/*"];
/// Where work is scheduled, by cron and by the panel.
const SCHEDULED: &[&str] = &[
    "/etc/crontab",
    "/etc/cron.d/*",
    "/etc/cron.hourly/*",
    "/etc/cron.daily/*",
    "/etc/cron.weekly/*",
    "/etc/cron.monthly/*",
    "/var/spool/cron/*",
    "/var/spool/cron/crontabs/*",
    "/www/server/cron/*",
];
/// The panel's file of Go projects whose logs it cuts.
const PANEL_CUTTER: &str = "/www/server/panel/data/run_log_split.conf";
/// Programs that take a log away from who writes it.
const CUTTERS: &[&str] =
    &["mv", "rm", "truncate", "gzip", "savelog", "split", "shred", "logrotate", "unlink"];
/// A configuration of this size is a mistake.
const TEXT_MAX: u64 = 4 << 20;
/// The most files that one pattern is read of.
const FILES_MAX: usize = 1000;

/// Another rotator of one of guanka's logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondRotator {
    /// Where it is told to.
    pub span: Span,
    /// Of which log, by whom, and what to do.
    pub says: Said,
}

/// A host's logs of one service, and where its configurations lie.
struct Search<'a> {
    tree: HostTree,
    logs: Vec<String>,
    service: &'a ServiceName,
}

/// Returns every other rotator of a service's logs.
pub fn second(host: &HostRoot, service: &ServiceName) -> Vec<SecondRotator> {
    let arms = [Arm::Blue, Arm::Green].map(|arm| host.arm_log(service, arm));
    let access = proxy::access_log_planned(host, service);
    let tree = HostTree::new(host.root());
    let logs = arms.into_iter().chain(access).map(|log| log.display().to_string()).collect();
    let search = Search { tree, logs, service };
    let mut found = search.by_logrotate();
    found.extend(search.by_schedule());
    found.extend(search.by_panel());
    found.extend(search.by_vhost(host.root()));
    found.extend(search.by_supervisor(&supervisor::read(host.root()).0));
    found.dedup();
    found
}

impl Search<'_> {
    fn by_logrotate(&self) -> Vec<SecondRotator> {
        let mut found = Vec::new();
        for (file, text) in self.texts(LOGROTATE) {
            for pattern in logrotate::read(&file, &text) {
                if let Some(log) = self.taken_by(&pattern.pattern) {
                    found.push(second_rotator(log, "logrotate", pattern.span));
                }
            }
        }
        found
    }

    /// Finds scheduled lines that take a log away or write over it; one that only reads may.
    fn by_schedule(&self) -> Vec<SecondRotator> {
        let mut found = Vec::new();
        for (file, text) in self.texts(SCHEDULED) {
            let source = SourceText::new(&file, &text);
            let mut at = 0;
            for line in text.split_inclusive('\n') {
                if let Some(log) = self.cut_by(line) {
                    let span = source.span(at, at + line.trim_end().len());
                    found.push(second_rotator(log, "cron", span));
                }
                at += line.len();
            }
        }
        found
    }

    /// Returns the log that a line of a script cuts.
    fn cut_by(&self, line: &str) -> Option<&str> {
        let line = line.trim();
        if line.starts_with('#') {
            return None;
        }
        let words: Vec<&str> =
            line.split([' ', '\t', ';', '|', '&', '"', '\'', '(', ')']).collect();
        let is_cutter = |word: &&str| CUTTERS.contains(&word.rsplit('/').next().unwrap_or(word));
        let is_find = words.contains(&"-delete") || words.contains(&"-exec");
        let is_cut = is_find || words.iter().any(is_cutter);
        words.iter().enumerate().find_map(|(place, word)| {
            let (before, bare) = word.rsplit_once('>').unwrap_or(("", word));
            let is_added = before.ends_with('>') || (place > 0 && words[place - 1] == ">>");
            let is_redirect = bare.len() < word.len() || (place > 0 && words[place - 1] == ">");
            let is_written = is_redirect && !is_added;
            if is_cut || is_written { self.taken_by(bare) } else { None }
        })
    }

    /// Finds a project of the panel whose log is ours and which the panel's cutter knows.
    fn by_panel(&self) -> Vec<SecondRotator> {
        let Some((file, text)) = self.texts(&[PANEL_CUTTER]).pop() else { return Vec::new() };
        let source = SourceText::new(&file, &text);
        let mut found = Vec::new();
        for (name, config) in panel::project_configs(&self.tree) {
            let quoted = format!("\"{name}\"");
            let log = self.logs.iter().find(|log| config.contains(&format!("\"{log}\"")));
            if let (Some(log), Some(at)) = (log, text.find(&quoted)) {
                let span = source.span(at, at + quoted.len());
                found.push(second_rotator(log, "BaoTa run_log_split", span));
            }
        }
        found
    }

    /// Finds a site of the user's that logs into our access log: the panel's site cutter cuts
    /// whatever a site's file names first.
    fn by_vhost(&self, root: &Path) -> Vec<SecondRotator> {
        let Some(found) = nginx::read(root) else { return Vec::new() };
        let own = format!("guanka_{}", self.service);
        let servers = found.servers().flat_map(|server| server.inner());
        servers
            .filter(|directive| directive.name == "access_log")
            .filter(|directive| {
                let name = directive.span.file.rsplit('/').next().unwrap_or_default();
                !name.contains("guanka") && !name.contains(&own)
            })
            .filter_map(|directive| {
                let log = self.taken_by(directive.args.first()?)?;
                Some(second_rotator(log, "nginx + BaoTa logsBackup", directive.span.clone()))
            })
            .collect()
    }

    /// Finds programs of Supervisor's that write one of our logs and rotate it by themselves: ours
    /// with a size, and any other at all.
    fn by_supervisor(&self, programs: &[Program]) -> Vec<SecondRotator> {
        let own = [Arm::Blue, Arm::Green].map(|arm| program_name(self.service, arm));
        let mut found = Vec::new();
        for program in programs {
            for stream in ["stdout", "stderr"] {
                let Some(file) = program.options.get(&format!("{stream}_logfile")) else {
                    continue;
                };
                let Some(log) = self.taken_by(&file.value.replace("%%", "%")) else { continue };
                let size = program.options.get(&format!("{stream}_logfile_maxbytes"));
                let is_off = size.is_some_and(|size| size.value.trim() == "0");
                if own.contains(&program.name) && is_off {
                    continue;
                }
                let span = size.unwrap_or(file).span.clone();
                found.push(second_rotator(log, "Supervisor", span));
            }
        }
        found
    }

    /// Returns the log that a path or pattern of the host takes, with its archives or without.
    fn taken_by(&self, pattern: &str) -> Option<&str> {
        let written = Path::new(pattern);
        if !written.is_absolute() {
            return None;
        }
        let below = self.tree.locate(pattern);
        let is_taken = |log: &&String| matches(&below, Path::new(log));
        self.logs.iter().find(is_taken).map(String::as_str)
    }

    fn texts(&self, patterns: &[&str]) -> Vec<(String, String)> {
        let files = patterns.iter().flat_map(|pattern| self.tree.glob(pattern));
        files
            .take(FILES_MAX)
            .filter_map(|path| {
                let bytes = super::tree::read(&path, TEXT_MAX).ok()?;
                let text = String::from_utf8_lossy(&bytes).into_owned();
                Some((path.display().to_string(), text))
            })
            .collect()
    }
}

/// Says whether a shell pattern names a log, or the folder that holds it.
fn matches(pattern: &Path, log: &Path) -> bool {
    let parts = |path: &Path| -> Vec<Vec<u8>> {
        let names = path.components().filter(|part| matches!(part, Component::Normal(_)));
        names.map(|part| part.as_os_str().as_encoded_bytes().to_vec()).collect()
    };
    let (pattern, log) = (parts(pattern), parts(log));
    let folder = log.len().saturating_sub(1);
    let is_long_enough = pattern.len() == log.len() || pattern.len() == folder;
    is_long_enough && pattern.iter().zip(&log).all(|(pattern, name)| fits(pattern, name))
}

fn second_rotator(log: &str, by: &str, span: Span) -> SecondRotator {
    let place = span.place();
    let says = Said::new(
        format!(
            "{place}:{by} 也会切割 {log}。同一文件两个切割者会丢行;请删去这一项,由 guanka 按 \
             [logs] 切割"
        ),
        format!(
            "{place}: {by} rotates {log} too. Two rotators on one file lose lines: take it out \
             there; guanka rotates by [logs]"
        ),
    );
    SecondRotator { span, says }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use guanka_core::name::ServiceName;

    use super::second;
    use crate::hostroot::HostRoot;

    /// Returns who is found on a host with some files, as `file:line`.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let dir = tempfile::tempdir().expect("a folder");
        let root = fs::canonicalize(dir.path()).expect("there");
        let panel = ("www/server/nginx/conf/nginx.conf", "http { include /www/v/*.conf; }");
        for (name, text) in [panel].iter().chain(files) {
            let path = root.join(name);
            fs::create_dir_all(path.parent().expect("has one")).expect("made");
            fs::write(path, text).expect("written");
        }
        fs::create_dir_all(root.join("www/server/panel/vhost/nginx")).expect("made");
        let service = ServiceName::new("shop", "prod").expect("a good name");
        let prefix = format!("{}/", root.display());
        let all = second(&HostRoot::new(&root), &service);
        all.iter().map(|second| second.span.place().replace(&prefix, "")).collect()
    }

    #[test]
    fn a_pattern_of_logrotate_over_our_logs_is_found_with_its_line() {
        let at = |pattern: &str| {
            let text = format!("# logs\nweekly\n{pattern} {{\n  daily\n}}\n");
            found(&[("etc/logrotate.d/mine", &text)])
        };
        let third = ["etc/logrotate.d/mine:3"];
        assert_eq!(at("/var/log/*/*/*.log"), third);
        assert_eq!(at("/var/log/guanka/shop.prod/blue.log"), third);
        assert_eq!(at("/www/wwwlogs/guanka/*.json"), third);
        assert_eq!(at("/www/wwwlogs/*.log"), [""; 0], "the panel's own");
        assert_eq!(at("/var/log/*/*.log"), [""; 0], "agent.log, which is nobody's to rotate");
        assert_eq!(at("/var/log/guanka/other.prod/*.log"), [""; 0]);
    }

    #[test]
    fn a_scheduled_line_is_found_when_it_cuts_and_not_when_it_reads() {
        let at = |line: &str| found(&[("www/server/cron/ab12", &format!("#!/bin/sh\n{line}\n"))]);
        let second = ["www/server/cron/ab12:2"];
        let log = "/www/wwwlogs/guanka/shop.prod.json";
        assert_eq!(at(&format!("cat /dev/null > {log}")), second);
        assert_eq!(at(&format!("/usr/bin/truncate -s 0 {log}")), second);
        assert_eq!(at(&format!(":>{log}")), second);
        assert_eq!(at("find /var/log/guanka/shop.prod -mtime +7 -delete"), second);
        assert_eq!(at(&format!("tail -n 5 {log} >> /root/x")), [""; 0]);
        assert_eq!(at(&format!("# rm {log}")), [""; 0]);
        assert_eq!(at("logsBackup ALL 180 /www/wwwlogs/"), [""; 0], "cuts sites' own logs only");
    }

    #[test]
    fn supervisors_own_sizes_are_found() {
        let config = "[include]\nfiles = /etc/supervisor/conf.d/*.conf\n";
        let at = |program: &str, size: &str| {
            let text = format!(
                "[program:{program}]\ncommand=/x\n\
                 stdout_logfile=/var/log/guanka/shop.prod/blue.log\n{size}"
            );
            let file = "etc/supervisor/conf.d/a.conf";
            found(&[("etc/supervisor/supervisord.conf", config), (file, &text)])
        };
        let ours = "guanka-shop.prod-blue";
        assert_eq!(at(ours, "stdout_logfile_maxbytes=0\n"), [""; 0]);
        let set = at(ours, "stdout_logfile_maxbytes=10MB\n");
        assert_eq!(set, ["etc/supervisor/conf.d/a.conf:4"]);
        assert_eq!(at(ours, ""), ["etc/supervisor/conf.d/a.conf:3"], "50 MB by default");
        let other = at("other", "stdout_logfile_maxbytes=0\n");
        assert_eq!(other, ["etc/supervisor/conf.d/a.conf:4"], "another writer");
    }

    #[test]
    fn the_panels_cutter_and_a_site_that_logs_into_our_file_are_found() {
        let site = "server {\n  access_log /www/wwwlogs/guanka/shop.prod.json;\n}\n";
        assert_eq!(found(&[("www/v/shop.conf", site)]), ["www/v/shop.conf:2"]);
        assert_eq!(found(&[("www/v/zz_guanka_shop.prod.conf", site)]), [""; 0], "our own");
    }
}
