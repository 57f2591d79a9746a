//! The five releases and how each must end: guanka's exit code, its own word for it, and what its
//! report must show.

use serde_json::Value;

use super::project::Pace;
use super::ship::Shipped;
use super::words::Lang;

/// A release of the example.
#[derive(Clone, Copy)]
pub(crate) struct Release {
    /// Its number.
    pub(crate) number: usize,
    /// The folder whose files lie over the first release's; `None` for the first.
    pub(crate) overlay: Option<&'static str>,
    zh: &'static str,
    en: &'static str,
    exit: i32,
    ended: &'static str,
    shows: fn(&Value) -> Option<&'static str>,
}

/// All five, in order.
const ALL: [Release; 5] = [
    Release {
        number: 1,
        overlay: None,
        zh: "首个版本",
        en: "the first release",
        exit: 0,
        ended: "promoted",
        shows: served,
    },
    Release {
        number: 2,
        overlay: Some("2-good"),
        zh: "一个好版本",
        en: "a good release",
        exit: 0,
        ended: "promoted",
        shows: served,
    },
    Release {
        number: 3,
        overlay: Some("3-slow"),
        zh: "下单变慢的版本",
        en: "one whose orders got too slow",
        exit: 3,
        ended: "blocked",
        shows: too_slow,
    },
    Release {
        number: 4,
        overlay: Some("4-orders-fail"),
        zh: "只在真实流量下才有 3% 订单失败的版本",
        en: "one that fails 3 % of its orders, under real traffic only",
        exit: 5,
        ended: "taken_back",
        shows: orders_failed,
    },
    Release {
        number: 5,
        overlay: Some("5-faults"),
        zh: "源码里有缺陷的版本",
        en: "one with faults in its source",
        exit: 3,
        ended: "blocked",
        shows: faulty,
    },
];

/// Returns what is shipped at a pace: the short form leaves out the slow and the faulty one.
pub(crate) fn at(pace: Pace) -> Vec<Release> {
    let is_in = |release: &Release| pace == Pace::Whole || matches!(release.number, 1 | 2 | 4);
    ALL.into_iter().filter(is_in).collect()
}

impl Release {
    /// Returns what it is.
    pub(crate) fn title(&self, lang: Lang) -> &'static str {
        lang.pick(self.zh, self.en)
    }

    /// Says in which way it did not end as it must; `None` when it did.
    pub(crate) fn deviation(&self, shipped: &Shipped) -> Option<String> {
        let number = self.number;
        let report = &shipped.report;
        if !report["error"].is_null() {
            let why = &report["error"];
            return Some(format!("release {number}: guanka ended with {why}"));
        }
        if let Some(why) = never_valid(report).filter(|_| shipped.exit == 9) {
            return Some(format!("release {number}: {why}"));
        }
        let ended = report["ended"].as_str().unwrap_or("without a report");
        if shipped.exit != self.exit || ended != self.ended {
            let (exit, wanted) = (shipped.exit, self.exit);
            let must = self.ended;
            return Some(format!(
                "release {number} ended {ended} with exit code {exit}; {must} with {wanted} was due"
            ));
        }
        (self.shows)(report).map(|lack| format!("release {number}: {lack}"))
    }
}

/// Says that the load gate stayed invalid; guanka itself has tried it again.
fn never_valid(report: &Value) -> Option<&'static str> {
    let load = step(report, "load")?;
    (load["verdict"] == "invalid")
        .then_some("the load gate was invalid three times: this machine is too busy for it")
}

/// A release that was promoted serves all requests.
fn served(report: &Value) -> Option<&'static str> {
    report["all_traffic_ms"].is_null().then_some("no request of a user is known to have reached it")
}

/// The load gate blocks, no user's request reaches it, and the report names the route.
fn too_slow(report: &Value) -> Option<&'static str> {
    let is_bad = step(report, "load").is_some_and(|load| load["verdict"] == "bad");
    match () {
        () if !is_bad => Some("the load gate has not found it bad"),
        () if !report["first_traffic_ms"].is_null() => Some("a request of a user reached it"),
        () if !names(&report["causes"], "POST /orders") => {
            Some("the report does not name the route")
        }
        () => None,
    }
}

/// The canary finds it bad, and the report names the route and the arm that got the canary.
fn orders_failed(report: &Value) -> Option<&'static str> {
    let gate = |judgement: &&Value| judgement["gate"] == "canary" && judgement["verdict"] == "bad";
    let judgements = report["judgements"].as_array();
    let is_bad = judgements.is_some_and(|all| all.iter().any(|judgement| gate(&judgement)));
    // The first release went into blue, the good one into green; whatever came next went into blue.
    match () {
        () if !is_bad => Some("the canary has not found it bad"),
        () if !names(&report["causes"], "POST /orders") => {
            Some("the report does not name the route")
        }
        () if !names(&report["causes"], "blue") => Some("the report does not name the arm"),
        () => None,
    }
}

/// The checks block it before anything is built.
fn faulty(report: &Value) -> Option<&'static str> {
    let findings = report["findings"].as_array().map_or(0, Vec::len);
    match () {
        () if findings == 0 => Some("the report has no finding"),
        () if step(report, "build").is_some() => Some("it was built"),
        () => None,
    }
}

fn step<'a>(report: &'a Value, name: &str) -> Option<&'a Value> {
    report["steps"].as_array()?.iter().find(|step| step["step"] == name)
}

/// Returns whether the first cause, in both languages, holds a word.
fn names(causes: &Value, word: &str) -> bool {
    Lang::ALL.iter().all(|lang| lang.said(&causes[0]["says"]).contains(word))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{ALL, Pace, at};
    use crate::demo::ship::Shipped;

    fn said(number: usize, exit: i32, report: Value) -> Option<String> {
        ALL[number - 1].deviation(&Shipped { exit, report })
    }

    fn taken_back(cause: &str) -> Value {
        json!({"ended": "taken_back", "causes": [{"says": {"zh": cause, "en": cause}}],
               "judgements": [{"gate": "canary", "verdict": "bad"}]})
    }

    #[test]
    fn only_the_right_ending_for_the_right_reason_is_as_said() {
        assert_eq!(said(4, 5, taken_back("POST /orders on blue")), None);
        let lacks = |deviation: Option<String>, word: &str| {
            deviation.is_some_and(|text| text.contains(word))
        };
        assert!(lacks(said(4, 5, taken_back("POST /orders on green")), "the arm"));
        assert!(lacks(said(4, 5, taken_back("GET / on blue")), "the route"));
        assert!(lacks(said(4, 0, json!({"ended": "promoted"})), "taken_back with 5 was due"));
        assert!(lacks(said(1, 1, json!({"error": {"code": "GK1"}})), "GK1"));
    }

    #[test]
    fn a_gate_that_was_never_valid_is_called_so() {
        let report = json!({"ended": "not_proven",
                            "steps": [{"step": "load", "verdict": "invalid"}]});
        assert!(said(2, 9, report).is_some_and(|text| text.contains("invalid three times")));
    }

    #[test]
    fn a_release_that_was_built_was_not_blocked_before_its_build() {
        let report = |steps: Value| json!({"ended": "blocked", "findings": [{}], "steps": steps});
        assert_eq!(said(5, 3, report(json!([{"step": "check"}]))), None);
        assert!(said(5, 3, report(json!([{"step": "build"}]))).is_some());
    }

    #[test]
    fn the_short_form_has_a_good_and_a_bad_release() {
        let numbers = |pace| at(pace).iter().map(|release| release.number).collect::<Vec<_>>();
        assert_eq!(numbers(Pace::Whole), [1, 2, 3, 4, 5]);
        assert_eq!(numbers(Pace::Short), [1, 2, 4]);
    }
}
