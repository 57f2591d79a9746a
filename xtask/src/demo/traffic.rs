//! The users: `guanka load` beside the releases, with a cookie for each of more than a thousand
//! users. One client per release, the next one begun before the last one is stopped, so that
//! traffic never pauses and each release has figures of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::program::Program;
use crate::hostroot::HostRootInfo;
use crate::process;

/// How many users; more than a thousand, so that a tenth of them is a fair tenth.
const USERS: &str = "2000";
/// Enough for the canary to decide within its steps, little enough for two processors.
const RATE: &str = "450/s";
/// Answers are awaited for two seconds after the input is closed; the rest is a busy machine.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long two clients overlap: the next one has its connections by then.
const OVERLAP: Duration = Duration::from_millis(500);
/// What nginx answers when no arm answered: these fail because of a switch, whatever the release.
const SWITCH_STATUSES: [&str; 3] = ["502", "503", "504"];

/// A client under way.
pub(crate) struct Traffic {
    child: Child,
    said: PathBuf,
}

/// What users saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// How many requests they sent.
    pub(crate) requests: u64,
    /// How many of them found no answer, or none of an arm's.
    pub(crate) by_switch: u64,
    /// How many the release itself failed, with a status of its own.
    pub(crate) by_release: u64,
}

impl Traffic {
    /// Starts the users of one release.
    pub(crate) fn start(
        program: &Program,
        info: &HostRootInfo,
        folder: &Path,
        number: usize,
    ) -> Result<Self> {
        let url = HostRootInfo::url(info.ports.shop);
        let seed = number.to_string();
        let mut command = program.command(&[
            "load",
            &url,
            "--json",
            "--until-eof",
            "--rate",
            RATE,
            "--poisson",
            "--connections",
            "48",
            "--cookie",
            "shop_user",
            "--users",
            USERS,
            "--seed",
            &seed,
            "--header",
            "Host: shop.example.com",
            "--request",
            "GET /products?q=porcelain+cup",
            "--request",
            r#"POST /orders {"product":17,"quantity":2,"customer":"ann","coupon":"AUTUMN"}"#,
        ]);
        let said = folder.join(format!("traffic-{number}.json"));
        let file = File::create(&said).with_context(|| format!("write {}", said.display()))?;
        let errors = file.try_clone().context("share the file")?;
        let child = command
            .stdin(Stdio::piped())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .context("start guanka load")?;
        Ok(Self { child, said })
    }

    /// Stops these users once those who take over have their connections.
    pub(crate) fn stop_after_overlap(&mut self) -> Result<Seen> {
        thread::sleep(OVERLAP);
        self.stop()
    }

    /// Closes the input and returns what the users saw.
    pub(crate) fn stop(&mut self) -> Result<Seen> {
        drop(self.child.stdin.take());
        let ended =
            process::wait_for("the users stop", STOP_LIMIT, || self.child.try_wait().transpose())?;
        let said = fs::read_to_string(&self.said).unwrap_or_default();
        let status = ended.context("wait for guanka load")?;
        ensure!(status.success(), "guanka load ended with {status}: {}", said.trim());
        let Some(line) = said.lines().last() else { bail!("guanka load said nothing") };
        let run: Value = serde_json::from_str(line).context("read what guanka load said")?;
        seen(&run["total"]).context("guanka load's figures lack something")
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        // Best effort: stopped in order it has ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells what a switch failed from what a release failed.
fn seen(total: &Value) -> Option<Seen> {
    let requests = total["requests"].as_u64()?;
    let bad = total["bad"].as_u64()?;
    let unanswered: u64 = total["errors"].as_object()?.values().filter_map(Value::as_u64).sum();
    let statuses = &total["statuses"];
    let by_nginx: u64 = SWITCH_STATUSES.iter().filter_map(|code| statuses[code].as_u64()).sum();
    let by_switch = unanswered + by_nginx;
    Some(Seen { requests, by_switch, by_release: bad.checked_sub(by_switch)? })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Seen, seen};

    #[test]
    fn a_lost_connection_is_the_switchs_fault_and_a_500_the_releases() {
        let total = json!({
            "requests": 1000, "bad": 10, "errors": {"reset": 1, "unsent": 2},
            "statuses": {"200": 990, "500": 5, "502": 1, "503": 1},
        });
        assert_eq!(seen(&total), Some(Seen { requests: 1000, by_switch: 5, by_release: 5 }));
        assert_eq!(seen(&json!({"requests": 1})), None, "figures that are not there are no zeros");
    }
}
