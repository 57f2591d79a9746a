//! BT085: a program, key or configuration file lies below a folder that nginx serves files from.

use super::judgement::Judgement;
use super::{Check, Example, Expect, Outcome};
use crate::facts::host::{Suspect, SuspectKind, WebRoot};
use crate::facts::{Facts, Provenance, Reason};
use crate::finding::{Checkpoint, Confidence, Evidence, Finding, FixKind, Severity};
use crate::say::{Said, Text};

/// The check.
pub const CHECK: Check = Check {
    code: "BT085",
    name: "artifact-in-docroot",
    checkpoint: Checkpoint::Build,
    title: Text {
        zh: "程序或机密文件位于网站目录之下",
        en: "a program or secret lies below a web root",
    },
    why: Text {
        zh: "任何人都能下载它,Web 用户还可能改写它。面板建站时把已有目录下的文件改成 0644 www:www;\
             随后 GET /app 返回 6.5 MB 的二进制,GET /conf/secret.yaml 返回原本 0600 的机密(实测)。",
        en: "Anybody can download it, and the web user may replace it. When the panel creates a \
             site it sets every file of an existing folder to 0644 www:www; then GET /app \
             returned the 6.5 MB binary and GET /conf/secret.yaml the former 0600 secret \
             (measured).",
    },
    fix: Text {
        zh: "移到网站目录之外;guanka 把版本放在 /opt/guanka/<service>/releases。",
        en: "Move it out of the web root; guanka keeps releases in /opt/guanka/<service>/releases.",
    },
    base: Severity::Critical,
    confidence: Confidence::Certain,
    fix_kind: FixKind::Risky,
    why_risky: Text {
        zh: "移动之后,启动脚本和守护配置里的旧路径都要跟着改。",
        en: "Start scripts and process manager entries still name the old path.",
    },
    is_required: true,
    since: "0.1.0",
    article: Text {
        zh: "文章让人把二进制上传到站点根目录:那里可被下载,也可被 Web 用户改写,与它自己第一章矛\
             盾。",
        en: "The article uploads the binary to the site's root: it can be downloaded there and \
             written by the web user, against the article's own first chapter.",
    },
    references: &["https://nginx.org/en/docs/http/ngx_http_core_module.html#root"],
    examples: EXAMPLES,
    run,
};

/// More files than this in one folder are counted and not listed one by one.
const LISTED: usize = 8;

fn run(facts: &Facts) -> Outcome {
    let mut judgement = Judgement::default();
    let Some(host) = &facts.host else { return judgement.end() };
    for root in &host.web_roots {
        judgement.looked();
        let bad = |kind| matches!(kind, SuspectKind::Program | SuspectKind::Secret);
        let (selves, below): (Vec<&Suspect>, Vec<&Suspect>) =
            root.suspects.iter().filter(|s| bad(s.kind)).partition(|s| s.path == root.path);
        if !below.is_empty() {
            judgement.find(below_root(root, &below));
        }
        for suspect in selves {
            judgement.find(root_itself(root, suspect));
        }
        if !root.is_complete {
            judgement.miss(
                Said::new(
                    format!("{} 之下的全部文件", root.path),
                    format!("every file below {}", root.path),
                ),
                Reason::NotReadable(root.path.clone()),
            );
        }
    }
    judgement.end()
}

fn below_root(root: &WebRoot, suspects: &[&Suspect]) -> Finding {
    let first = suspects[0];
    let is_open = suspects.iter().any(|s| s.mode & 0o004 != 0);
    let severity = if is_open { Severity::Critical } else { Severity::High };
    let count = suspects.len();
    let en = match count {
        1 => format!("{} should not lie below a web root", first.path),
        n => format!("{n} files should not lie below {}, such as {}", root.path, first.path),
    };
    let zh = format!("{} 之下有 {count} 个不该在此的文件,如 {}", root.path, first.path);
    let message = Said::new(zh, en);
    let mut found = CHECK.finding(message, seen(first)).rated(severity);
    for suspect in suspects.iter().skip(1).take(LISTED - 1) {
        found = found.with(seen(suspect));
    }
    with_root(found, root)
}

/// The panel's Go vhost sets `root` to the program itself: ugly, and nothing lies below a file.
fn root_itself(root: &WebRoot, suspect: &Suspect) -> Finding {
    let message = Said::new(
        format!("root 指向程序文件 {} 本身", suspect.path),
        format!("root names the program {} itself", suspect.path),
    );
    with_root(CHECK.finding(message, seen(suspect)).rated(Severity::Low), root)
}

fn with_root(finding: Finding, root: &WebRoot) -> Finding {
    match &root.span {
        Some(span) => {
            let says = Said::new(
                format!("nginx 从 {} 提供文件", root.path),
                format!("nginx serves files from {}", root.path),
            );
            finding.with(Evidence::at(span, says))
        }
        None => finding,
    }
}

fn seen(suspect: &Suspect) -> Evidence {
    let mode = format!("{:04o}", suspect.mode & 0o7777);
    let says = match suspect.kind {
        SuspectKind::Program => Said::new(format!("程序,{mode}"), format!("a program, {mode}")),
        SuspectKind::Secret => Said::new(format!("机密,{mode}"), format!("a secret, {mode}")),
        SuspectKind::Source => Said::new(format!("源码,{mode}"), format!("source, {mode}")),
    };
    Evidence::new(Provenance::Path(suspect.path.clone()), says)
}

const BINARY_IN_SITE: &str = r#"{
  "root": "/", "arch": {"known": {"value": "amd64", "from": {"path": "uname"}}},
  "panel": null, "listeners": {"unknown": {"not_there": "/proc/net/tcp"}}, "programs": [],
  "web_roots": [{
    "path": "/www/wwwroot/shop.example.com", "span": null, "is_complete": true,
    "suspects": [{"path": "/www/wwwroot/shop.example.com/app", "kind": "program", "mode": 420}]
  }]
}"#;

const CLEAN_SITE: &str = r#"{
  "root": "/", "arch": {"known": {"value": "amd64", "from": {"path": "uname"}}},
  "panel": null, "listeners": {"unknown": {"not_there": "/proc/net/tcp"}}, "programs": [],
  "web_roots": [{
    "path": "/www/wwwroot/shop.example.com", "span": null, "is_complete": true, "suspects": []
  }]
}"#;

const ONLY_SOURCE: &str = r#"{
  "root": "/", "arch": {"known": {"value": "amd64", "from": {"path": "uname"}}},
  "panel": null, "listeners": {"unknown": {"not_there": "/proc/net/tcp"}}, "programs": [],
  "web_roots": [{
    "path": "/www/wwwroot/docs", "span": null, "is_complete": true,
    "suspects": [{"path": "/www/wwwroot/docs/example.go", "kind": "source", "mode": 420}]
  }]
}"#;

const NOT_ALL_SEEN: &str = r#"{
  "root": "/", "arch": {"known": {"value": "amd64", "from": {"path": "uname"}}},
  "panel": null, "listeners": {"unknown": {"not_there": "/proc/net/tcp"}}, "programs": [],
  "web_roots": [{
    "path": "/www/wwwroot/huge", "span": null, "is_complete": false, "suspects": []
  }]
}"#;

const EXAMPLES: &[Example] = &[
    Example { expect: Expect::Bad, files: &[("host.json", BINARY_IN_SITE)] },
    Example { expect: Expect::Good, files: &[("host.json", CLEAN_SITE)] },
    Example { expect: Expect::NearMiss, files: &[("host.json", ONLY_SOURCE)] },
    Example { expect: Expect::Unknown, files: &[("host.json", NOT_ALL_SEEN)] },
];
