//! The report of a rollout, put together from its journal and what its gates found.

use guanka_core::quantity::SharePercent;
use guanka_core::report::release::{CauseLine, REPORT_SCHEMA, ReleaseReport, StepReport};
use guanka_core::report::text;
use guanka_core::rollout::describe;
use guanka_core::rollout::ending::Ending;
use guanka_core::rollout::event::{Event, Fault};
use guanka_core::rollout::journal::Record;
use guanka_core::rollout::state::{BlockCause, Cause, HeldReason, Rollout, State};
use guanka_core::rollout::step::step;
use guanka_core::rollout::verdict::Verdict;
use guanka_core::say::{Said, Text};
use guanka_core::signals::window::WINDOW;
use guanka_world::clock;
use guanka_world::store::metrics::Source;
use guanka_world::transport::wire::{Answer, Request};

use super::driver::{Driver, exit_of};
use super::ledger::Chapter;
use crate::failure::Failure;
use crate::terminal::Terminal;

/// Puts the report together.
pub(crate) fn assemble(driver: &mut Driver) -> Result<ReleaseReport, Failure> {
    let failed_by_switch = failed_by_switch(driver)?;
    let driver = &*driver;
    let rollout = &driver.rollout;
    let chapter = driver.ledger.newest().cloned();
    let ending = rollout.ending().unwrap_or(Ending::NotProven);
    let (number, since_ms, records) = match &chapter {
        Some(chapter) => (chapter.number, chapter.since_ms, chapter.records.as_slice()),
        None => (0, 0, [].as_slice()),
    };
    let release = rollout.built.as_ref().map(|built| built.release.as_str().to_owned());
    let causes = driver
        .central
        .judged
        .iter()
        .flat_map(|judged| &judged.causes)
        .map(|cause| CauseLine {
            says: cause.sentence.clone(),
            explains: cause.explained,
            counter: cause.counter_evidence.clone(),
        })
        .collect();
    Ok(ReleaseReport {
        schema: REPORT_SCHEMA,
        service: driver.ledger.service.clone(),
        number,
        release,
        revision: rollout.release().revision.clone(),
        ended: code_of(ending).to_owned(),
        ending: ended(driver, ending),
        exit: exit_of(ending) as u8,
        began: clock::rfc3339(since_ms),
        steps: chapter.as_ref().map(|c| steps(c, driver)).unwrap_or_default(),
        first_traffic_ms: first_share(records, SharePercent::NONE, since_ms),
        all_traffic_ms: first_share(records, SharePercent::ALL.rest(), since_ms)
            .and_then(|_| full_share(records, since_ms)),
        findings: driver.central.findings.clone(),
        judgements: driver.central.judged.iter().map(|j| j.judgement.clone()).collect(),
        causes,
        evidence: driver.central.judged.iter().flat_map(|j| j.records.clone()).collect(),
        traffic: traffic(rollout, records),
        failed_by_switch,
        next: next(rollout, ending, number, driver),
    })
}

/// Returns how many requests could not reach the arm chosen for them around the moments at which
/// the share changed; nothing where it never did.
fn failed_by_switch(driver: &mut Driver) -> Result<Option<u64>, Failure> {
    let Some(chapter) = driver.ledger.newest() else { return Ok(None) };
    let changes: Vec<u64> = chapter
        .records
        .iter()
        .filter(|record| matches!(record.event, Event::ShareSet { .. }))
        .map(|record| record.clock.wall_ms)
        .collect();
    let Some(first) = changes.first() else { return Ok(None) };
    let request = Request::Windows {
        service: driver.ledger.service.clone(),
        source: Source::Live,
        from_ms: first.saturating_sub(WINDOW.0),
        to_ms: i64::MAX as u64,
    };
    let windows = match driver.link.ask(&request)? {
        Answer::Windows { windows, .. } => windows,
        other => return Err(super::link::unexpected(&other)),
    };
    // A request that was under way at the change is logged in its window or in the next one.
    let is_near = |start_ms: u64| {
        changes.iter().any(|at| (start_ms..start_ms + 2 * WINDOW.0).contains(&(at + WINDOW.0)))
    };
    let near = windows.iter().filter(|window| is_near(window.start_ms));
    Ok(Some(near.flat_map(|window| window.cells.values()).map(|cell| cell.failed_over).sum()))
}

/// Shows a report in the run's language, or as one JSON object.
pub(crate) fn show(terminal: &Terminal, report: &ReleaseReport) {
    if terminal.json {
        let text = serde_json::to_string(report).unwrap_or_default();
        terminal.line(&text);
        return;
    }
    for line in text::render(report, terminal.lang) {
        terminal.line(&line);
    }
}

fn ended(driver: &Driver, ending: Ending) -> Said {
    if let Some(failed) = &driver.central.build_failed {
        let place = failed
            .span
            .as_ref()
            .map(|span| format!("{}: ", span.place()))
            .filter(|place| !failed.why.en.starts_with(place.trim_end_matches([':', ' '])))
            .unwrap_or_default();
        let why = &failed.why;
        return Said::new(
            format!("无法构建:{place}{}", why.zh),
            format!("could not be built: {place}{}", why.en),
        );
    }
    match &driver.rollout.state {
        State::Done => ending.title().said(),
        state => {
            let said = describe::state(state, &driver.rollout.spec);
            let why = driver.ledger.newest().filter(|_| blames_host(state)).and_then(last_fault);
            match why {
                Some(why) => Said::new(
                    format!("{}原因:{}", said.zh, why.zh),
                    format!("{} The host says: {}", said.en, why.en),
                ),
                None => said,
            }
        }
    }
}

/// Returns whether a state was reached because a host could not do something.
const fn blames_host(state: &State) -> bool {
    matches!(
        state,
        State::Blocked { cause: BlockCause::Stage(_) | BlockCause::NotReady(_) }
            | State::RolledBack { cause: Cause::NotReady(_) | Cause::ShareFailed(_) }
            | State::RollbackFailed { .. }
            | State::Held { reason: HeldReason::HostUnknown(_), .. }
    )
}

/// Returns what a host said when it last could not do something.
fn last_fault(chapter: &Chapter) -> Option<Said> {
    chapter.records.iter().rev().find_map(|record| match &record.event {
        Event::StageFailed { fault: Fault::Other(why), .. }
        | Event::ArmFailed { fault: Fault::Other(why), .. }
        | Event::ShareFailed { fault: Fault::Other(why), .. } => Some(why.clone()),
        _ => None,
    })
}

/// Returns the steps in order, with how long each took.
fn steps(chapter: &Chapter, driver: &Driver) -> Vec<StepReport> {
    let Some(first) = chapter.records.first() else { return Vec::new() };
    let Event::Submitted { spec, .. } = &first.event else { return Vec::new() };
    let mut rollout = Rollout::draft((**spec).clone(), first.epoch, first.seq - 1);
    let mut steps: Vec<StepReport> = Vec::new();
    let mut began = first.at;
    for record in &chapter.records {
        let next = step(&rollout, record.at, &record.event).rollout;
        if part_of(&next.state) != part_of(&rollout.state) {
            if let Some((word, title)) = part_of(&rollout.state) {
                add(&mut steps, word, title, record.at.saturating_sub(began), &rollout);
            }
            began = record.at;
        }
        rollout = next;
    }
    for step in &mut steps {
        judge_step(step, driver);
    }
    steps
}

fn add(steps: &mut Vec<StepReport>, word: &str, title: Text, took_ms: u64, rollout: &Rollout) {
    if let Some(same) = steps.iter_mut().find(|step| step.step == word) {
        same.took_ms += took_ms;
        return;
    }
    steps.push(StepReport {
        step: word.to_owned(),
        title: title.said(),
        took_ms,
        verdict: None,
        says: describe::rollout(rollout),
    });
}

/// Puts a gate's last word beside its step.
fn judge_step(step: &mut StepReport, driver: &Driver) {
    use guanka_core::gates::GateKind;
    let gate = match step.step.as_str() {
        "load" => GateKind::Load,
        "bake" => GateKind::Bake,
        "canary" => GateKind::Canary,
        "check" => {
            let is_blocked =
                matches!(&driver.rollout.state, State::Blocked { cause: BlockCause::Checks });
            step.verdict = Some(if is_blocked { Verdict::Bad } else { Verdict::Good });
            let count = driver.central.findings.len();
            step.says = Said::new(
                format!("七个检查点:{count} 个发现拦截发布"),
                format!("the seven checkpoints: {count} findings block the release"),
            );
            return;
        }
        "build" => {
            if let Some(built) = &driver.rollout.built {
                let short = built.release.short();
                step.says = Said::new(format!("制品 {short}"), format!("release {short}"));
            }
            return;
        }
        _ => return,
    };
    let found = driver.central.judged.iter().find(|judged| judged.judgement.gate == gate);
    if let Some(judged) = found {
        step.verdict = Some(judged.judgement.verdict);
        let worst = judged.judgement.objectives.iter().max_by_key(|o| o.verdict);
        if let Some(worst) = worst {
            step.says = worst.sentence.clone();
        }
    }
}

/// Returns the step that a state belongs to, in one word and for people.
fn part_of(state: &State) -> Option<(&'static str, Text)> {
    Some(match state {
        State::Checking => ("check", Text { zh: "静态检查", en: "check" }),
        State::Building => ("build", Text { zh: "构建", en: "build" }),
        State::Staging => ("stage", Text { zh: "送达", en: "stage" }),
        State::Staged { .. } => ("load", Text { zh: "压测", en: "load" }),
        State::Baking { .. } => ("bake", Text { zh: "观察", en: "bake" }),
        State::CanaryStarting | State::Canary { .. } => {
            ("canary", Text { zh: "灰度", en: "canary" })
        }
        State::First | State::Promoting { .. } => ("full", Text { zh: "全量", en: "full" }),
        State::Settling { .. } | State::Keeping => ("settle", Text { zh: "稳定", en: "settle" }),
        State::RollingBack { .. } => ("back", Text { zh: "退回", en: "back" }),
        _ => return None,
    })
}

/// Returns how long after the beginning a share above a mark was first in force.
fn first_share(records: &[Record], above: SharePercent, since_ms: u64) -> Option<u64> {
    records.iter().find_map(|record| match &record.event {
        Event::ShareSet { share, .. } if *share > above => {
            Some(record.clock.wall_ms.saturating_sub(since_ms))
        }
        _ => None,
    })
}

fn full_share(records: &[Record], since_ms: u64) -> Option<u64> {
    records.iter().find_map(|record| match &record.event {
        Event::ShareSet { share: SharePercent::ALL, .. } => {
            Some(record.clock.wall_ms.saturating_sub(since_ms))
        }
        _ => None,
    })
}

/// Says what users' traffic saw.
fn traffic(rollout: &Rollout, records: &[Record]) -> Said {
    let most = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::ShareSet { share, .. } => Some(*share),
            _ => None,
        })
        .max();
    let has_failed = |record: &Record| matches!(record.event, Event::ShareFailed { .. });
    seen_by_users(&rollout.state, most, records.iter().any(has_failed))
}

/// Says it by the greatest share that was proven. One that was set and not proven may have been in
/// force all the same.
fn seen_by_users(state: &State, most: Option<SharePercent>, has_failed: bool) -> Said {
    match (most, state) {
        (_, State::RollbackFailed { .. }) => Said::new(
            "退回稳定版本未能确认:用 `guanka status` 查看请求去向",
            "going back to the stable release could not be confirmed: `guanka status` shows where \
             requests go",
        ),
        (None | Some(SharePercent::NONE), _) if has_failed => Said::new(
            "有一次流量份额未能确认:可能有少量请求到过新版本",
            "a share could not be confirmed: some requests may have reached the new release",
        ),
        (None | Some(SharePercent::NONE), _) => Said::new(
            "未受影响:稳定版本一直承接全部请求",
            "untouched: the stable release served every request the whole time",
        ),
        (Some(_), State::Done) => {
            Said::new("新版本承接全部请求", "the new release serves every request")
        }
        (Some(most), State::RolledBack { .. }) => Said::new(
            format!("最多 {most} 的请求到过新版本,现已全部回到稳定版本"),
            format!("at most {most} of the requests went to it; the stable release has all again"),
        ),
        (Some(most), _) => Said::new(
            format!("最多 {most} 的请求到过新版本"),
            format!("at most {most} of the requests went to it"),
        ),
    }
}

/// Says what to do next: a command.
fn next(rollout: &Rollout, ending: Ending, number: u64, driver: &Driver) -> Said {
    let same = |text: String| Said::new(text.clone(), text);
    let env = format!(" --env {}", driver.ledger.service.env());
    if let Some(failed) = &driver.central.build_failed {
        return failed.next.clone();
    }
    match (ending, &rollout.state) {
        (Ending::Promoted, _) => same(format!("guanka rollback{env}")),
        (Ending::HeldAsked, _) => same(format!("guanka resume{env}")),
        (_, State::Blocked { cause: BlockCause::Checks }) => {
            let code = driver.central.findings.first().map_or("GO040", |f| f.code.as_str());
            same(format!("guanka explain {code}"))
        }
        (_, State::Held { reason: HeldReason::Insufficient | HeldReason::Invalid, .. }) => {
            same(format!("guanka resume{env}"))
        }
        (_, State::Blocked { cause: BlockCause::Stage(_) }) => Said::new(
            format!("腾出空间或修好目录,再运行 guanka ship{env}"),
            format!("make room or put the folder right, then guanka ship{env}"),
        ),
        (Ending::NeedsHuman, _) => same(format!("guanka status{env}")),
        _ => same(format!("guanka report {number}{env} --html report.html")),
    }
}

const fn code_of(ending: Ending) -> &'static str {
    match ending {
        Ending::Promoted => "promoted",
        Ending::HeldAsked => "held_asked",
        Ending::BlockedByGate => "blocked",
        Ending::CouldNot => "could_not",
        Ending::TakenBack => "taken_back",
        Ending::NeedsHuman => "needs_human",
        Ending::NotProven => "not_proven",
        Ending::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use guanka_core::quantity::SharePercent;
    use guanka_core::rollout::spec::HostName;
    use guanka_core::rollout::state::{Cause, State};

    use super::seen_by_users;

    #[test]
    fn users_are_called_untouched_only_where_no_share_was_ever_set() {
        let cause = Cause::ShareFailed(HostName("web-1".to_owned()));
        let back = State::RolledBack { cause: cause.clone() };
        let untouched = seen_by_users(&back, None, false);
        assert!(untouched.en.contains("untouched"), "{untouched:?}");
        for (state, most, says) in [
            (&back, None, "may have reached"),
            (&back, Some(SharePercent::NONE), "may have reached"),
            (&State::RollbackFailed { cause: cause.clone() }, None, "could not be confirmed"),
            (&State::RollbackFailed { cause }, Some(SharePercent::ALL), "could not be confirmed"),
            (&back, Some(SharePercent::ALL), "at most 100 %"),
        ] {
            let said = seen_by_users(state, most, true);
            assert!(said.en.contains(says) && !said.en.contains("untouched"), "{said:?}");
        }
    }
}
