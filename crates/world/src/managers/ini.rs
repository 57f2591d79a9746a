//! Renders an arm as a program of Supervisor's. Values are typed, so no text can add an option or a
//! section; what is rendered is parsed back and compared before it is written.

use guanka_core::facts::declared::Logs;
use guanka_core::quantity::Millis;

use super::spec::ArmSpec;
use super::{ManagerError, program_name};
use crate::hostroot::HostRoot;
use crate::plain::PlainPath;

/// Supervisor waits this much longer than the program's own grace before it kills.
const STOP_MARGIN_SECS: u64 = 5;
/// An arm that lives this long counts as started; readiness is asked by the agent.
const START_SECS: u64 = 1;
/// Supervisor waits one second more before each try: ten tries are most of a minute.
const START_RETRIES: u64 = 10;

/// Whether Supervisor starts the arm by itself, after a reboot for example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Autostart {
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
        let log = PlainPath::new(&host.arm_log(&spec.service, spec.arm))?;
        let stop_secs = spec.stop_grace.0.div_ceil(1000) + STOP_MARGIN_SECS;
        let Logs { rotate, keep } = spec.logs;
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
            ("stdout_logfile_maxbytes", rotate.0.to_string()),
            ("stdout_logfile_backups", keep.to_string()),
        ];
        Ok(Self { program: program_name(&spec.service, spec.arm), options })
    }

    /// Returns the text of the file. A per cent sign begins an expansion and is doubled.
    pub(super) fn text(&self) -> String {
        let mut text = "; Written by guanka; an edit here is lost at the next install.\n".to_owned();
        text.push_str(&format!("[program:{}]\n", self.program));
        for (key, value) in &self.options {
            text.push_str(&format!("{key}={}\n", value.replace('%', "%%")));
        }
        text
    }
}

/// Returns the command line of an arm, as the panel's list shows it too.
pub(super) fn command_line(host: &HostRoot, spec: &ArmSpec) -> Result<String, ManagerError> {
    let launcher = PlainPath::new(&spec.launcher)?;
    let root = PlainPath::new(host.root())?;
    let (service, arm) = (&spec.service, spec.arm);
    Ok(format!("{launcher} exec --root {root} --service {service} --arm {arm}"))
}

/// Returns how long to wait for a stop: what Supervisor itself waits, and a little for the client.
pub(super) fn stop_limit(grace: Millis) -> Millis {
    Millis(grace.0 + (STOP_MARGIN_SECS + 10) * 1000)
}
