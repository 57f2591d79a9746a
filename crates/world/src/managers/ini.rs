//! Renders an arm as a program of Supervisor's. Values are typed, so no text can add an option or a
//! section; what is rendered is parsed back and compared before it is written.

use std::collections::BTreeMap;

use super::spec::ArmSpec;
use super::{ManagerError, STOP_MARGIN_SECS, program_name};
use crate::hostroot::HostRoot;
use crate::plain::{PlainError, PlainPath};

/// An arm that lives this long counts as started; readiness is asked by the agent.
const START_SECS: u64 = 1;
/// Supervisor waits one second more before each try: ten tries are most of a minute.
const START_RETRIES: u64 = 10;

/// Whether Supervisor starts the arm by itself, after a reboot for example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Autostart {
    /// It is meant to run.
    Enabled,
    /// It is idle: its port is held by the agent.
    Disabled,
}

/// The options of one program, in the order they are written.
pub(super) struct Ini {
    /// The program's name.
    pub(super) program: String,
    options: Vec<(&'static str, String)>,
}

impl Ini {
    /// Builds the options of an arm.
    pub(super) fn new(
        host: &HostRoot,
        spec: &ArmSpec,
        autostart: Autostart,
    ) -> Result<Self, ManagerError> {
        let enabled = if autostart == Autostart::Enabled { "true" } else { "false" };
        let log = log_path(host, spec)?;
        let stop_secs = spec.stop_grace.0.div_ceil(1000) + STOP_MARGIN_SECS;
        let options = vec![
            ("command", command_line(host, spec)?),
            ("directory", "/".to_owned()),
            ("autostart", enabled.to_owned()),
            ("autorestart", "true".to_owned()),
            ("startsecs", START_SECS.to_string()),
            ("startretries", START_RETRIES.to_string()),
            ("stopsignal", "TERM".to_owned()),
            ("stopwaitsecs", stop_secs.to_string()),
            ("stopasgroup", "true".to_owned()),
            ("killasgroup", "true".to_owned()),
            ("redirect_stderr", "true".to_owned()),
            ("stdout_logfile", log.to_string()),
            // Rotated by the agent, which has Supervisor open it anew: two would lose lines.
            ("stdout_logfile_maxbytes", "0".to_owned()),
            ("stdout_logfile_backups", "0".to_owned()),
        ];
        Ok(Self { program: program_name(&spec.service, spec.arm), options })
    }

    /// Returns the text of the file. A per cent sign begins an expansion and is doubled.
    pub(super) fn text(&self) -> String {
        let mut text =
            "; Written by guanka; an edit here is lost at the next install.\n".to_owned();
        text.push_str(&format!("[program:{}]\n", self.program));
        for (key, value) in &self.options {
            text.push_str(&format!("{key}={}\n", value.replace('%', "%%")));
        }
        text
    }

    /// Returns the text once it has been read back as exactly this program with these options.
    pub(super) fn checked_text(&self) -> Result<String, ManagerError> {
        let text = self.text();
        let (programs, includes, problems) = guanka_parse::supervisor::read("rendered", &text);
        let wrong = |what: String| Err(ManagerError::ReadBack(what));
        let [program] = programs.as_slice() else {
            return wrong(format!("{} programs", programs.len()));
        };
        if !includes.is_empty() || !problems.is_empty() || program.name != self.program {
            return wrong(format!("the program {}", program.name));
        }
        let read: BTreeMap<&str, String> = program
            .options
            .iter()
            .map(|(key, found)| (key.as_str(), found.value.replace("%%", "%")))
            .collect();
        let meant: BTreeMap<&str, String> =
            self.options.iter().map(|(key, value)| (*key, value.clone())).collect();
        if read != meant {
            return wrong(format!("{read:?} for {meant:?}"));
        }
        Ok(text)
    }
}

/// Returns the arm's log. Supervisor expands its name twice and a command once, and not every
/// version does, so no per cent sign may stand in it.
fn log_path(host: &HostRoot, spec: &ArmSpec) -> Result<PlainPath, PlainError> {
    let path = PlainPath::new(&host.arm_log(&spec.service, spec.arm))?;
    if path.as_str().contains('%') {
        let text = path.as_str().chars().take(80).collect();
        return Err(PlainError { text, expected: "a path without %, which Supervisor expands" });
    }
    Ok(path)
}

/// Returns the command line of an arm, as the panel's list shows it too.
pub(super) fn command_line(host: &HostRoot, spec: &ArmSpec) -> Result<String, ManagerError> {
    let launcher = PlainPath::new(&spec.launcher)?;
    let root = PlainPath::new(host.root())?;
    let (service, arm) = (&spec.service, spec.arm);
    Ok(format!("{launcher} exec --root {root} --service {service} --arm {arm}"))
}

#[cfg(test)]
mod tests {
    use guanka_core::name::Arm;
    use guanka_core::quantity::{Bytes, Millis};

    use super::super::spec::{ArmSpec, tests_support};
    use super::{Autostart, Ini};
    use crate::hostroot::HostRoot;
    use crate::plain::HOSTILE;

    fn spec(launcher: &str) -> ArmSpec {
        ArmSpec {
            arm: Arm::Blue,
            stop_grace: Millis(15_500),
            logs: tests_support::logs(Bytes(10 << 20), 3),
            launcher: launcher.into(),
            ..tests_support::spec()
        }
    }

    #[test]
    fn an_arm_is_one_program_with_the_stop_it_needs() {
        let host = HostRoot::new("/r");
        let ini = Ini::new(&host, &spec("/opt/100%/guanka"), Autostart::Disabled).expect("plain");
        let text = ini.checked_text().expect("reads back");
        let expected = [
            "[program:guanka-shop.prod-blue]",
            "command=/opt/100%%/guanka exec --root /r --service shop.prod --arm blue",
            "autostart=false",
            "startretries=10",
            "stopsignal=TERM",
            "stopwaitsecs=21",
            "stopasgroup=true",
            "killasgroup=true",
            "stdout_logfile=/r/var/log/guanka/shop.prod/blue.log",
            "stdout_logfile_maxbytes=0",
        ];
        for line in expected {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_per_cent_sign_does_not_reach_a_logs_name() {
        let ini = Ini::new(&HostRoot::new("/100%/r"), &spec("/g"), Autostart::Enabled);
        assert!(ini.is_err_and(|error| error.to_string().contains("without %")));
    }

    #[test]
    fn hostile_paths_do_not_reach_the_file() {
        for text in HOSTILE.iter().filter(|text| !text.is_empty()) {
            let launcher = Ini::new(&HostRoot::new("/r"), &spec(text), Autostart::Enabled);
            let root = HostRoot::new(format!("/{text}/x"));
            let root = Ini::new(&root, &spec("/opt/guanka"), Autostart::Enabled);
            assert!(launcher.is_err() && root.is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_text_that_reads_back_differently_is_not_written() {
        let mut ini =
            Ini::new(&HostRoot::new("/r"), &spec("/g"), Autostart::Enabled).expect("plain");
        ini.options[1].1 = "/\nuser=root".to_owned();
        assert!(ini.checked_text().is_err());
    }
}
