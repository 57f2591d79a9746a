//! What a draft leaves to a person: what the source does not say, what stands in the file as a
//! placeholder, and what the checks will find in the source as it is.

use super::Hints;
use super::reading::{Listen, Seen};
use super::writing::place;
use crate::checks::{ALL, Outcome};
use crate::facts::Facts;
use crate::facts::gomod::GoMod;
use crate::finding::Finding;
use crate::say::Said;

/// Returns everything that is left to do, what blocks a release first.
pub(super) fn gaps(seen: &Seen<'_>, module: Option<&GoMod>, hints: &Hints) -> Vec<Said> {
    let mut gaps = Vec::new();
    gaps.extend(not_understood(seen));
    gaps.extend(of_program(seen, hints));
    gaps.extend(of_listen(seen));
    if seen.health.is_none() {
        gaps.push(Said::new(
            "没有找到健康检查路由:请加上 /healthz,或写明 [app] health",
            "no health route was found: add /healthz, or name yours in [app] health",
        ));
    }
    gaps.extend(findings(seen, module));
    gaps.extend(of_requests(seen));
    if hints.domain.is_none() {
        let domain = format!("{}.example.com", seen.name);
        gaps.push(Said::new(
            format!("域名 {domain} 只是占位:写上站点的真实域名"),
            format!("the domain {domain} is a placeholder: write the site's own"),
        ));
    }
    gaps.push(Said::new(
        "没有内存上限:量过之后写 [process] memory = \"512M\",否则泄漏会拖垮同机服务",
        "there is no memory limit: measure, then write [process] memory = \"512M\", or a leak \
         takes its neighbours down",
    ));
    gaps
}

fn not_understood(seen: &Seen<'_>) -> Option<Said> {
    let first = seen.source.problems.first()?;
    let (count, at) = (seen.source.problems.len(), place(seen, &first.span));
    Some(Said::new(
        format!("源码有 {count} 处没有读懂,第一处在 {}:{}", at.zh, first.what.zh),
        format!("{count} places in the source were not understood; {}: {}", at.en, first.what.en),
    ))
}

fn of_program(seen: &Seen<'_>, hints: &Hints) -> Option<Said> {
    let mains = &seen.source.mains;
    if mains.is_empty() {
        return Some(Said::new(
            "没有找到 main 包:写明 [app] program",
            "no main package was found: name it in [app] program",
        ));
    }
    if mains.len() == 1 || hints.program.is_some() {
        return None;
    }
    let mut folders: Vec<String> = mains.iter().map(|m| m.folder.clone()).collect();
    folders.sort();
    let (list, taken) = (folders.join(", "), &seen.program);
    Some(Said::new(
        format!("有 {} 个程序:{list};写的是 {taken},用 --program 选择另一个", mains.len()),
        format!("{} programs: {list}; {taken} was taken, --program takes another", mains.len()),
    ))
}

fn of_listen(seen: &Seen<'_>) -> Option<Said> {
    match &seen.listen {
        Listen::Nothing => Some(Said::new(
            "没有找到 HTTP 服务:guanka 发布的程序须在 $PORT 给出的地址上监听",
            "no HTTP server was found: a program that guanka ships listens where $PORT says",
        )),
        Listen::Unclear { call } => {
            let at = place(seen, &call.span);
            Some(Said::new(
                format!("看不出 {} 处的监听地址来自哪里:请让它读取 $PORT", at.zh),
                format!("where the address at {} comes from cannot be told: read $PORT", at.en),
            ))
        }
        Listen::Flag { name, is_port_only: true, .. } => Some(Said::new(
            format!(
                "-{name} 只接受端口,而 guanka 给出 主机:端口:请让它接受整个地址,或改读环境变量"
            ),
            format!(
                "-{name} takes a port only, and guanka gives host:port: let it take the whole \
                 address, or read an environment variable"
            ),
        )),
        Listen::Variable { .. } | Listen::Flag { .. } | Listen::Constant { .. } => None,
    }
}

/// Returns what the checks find in the source alone. They have the last word on it, so nothing is
/// judged a second time here.
fn findings(seen: &Seen<'_>, module: Option<&GoMod>) -> Vec<Said> {
    let facts =
        Facts { source: Some(seen.source.clone()), module: module.cloned(), ..Facts::default() };
    let found = ALL.iter().flat_map(|check| match (check.run)(&facts) {
        Outcome::Found(found) | Outcome::Partly(found, _) => found,
        Outcome::Clean | Outcome::Unknown(_) | Outcome::NotApplicable => Vec::new(),
    });
    let mut found: Vec<Finding> = found.collect();
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found.iter().map(|finding| told(seen, finding)).collect()
}

fn told(seen: &Seen<'_>, finding: &Finding) -> Said {
    let at = match finding.span() {
        Some(span) => place(seen, span),
        None => Said::new(finding.place(), finding.place()),
    };
    let (code, message) = (&finding.code, &finding.message);
    Said::new(
        format!("{}(check 会报告 {code},{})", message.zh, at.zh),
        format!("{} (check will report it: {code}, {})", message.en, at.en),
    )
}

fn of_requests(seen: &Seen<'_>) -> Option<Said> {
    match (&seen.write, &seen.read) {
        (Some(write), _) => {
            let shown = write.shown();
            Some(Said::new(
                format!("{shown} 的请求体只是 {{}}:填入真实的,否则压测只测到拒绝"),
                format!("the body of {shown} is only {{}}: a real one measures more than refusals"),
            ))
        }
        (None, Some(_)) => None,
        (None, None) => Some(Said::new(
            "没有找到不带参数的路由:压测只问健康检查,请写上真实的请求",
            "no route without parameters was found: load asks only for health, write real requests",
        )),
    }
}
