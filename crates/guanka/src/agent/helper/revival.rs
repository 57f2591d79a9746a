//! A hung program ended by root's hand, for its manager to start it anew. The limit is looked at
//! here again, against the helper's own record.

use guanka_core::name::ServiceName;
use guanka_core::quantity::Millis;
use guanka_core::rollout::liveness::{self, Restarted};
use guanka_core::say::Text;
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::ArmStatus;
use guanka_world::{clock, files, ports, process};

use super::super::liveness::past;
use super::super::refusal::NOT_CONFIGURED;
use super::super::verb::{Hung, Reply};
use super::arms::{self, refusal};
use super::service::Kept;

/// How long a hung program may take to write down what it was doing.
const TRACE_LIMIT: Millis = Millis::from_secs(5);
/// Restarts that are kept on record: above every limit that can be declared for two arms.
const KEPT: usize = 256;

const OFTEN_ENOUGH: Text = Text {
    zh: "重启次数已到所声明的上限",
    en: "it was started anew as often as is declared",
};

const NOT_ITS: Text =
    Text { zh: "这个进程不是该臂的", en: "this process is not the arm's" };

/// Ends an arm's hung program. Noted on disk first: a limit that a kill could reset would be none.
pub(super) fn revive(host: &HostRoot, service: &Kept, hung: Hung) -> Reply {
    let Some(settings) = service.settings() else {
        return refusal(NOT_CONFIGURED);
    };
    let Hung { arm, process: (pid, start), silent } = hung;
    let declared = &settings.declared.process.liveness;
    let mut past = past(host, &service.name);
    let now_ms = clock::now_ms();
    if !declared.is_on || liveness::restarts(declared, now_ms, arm, &past) >= declared.restarts {
        return refusal(OFTEN_ENOUGH);
    }
    let allotted = ports::allotted(host, &service.name).ok().flatten();
    let seen = allotted.map(|ports| arms::seen(host, service, arm, ports.of(arm)));
    let is_arms = seen.is_some_and(|seen| seen.status == Some(ArmStatus::Running { pid }));
    if !is_arms {
        return refusal(NOT_ITS);
    }
    past.push(Restarted { arm, at_ms: now_ms });
    let surplus = past.len().saturating_sub(KEPT);
    if let Err(error) = keep(host, &service.name, &past[surplus..]) {
        return refusal(&error);
    }
    let how = match process::end_hung(pid, start, TRACE_LIMIT) {
        Ok(process::Ended::WithTrace) => "wrote its trace and ended".to_owned(),
        Ok(process::Ended::Killed) => "killed".to_owned(),
        Err(error) => error.to_string(),
    };
    let detail = serde_json::json!({ "arm": arm, "pid": pid, "unanswered": silent, "how": how });
    service.note(host, "arm-restarted", &detail);
    Reply::Done
}

fn keep(host: &HostRoot, service: &ServiceName, past: &[Restarted]) -> std::io::Result<()> {
    files::replace(&host.restarts(service), &serde_json::to_vec(past)?, 0o644)
}

#[cfg(test)]
mod tests {
    use guanka_core::facts::declared::Liveness;
    use guanka_core::name::{Arm, ServiceName};
    use guanka_core::quantity::Millis;
    use guanka_core::rollout::liveness::Restarted;
    use guanka_world::hostroot::HostRoot;

    use super::super::super::liveness::{past, restarts};
    use super::keep;

    fn declared() -> Liveness {
        Liveness { every: Millis(0), after: Millis(0), ..Liveness::default() }
    }

    #[test]
    fn what_was_done_outlives_the_agent() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = HostRoot::new(dir.path());
        let service = ServiceName::new("shop", "prod").expect("a good name");
        guanka_world::files::make_state(&host, &service).expect("made");
        assert_eq!(past(&host, &service), []);
        let now = guanka_world::clock::now_ms();
        let done = [1, 2].map(|ago| Restarted { arm: Arm::Green, at_ms: now - ago });
        keep(&host, &service, &done).expect("kept");
        assert_eq!(past(&host, &service), done);
        assert_eq!(restarts(&host, &service, Arm::Green, &declared()), 2);
        assert_eq!(restarts(&host, &service, Arm::Blue, &declared()), 0);
    }
}
