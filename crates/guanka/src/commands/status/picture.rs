//! One service as it stands: what its host shows, what its journal says, what its gate sees now,
//! who drives it.

use guanka_core::gates::Judgement;
use guanka_core::name::{Arm, ServiceName};
use guanka_core::rollout::describe;
use guanka_core::rollout::eject::all_to;
use guanka_core::rollout::state::Rollout;
use guanka_core::rollout::wants::{Judge, wants};
use guanka_core::say::Said;
use guanka_core::signals::slot::share_of;
use guanka_world::clock;
use guanka_world::transport::wire::HostView;
use serde_json::{Value, json};

use crate::drive::evidence;
use crate::drive::ledger::{Chapter, Ledger};
use crate::drive::link::{Link, view};
use crate::drive::screen::judged_event;
use crate::drive::seat::Seat;
use crate::failure::Failure;
use crate::serve::Driven;
use crate::terminal::{Terminal, pad};

/// How a picture is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Once, with what changes every second.
    Once,
    /// Again and again, without it.
    Watched,
}

/// A service.
pub(super) struct Picture {
    service: ServiceName,
    seen: HostView,
    rollout: Option<Course>,
    /// Why the controller does not move it, where that is so.
    waits: Option<Said>,
}

/// Its newest rollout.
struct Course {
    number: u64,
    rollout: Rollout,
    judged: Option<Judgement>,
    /// When it moves on by itself at the latest, milliseconds since 1970.
    next_ms: Option<u64>,
}

impl Picture {
    /// Looks at a service.
    pub(super) fn take(
        link: &mut Link,
        service: ServiceName,
        driven: &[Driven],
    ) -> Result<Self, Failure> {
        let seen = view(link, &service)?;
        let ledger = Ledger::read(link, &service)?;
        let rollout = match ledger.newest() {
            Some(chapter) => Some(course(link, &ledger, chapter)?),
            None => None,
        };
        let is_own = |known: &&Driven| known.service == service && known.host == *link.address();
        let waits = driven.iter().find(is_own).and_then(|known| known.waits.clone());
        Ok(Self { service, seen, rollout, waits })
    }

    /// Returns what a machine reads.
    pub(super) fn as_json(&self) -> Value {
        let course = self.rollout.as_ref();
        json!({
            "service": self.service,
            "host": self.seen,
            "driver": self.seen.lease.as_ref().map(|lease| json!({
                "seat": Seat::of(&lease.holder).code(), "holder": lease.holder,
            })),
            "waits": self.waits,
            "rollout": course.map(|course| json!({
                "number": course.number,
                "says": describe::rollout(&course.rollout),
                "state": course.rollout.state,
                "release": course.rollout.release(),
                "judged": course.judged.as_ref().map(judged_event),
                "next_ms": course.next_ms,
            })),
        })
    }

    /// Returns what makes a change: neither a pid's age nor one more request.
    pub(super) fn key(&self) -> String {
        let course = self.rollout.as_ref();
        json!({
            "service": self.service,
            "green": self.seen.green,
            "active": self.seen.active,
            "ejected": self.seen.ejected,
            "drift": self.seen.drift,
            "pieces": self.seen.pieces,
            "put_back": self.seen.put_back,
            "troubles": self.seen.troubles,
            "arms": self.seen.arms,
            "driver": self.seen.lease.as_ref().map(|lease| &lease.holder),
            "waits": self.waits.is_some(),
            "number": course.map(|course| course.number),
            "state": course.map(|course| &course.rollout.state),
            "verdict": course.and_then(|c| c.judged.as_ref()).map(|j| j.verdict.code()),
            "next": course.and_then(|course| course.next_ms),
        })
        .to_string()
    }

    /// Returns what a person reads.
    pub(super) fn lines(&self, terminal: &Terminal, shown: Shown) -> Vec<String> {
        let mut lines = vec![self.head(terminal)];
        lines.extend(self.arms(terminal));
        let hung = self.seen.arms.iter().filter(|(_, found)| found.is_hung || found.restarts > 0);
        let hung = hung.map(|(arm, found)| hung_arm(arm.as_str(), found));
        lines.extend(hung.map(|said| format!("    {}", terminal.said(&said))));
        let more =
            [self.ejected(), self.silent(), self.driver(shown), self.waits.clone(), self.verdict()];
        let pieces = self.seen.pieces.as_ref().map(guanka_world::proxy::drift::Drift::said);
        let put_back = self.seen.put_back.as_ref().map(|done| {
            let at = guanka_world::clock::rfc3339(done.at_ms);
            Said::new(format!("{at}  {}", done.says.zh), format!("{at}  {}", done.says.en))
        });
        lines.extend(
            pieces.iter().chain(&put_back).map(|said| format!("    {}", terminal.said(said))),
        );
        let drift = self.seen.drift.iter().chain(&self.seen.troubles).cloned().map(Some);
        let more = more.into_iter().chain(drift).chain([self.next(), self.broken()]).flatten();
        lines.extend(more.map(|said| format!("    {}", terminal.said(&said))));
        lines
    }

    /// Returns one line with all that matters, for a log.
    pub(super) fn line(&self, terminal: &Terminal) -> String {
        let arms: Vec<String> = self.seen.arms.keys().map(|arm| self.share(*arm)).collect();
        let more = [self.driver(Shown::Watched), self.waits.clone(), self.verdict(), self.next()];
        let more = more.iter().flatten().map(|said| format!("  {}", terminal.said(said)));
        let tail: String = more.collect();
        format!("{}  {}{tail}", self.head(terminal), arms.join(" "))
    }

    fn head(&self, terminal: &Terminal) -> String {
        match &self.rollout {
            Some(Course { number, rollout, .. }) => {
                let said = describe::rollout(rollout);
                format!("{}  #{number}  {}", self.service, terminal.said(&said))
            }
            None => {
                let none = Said::new("尚未发布", "never released");
                format!("{}  {}", self.service, terminal.said(&none))
            }
        }
    }

    fn share(&self, arm: guanka_core::name::Arm) -> String {
        let share = self.seen.green.map(|green| share_of(arm, green).to_string());
        format!("{arm} {}", share.unwrap_or_else(|| "–".to_owned()))
    }

    fn arms(&self, terminal: &Terminal) -> Vec<String> {
        let line = |(arm, found): (&guanka_core::name::Arm, &_)| {
            let found: &guanka_world::transport::wire::ArmView = found;
            let share = self.seen.green.map(|green| share_of(*arm, green).to_string());
            let share = share.unwrap_or_else(|| "–".to_owned());
            let release = found.release.as_ref().map_or("–", |digest| digest.short());
            let runs = match (found.pid, found.is_ready) {
                (Some(pid), true) => {
                    Said::new(format!("就绪(进程 {pid})"), format!("ready (pid {pid})"))
                }
                (Some(pid), false) => {
                    Said::new(format!("未就绪(进程 {pid})"), format!("not ready (pid {pid})"))
                }
                (None, _) => Said::new("已停", "stopped"),
            };
            let mark = if self.seen.active == Some(*arm) { "*" } else { " " };
            format!(
                "  {mark} {}  {}  {}  127.0.0.1:{}  {}",
                pad(arm.as_str(), 5),
                pad(release, 12),
                pad(&share, 5),
                found.port,
                terminal.said(&runs)
            )
        };
        self.seen.arms.iter().map(line).collect()
    }

    fn ejected(&self) -> Option<Said> {
        let arm = self.seen.ejected?;
        let other = arm.other();
        Some(Said::new(
            format!("{arm} 不应答探测,请求暂时全部给 {other};恢复后自动交还"),
            format!("{arm} does not answer its probes: {other} has all requests until it does"),
        ))
    }

    /// Says why nothing is moved although an arm that has requests does not answer.
    fn silent(&self) -> Option<Said> {
        let fails = |arm: Arm| self.seen.arms.get(&arm).is_some_and(|found| found.is_failing);
        let serves = |arm: Arm| self.seen.green.is_some_and(|green| green != all_to(arm.other()));
        let arm = [Arm::Blue, Arm::Green].into_iter().find(|arm| serves(*arm) && fails(*arm))?;
        let other = arm.other();
        if fails(other) {
            return Some(Said::new(
                "两臂都不应答探测:共同依赖可能已停,流量不动",
                "neither arm answers its probes: what they share may be down; nothing is moved",
            ));
        }
        (self.seen.candidate == Some(other)).then(|| {
            Said::new(
                format!(
                    "{arm} 不应答探测;{other} 是候选,关卡没给的流量,主机不会给它;\
                     挂起的程序会按 [liveness] 重启"
                ),
                format!(
                    "{arm} does not answer its probes; {other} is a candidate and gets no more \
                     than its gates give it; a program that hangs is started anew by [liveness]"
                ),
            )
        })
    }

    fn driver(&self, shown: Shown) -> Option<Said> {
        let Some(lease) = &self.seen.lease else { return self.nobody() };
        let (zh, en) = match Seat::of(&lease.holder) {
            Seat::Controller => ("控制器", "the controller"),
            Seat::Foreground => ("前台命令", "a command in the foreground"),
        };
        let holder = &lease.holder;
        let (mut zh, mut en) = (format!("驱动:{zh}({holder})"), format!("driver: {en} ({holder})"));
        if shown == Shown::Once {
            let secs = lease.ends_in_ms.div_ceil(1000);
            zh.push_str(&format!(",租约不续约则 {secs} 秒后失效"));
            en.push_str(&format!("; its lease ends in {secs} s when not renewed"));
        }
        Some(Said::new(zh, en))
    }

    /// Says that a rollout which moves has no driver.
    fn nobody(&self) -> Option<Said> {
        let course = self.rollout.as_ref()?;
        course.rollout.state.is_moving().then(|| {
            let env = self.service.env();
            Said::new(
                format!("驱动:无;guanka resume --env {env} 或启动控制器即继续"),
                format!(
                    "driver: nobody; guanka resume --env {env} or starting its controller goes on"
                ),
            )
        })
    }

    fn verdict(&self) -> Option<Said> {
        let judged = self.rollout.as_ref()?.judged.as_ref()?;
        let (gate, verdict) = (judged.gate.title(), judged.verdict.title());
        let worst = judged.objectives.iter().max_by_key(|objective| objective.verdict);
        let said = judged.faults.first().map(|fault| fault.said.clone());
        let said = said.or_else(|| worst.map(|objective| objective.sentence.clone()));
        let said = said.unwrap_or_else(|| Said::new("", ""));
        Some(Said::new(
            format!("{}目前:{} {}", gate.zh, verdict.zh, said.zh),
            format!("{} so far: {} {}", gate.en, verdict.en, said.en),
        ))
    }

    fn next(&self) -> Option<Said> {
        let at = clock::rfc3339(self.rollout.as_ref()?.next_ms?);
        Some(Said::new(format!("下一步最迟在 {at}"), format!("next move at the latest {at}")))
    }

    fn broken(&self) -> Option<Said> {
        let count = self.seen.broken_lines;
        (count > 0).then(|| {
            Said::new(
                format!("访问日志中有 {count} 行读不懂"),
                format!("{count} lines of the access log could not be understood"),
            )
        })
    }
}

fn course(link: &mut Link, ledger: &Ledger, chapter: &Chapter) -> Result<Course, Failure> {
    let rollout = chapter.rollout(&ledger.service)?;
    let now = ledger.steady(&link.reading()?);
    let wanted = wants(&rollout, now);
    let evidence = evidence::Judge::default();
    let judged = match wanted.judge {
        Some(Judge::Bake) => evidence.bake(link, chapter, &rollout, now)?,
        Some(Judge::Canary { .. } | Judge::Settle { .. }) => {
            evidence.canary(link, chapter, &rollout)?
        }
        None => None,
    };
    // Counted from the last record alone, so that it stays the same from look to look.
    let wall = |next: u64| {
        let last = chapter.records.last()?;
        Some(last.clock.wall_ms.saturating_add(next.saturating_sub(last.at)))
    };
    let next_ms = wanted.next.filter(|_| rollout.state.is_moving()).and_then(wall);
    let judged = judged.map(|found| found.judgement);
    Ok(Course { number: chapter.number, rollout, judged, next_ms })
}

/// Says that an arm gives no sign of life, or that it was started anew for that.
fn hung_arm(arm: &str, found: &guanka_world::transport::wire::ArmView) -> Said {
    let times = found.restarts;
    match (found.is_hung, times) {
        (true, 0) => Said::new(
            format!("{arm} 在运行但毫无应答"),
            format!("{arm} runs and answers nothing at all"),
        ),
        (true, _) => Said::new(
            format!("{arm} 在运行但毫无应答,近期已重启 {times} 次;挂起时的调用栈见 guanka logs"),
            format!(
                "{arm} runs and answers nothing at all; started anew {times} times of late; what \
                 it was doing is in guanka logs"
            ),
        ),
        (false, _) => Said::new(
            format!("{arm} 因毫无应答,近期已重启 {times} 次;挂起时的调用栈见 guanka logs"),
            format!(
                "{arm} answered nothing at all and was started anew {times} times of late; what \
                 it was doing is in guanka logs"
            ),
        ),
    }
}
