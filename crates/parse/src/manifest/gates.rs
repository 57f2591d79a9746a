//! The gates: what they judge, at which limit, on whose traffic.

use std::collections::BTreeMap;

use guanka_core::facts::declared::{
    Allow, BakeGate, CanaryGate, CanaryStep, GateSlo, Gates, Indicator, Limit, LoadGate,
    RequestSpec, Slo, Traffic,
};
use guanka_core::quantity::{Millis, SharePercent};
use guanka_core::say::Said;

use super::reader::Reader;
use super::sections::{bad_share, is_method, own_limit, url_path};
use super::tree::{Tree, Value};

/// Reads `[gates.*]`.
pub(super) fn gates(reader: &mut Reader<'_, '_>, slos: &BTreeMap<String, Slo>) -> Option<Gates> {
    let allow = allows(reader);
    let load =
        if reader.section("gates.load").is_some() { Some(load(reader, slos)?) } else { None };
    let bake =
        if reader.section("gates.bake").is_some() { Some(bake(reader, slos)?) } else { None };
    let canary =
        if reader.section("gates.canary").is_some() { Some(canary(reader, slos)?) } else { None };
    let settle = match reader.section("gates.settle") {
        Some(_) => Some(settle(reader, canary.is_some())?),
        None => None,
    };
    Some(Gates { allow, load, bake, canary, settle })
}

/// Reads a section's `limit` in the unit its indicator asks for; absent is `Some(None)`. A limit
/// stricter than the objective would block what the objective promises, so it is refused.
pub(super) fn limit(
    reader: &mut Reader<'_, '_>,
    path: &str,
    indicator: &Indicator,
) -> Option<Option<Limit>> {
    if reader.section(path).is_none_or(|section| section.get("limit").is_none()) {
        return Some(None);
    }
    let (share, latency) = bad_share(indicator);
    let (limit, is_stricter) = match latency {
        Some(objective) => {
            let limit = reader.duration(path, "limit")?;
            (Limit::Latency(limit), limit < objective)
        }
        None => {
            let limit = reader.percent(path, "limit")?;
            // A relative millionth: 1 − 0.9995 is not exactly 0.0005 in binary.
            (Limit::BadShare(limit), limit.0 < share.0 * (1.0 - 1e-6))
        }
    };
    if is_stricter {
        let what = Said::new(
            format!("{path}.limit 比目标还严"),
            format!("{path}.limit is stricter than the objective"),
        );
        let next = Said::new(
            "limit 是拦截线,应等于或宽于 objective",
            "limit is what the gate blocks at: the same as the objective, or looser",
        );
        let at = reader.place(path, "limit");
        return reader.problem(path, "limit", at, what, next);
    }
    Some(Some(limit))
}

fn load(reader: &mut Reader<'_, '_>, slos: &BTreeMap<String, Slo>) -> Option<LoadGate> {
    const PATH: &str = "gates.load";
    reader.required(PATH, "rate", "\"200/s\"")?;
    let requests = reader.each(PATH, "requests", request);
    if requests.is_empty() {
        reader.missing(PATH, "requests", "[\"GET /products\"]");
        return None;
    }
    let gate = LoadGate {
        rate: reader.rate(PATH, "rate")?,
        duration: reader.duration(PATH, "for")?,
        warm_up: reader.duration(PATH, "warm_up")?,
        connections: u32::try_from(reader.number(PATH, "connections", 1, 10_000)?).ok()?,
        slos: gate_slos(reader, PATH, slos)?,
        requests,
        retries: u32::try_from(reader.number(PATH, "retries", 0, 10)?).ok()?,
    };
    if gate.duration <= gate.warm_up {
        let what = Said::new(
            "gates.load.for 不长于 warm_up,没有可计入的请求",
            "gates.load.for is not longer than warm_up: no request would count",
        );
        let at = reader.place(PATH, "for");
        return reader.problem(PATH, "for", at, what, Said::new("延长 for", "make `for` longer"));
    }
    Some(gate)
}

fn bake(reader: &mut Reader<'_, '_>, slos: &BTreeMap<String, Slo>) -> Option<BakeGate> {
    const PATH: &str = "gates.bake";
    let mut traffic = reader.each(PATH, "traffic", |text| match text {
        "live" => Ok(Traffic::Live),
        "synthetic" => Ok(Traffic::Synthetic),
        _ => Err(Said::new("live 或 synthetic", "live or synthetic")),
    });
    if traffic.is_empty() {
        traffic.push(Traffic::Synthetic);
    }
    traffic.sort();
    traffic.dedup();
    if !traffic.contains(&Traffic::Synthetic) {
        let what = Said::new(
            "gates.bake.traffic 只有 live:观察期间候选版本没有用户流量,什么也证明不了",
            "gates.bake.traffic is live alone: a candidate has no user's request in a bake, so \
             nothing would be proven of it",
        );
        let next = Said::new(
            "写成 [\"synthetic\", \"live\"];live 只用来发现候选版本影响了稳定臂",
            "write [\"synthetic\", \"live\"]; live shows whether the stable arm is harmed",
        );
        let at = reader.place(PATH, "traffic");
        return reader.problem(PATH, "traffic", at, what, next);
    }
    let requests = reader.each(PATH, "requests", request);
    if traffic.contains(&Traffic::Synthetic) && requests.is_empty() {
        reader.missing(PATH, "requests", "[\"GET /products\"]");
        return None;
    }
    Some(BakeGate {
        duration: reader.duration(PATH, "for")?,
        slos: gate_slos(reader, PATH, slos)?,
        traffic,
        requests,
        rate: reader.rate(PATH, "rate")?,
        min_requests: reader.number(PATH, "min_requests", 0, i64::MAX)?,
    })
}

fn canary(reader: &mut Reader<'_, '_>, slos: &BTreeMap<String, Slo>) -> Option<CanaryGate> {
    const PATH: &str = "gates.canary";
    let mut steps = reader.each(PATH, "steps", step);
    if steps.is_empty() {
        steps.push(CanaryStep { share: SharePercent::new(10)?, hold: Millis::parse("10m").ok()? });
    }
    if steps.last().is_some_and(|last| last.share != SharePercent::ALL) {
        steps.push(CanaryStep { share: SharePercent::ALL, hold: Millis::ZERO });
    }
    if !steps.windows(2).all(|pair| pair[0].share < pair[1].share) {
        let what = Said::new("gates.canary.steps 的占比没有递增", "gates.canary.steps do not rise");
        let next = Said::new("例如 [\"10% 10m\", \"100%\"]", "write [\"10% 10m\", \"100%\"]");
        let at = reader.place(PATH, "steps");
        return reader.problem(PATH, "steps", at, what, next);
    }
    let compare = reader.word(PATH, "compare", &["baseline", "none"])? == "baseline";
    let policy = reader.word(PATH, "too_little_traffic", &["wait", "treat-as-fail"])?;
    let deadline = reader.duration(PATH, "deadline")?;
    // "treat-as-fail" gives the traffic no more time than the steps themselves ask for.
    let held: u64 = steps.iter().map(|s| s.hold.0).sum();
    let deadline = if policy == "treat-as-fail" { Millis(held.max(60_000)) } else { deadline };
    Some(CanaryGate {
        steps,
        compare,
        slos: gate_slos(reader, PATH, slos)?,
        deadline,
        invalid_grace: reader.duration(PATH, "invalid_grace")?,
        settle: reader.duration(PATH, "settle")?,
    })
}

/// Reads the time without a canary gate; a canary gate has one of its own.
fn settle(reader: &mut Reader<'_, '_>, has_canary: bool) -> Option<Millis> {
    const PATH: &str = "gates.settle";
    if has_canary {
        let what = Said::new(
            "[gates.settle] 与 [gates.canary] 不能同时使用",
            "[gates.settle] does not go with [gates.canary]",
        );
        let next = Said::new("写 gates.canary.settle", "write gates.canary.settle");
        let at = reader.place(PATH, "for");
        return reader.problem(PATH, "for", at, what, next);
    }
    reader.duration(PATH, "for")
}

/// Returns the objectives a gate judges, each with its limit: the gate's own if it names one
/// objective and a limit, else the objective's.
fn gate_slos(
    reader: &mut Reader<'_, '_>,
    path: &str,
    slos: &BTreeMap<String, Slo>,
) -> Option<Vec<GateSlo>> {
    let named = reader.texts(path, "slo");
    let names: Vec<(String, (usize, usize))> = if named.is_empty() {
        let at = reader.place(path, "slo");
        slos.keys().map(|name| (name.clone(), at)).collect()
    } else {
        named
    };
    if names.is_empty() {
        let what = Said::new(
            format!("[{path}] 没有任何目标可判"),
            format!("[{path}] has no objective to judge"),
        );
        let next = Said::new(
            "加一段 [slo.名字];没有目标的关卡什么也证明不了",
            "add a section [slo.NAME]: a gate without an objective proves nothing",
        );
        let at = reader.place(path, "slo");
        return reader.problem(path, "slo", at, what, next);
    }
    let has_limit = reader.section(path).is_some_and(|s| s.get("limit").is_some());
    if has_limit && names.len() > 1 {
        let what = Said::new(
            format!("{path}.limit 只能与单个目标同用"),
            format!("{path}.limit goes with one objective only"),
        );
        let next =
            Said::new("把 limit 写进各个 [slo.*]", "write the limits into the [slo.*] sections");
        let at = reader.place(path, "limit");
        return reader.problem(path, "limit", at, what, next);
    }
    let mut gate = Vec::new();
    for (name, at) in names {
        let Some(slo) = slos.get(&name) else {
            let what = Said::new(
                format!("{path}.slo 指向不存在的目标 {name}"),
                format!("{path}.slo names {name}, which is no objective"),
            );
            let next = match super::nearest(&name, slos.keys().map(String::as_str)) {
                Some(near) => {
                    Said::new(format!("是否想写 {near}?"), format!("did you mean {near}?"))
                }
                None => {
                    Said::new(format!("加一段 [slo.{name}]"), format!("add a section [slo.{name}]"))
                }
            };
            return reader.problem(path, "slo", at, what, next);
        };
        let own = limit(reader, path, &slo.indicator)?;
        let limit = own.or(slo.limit).unwrap_or_else(|| own_limit(&slo.indicator));
        gate.push(GateSlo { name, limit });
    }
    Some(gate)
}

/// Reads `POST /orders {"sku":"a"}`.
fn request(text: &str) -> Result<RequestSpec, Said> {
    let wrong = || {
        Said::new(
            "写成 \"GET /路径\" 或 \"POST /路径 请求体\"",
            "write \"GET /path\" or \"POST /path BODY\"",
        )
    };
    let (method, rest) = text.split_once(' ').ok_or_else(wrong)?;
    let (path, body) = match rest.split_once(' ') {
        Some((path, body)) => (path, Some(body.to_owned())),
        None => (rest, None),
    };
    if !is_method(method) || text.len() > 64 << 10 {
        return Err(wrong());
    }
    Ok(RequestSpec { method: method.to_owned(), path: url_path(path)?, body })
}

/// Reads `10% 10m` or `100%`.
fn step(text: &str) -> Result<CanaryStep, Said> {
    let wrong = || Said::new("写成 \"10% 10m\" 或 \"100%\"", "write \"10% 10m\" or \"100%\"");
    let mut words = text.split_whitespace();
    let share = words
        .next()
        .and_then(|word| word.strip_suffix('%'))
        .and_then(|digits| digits.parse::<u8>().ok())
        .and_then(SharePercent::new)
        .filter(|share| *share != SharePercent::NONE)
        .ok_or_else(wrong)?;
    let hold = match words.next() {
        Some(word) => Millis::parse(word).map_err(|_| wrong())?,
        None => Millis::ZERO,
    };
    if words.next().is_some() { Err(wrong()) } else { Ok(CanaryStep { share, hold }) }
}

fn allows(reader: &mut Reader<'_, '_>) -> Vec<Allow> {
    const PATH: &str = "gates.static";
    let Some(found) = reader.find(PATH, "allow") else { return Vec::new() };
    let Value::Array(items) = &found.value else {
        wrong_allow(reader, found.at);
        return Vec::new();
    };
    let mut allows = Vec::new();
    for item in items {
        match allow(item) {
            Some(allow) => allows.push(allow),
            None => wrong_allow(reader, item.at),
        }
    }
    allows
}

fn allow(item: &Tree) -> Option<Allow> {
    let text = |key: &str| match &item.get(key)?.value {
        Value::Text(text) if !text.trim().is_empty() => Some(text.clone()),
        _ => None,
    };
    let only_known =
        item.as_table()?.keys().all(|k| matches!(k.as_str(), "check" | "until" | "reason"));
    let until = text("until").filter(|until| is_date(until))?;
    only_known.then_some(Allow { check: text("check")?, until, reason: text("reason")? })
}

fn wrong_allow(reader: &mut Reader<'_, '_>, at: (usize, usize)) {
    let what = Said::new(
        "放行须写明检查、期限和原因",
        "an allow names the check, the last day and the reason",
    );
    let next = Said::new(
        "{ check = \"keepalive-race\", until = \"2027-03-01\", reason = \"…\" }",
        "{ check = \"keepalive-race\", until = \"2027-03-01\", reason = \"…\" }",
    );
    reader.problem::<()>("gates.static", "allow", at, what, next);
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let number = |part: &str, digits: usize| {
        (part.len() == digits).then(|| part.parse::<u32>().ok()).flatten()
    };
    match parts.as_slice() {
        [year, month, day] => {
            number(year, 4).is_some()
                && number(month, 2).is_some_and(|m| (1..=12).contains(&m))
                && number(day, 2).is_some_and(|d| (1..=31).contains(&d))
        }
        _ => false,
    }
}
