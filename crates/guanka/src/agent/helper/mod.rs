//! The helper: the small half of the agent that is root. It does typed verbs for the
//! worker, keeps what a host is to be as a document, and refuses an older driver whatever the
//! worker says.

mod adoption;
mod arms;
mod keeping;
mod output;
mod place;
mod reconcile;
mod revival;
mod rotation;
mod service;
mod share;
mod watch;
mod wired;

use std::io;
use std::sync::Arc;

use guanka_core::name::ServiceName;
use guanka_core::rollout::desired::Admission;
use guanka_core::say::Text;
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::own_unit;
use guanka_world::transport::server::{Server, Session};
use guanka_world::transport::wire::Answer;
use guanka_world::{collect, obstacle, process};

use super::opening::Opening;
use super::refusal::{fenced, no_file, refused};
use super::stores::lock;
use super::verb::{Reply, Verb};
use arms::{refusal, unwritten};
use keeping::Helper;
use service::Kept;

const WRONG_WAY: Text = Text {
    zh: "这条指令不改动任何东西,却被当作改动处理",
    en: "this verb changes nothing and came the wrong way",
};

/// Does the worker's verbs until it is ended, and starts the worker where nobody else does.
pub(super) fn serve(host: HostRoot, with: Worker) -> io::Result<()> {
    let socket = host.helper_socket();
    let server = Server::bind(&socket)?;
    let worker = own_unit::worker_user(&host)?;
    own_unit::give_helper_socket(&socket, worker)?;
    let of_worker = host.clone();
    let helper = Opening::begin(move || {
        let helper = Helper::open(host.clone(), worker).map_err(|error| obstacle::said(&error))?;
        let helper = Arc::new(helper);
        helper.recover();
        watch::start(&helper);
        Ok(helper)
    });
    // Tried once at least: the folders that the worker's unit asks for are there, or cannot be.
    own_unit::tell_ready()?;
    if matches!(with, Worker::Started) {
        keeping::keep_worker(of_worker, worker)?;
    }
    let own = process::own_user();
    let admits = move |uid: u32| uid == 0 || uid == own || worker.is_some_and(|w| w.uid == uid);
    server.serve_only(
        Arc::new(admits),
        Arc::new(move |verb, session: &mut Session<'_>| match helper.get() {
            Ok(helper) => answer(&helper, verb, session),
            Err(why) => told(refused(why)),
        }),
    )
}

/// Who starts the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worker {
    /// The helper does, as the worker's user where there is one.
    Started,
    /// The system's manager does.
    ByUnit,
}

fn answer(helper: &Arc<Helper>, verb: Verb, session: &mut Session<'_>) -> Reply {
    let host = &helper.host;
    match verb {
        Verb::Services => Reply::Services(helper.settings()),
        Verb::Notes { fetched } => Reply::Notes(helper.notes(&fetched)),
        Verb::HostFacts => {
            let facts = Box::new(collect::host_facts(host.root()));
            told(Answer::HostFacts { facts })
        }
        Verb::Plan { declared } => {
            told(place::plan(host, &helper.service(&declared.service), &declared))
        }
        Verb::Output { service, arm, from, unfinished } => {
            told(output::page(host, &service, arm, &from, unfinished))
        }
        Verb::Verify { service, release } => {
            place::verify(host, &helper.service(&service), &release)
        }
        Verb::View { service } => match place::view(host, &helper.service(&service)) {
            Ok(view) => Reply::View(Box::new(view)),
            Err(answer) => told(answer),
        },
        Verb::PlanAdoption { service, wanted, declared, consent } => {
            told(adoption::plan(host, &service, &wanted, declared.as_deref(), consent))
        }
        Verb::PlanLeaving { service } => told(adoption::plan_leaving(host, &service)),
        Verb::Adoption { service } => adoption::seen(host, &service),
        Verb::Ways { service } => place::ways(host, &service),
        Verb::Programs { service } => arms::programs(host, &helper.service(&service)),
        Verb::Move { service, to } => {
            let service = helper.service(&service);
            let _doing = lock(&service.doing);
            share::shift(host, &service, to)
        }
        Verb::Revive { service, hung } => {
            let service = helper.service(&service);
            let _doing = lock(&service.doing);
            revival::revive(host, &service, hung)
        }
        other => changing(helper, other, session),
    }
}

/// Does what needs a driver's epoch.
fn changing(helper: &Arc<Helper>, verb: Verb, session: &mut Session<'_>) -> Reply {
    let host = &helper.host;
    let guarded = |service: &ServiceName, epoch: u64, act: &mut dyn FnMut(&Kept) -> Reply| {
        let service = helper.service(service);
        // Renewing must not wait for an order under way: that order may be what takes so long.
        admit(host, &service, epoch).map_or_else(told, |()| act(&service))
    };
    match verb {
        Verb::Raise { service, epoch } => guarded(&service, epoch, &mut |_| Reply::Done),
        Verb::Renew { service, epoch, ttl } => {
            guarded(&service, epoch, &mut |service| share::renew(host, service, ttl))
        }
        Verb::Stage { service, epoch, manifest } => guarded(&service, epoch, &mut |service| {
            told(place::stage(host, service, &manifest, session))
        }),
        Verb::Configure { epoch, settings } => {
            let name = settings.declared.service.clone();
            guarded(&name, epoch, &mut |service| {
                let done = service.configure(host, (*settings).clone());
                done.map_or_else(|error| unwritten(&error), |()| Reply::Done)
            })
        }
        Verb::Install { service, epoch } => {
            alone(helper, &service, epoch, &mut |service| told(place::install(host, service)))
        }
        Verb::Remove { service, epoch } => {
            let done =
                alone(helper, &service, epoch, &mut |service| told(place::remove(host, service)));
            helper.forget(&service);
            done
        }
        Verb::StartArm { service, epoch, arm, release } => {
            alone(helper, &service, epoch, &mut |service| arms::start(host, service, arm, &release))
        }
        Verb::StopArm { service, epoch, arm } => {
            alone(helper, &service, epoch, &mut |service| arms::stop(host, service, arm))
        }
        Verb::SetShare { service, epoch, order } => {
            alone(helper, &service, epoch, &mut |service| share::set(host, service, order))
        }
        Verb::Proven { service, epoch, order } => {
            alone(helper, &service, epoch, &mut |service| share::proven(host, service, order))
        }
        Verb::PutBack { service, epoch, order, before } => {
            alone(helper, &service, epoch, &mut |service| {
                share::put_back(host, service, order, before)
            })
        }
        Verb::Keep { service, epoch, arm } => {
            alone(helper, &service, epoch, &mut |service| share::keep(host, service, arm))
        }
        other => adopting(helper, other),
    }
}

/// Does what takes a running program in, or gives it back.
fn adopting(helper: &Arc<Helper>, verb: Verb) -> Reply {
    let host = &helper.host;
    match verb {
        Verb::Adopt { service, epoch, wanted, consent } => {
            let done = alone(helper, &service, epoch, &mut |service| {
                told(adoption::adopt(host, service, &wanted, consent))
            });
            helper.forget(&service);
            done
        }
        Verb::Adopted { service, epoch } => {
            alone(helper, &service, epoch, &mut |service| adoption::adopted(host, service))
        }
        Verb::Unadopt { service, epoch } => {
            let done = alone(helper, &service, epoch, &mut |service| adoption::undo(host, service));
            helper.forget(&service);
            done
        }
        Verb::BringBack { service, epoch } => {
            alone(helper, &service, epoch, &mut |service| told(adoption::bring_back(host, service)))
        }
        Verb::HandBack { service, epoch } => {
            alone(helper, &service, epoch, &mut |service| told(adoption::hand_back(host, service)))
        }
        _ => refusal(WRONG_WAY),
    }
}

/// Does something for a driver while nothing else changes the service.
fn alone(
    helper: &Arc<Helper>,
    service: &ServiceName,
    epoch: u64,
    act: &mut dyn FnMut(&Kept) -> Reply,
) -> Reply {
    let kept = helper.service(service);
    let _doing = lock(&kept.doing);
    admit(&helper.host, &kept, epoch).map_or_else(told, |()| act(&kept))
}

/// Lets a driver's verb through, with its epoch stored before anything is done for it.
fn admit(host: &HostRoot, service: &Kept, epoch: u64) -> Result<(), Answer> {
    match service.desired()?.admission(epoch) {
        Admission::Present => Ok(()),
        Admission::Older => Err(fenced(epoch)),
        Admission::Newer => service
            .change(host, |desired| desired.epoch = desired.epoch.max(epoch))
            .map_err(|error| no_file(&error)),
    }
}

fn told(answer: Answer) -> Reply {
    Reply::Answer(Box::new(answer))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use guanka_core::name::{Arm, ServiceName};
    use guanka_world::files;
    use guanka_world::hostroot::HostRoot;
    use guanka_world::transport::server::{Server, Session};
    use guanka_world::transport::wire::{Answer, FailedKind};

    use super::super::hands::Hands;
    use super::super::refusal::NOT_CONFIGURED;
    use super::service::Kept;
    use super::{Reply, Verb, admit, arms, place, told};

    fn is_fenced(done: &Result<(), Answer>) -> bool {
        matches!(done, Err(Answer::Failed { kind: FailedKind::Fenced, .. }))
    }

    #[test]
    fn an_older_driver_is_refused_by_a_helper_that_was_started_anew() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = HostRoot::new(dir.path());
        let name = ServiceName::new("shop", "demo").expect("a good name");
        assert!(admit(&host, &Kept::load(&host, &name), 5).is_ok());
        let anew = Kept::load(&host, &name);
        assert!(is_fenced(&admit(&host, &anew, 4)));
        assert!(admit(&host, &anew, 5).is_ok());
        assert!(admit(&host, &anew, 6).is_ok());
        assert!(is_fenced(&admit(&host, &Kept::load(&host, &name), 5)));
    }

    #[test]
    fn a_refusal_that_comes_through_the_helper_keeps_its_chinese() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = HostRoot::new(dir.path());
        let name = ServiceName::new("shop", "demo").expect("a good name");
        files::make_state(&host, &name).expect("made");
        std::fs::write(host.desired(&name), "{").expect("damaged");
        let socket = dir.path().join("helper.sock");
        let server = Server::bind(&socket).expect("bound");
        let kept = Kept::load(&host, &name);
        let does = move |verb: Verb, _: &mut Session<'_>| match verb {
            Verb::StopArm { arm, .. } => arms::stop(&host, &kept, arm),
            _ => place::view(&host, &kept).map_or_else(told, |_| Reply::Done),
        };
        thread::spawn(move || server.serve(Arc::new(does)));
        let hands = Hands::find(socket).expect("it answers");
        let damaged = hands.view(&name).expect_err("a damaged document");
        assert!(damaged.zh.contains("demo/desired.json 已损坏"), "{damaged:?}");
        assert!(!damaged.en.contains("已损坏"), "{damaged:?}");
        match hands.answer(&Verb::StopArm { service: name, epoch: 1, arm: Arm::Blue }) {
            Answer::Failed { why, .. } => assert_eq!(why, NOT_CONFIGURED.said()),
            other => panic!("{other:?}"),
        }
    }
}
