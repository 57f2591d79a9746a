//! `guanka prove`: what the evidence shows. With `--bad` and `--total` it judges a count against a
//! limit; with `--rate` it says how long a proof takes. Only proof exits with 0.

use guanka_core::gates::dispersion::{Alphas, Dispersion, Look, RELIABLE_FROM};
use guanka_core::gates::proof::{ALPHA, NeededRequests, rough, time_for};
use guanka_core::gates::sentence::{grouped, percent};
use guanka_core::gates::weighing::{Weighed, needed_n};
use guanka_core::gates::{Form, objective};
use guanka_core::quantity::{Proportion, QuantityError, Rate};
use guanka_core::rollout::verdict::Verdict;
use guanka_core::say::{Said, Text};
use guanka_core::signals::series::Slice;
use serde_json::{Value, json};

use crate::failure::{Exit, Failure, USAGE, say};
use crate::terminal::{Terminal, pad};

/// The arithmetic is exact up to this many requests; nobody has more in one gate.
const MOST_REQUESTS: u64 = 10_000_000_000;

/// What `guanka prove` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many requests were bad.
    #[arg(long, value_name = "K", requires = "total", required_unless_present = "rate")]
    bad: Option<u64>,
    /// How many requests there were.
    #[arg(long, value_name = "N", requires = "bad")]
    total: Option<u64>,
    /// The share of bad requests not to exceed, like 0.06%.
    #[arg(long, value_name = "SHARE")]
    limit: String,
    /// The requests expected, like 2/s: say how long a proof takes.
    #[arg(long, value_name = "RATE", conflicts_with_all = ["bad", "total", "any_time"])]
    rate: Option<String>,
    /// The count is looked at again and again, not once at a moment fixed before.
    #[arg(long)]
    any_time: bool,
}

/// A count judged by itself.
struct Proof {
    weighed: Weighed,
    limit: Proportion,
    look: Look,
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let limit = limit_of(&args.limit)?;
    match (args.bad, args.total, &args.rate) {
        (Some(bad), Some(total), _) => {
            let form = if args.any_time { Form::AnyTime } else { Form::Fixed };
            let proof = Proof::of(count_of(bad, total)?, limit, form);
            proof.show(terminal);
            Ok(exit_of(proof.weighed.verdict))
        }
        (_, _, Some(rate)) => {
            let rate = Rate::parse(rate).map_err(|error| wrong_quantity(&error))?;
            show_plan(limit, rate, terminal);
            Ok(Exit::Done)
        }
        _ => Err(usage(say(
            "需要 --bad 与 --total,或 --rate。",
            "either --bad and --total are needed, or --rate.",
        ))),
    }
}

impl Proof {
    /// Judges the count. One number cannot show bursts, so the bad requests are taken as
    /// independent here; a gate looks at slices of time and corrects for them.
    fn of(count: Slice, limit: Proportion, form: Form) -> Self {
        let look = Look { form, alphas: Alphas { good: ALPHA, bad: ALPHA } };
        let dispersion = Dispersion { phi: 1.0, slices: RELIABLE_FROM };
        let bounds = dispersion.bounds(count, form, look.alphas);
        let verdict = bounds.verdict(limit.0);
        Self { weighed: Weighed { count, dispersion, bounds, verdict }, limit, look }
    }

    fn needed(&self) -> Option<u64> {
        let is_open = self.weighed.verdict == Verdict::NotYet;
        is_open.then(|| needed_n(&self.weighed, self.limit.0, self.look)).flatten()
    }

    fn show(&self, terminal: &Terminal) {
        if terminal.json {
            terminal.line(&self.as_json().to_string());
            return;
        }
        for said in self.told() {
            terminal.line(terminal.said(&said));
        }
    }

    fn told(&self) -> Vec<Said> {
        let Slice { n, x } = self.weighed.count;
        let (all, bad) = (grouped(n), grouped(x));
        let (lower, upper) =
            (percent(self.weighed.bounds.lower), percent(self.weighed.bounds.upper));
        let limit = self.limit;
        let title = self.weighed.verdict.title();
        let code = self.weighed.verdict.code();
        let (form_zh, form_en) = match self.look.form {
            Form::Fixed => ("只看一次,单侧各 95%", "one look, 95% each way"),
            Form::AnyTime => ("可随时看,95%", "any look, 95%"),
        };
        let mut lines = vec![
            Said::new(format!("{}({code})", title.zh), format!("{} ({code})", title.en)),
            Said::new(
                format!(
                    "  {all} 个请求中 {bad} 个失败:\
                     真实比例在 {lower} 到 {upper} 之间({form_zh}),限值 {limit}。"
                ),
                format!(
                    "  {bad} of {all} requests bad: truly between {lower} and \
                     {upper} ({form_en}), limit {limit}."
                ),
            ),
        ];
        if self.weighed.verdict == Verdict::NotYet {
            lines.push(self.what_is_missing());
        }
        lines.push(Said::new(
            "  假定失败彼此独立;关卡按时间片修正突发,只会更严。",
            "  Bad requests are taken as independent; a gate corrects for bursts and is only \
             stricter.",
        ));
        lines
    }

    fn what_is_missing(&self) -> Said {
        match self.needed() {
            Some(n) => {
                let n = grouped(n);
                Said::new(
                    format!("  照此比例,共需约 {n} 个请求才能证明。"),
                    format!("  At this share about {n} requests in all would prove it."),
                )
            }
            None => Said::new(
                "  观察到的比例不低于限值,照此比例再多请求也证明不了。",
                "  The share seen is not below the limit; more of the same would never prove it.",
            ),
        }
    }

    fn as_json(&self) -> Value {
        json!({
            "schema": 1,
            "verdict": self.weighed.verdict.code(),
            "bad": self.weighed.count.x,
            "total": self.weighed.count.n,
            "limit": self.limit.0,
            "lower": self.weighed.bounds.lower,
            "upper": self.weighed.bounds.upper,
            "form": self.look.form,
            "alpha": ALPHA,
            "needed_total": self.needed(),
        })
    }
}

fn show_plan(limit: Proportion, rate: Rate, terminal: &Terminal) {
    let needed = NeededRequests::of(limit);
    if terminal.json {
        terminal.line(&plan_as_json(limit, rate, &needed).to_string());
        return;
    }
    let head = Said::new(
        format!("要证明失败比例 ≤ {limit},每秒 {} 个请求:", rate.0),
        format!("To prove a bad share of at most {limit} at {rate}:"),
    );
    terminal.line(terminal.said(&head));
    let row = |name: Text, zero: u64, half: u64| {
        let cell =
            |n: u64| format!("{} · {}", grouped(n), terminal.said(&rough(time_for(n, rate))));
        let name = pad(terminal.text(&name), 12);
        terminal.line(&format!("  {name}{}{}", pad(&cell(zero), 28), cell(half)));
    };
    let zero = Text { zh: "零失败", en: "no request bad" };
    let half = Text { zh: "失败比例为限值的一半", en: "half the limit bad" };
    let columns = format!("{}{}", pad(terminal.text(&zero), 28), terminal.text(&half));
    terminal.line(&format!("  {}{columns}", pad("", 12)));
    row(Text { zh: "只看一次", en: "one look" }, needed.fixed_zero, needed.fixed_half);
    row(Text { zh: "可随时看", en: "any look" }, needed.anytime_zero, needed.anytime_half);
    let note = Text {
        zh: "  只看一次且为一半时,有 90% 的把握通过。",
        en: "  One look at half the limit passes with 90% probability.",
    };
    terminal.line(terminal.text(&note));
}

fn plan_as_json(limit: Proportion, rate: Rate, needed: &NeededRequests) -> Value {
    let cell = |n: u64| json!({ "requests": n, "time_ms": time_for(n, rate).0 });
    json!({
        "schema": 1,
        "limit": limit.0,
        "rate_per_second": rate.0,
        "fixed": { "zero": cell(needed.fixed_zero), "half": cell(needed.fixed_half) },
        "any_time": { "zero": cell(needed.anytime_zero), "half": cell(needed.anytime_half) },
    })
}

const fn exit_of(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Good => Exit::Done,
        Verdict::Bad => Exit::Blocked,
        Verdict::NotYet | Verdict::Invalid => Exit::NotProven,
    }
}

fn count_of(bad: u64, total: u64) -> Result<Slice, Failure> {
    if bad > total {
        return Err(usage(Said::new(
            format!("失败数 {bad} 大于总数 {total}。"),
            format!("{bad} bad requests are more than the {total} there were."),
        )));
    }
    if total > MOST_REQUESTS {
        return Err(usage(Said::new(
            format!("总数最多 {}。", grouped(MOST_REQUESTS)),
            format!("there may be {} requests at most.", grouped(MOST_REQUESTS)),
        )));
    }
    Ok(Slice { n: total, x: bad })
}

fn limit_of(text: &str) -> Result<Proportion, Failure> {
    let limit = Proportion::parse(text).map_err(|error| wrong_quantity(&error))?;
    if objective::is_provable(limit.0) {
        return Ok(limit);
    }
    Err(usage(Said::new(
        format!("限值 {text} 无法证明:须大于 0%(不小于 0.000001%)且小于 100%。"),
        format!(
            "a limit of {text} cannot be proven: more than 0% (0.000001% at least) and less than \
             100% can."
        ),
    )))
}

fn wrong_quantity(error: &QuantityError) -> Failure {
    usage(Said::new(format!("{:?} 不是{}", error.text, error.expected.zh), error.to_string()))
}

fn usage(why: Said) -> Failure {
    Failure::new(&USAGE, say("正在读取 `guanka prove` 的参数", "reading what to prove"), why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use guanka_core::say::Lang;

    fn proof(bad: u64, total: u64, form: Form) -> Proof {
        Proof::of(Slice { n: total, x: bad }, Proportion(0.0006), form)
    }

    fn args(bad: u64, total: u64, limit: &str) -> Args {
        let limit = limit.to_owned();
        Args { bad: Some(bad), total: Some(total), limit, rate: None, any_time: false }
    }

    #[test]
    fn only_proof_ends_with_zero() {
        let exit = |bad, form| exit_of(proof(bad, 518_400, form).weighed.verdict);
        assert_eq!(exit(281, Form::Fixed), Exit::Done);
        assert_eq!(exit(282, Form::Fixed), Exit::NotProven);
        assert_eq!(exit(341, Form::Fixed), Exit::Blocked);
        assert_eq!(exit(281, Form::AnyTime), Exit::NotProven);
        assert_eq!(exit(236, Form::AnyTime), Exit::Done);
        assert_eq!(exit(393, Form::AnyTime), Exit::Blocked);
        assert_eq!(exit_of(proof(0, 0, Form::Fixed).weighed.verdict), Exit::NotProven);
        assert_eq!(exit_of(Verdict::Invalid), Exit::NotProven);
    }

    #[test]
    fn json_holds_the_verdict_the_interval_and_what_is_missing() {
        let json = proof(0, 100, Form::Fixed).as_json();
        assert_eq!((&json["verdict"], &json["needed_total"]), (&json!("not_yet"), &json!(4992)));
        assert_eq!((&json["form"], &json["lower"]), (&json!("fixed"), &json!(0.0)));
        let json = proof(0, 100, Form::AnyTime).as_json();
        assert_eq!((&json["form"], &json["needed_total"]), (&json!("any_time"), &json!(13_892)));
        assert_eq!(proof(0, 4992, Form::Fixed).as_json()["needed_total"], Value::Null);
        assert_eq!(proof(1, 1000, Form::Fixed).as_json()["needed_total"], Value::Null);
    }

    #[test]
    fn what_cannot_be_is_a_usage_failure() {
        let terminal = Terminal { lang: Lang::En, json: false, color: false };
        let bad = [
            args(2, 1, "1%"),
            args(0, 10, "0%"),
            args(0, 10, "100%"),
            args(0, 10, "0.0000001%"),
            args(0, 10, "0.01"),
            args(0, MOST_REQUESTS + 1, "1%"),
            Args { rate: Some("2".to_owned()), bad: None, total: None, ..args(0, 0, "1%") },
            Args { bad: None, total: None, ..args(0, 0, "1%") },
        ];
        for args in bad {
            let failure = run(&args, &terminal).expect_err("it cannot be judged");
            assert_eq!(failure.kind.exit, Exit::Usage, "{args:?}");
        }
    }

    #[test]
    fn the_time_to_proof_stands_in_four_cells() {
        let limit = Proportion(0.0006);
        let json = plan_as_json(limit, Rate(2.0), &NeededRequests::of(limit));
        assert_eq!(json["fixed"]["zero"], json!({ "requests": 4992, "time_ms": 2_496_000 }));
        assert_eq!(json["fixed"]["half"]["requests"], 42_495);
        assert_eq!(json["any_time"]["zero"]["requests"], 13_892);
        assert_eq!(json["any_time"]["half"]["requests"], 89_757);
    }
}
