//! What people are told about a rollout: one sentence for each state, each reason and each entry of
//! the audit log.

use super::event::{Event, StopReason};
use super::spec::{HostName, Spec, SpecFault, Stage};
use super::state::{BlockCause, Cause, HeldReason, Rollout, State};
use crate::say::{Said, Text};

/// Says where a rollout stands.
pub fn rollout(rollout: &Rollout) -> Said {
    state(&rollout.state, &rollout.spec)
}

/// Says what a state means for a spec.
pub fn state(state: &State, spec: &Spec) -> Said {
    let revision = &spec.release.revision;
    match state {
        State::Draft => said("尚未提交。", "Not handed in."),
        State::Checking => said("正在做静态检查。", "The static checks run."),
        State::Building => said("正在构建。", "The release is being built."),
        State::Staging => said(
            "正在把制品送到各台主机并校验。",
            "The release is being put on every host and verified.",
        ),
        State::Staged { attempt } => staged(*attempt),
        State::First => said(
            "首次发布:直接承接全部流量,没有可以回退的旧版本。",
            "First release: it gets every request, and there is no way back.",
        ),
        State::Baking { .. } => said(
            "正在预发布观察,不接用户流量。",
            "The candidate is being watched before any user's request reaches it.",
        ),
        State::CanaryStarting => said(
            "正在各台主机上启动候选版本,流量仍全部在稳定版本。",
            "The candidate starts on every host; the stable arm still has every request.",
        ),
        State::Canary { step, .. } => canary(*step, spec),
        State::Promoting { turn } => Said::new(
            format!("正在逐台切换全量流量:第 {} 台,共 {} 台。", turn + 1, spec.hosts.len()),
            format!("Host {} of {} gets the full share.", turn + 1, spec.hosts.len()),
        ),
        State::Settling { .. } => said(
            "候选版本已承接全部流量,旧版本保持待命。",
            "The candidate has every request; the old arm stays warm.",
        ),
        State::Keeping => said(
            "正在各台主机上将候选版本定为稳定版本。",
            "Every host makes the candidate its stable arm.",
        ),
        State::Done => Said::new(
            format!("发布完成,所有主机都在运行 {revision}。"),
            format!("Done: every host serves {revision}."),
        ),
        State::Held { reason, .. } => held(reason),
        State::Blocked { cause } => {
            let why = blocked(cause);
            Said::new(
                format!("已拦下:{}用户流量未受影响。", why.zh),
                format!("Blocked: {} No user's request was touched.", why.en),
            )
        }
        State::RollingBack { cause } => {
            because("正在回退到稳定版本:", "The stable arm gets everything back: ", cause)
        }
        State::RolledBack { cause } => because(
            "已回退,稳定版本承接全部流量:",
            "Taken back; the stable arm has everything: ",
            cause,
        ),
        State::RollbackFailed { cause } => because(
            "回退未能完成,需要人工处理;自动操作已停止。回退原因:",
            "Taking back failed, and a person must look; nothing moves by itself. It was because: ",
            cause,
        ),
        State::Superseded { by } => Said::new(
            format!("已让位给更新的版本 {}。", by.short()),
            format!("The newer release {} took its place.", by.short()),
        ),
        State::Cancelled => {
            said("已取消,用户流量未受影响。", "Cancelled; no user's request was touched.")
        }
    }
}

fn staged(attempt: u32) -> Said {
    Said::new(
        format!("候选版本已在验证主机上启动,压测关卡第 {attempt} 次;不接用户流量。"),
        format!(
            "The candidate runs on the proving host; load gate, run {attempt}; no user's \
                 request reaches it."
        ),
    )
}

fn canary(step: usize, spec: &Spec) -> Said {
    let share = spec.steps().get(step).map(|step| step.share).unwrap_or_default();
    Said::new(
        format!("灰度第 {} 步,共 {} 步:候选版本承接 {share} 流量。", step + 1, spec.steps().len()),
        format!(
            "Canary step {} of {}: the candidate gets {share} of the requests.",
            step + 1,
            spec.steps().len()
        ),
    )
}

fn held(reason: &HeldReason) -> Said {
    match reason {
        HeldReason::Asked(stage) => {
            let stage = stage.title();
            Said::new(
                format!("已按要求在「{}」之后暂停,等待继续。", stage.zh),
                format!("Stopped after the {} as asked; resume to go on.", stage.en),
            )
        }
        HeldReason::ChecksUnknown => said(
            "暂停:有必需的检查看不到所需的信息。",
            "Held: a required check could not see what it needs.",
        ),
        HeldReason::Invalid => said(
            "暂停:关卡的数据无效,无法判断;候选版本的租约不再续期,流量会自动回到稳定版本。",
            "Held: the gate's data is invalid, so nothing can be said; the canary lease is not \
             renewed, and the requests go back to the stable arm by themselves.",
        ),
        HeldReason::Insufficient => said(
            "暂停:到期时证据不足;可以延长观察、增加流量,或签名豁免。",
            "Held: the time is up and the evidence too thin; watch longer, add traffic, or waive \
             it with a signature.",
        ),
        HeldReason::TimedOut => {
            said("暂停:这一步超过了时限。", "Held: this step took longer than it may.")
        }
        HeldReason::HostSilent(host) => Said::new(
            format!("暂停:主机 {host} 没有回应;用户流量未受影响。"),
            format!("Held: host {host} does not answer; no user's request was moved."),
        ),
        HeldReason::HostUnknown(host) => Said::new(
            format!("暂停:切换之后不清楚主机 {host} 在运行哪个版本,需要人工确认。"),
            format!("Held: after the switch it is not known what host {host} serves; look there."),
        ),
        HeldReason::NoWayBack(reason) => {
            let why = stop(*reason);
            Said::new(
                format!("暂停:首次发布出现异常({}),没有可以回退的旧版本,需要人工处理。", why.zh),
                format!("Held: the first release {}, and there is no way back.", why.en),
            )
        }
        HeldReason::NoWayBackProven => said(
            "暂停:首次发布已证明不合格,没有可以回退的旧版本,需要人工处理。",
            "Held: the first release is proven bad, and there is no way back.",
        ),
    }
}

fn blocked(cause: &BlockCause) -> Said {
    match cause {
        BlockCause::Checks => said("静态检查不通过。", "the static checks found what blocks."),
        BlockCause::Load => said("压测已证明不合格。", "the load gate proved it bad."),
        BlockCause::Bake => said("预发布观察已证明不合格。", "the bake proved it bad."),
        BlockCause::HardStop(reason) => {
            let why = stop(*reason);
            Said::new(format!("候选版本{}。", why.zh), format!("the candidate {}.", why.en))
        }
        BlockCause::MarkedBad => said(
            "该版本此前因自身问题被回退过,需要明确豁免才能再次发布。",
            "it was taken back earlier for its own fault; only an explicit override ships it.",
        ),
        BlockCause::Spec(fault) => spec_fault(*fault),
        BlockCause::Build => said("构建失败。", "it could not be built."),
        BlockCause::OtherRelease => said(
            "构建结果与提交的版本不一致。",
            "the build gave another release than the one handed in.",
        ),
        BlockCause::Stage(host) => Said::new(
            format!("制品无法送达主机 {host}。"),
            format!("host {host} could not take the release."),
        ),
        BlockCause::NotReady(host) => Said::new(
            format!("候选版本在主机 {host} 上未能就绪。"),
            format!("it did not become ready on host {host}."),
        ),
    }
}

fn spec_fault(fault: SpecFault) -> Said {
    match fault {
        SpecFault::NoHosts => said("没有指定主机。", "no host is named."),
        SpecFault::HostOrder => said(
            "主机没有按名称排序,或有重复。",
            "the hosts are not in name order, or one stands twice.",
        ),
        SpecFault::ArmTaken => said(
            "候选版本要用的槽位正被稳定版本占用。",
            "the arm it should go into is the stable one's.",
        ),
        SpecFault::Steps => said(
            "灰度步骤的流量比例必须大于 0 且逐步递增。",
            "the canary's shares must be above 0 and rise.",
        ),
    }
}

fn because(zh: &str, en: &str, cause: &Cause) -> Said {
    let why = taken_back(cause);
    Said::new(format!("{zh}{}", why.zh), format!("{en}{}", why.en))
}

fn taken_back(cause: &Cause) -> Said {
    match cause {
        Cause::ProvenBad => said("灰度关卡已证明不合格。", "the canary gate proved it bad."),
        Cause::HardStop(reason) => {
            let why = stop(*reason);
            Said::new(format!("候选版本{}。", why.zh), format!("the candidate {}.", why.en))
        }
        Cause::NotReady(host) => Said::new(
            format!("候选版本在主机 {host} 上未能就绪。"),
            format!("it did not become ready on host {host}."),
        ),
        Cause::ShareFailed(host) => Said::new(
            format!("主机 {host} 未能调整流量比例。"),
            format!("host {host} could not set its share."),
        ),
        Cause::Insufficient => said("到期时证据不足。", "the time was up and nothing was proven."),
        Cause::TimedOut => said("步骤超过时限。", "a step took longer than it may."),
        Cause::HostSilent(host) => {
            Said::new(format!("主机 {host} 没有回应。"), format!("host {host} did not answer."))
        }
        Cause::LeaseExpired(host) => Said::new(
            format!("主机 {host} 的灰度租约到期,已自行收回流量。"),
            format!("the canary lease ran out on host {host}, which took its requests back."),
        ),
        Cause::Invalid => said("关卡数据一直无效。", "the gate's data stayed invalid."),
        Cause::Person => said("有人要求回退。", "a person asked for it."),
        Cause::Superseded(by) => Said::new(
            format!("有更新的版本 {}。", by.short()),
            format!("there is a newer release, {}.", by.short()),
        ),
    }
}

/// Says what a candidate did, as the rest of a sentence about it.
const fn stop(reason: StopReason) -> Text {
    match reason {
        StopReason::CrashLoop => Text { zh: "反复崩溃", en: "crashes again and again" },
        StopReason::ReadinessLost => Text { zh: "失去就绪状态", en: "is no longer ready" },
        StopReason::Panics => Text { zh: "panic 次数超限", en: "panics too often" },
        StopReason::BurnRate => {
            Text { zh: "消耗错误预算过快", en: "burns the error budget too fast" }
        }
    }
}

/// Says that another driver took over.
pub fn taken_over(epoch: u64) -> Said {
    Said::new(
        format!("由新的驱动接管,纪元 {epoch}。"),
        format!("Another driver took over with epoch {epoch}."),
    )
}

/// Says that a host took its requests back.
pub fn lease_expired(host: &HostName) -> Said {
    Said::new(
        format!("主机 {host} 的灰度租约到期,流量已自行回到稳定版本。"),
        format!("The canary lease ran out on host {host}; the stable arm has its requests again."),
    )
}

/// Says what a person asked for.
pub fn asked(event: &Event) -> Said {
    match event {
        Event::Abort { reason, .. } => {
            Said::new(format!("要求中止:{reason}"), format!("Asked to stop: {reason}"))
        }
        _ => said("要求回退到稳定版本。", "Asked for the stable arm back."),
    }
}

/// Says that a person let it go on.
pub fn resumed() -> Said {
    said("已确认继续。", "Let it go on.")
}

/// Says that nothing is held.
pub fn nothing_held() -> Said {
    said("没有处于暂停状态的发布可以继续。", "Nothing is held that could go on.")
}

/// Says that nothing can be stopped.
pub fn nothing_to_stop() -> Said {
    said("这次发布已经结束,没有可以中止的操作。", "This rollout is over; there is nothing to stop.")
}

/// Says that a first release cannot be taken back.
pub fn no_way_back() -> Said {
    said(
        "首次发布已承接流量,没有可以回退的旧版本。",
        "The first release already has the requests; there is no way back.",
    )
}

impl Stage {
    /// Returns the words for it.
    pub const fn title(self) -> Text {
        match self {
            Self::Check => Text { zh: "静态检查", en: "static checks" },
            Self::Build => Text { zh: "构建", en: "build" },
            Self::Stage => Text { zh: "送达主机", en: "staging" },
            Self::Load => Text { zh: "压测", en: "load gate" },
            Self::Bake => Text { zh: "预发布观察", en: "bake" },
            Self::Canary => Text { zh: "灰度", en: "canary" },
        }
    }
}

fn said(zh: &str, en: &str) -> Said {
    Said::new(zh, en)
}
