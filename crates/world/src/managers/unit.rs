//! Renders an arm as a systemd unit, sandboxed as far as a Go service can live. Values are typed or
//! quoted; what is rendered is parsed back and compared before it is written. Each arm has a unit
//! file of its own: a new release's settings must not reach the arm that serves.

use std::path::Path;

use guanka_core::facts::declared::LogPlace;
use guanka_core::name::{Arm, ServiceName};
use guanka_core::plan::processors::{self, Room};

use super::spec::{ArmSpec, RunAs};
use super::{ManagerError, STOP_MARGIN_SECS};
use super::{credentials, launch};
use crate::hostroot::HostRoot;
use crate::plain::{PlainError, PlainPath, Quoted};

/// An arm that ends too soon is started again this often within the time below, then given up.
const RESTARTS: u32 = 10;
/// The time that restarts are counted in.
const RESTARTS_WITHIN_SECS: u32 = 120;
/// A program that says itself when it is ready has as long as one that is asked.
pub(super) const READY_SECS: u32 = 60;
/// What lets a program listen on ports below 1024.
const LOW_PORTS: &str = "CAP_NET_BIND_SERVICE";

/// What every arm's unit has, whatever it runs. The address families leave Go its name lookups, TLS
/// calls and list of interfaces; refused system calls are errors to the program and no kill.
const SANDBOX: &[(&str, &str)] = &[
    ("NoNewPrivileges", "yes"),
    ("ProtectSystem", "strict"),
    ("ProtectHome", "yes"),
    ("PrivateTmp", "yes"),
    ("PrivateDevices", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectProc", "invisible"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("RemoveIPC", "yes"),
    ("LockPersonality", "yes"),
    ("MemoryDenyWriteExecute", "yes"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallFilter", "@system-service"),
    ("SystemCallFilter", "~@privileged @resources"),
    ("SystemCallErrorNumber", "EPERM"),
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK"),
    ("UMask", "0027"),
];

/// The lines of one arm's unit, in the order they are written.
pub(super) struct UnitText {
    lines: Vec<(&'static str, &'static str, String)>,
}

/// Returns the name of an arm's unit.
pub(super) fn name(service: &ServiceName, arm: Arm) -> String {
    format!("guanka-{service}@{arm}.service")
}

impl UnitText {
    /// Builds the unit of an arm for what the machine's groups leave to it.
    pub(super) fn new(host: &HostRoot, spec: &ArmSpec, room: Room) -> Result<Self, ManagerError> {
        let mut text = Self { lines: Vec::new() };
        let (service, arm) = (&spec.service, spec.arm);
        let home = PlainPath::new(&host.arm(service, arm))?;
        text.put("Unit", "Description", format!("{service}, arm {arm}, kept by guanka"));
        text.put("Unit", "Wants", "network-online.target");
        text.put("Unit", "After", "network-online.target");
        text.put("Unit", "StartLimitIntervalSec", RESTARTS_WITHIN_SECS.to_string());
        text.put("Unit", "StartLimitBurst", RESTARTS.to_string());
        text.put("Service", "Type", if spec.notifies { "notify" } else { "exec" });
        if spec.notifies {
            text.put("Service", "TimeoutStartSec", READY_SECS.to_string());
        }
        if let RunAs::User { name, .. } = &spec.run_as {
            // The name is guanka's own or was found in the host's passwd; a colon or a line break
            // cannot stand there.
            text.put("Service", "User", Quoted::new(name)?.user()?);
        }
        let folder = spec.folder.as_deref().map(PlainPath::new).transpose()?;
        text.put(
            "Service",
            "WorkingDirectory",
            without_specifiers(folder.as_ref().unwrap_or(&home)),
        );
        text.put("Service", "ExecStart", command_line(&home, spec)?);
        let processors = processors::to_set(spec.runtime(), room);
        for (name, value) in launch::environment(host, spec, processors) {
            if !launch::is_variable(&name) {
                let text = name.chars().take(80).collect();
                return Err(PlainError { text, expected: "a variable's name" }.into());
            }
            let pair = Quoted::new(&format!("{name}={value}"))?;
            text.put("Service", "Environment", pair.in_setting());
        }
        text.put("Service", "Restart", "always");
        text.put("Service", "RestartSec", "1");
        text.put("Service", "KillMode", "mixed");
        text.put("Service", "KillSignal", "SIGTERM");
        let stop_secs = spec.stop_grace.0.div_ceil(1000) + STOP_MARGIN_SECS;
        text.put("Service", "TimeoutStopSec", stop_secs.to_string());
        text.put_limits(spec);
        for name in &spec.credentials {
            let source = PlainPath::new(&credentials::source(host, service, name))?;
            text.put(
                "Service",
                "LoadCredential",
                format!("{}:{}", Quoted::new(name)?.bare()?, without_specifiers(&source)),
            );
        }
        let output = match spec.logs.place {
            LogPlace::File => {
                let log = PlainPath::new(&host.arm_log(service, arm))?;
                format!("append:{}", without_specifiers(&log))
            }
            LogPlace::Journald => "journal".to_owned(),
        };
        text.put("Service", "StandardOutput", output);
        if spec.logs.place == LogPlace::Journald {
            // The journal would drop lines of a busy program; how much it keeps it limits itself.
            text.put("Service", "LogRateLimitIntervalSec", "0");
        }
        text.put("Service", "StandardError", "inherit");
        for (key, value) in SANDBOX {
            text.put("Service", key, *value);
        }
        let capabilities = if spec.low_ports { LOW_PORTS } else { "" };
        text.put("Service", "CapabilityBoundingSet", capabilities);
        text.put("Service", "AmbientCapabilities", capabilities);
        for folder in &spec.data_dirs {
            let folder = without_specifiers(&PlainPath::new(folder)?);
            text.put("Service", "ReadWritePaths", folder);
        }
        text.put("Install", "WantedBy", "multi-user.target");
        Ok(text)
    }

    fn put_limits(&mut self, spec: &ArmSpec) {
        self.put("Service", "LimitNOFILE", spec.nofile.to_string());
        if let Some(memory) = spec.memory {
            self.put("Service", "MemoryMax", memory.0.to_string());
        }
        if let Some(cpu) = spec.cpu {
            self.put("Service", "CPUQuota", cpu.to_string());
        }
    }

    fn put(&mut self, section: &'static str, key: &'static str, value: impl Into<String>) {
        self.lines.push((section, key, value.into()));
    }

    /// Returns the text of the file.
    fn text(&self) -> String {
        let mut text =
            "# Written by guanka; an edit here is lost at the next release.\n".to_owned();
        let mut section = "";
        for (of, key, value) in &self.lines {
            if *of != section {
                text.push_str(&format!("[{of}]\n"));
                section = of;
            }
            text.push_str(&format!("{key}={value}\n"));
        }
        text
    }

    /// Returns the text once it has been read back as exactly these lines.
    pub(super) fn checked_text(&self, path: &Path) -> Result<String, ManagerError> {
        let text = self.text();
        let shown = path.display().to_string();
        let (unit, problems) = guanka_parse::systemd::read((&shown, &shown, &text), &[]);
        let read = unit.entries.iter().map(|e| (e.section.as_str(), e.key.as_str(), &e.value));
        let meant = self.lines.iter().map(|(section, key, value)| (*section, *key, value));
        if problems.is_empty() && read.eq(meant) {
            Ok(text)
        } else {
            Err(ManagerError::ReadBack(shown))
        }
    }
}

/// Returns a path as a setting holds it: a per cent sign begins a specifier in every path.
fn without_specifiers(path: &PlainPath) -> String {
    path.as_str().replace('%', "%%")
}

/// Returns the command line: the program by its path, every argument quoted.
fn command_line(home: &PlainPath, spec: &ArmSpec) -> Result<String, ManagerError> {
    if !launch::is_file_name(&spec.program) {
        let text = spec.program.chars().take(80).collect();
        return Err(PlainError { text, expected: "a program's file name" }.into());
    }
    let program = PlainPath::new(&home.to_path().join("bin").join(&spec.program))?;
    let mut line = without_specifiers(&program);
    for arg in &spec.args {
        line.push(' ');
        line.push_str(&Quoted::new(arg)?.in_command());
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use guanka_core::facts::declared::{LogPlace, Logs};
    use guanka_core::plan::processors::Room;
    use guanka_core::quantity::{Bytes, CpuPercent, Millis};

    use super::super::spec::tests_support::spec;
    use super::super::spec::{ArmSpec, RunAs};
    use super::UnitText;
    use crate::hostroot::HostRoot;
    use crate::plain::HOSTILE;

    fn arm() -> ArmSpec {
        ArmSpec {
            run_as: RunAs::User { name: "gk_shop_prod".to_owned(), uid: 990, gid: 990 },
            stop_grace: Millis(15_500),
            memory: Some(Bytes(512 << 20)),
            data_dirs: vec!["/srv/shop/uploads".into()],
            ..spec()
        }
    }

    fn text(spec: &ArmSpec) -> Option<String> {
        let room = Room { processors: 8, own: spec.cpu, around: None };
        let unit = UnitText::new(&HostRoot::new("/"), spec, room).ok()?;
        unit.checked_text(Path::new("/etc/x")).ok()
    }

    #[test]
    fn an_arm_is_one_unit_with_its_own_limits() {
        let text = text(&arm()).expect("reads back");
        let expected = [
            "[Service]",
            "User=gk_shop_prod",
            "WorkingDirectory=/opt/guanka/shop.prod/arms/green",
            "ExecStart=/opt/guanka/shop.prod/arms/green/bin/shop \"-v\"",
            "Environment=\"PORT=18001\"",
            "Environment=\"GUANKA_ARM=green\"",
            "KillMode=mixed",
            "TimeoutStopSec=21",
            "MemoryMax=536870912",
            "ReadWritePaths=/srv/shop/uploads",
            "WantedBy=multi-user.target",
        ];
        for line in expected {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_is_not_asked_for_is_not_given_and_what_is_asked_for_is_there() {
        let bare = text(&arm()).expect("reads back");
        for absent in ["CPUQuota", "GOMAXPROCS", "LoadCredential", "TimeoutStartSec", "CAP_"] {
            assert!(!bare.contains(absent), "{absent}\n{bare}");
        }
        assert!(bare.contains("\nType=exec\n") && bare.contains("\nAmbientCapabilities=\n"));
        let full = ArmSpec {
            cpu: Some(CpuPercent(250)),
            reads_quota: false,
            notifies: true,
            low_ports: true,
            credentials: vec!["db-password".to_owned()],
            ..arm()
        };
        let expected = [
            "Type=notify",
            "TimeoutStartSec=60",
            "CPUQuota=250%",
            "Environment=\"GOMAXPROCS=3\"",
            "LoadCredential=db-password:/etc/guanka/credentials/shop.prod/db-password",
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
            "AmbientCapabilities=CAP_NET_BIND_SERVICE",
        ];
        let full_text = text(&full).expect("reads back");
        for line in expected {
            assert!(full_text.lines().any(|l| l == line), "{line}\n{full_text}");
        }
        let reads = ArmSpec { reads_quota: true, ..full };
        assert!(!text(&reads).expect("reads back").contains("GOMAXPROCS"));
    }

    #[test]
    fn output_goes_to_the_journal_when_that_is_chosen() {
        let with = |place| ArmSpec { logs: Logs { place, ..spec().logs }, ..arm() };
        let file = text(&with(LogPlace::File)).expect("reads back");
        assert!(file.contains("\nStandardOutput=append:/var/log/guanka/shop.prod/green.log\n"));
        let journal = text(&with(LogPlace::Journald)).expect("reads back");
        assert!(journal.contains("\nStandardOutput=journal\n"), "{journal}");
        assert!(journal.contains("\nLogRateLimitIntervalSec=0\n"), "{journal}");
    }

    #[test]
    fn a_per_cent_sign_is_no_specifier_and_a_number_no_user() {
        let with = ArmSpec { data_dirs: vec!["/srv/100%/%h".into()], ..arm() };
        let text = text(&with).expect("reads back");
        assert!(text.contains("\nReadWritePaths=/srv/100%%/%%h\n"), "{text}");
        for name in ["0", "1000", ".", ".."] {
            let run_as = RunAs::User { name: name.to_owned(), uid: 990, gid: 990 };
            assert!(self::text(&ArmSpec { run_as, ..arm() }).is_none(), "{name}");
        }
    }

    #[test]
    fn no_argument_can_add_a_line_or_change_its_meaning() {
        let mut with = arm();
        with.args = vec!["-x=${HOME} %h \"a\\".to_owned()];
        let good = text(&with).expect("quoted");
        assert!(good.contains("bin/shop \"-x=$${HOME} %%h \\\"a\\\\\"\n"), "{good}");
        for hostile in HOSTILE {
            with.args = vec![(*hostile).to_owned()];
            let lines = text(&with).map(|text| text.lines().count());
            assert!(lines.is_none_or(|lines| lines == good.lines().count()), "{hostile:?}");
            with.env.insert("X".to_owned(), (*hostile).to_owned());
            let lines = text(&with).map(|text| text.lines().count());
            assert!(lines.is_none_or(|lines| lines == good.lines().count() + 1), "{hostile:?}");
            with.env.remove("X");
            let folder = ArmSpec { data_dirs: vec![format!("/{hostile}/x").into()], ..arm() };
            assert!(hostile.is_empty() || text(&folder).is_none(), "{hostile:?}");
            let program = ArmSpec { program: format!("/{hostile}"), ..arm() };
            assert!(text(&program).is_none(), "{hostile:?}");
            let user = RunAs::User { name: (*hostile).to_owned(), uid: 1, gid: 1 };
            let user = ArmSpec { run_as: user, ..arm() };
            assert!(text(&user).is_none(), "{hostile:?}");
            let secret = ArmSpec { credentials: vec![(*hostile).to_owned()], ..arm() };
            assert!(text(&secret).is_none(), "{hostile:?}");
        }
    }
}
