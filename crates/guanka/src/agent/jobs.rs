//! Work that takes longer than an answer may: it runs in a thread of its own under its effect's
//! key, and who asks again hears how far it is, until it is done.

use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::thread;

use guanka_core::say::Said;
use guanka_world::transport::wire::Answer;

use super::stores::lock;

/// How many answers are kept for who asks again: far more than one rollout has, and an agent lives
/// through thousands of them.
const ANSWERS_MAX: usize = 256;

/// The jobs of one service.
#[derive(Clone, Default)]
pub(super) struct Jobs {
    jobs: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    jobs: BTreeMap<String, Job>,
    /// The jobs that are done, the oldest first.
    done: VecDeque<String>,
}

impl Known {
    fn finish(&mut self, key: &str, answer: Answer) {
        self.jobs.insert(key.to_owned(), Job::Done(Box::new(answer)));
        self.done.push_back(key.to_owned());
        while self.done.len() > ANSWERS_MAX {
            let Some(oldest) = self.done.pop_front() else { break };
            if matches!(self.jobs.get(&oldest), Some(Job::Done(_))) {
                self.jobs.remove(&oldest);
            }
        }
    }
}

enum Job {
    Working(Said),
    Done(Box<Answer>),
}

/// Where a job says how far it is.
#[derive(Clone)]
pub(super) struct Progress {
    jobs: Jobs,
    key: String,
}

impl Jobs {
    /// Returns a job's answer, or how far it is; starts it when it is not there. Work that comes to
    /// no answer is begun anew by the next question.
    pub(super) fn ask(
        &self,
        key: &str,
        begin: Said,
        work: impl FnOnce(&Progress) -> Option<Answer> + Send + 'static,
    ) -> Answer {
        let mut jobs = lock(&self.jobs);
        match jobs.jobs.get(key) {
            Some(Job::Working(progress)) => return Answer::Working { progress: progress.clone() },
            Some(Job::Done(answer)) => return (**answer).clone(),
            None => {}
        }
        jobs.jobs.insert(key.to_owned(), Job::Working(begin.clone()));
        drop(jobs);
        let progress = Progress { jobs: self.clone(), key: key.to_owned() };
        thread::spawn(move || {
            let done = std::panic::catch_unwind(AssertUnwindSafe(|| work(&progress)));
            let jobs = &progress.jobs.jobs;
            match done {
                Ok(Some(answer)) => {
                    lock(jobs).finish(&progress.key, answer);
                }
                // A mistake of ours in a job must not answer "at work" for ever either.
                Ok(None) | Err(_) => {
                    lock(jobs).jobs.remove(&progress.key);
                }
            }
        });
        Answer::Working { progress: begin }
    }

    /// Forgets a job's answer, so that the same key begins it again.
    pub(super) fn forget(&self, key: &str) {
        let mut jobs = lock(&self.jobs);
        if matches!(jobs.jobs.get(key), Some(Job::Done(_))) {
            jobs.jobs.remove(key);
            jobs.done.retain(|done| done != key);
        }
    }
}

impl Progress {
    /// Says how far the job is.
    pub(super) fn say(&self, said: Said) {
        let mut jobs = lock(&self.jobs.jobs);
        if let Some(job @ Job::Working(_)) = jobs.jobs.get_mut(&self.key) {
            *job = Job::Working(said);
        }
    }
}

#[cfg(test)]
mod tests {
    use guanka_core::quantity::Millis;
    use guanka_core::say::Said;
    use guanka_world::clock;
    use guanka_world::transport::wire::Answer;

    use super::{ANSWERS_MAX, Jobs};
    use crate::agent::refusal::fenced;
    use crate::agent::stores::lock;

    #[test]
    fn work_that_was_left_by_its_driver_is_begun_anew_for_the_next_one() {
        let jobs = Jobs::default();
        let said = || Said::new("a", "a");
        // Waits until it is over what the driver of an epoch hears.
        let hears = |answer: fn() -> Option<Answer>| {
            let ask = || match jobs.ask("key", said(), move |_| answer()) {
                Answer::Working { .. } => None,
                other => Some(other),
            };
            clock::wait_for(Millis::from_secs(20), Millis(1), ask).expect("an answer")
        };
        let begun = jobs.ask("key", said(), |_| None);
        assert!(matches!(begun, Answer::Working { .. }));
        assert!(matches!(hears(|| Some(Answer::Done)), Answer::Done));
        assert!(matches!(hears(|| Some(fenced(7))), Answer::Done), "it is done once");
        jobs.forget("key");
        assert!(matches!(hears(|| Some(fenced(7))), Answer::Failed { .. }));
    }

    #[test]
    fn an_agent_that_lives_long_keeps_the_last_answers_and_not_all() {
        let jobs = Jobs::default();
        for number in 0..ANSWERS_MAX + 10 {
            lock(&jobs.jobs).finish(&format!("key {number}"), Answer::Done);
        }
        let known = lock(&jobs.jobs);
        assert_eq!((known.jobs.len(), known.done.len()), (ANSWERS_MAX, ANSWERS_MAX));
        assert!(known.jobs.contains_key("key 10") && !known.jobs.contains_key("key 9"));
    }
}
