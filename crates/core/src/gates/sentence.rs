//! The sentences of a judgement in both languages. Every word of confidence stands beside the
//! numbers it rests on.

use super::guard::Fault;
use super::objective::Objective;
use super::{Form, ObjectiveJudgement, Passing, Source};
use crate::quantity::Millis;
use crate::rollout::verdict::Verdict;
use crate::say::{Said, Text};
use crate::signals::series::{Metric, Slice};

/// Returns what was found about one objective, with its numbers.
pub(super) fn of(judged: &ObjectiveJudgement) -> Said {
    let head = head(judged);
    if judged.n == 0 {
        let (zh, en) = (format!("{}还没有请求", head.zh), format!("{}no request yet", head.en));
        return with_needed(judged, Said::new(zh, en));
    }
    if judged.n < judged.least_n {
        return too_few(judged);
    }
    if judged.passing == Passing::AtDeadline
        && judged.verdict == Verdict::NotYet
        && judged.upper <= judged.limit
    {
        return waits_for_deadline(judged);
    }
    let (count_zh, count_en) = counted(judged.metric, judged.n, judged.x);
    let (limit, look) = (percent(judged.limit), look(judged.form));
    let title = judged.verdict.title();
    let body = match judged.verdict {
        Verdict::Good => {
            let upper = percent(judged.upper);
            Said::new(
                format!("至多 {upper} ≤ 限值 {limit}({}),{}。", look.zh, title.zh),
                format!("at most {upper} ≤ limit {limit} ({}): {}.", look.en, title.en),
            )
        }
        Verdict::Bad => match &judged.comparison {
            Some(comparison) if comparison.is_worse() => Said::new(
                format!(
                    "显著差于同时段的稳定臂(ln E {:.2} ≥ {:.2}),{}。",
                    comparison.ln_e, comparison.abort_from, title.zh
                ),
                format!(
                    "worse than the stable arm in the same hours (ln E {:.2} ≥ {:.2}): {}.",
                    comparison.ln_e, comparison.abort_from, title.en
                ),
            ),
            _ => {
                let lower = percent(judged.lower);
                Said::new(
                    format!("至少 {lower} > 限值 {limit}({}),{}。", look.zh, title.zh),
                    format!("at least {lower} > limit {limit} ({}): {}.", look.en, title.en),
                )
            }
        },
        Verdict::NotYet | Verdict::Invalid => {
            let (lower, upper) = (percent(judged.lower), percent(judged.upper));
            let bursts = bursts(judged);
            let between = Said::new(
                format!(
                    "真实比例在 {lower} 到 {upper} 之间,限值 {limit}({}{})",
                    look.zh, bursts.zh
                ),
                format!(
                    "truly between {lower} and {upper}, limit {limit} ({}{})",
                    look.en, bursts.en
                ),
            );
            with_needed(judged, between)
        }
    };
    Said::new(
        format!("{}{count_zh},{}", head.zh, body.zh),
        format!("{}{count_en}; {}", head.en, body.en),
    )
}

/// Says why a bound on the right side of the limit decides nothing yet: with fewer than 24 slices
/// it cannot be told how much the bad requests clump, and they count twice near the limit.
fn bursts(judged: &ObjectiveJudgement) -> Said {
    let is_near = judged.upper <= judged.limit || judged.lower > judged.limit;
    if judged.is_phi_reliable || !is_near {
        return Said::new("", "");
    }
    let slices = judged.slices;
    Said::new(
        format!(";只有 {slices} 个时间片,突发按两倍计"),
        format!("; only {slices} slices of time, so bursts count twice"),
    )
}

/// Returns the sentence of an objective that a broken data path leaves unjudged.
pub(super) fn invalid(slo: &str, fault: &Fault) -> Said {
    let title = Verdict::Invalid.title();
    Said::new(
        format!("{slo}:{}——{}", title.zh, fault.said.zh),
        format!("{slo}: {}: {}", title.en, fault.said.en),
    )
}

/// Returns the sentence that a bake has too few requests to decide anything.
fn too_few(judged: &ObjectiveJudgement) -> Said {
    let head = head(judged);
    let (n, least) = (grouped(judged.n), grouped(judged.least_n));
    Said::new(
        format!("{}{n} 个请求,少于规定的 {least} 个,证据不足。", head.zh),
        format!("{}{n} requests, fewer than the {least} asked for: not yet.", head.en),
    )
}

/// Returns the sentence of a bake whose numbers are good but whose time is not over.
fn waits_for_deadline(judged: &ObjectiveJudgement) -> Said {
    let head = head(judged);
    let (count_zh, count_en) = counted(judged.metric, judged.n, judged.x);
    let (upper, limit) = (percent(judged.upper), percent(judged.limit));
    Said::new(
        format!("{}{count_zh},至多 {upper},限值 {limit};到期时判定。", head.zh),
        format!("{}{count_en}; at most {upper}, limit {limit}; decided at the deadline.", head.en),
    )
}

/// Returns the warning of an objective that is missed though the limit holds.
pub(super) fn missed_objective(objective: &Objective, promised: Slice) -> Said {
    let slo = &objective.slo;
    let (zh, en) = counted(objective.objective_metric, promised.n, promised.x);
    let share = percent(objective.objective);
    Said::new(
        format!("{slo}:{zh},超过目标允许的 {share};关卡只按限值判定。"),
        format!("{slo}: {en}, more than the objective's {share}; the gate decides at the limit."),
    )
}

/// Writes a share as a percentage with three significant digits: `0.0598%`.
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    if value <= 0.0 {
        return "0%".to_owned();
    }
    let before = value.log10().floor();
    let decimals = (2.0 - before).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    let short =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{short}%")
}

/// Writes a count with a comma at each thousand.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn head(judged: &ObjectiveJudgement) -> Said {
    let slo = &judged.slo;
    match judged.source {
        Source::Synthetic => Said::new(format!("{slo}(合成流量):"), format!("{slo} (synthetic): ")),
        Source::Live | Source::Load => Said::new(format!("{slo}:"), format!("{slo}: ")),
    }
}

fn counted(metric: Metric, n: u64, x: u64) -> (String, String) {
    let share = if n == 0 { 0.0 } else { x as f64 / n as f64 };
    let (all, bad, share) = (grouped(n), grouped(x), percent(share));
    match metric {
        Metric::Bad => (
            format!("{all} 个请求中 {bad} 个失败({share})"),
            format!("{bad} of {all} requests bad ({share})"),
        ),
        Metric::Slow(ms) => {
            let limit = Millis(ms);
            (
                format!("{all} 个请求中 {bad} 个慢于 {limit}({share})"),
                format!("{bad} of {all} requests slower than {limit} ({share})"),
            )
        }
    }
}

const fn look(form: Form) -> Text {
    match form {
        Form::Fixed => Text { zh: "单次判定", en: "one look" },
        Form::AnyTime => Text { zh: "随时判定", en: "any look" },
    }
}

fn with_needed(judged: &ObjectiveJudgement, start: Said) -> Said {
    let title = Verdict::NotYet.title();
    match judged.needed_n {
        Some(n) if n > judged.n => {
            let n = grouped(n);
            Said::new(
                format!("{},{};照此比例共需约 {n} 个请求。", start.zh, title.zh),
                format!("{}: {}; about {n} requests in all would prove it.", start.en, title.en),
            )
        }
        _ => Said::new(
            format!("{},{}。", start.zh, title.zh),
            format!("{}: {}.", start.en, title.en),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{grouped, percent};

    #[test]
    fn shares_have_three_digits_and_counts_have_commas() {
        let shares = [0.0006, 0.000_598_34, 0.05, 0.123_456, 1.0, 0.0, 0.000_000_5];
        let texts = shares.map(percent);
        assert_eq!(texts, ["0.06%", "0.0598%", "5%", "12.3%", "100%", "0%", "0.00005%"]);
        assert_eq!([0, 999, 1000, 518_400].map(grouped), ["0", "999", "1,000", "518,400"]);
    }
}
