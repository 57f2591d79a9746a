//! Whether the arms' programs are alive at all, asked apart from readiness; one that hangs is ended
//! and its manager starts it anew. Whether that is done is core's word; here are the questions, the
//! record of what was done; the hands are the helper's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use guanka_core::facts::declared::Liveness;
use guanka_core::name::{Arm, ServiceName};
use guanka_core::quantity::Millis;
use guanka_core::rollout::liveness::{self, Alive, Restarted, Revival};
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::ArmStatus;
use guanka_world::ports::ArmPorts;
use guanka_world::{clock, files, probe, process};

use super::service::{Service, Settings};
use super::stores::{Agent, lock};
use super::verb::{Hung, Reply, Verb};

/// What is known of a service's programs.
#[derive(Default)]
pub(super) struct Watch {
    arms: BTreeMap<Arm, Watched>,
    /// When an arm was last looked at: to find its process is dear.
    looked: BTreeMap<Arm, Instant>,
    /// Arms at the limit of their restarts: said once, not at every question.
    spent: BTreeSet<Arm>,
}

/// One process of an arm, from when it was first seen.
struct Watched {
    /// Its number and its start: another process is watched from its own beginning.
    process: (u32, u64),
    since: Instant,
    is_open: bool,
    silent: u32,
}

impl Watch {
    /// Returns whether the last questions found no answer, as many as are declared.
    pub(super) fn is_hung(&self, arm: Arm, declared: &Liveness) -> bool {
        self.arms.get(&arm).is_some_and(|watched| watched.silent >= declared.fails)
    }

    fn alive(&self, arm: Arm) -> Option<Alive> {
        let watched = self.arms.get(&arm)?;
        let up = u64::try_from(watched.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some(Alive { up: Millis(up), silent: watched.silent })
    }

    /// Returns whether an arm is to be looked at now, and notes that it is.
    fn is_due(&mut self, arm: Arm, declared: &Liveness) -> bool {
        let every = Duration::from_millis(declared.every.0);
        let is_due = self.looked.get(&arm).is_none_or(|looked| looked.elapsed() >= every);
        if is_due {
            self.looked.insert(arm, Instant::now());
        }
        is_due
    }

    /// Takes note of the process that an arm has now; returns whether it is to be asked.
    fn puts_question(
        &mut self,
        arm: Arm,
        process: Option<(u32, u64)>,
        declared: &Liveness,
    ) -> bool {
        let Some(process) = process else {
            self.arms.remove(&arm);
            return false;
        };
        if self.arms.get(&arm).is_none_or(|watched| watched.process != process) {
            let since = Instant::now();
            let watched = Watched { process, since, is_open: false, silent: 0 };
            self.arms.insert(arm, watched);
        }
        let after = Duration::from_millis(declared.after.0);
        let Some(watched) = self.arms.get_mut(&arm) else { return false };
        if watched.is_open || watched.since.elapsed() < after {
            return false;
        }
        watched.is_open = true;
        true
    }

    fn take_answer(&mut self, arm: Arm, process: (u32, u64), answered: Answered) {
        let Some(watched) = self.arms.get_mut(&arm).filter(|w| w.process == process) else {
            return;
        };
        watched.is_open = false;
        watched.silent = match answered {
            Answered::Something => 0,
            Answered::Nothing => watched.silent.saturating_add(1),
        };
        if answered == Answered::Something {
            self.spent.remove(&arm);
        }
    }
}

/// What came of a question.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answered {
    Something,
    Nothing,
}

/// Asks the arms that are due and looks at what is to be done about those that are silent.
pub(super) fn tick(
    agent: &Arc<Agent>,
    service: &Arc<Service>,
    settings: &Arc<Settings>,
    ports: ArmPorts,
) {
    let declared = &settings.declared.process.liveness;
    if !declared.is_on {
        return;
    }
    for arm in [Arm::Blue, Arm::Green] {
        // An idle arm's port is held: nobody runs there.
        if lock(&service.place).idle.contains(&arm) {
            lock(&service.liveness).arms.remove(&arm);
            continue;
        }
        if !lock(&service.liveness).is_due(arm, declared) {
            continue;
        }
        let process = running(agent, service, arm);
        if !lock(&service.liveness).puts_question(arm, process, declared) {
            continue;
        }
        let Some(process) = process else { continue };
        let (agent, service, settings) =
            (Arc::clone(agent), Arc::clone(service), Arc::clone(settings));
        thread::spawn(move || {
            let declared = &settings.declared;
            let answered = match probe::is_alive(ports.of(arm), declared) {
                true => Answered::Something,
                false => Answered::Nothing,
            };
            lock(&service.liveness).take_answer(arm, process, answered);
            if answered == Answered::Nothing {
                judge(&agent, &service, &declared.process.liveness);
            }
        });
    }
}

/// Returns an arm's process by number and start.
fn running(agent: &Agent, service: &Service, arm: Arm) -> Option<(u32, u64)> {
    let view = agent.hands.view(&service.name).ok()?;
    match view.arms.get(&arm)?.status {
        Some(ArmStatus::Running { pid }) => Some((pid, process::started(pid)?)),
        _ => None,
    }
}

fn judge(agent: &Agent, service: &Service, declared: &Liveness) {
    // An effect under way changes arms itself.
    let Ok(_doing) = service.doing.try_lock() else { return };
    let past = past(&agent.host, &service.name);
    let decided = {
        let watch = lock(&service.liveness);
        liveness::decide(declared, clock::now_ms(), |arm| watch.alive(arm), &past)
    };
    match decided {
        None => {}
        Some(Revival::Restart(arm)) => revive(agent, service, arm),
        Some(Revival::Spent(arm)) => {
            let is_new = lock(&service.liveness).spent.insert(arm);
            let detail = serde_json::json!({ "arm": arm, "restarts": declared.restarts });
            is_new.then(|| agent.note(&service.name, "arm-not-restarted-again", detail));
        }
    }
}

/// Has the helper end an arm's hung program.
fn revive(agent: &Agent, service: &Service, arm: Arm) {
    let watched = lock(&service.liveness).arms.get(&arm).map(|w| (w.process, w.silent));
    let Some((process, silent)) = watched else { return };
    let hung = Hung { arm, process, silent };
    // What is refused now is looked at again with the next question.
    if let Ok(Reply::Done) = agent.hands.ask(&Verb::Revive { service: service.name.clone(), hung })
    {
        lock(&service.liveness).arms.remove(&arm);
        lock(&service.health).forget(arm);
    }
}

/// Returns how often an arm was started anew within the declared time.
pub(super) fn restarts(
    host: &HostRoot,
    service: &ServiceName,
    arm: Arm,
    declared: &Liveness,
) -> u32 {
    liveness::restarts(declared, clock::now_ms(), arm, &past(host, service))
}

/// Returns the restarts on record; the helper writes them down.
pub(super) fn past(host: &HostRoot, service: &ServiceName) -> Vec<Restarted> {
    let text = files::read_text(&host.restarts(service), 1 << 20).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use guanka_core::facts::declared::Liveness;
    use guanka_core::name::Arm;
    use guanka_core::quantity::Millis;

    use super::{Answered, Watch};

    fn declared() -> Liveness {
        Liveness { every: Millis(0), after: Millis(0), ..Liveness::default() }
    }

    #[test]
    fn silence_is_counted_for_one_process_and_an_answer_ends_it() {
        let (declared, first, second) = (declared(), Some((7, 1)), Some((7, 2)));
        let mut watch = Watch::default();
        let ask = |watch: &mut Watch, process: Option<(u32, u64)>, answered| {
            let put = watch.puts_question(Arm::Blue, process, &declared);
            watch.take_answer(Arm::Blue, process.unwrap_or_default(), answered);
            (put, watch.alive(Arm::Blue).map(|alive| alive.silent))
        };
        assert_eq!(ask(&mut watch, first, Answered::Nothing), (true, Some(1)));
        assert_eq!(ask(&mut watch, first, Answered::Nothing), (true, Some(2)));
        assert_eq!(ask(&mut watch, second, Answered::Nothing), (true, Some(1)), "a later process");
        assert_eq!(ask(&mut watch, second, Answered::Something), (true, Some(0)));
        assert_eq!(ask(&mut watch, None, Answered::Nothing), (false, None), "nobody to ask");
    }

    #[test]
    fn an_arm_is_looked_at_at_its_interval() {
        let mut watch = Watch::default();
        let slow = Liveness::default();
        let asked = [Arm::Blue, Arm::Blue, Arm::Green].map(|arm| watch.is_due(arm, &slow));
        assert_eq!(asked, [true, false, true]);
        assert!(watch.is_due(Arm::Blue, &declared()));
    }

    #[test]
    fn one_question_is_open_at_a_time_and_none_in_the_first_minute() {
        let mut watch = Watch::default();
        assert!(watch.puts_question(Arm::Blue, Some((7, 1)), &declared()));
        assert!(!watch.puts_question(Arm::Blue, Some((7, 1)), &declared()), "it is open");
        let late = Liveness::default();
        assert!(!watch.puts_question(Arm::Green, Some((8, 1)), &late), "too young");
        // An answer about a process before is no word on this one.
        watch.take_answer(Arm::Blue, (6, 1), Answered::Nothing);
        assert_eq!(watch.alive(Arm::Blue).map(|alive| alive.silent), Some(0));
    }
}
