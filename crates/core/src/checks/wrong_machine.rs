//! EL016: the program was built for another machine or system than the host's.

use super::judgement::Judgement;
use super::{Check, Example, Expect, Outcome};
use crate::facts::binary::{BuildInfo, machine_arch};
use crate::facts::{Facts, Provenance, Reason};
use crate::finding::{Checkpoint, Confidence, Evidence, FixKind, Severity};
use crate::say::{Said, Text};

/// The check.
pub const CHECK: Check = Check {
    code: "EL016",
    name: "wrong-machine",
    checkpoint: Checkpoint::Build,
    title: Text { zh: "二进制的目标机器不对", en: "the binary is for another machine" },
    why: Text {
        zh: "内核拒绝执行:bash 报“cannot execute binary file: Exec format error”(126,实测\
             ),systemd 报 203/EXEC。",
        en: "The kernel refuses it: bash says \"cannot execute binary file: Exec format error\" \
             (126, measured), systemd says 203/EXEC.",
    },
    fix: Text {
        zh: "按主机的架构重新构建(GOOS=linux GOARCH=…),或在 guanka.toml 的 targets 中加上它。",
        en: "Build again for the host (GOOS=linux GOARCH=…), or add it to targets in guanka.toml.",
    },
    base: Severity::Critical,
    confidence: Confidence::Certain,
    fix_kind: FixKind::DisplayOnly,
    why_risky: Text { zh: "", en: "" },
    is_required: true,
    since: "0.1.0",
    article: Text {
        zh: "文章把缺少 libc 也说成 Exec format error。实测:架构不对才是 Exec format error,缺少解\
             释器是“required file not found”。",
        en: "The article calls a missing libc \"Exec format error\" too. Measured: a wrong \
             machine is \"Exec format error\"; a missing interpreter is \"required file not \
             found\".",
    },
    references: &["https://go.dev/doc/install/source#environment"],
    examples: EXAMPLES,
    run,
};

fn run(facts: &Facts) -> Outcome {
    let mut judgement = Judgement::default();
    let Some(binary) = &facts.binary else { return judgement.end() };
    judgement.looked();
    let from = Provenance::Binary { file: binary.file.clone(), offset: 0x12 };
    let build = binary.build.known();
    if let Some(system) = build.and_then(|b| b.settings.get("GOOS")).filter(|s| *s != "linux") {
        let message = Said::new(
            format!("{} 是为 {system} 构建的,不是 linux", binary.file),
            format!("{} was built for {system}, not linux", binary.file),
        );
        let says = format!("GOOS = {system}");
        judgement.find(CHECK.finding(message, Evidence::new(from, Said::new(says.clone(), says))));
        return judgement.end();
    }
    let what = Said::new(
        format!("{} 的 ELF 头", binary.file),
        format!("the ELF header of {}", binary.file),
    );
    let Some(elf) = judgement.need(&binary.elf, &what) else { return judgement.end() };
    let machine = machine_arch(elf.machine)
        .map_or_else(|| format!("e_machine {}", elf.machine), str::to_owned);
    let what = Said::new("主机的架构", "the host's machine");
    let Some(host) = &facts.host else {
        judgement.miss(what, Reason::NotThere("--root DIR".to_owned()));
        return judgement.end();
    };
    let Some(arch) = judgement.need(&host.arch, &what) else { return judgement.end() };
    if machine != *arch {
        let severity = fit(&machine, arch);
        let message = Said::new(
            format!("{} 是 {machine} 程序,主机是 {arch}", binary.file),
            format!("{} is a program for {machine} and the host is {arch}", binary.file),
        );
        let says = format!("e_machine = {} ({machine}), {} bit", elf.machine, elf.bits);
        let primary = Evidence::new(from, Said::new(says.clone(), says));
        let host_says = format!("the host is {arch}");
        let related = Evidence::new(
            super::judgement::from_of(&host.arch, &Provenance::Path(host.root.clone())),
            Said::new(format!("主机是 {arch}"), host_says),
        );
        judgement.find(CHECK.finding(message, primary).with(related).rated(severity));
    }
    if let Some(level) = build.and_then(wants_newer_cpu) {
        judgement.miss(
            Said::new(
                format!("主机 CPU 是否支持 GOAMD64={level}"),
                format!("whether the host's CPU has GOAMD64={level}"),
            ),
            Reason::NotThere("/proc/cpuinfo".to_owned()),
        );
    }
    judgement.end()
}

/// A 64-bit kernel usually runs the 32-bit programs of its own family; that is only worth knowing.
fn fit(machine: &str, arch: &str) -> Severity {
    match (machine, arch) {
        ("386", "amd64") => Severity::Low,
        ("arm", "arm64") => Severity::Medium,
        _ => Severity::Critical,
    }
}

fn wants_newer_cpu(build: &BuildInfo) -> Option<&String> {
    build.settings.get("GOAMD64").filter(|level| *level != "v1")
}

const HOST_AMD64: &str = r#"{
  "root": "/", "arch": {"known": {"value": "amd64", "from": {"path": "uname"}}},
  "panel": null, "listeners": {"unknown": {"not_there": "/proc/net/tcp"}},
  "programs": [], "web_roots": []
}"#;

const BINARY_ARM64: &str = r#"{
  "file": "shop", "size_bytes": 9000000,
  "elf": {"known": {"value": {"machine": 183, "bits": 64, "interpreter": null, "needed": [],
    "glibc": null, "is_executable": true}, "from": {"path": "shop"}}},
  "build": {"unknown": {"not_there": "build info"}}
}"#;

const BINARY_AMD64: &str = r#"{
  "file": "shop", "size_bytes": 9000000,
  "elf": {"known": {"value": {"machine": 62, "bits": 64, "interpreter": null, "needed": [],
    "glibc": null, "is_executable": true}, "from": {"path": "shop"}}},
  "build": {"unknown": {"not_there": "build info"}}
}"#;

const BINARY_V1: &str = r#"{
  "file": "shop", "size_bytes": 9000000,
  "elf": {"known": {"value": {"machine": 62, "bits": 64,
    "interpreter": "/lib64/ld-linux-x86-64.so.2", "needed": [], "glibc": null,
    "is_executable": true}, "from": {"path": "shop"}}},
  "build": {"known": {"value": {"go": "go1.26.8", "path": "example.com/shop", "module": null,
    "deps": [], "settings": {"GOOS": "linux", "GOARCH": "amd64", "GOAMD64": "v1"}},
    "from": {"path": "shop"}}}
}"#;

const EXAMPLES: &[Example] = &[
    Example {
        expect: Expect::Bad,
        files: &[("binary.json", BINARY_ARM64), ("host.json", HOST_AMD64)],
    },
    Example {
        expect: Expect::Good,
        files: &[("binary.json", BINARY_AMD64), ("host.json", HOST_AMD64)],
    },
    Example {
        expect: Expect::NearMiss,
        files: &[("binary.json", BINARY_V1), ("host.json", HOST_AMD64)],
    },
    Example { expect: Expect::Unknown, files: &[("binary.json", BINARY_ARM64)] },
];
