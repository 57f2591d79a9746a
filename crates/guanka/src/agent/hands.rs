//! The worker's way to the helper: a connection for each question, so that a long one keeps no
//! other waiting.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::thread;

use guanka_core::facts::release::Manifest;
use guanka_core::name::{Arm, ServiceName};
use guanka_core::quantity::Millis;
use guanka_core::say::{Said, Text};
use guanka_world::transport::client::Client;
use guanka_world::transport::files::Files;
use guanka_world::transport::wire::Answer;
use guanka_world::{clock, obstacle};

use super::refusal::{could_not, refused};
use super::stores::Agent;
use super::verb::{Reply, Verb, View};

/// How long the helper may take: a stop waits for the program's own grace.
const LIMIT: Millis = Millis::from_secs(600);
/// How long a worker waits for its helper to come up.
const FIRST: Millis = Millis::from_secs(20);
/// How often what the helper did by itself is fetched.
const NOTES: Millis = Millis::from_secs(1);
/// How long is asked again while the helper answers as many as it can. A driver renews the canary's
/// lease every 5 s and loses it after 30 s.
const FULL: Millis = Millis::from_secs(5);
/// How often.
const AGAIN: Millis = Millis(50);

/// The way to the helper.
#[derive(Clone)]
pub(super) struct Hands {
    socket: PathBuf,
    /// How long is asked again while it is full.
    patience: Millis,
}

impl Hands {
    /// Waits until the helper answers.
    pub(super) fn find(socket: PathBuf) -> io::Result<Self> {
        let hands = Self { socket, patience: FULL };
        let found = clock::wait_for(FIRST, Millis(20), || hands.connect().ok().map(|_| ()));
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the agent's helper does not answer");
        found.ok_or_else(late)?;
        Ok(hands)
    }

    fn connect(&self) -> io::Result<Client> {
        Client::connect(&self.socket, LIMIT)
    }

    /// Asks. Without a helper a worker can keep nothing and ends: whoever keeps it starts both
    /// again, and who had asked it asks again.
    pub(super) fn ask(&self, verb: &Verb) -> io::Result<Reply> {
        living(self.seated(verb)).map(|(_, reply)| reply)
    }

    /// Asks on a connection that is kept. A helper that answers as many as it can has read nothing
    /// of the question: it is put again for a while, and then is refused.
    fn seated(&self, verb: &Verb) -> io::Result<(Client, Reply)> {
        let asked = clock::wait_for(self.patience, AGAIN, || {
            let asked = self.connect().and_then(|mut client| {
                let reply = client.ask(verb)?;
                Ok((client, reply))
            });
            match asked {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => None,
                other => Some(other),
            }
        });
        asked.unwrap_or_else(|| Err(obstacle::saying(io::ErrorKind::ResourceBusy, BUSY.said())))
    }

    /// Asks for what only an answer to the driver can follow.
    pub(super) fn answer(&self, verb: &Verb) -> Answer {
        answer_of(self.ask(verb))
    }

    /// Has a release put in place, and passes on the files that come with a driver's request. They
    /// come once: the connection that they go over has been answered on before.
    pub(super) fn stage(
        &self,
        (service, epoch): (&ServiceName, u64),
        manifest: &Manifest,
        files: &mut Files,
    ) -> Answer {
        let raise = Verb::Raise { service: service.clone(), epoch };
        let mut client = match living(self.seated(&raise)) {
            Ok((client, Reply::Done)) => client,
            other => return answer_of(other.map(|(_, reply)| reply)),
        };
        let (service, kept) = (service.clone(), Box::new(manifest.clone()));
        let verb = Verb::Stage { service, epoch, manifest: kept };
        // Now the asker may be who broke off.
        answer_of(client.ask_forwarding(&verb, files, manifest.files.len()))
    }

    /// Returns how a service stands.
    pub(super) fn view(&self, service: &ServiceName) -> Result<View, Said> {
        match self.ask(&Verb::View { service: service.clone() }) {
            Ok(Reply::View(view)) => Ok(*view),
            Ok(Reply::Answer(answer)) => Err(said(*answer)),
            Ok(_) => Err(UNFIT.said()),
            Err(error) => Err(obstacle::said(&error)),
        }
    }

    /// Returns whether the listener on an arm's port is that arm's program.
    pub(super) fn owns_port(&self, service: &ServiceName, arm: Arm) -> bool {
        self.view(service).is_ok_and(|view| view.arms.get(&arm).is_some_and(|arm| arm.owns_port))
    }
}

/// What is said of a helper that stays full.
const BUSY: Text = Text {
    zh: "agent 有 root 权限的那一半正忙:5 秒内一直在应答尽可能多的其他请求",
    en: "the agent's helper has answered as many others as it can for 5 s",
};

/// What is said of a reply that is none to its verb.
pub(super) const UNFIT: Text = Text {
    zh: "agent 有 root 权限的那一半应答不符:运行的是另一版本",
    en: "the helper's reply does not fit: another version's helper runs",
};

fn answer_of(reply: io::Result<Reply>) -> Answer {
    match reply {
        Ok(Reply::Done) => Answer::Done,
        Ok(Reply::Answer(answer)) => *answer,
        Ok(_) => could_not(UNFIT),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => refused(BUSY.said()),
        Err(error) => could_not(of_helper(&error)),
    }
}

/// Returns the reason of a refusal.
pub(super) fn said(answer: Answer) -> Said {
    match answer {
        Answer::Failed { why, .. } => why,
        _ => UNFIT.said(),
    }
}

fn of_helper(error: &io::Error) -> Said {
    let why = obstacle::said(error);
    Said::new(
        format!("agent 有 root 权限的那一半:{}", why.zh),
        format!("the agent's helper: {}", why.en),
    )
}

/// Ends the worker where the helper has gone.
fn living<T>(asked: io::Result<T>) -> io::Result<T> {
    if asked.as_ref().is_err_and(is_gone) {
        end();
    }
    asked
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionRefused
            | Kind::NotFound
            | Kind::UnexpectedEof
            | Kind::ConnectionReset
            | Kind::BrokenPipe
    )
}

/// Writes what the helper did by itself into the audit log. A note is forgotten by the helper once
/// it is there, so a kill in between writes it twice and never not at all.
pub(super) fn watch(agent: &Arc<Agent>) {
    let agent = Arc::clone(agent);
    thread::spawn(move || {
        let mut fetched = BTreeMap::new();
        let mut line: Option<Client> = None;
        loop {
            let verb = Verb::Notes { fetched: fetched.clone() };
            let asked = match line.take() {
                Some(mut client) => client.ask(&verb).map(|reply| (client, reply)),
                None => agent.hands.seated(&verb),
            };
            if let Ok((client, reply)) = living(asked) {
                line = Some(client);
                fetched.clear();
                let notes = if let Reply::Notes(notes) = reply { notes } else { Vec::new() };
                for (service, note) in notes {
                    let detail = serde_json::from_str(&note.detail).unwrap_or_default();
                    agent.note(&service, &note.action, detail);
                    fetched.insert(service, note.number);
                }
            }
            clock::pause(NOTES);
        }
    });
}

#[expect(clippy::exit, reason = "the thread that answers waits for askers and cannot be told")]
fn end() -> ! {
    process::exit(1)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::thread;

    use guanka_core::quantity::Millis;
    use guanka_world::transport::client::Client;
    use guanka_world::transport::server::{CONNECTIONS_MAX, Server, Session};
    use guanka_world::transport::wire::Answer;

    use super::super::verb::{Reply, Verb};
    use super::{BUSY, Hands, is_gone};

    /// Far longer than any of it takes.
    const LIMIT: Millis = Millis::from_secs(30);

    fn helper(socket: &Path) {
        let server = Server::bind(socket).expect("bound");
        let answer = |_: Verb, _: &mut Session<'_>| Reply::Done;
        thread::spawn(move || server.serve(Arc::new(answer)));
    }

    fn hold(socket: &Path) -> Client {
        let mut client = Client::connect(socket, LIMIT).expect("connected");
        client.ask::<_, Reply>(&Verb::HostFacts).expect("a seat");
        client
    }

    #[test]
    fn a_worker_lives_on_beside_a_full_helper_and_says_so() {
        let dir = tempfile::tempdir().expect("a folder");
        let socket = dir.path().join("helper.sock");
        helper(&socket);
        let _held: Vec<Client> = (0..CONNECTIONS_MAX).map(|_| hold(&socket)).collect();
        // A refusal taken for a helper that has gone would end this process.
        let hands = Hands { socket, patience: Millis(200) };
        let refused = hands.ask(&Verb::HostFacts).expect_err("full");
        assert_eq!(refused.kind(), std::io::ErrorKind::ResourceBusy);
        match hands.answer(&Verb::HostFacts) {
            Answer::Failed { why, .. } => assert_eq!(why, BUSY.said()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_question_to_a_full_helper_is_put_again_until_there_is_a_seat() {
        let dir = tempfile::tempdir().expect("a folder");
        let socket = dir.path().join("helper.sock");
        helper(&socket);
        let mut held: Vec<Client> = (0..CONNECTIONS_MAX).map(|_| hold(&socket)).collect();
        let hands = Hands { socket, patience: LIMIT };
        thread::scope(|scope| {
            let askers: Vec<_> =
                (0..8).map(|_| scope.spawn(|| hands.ask(&Verb::HostFacts))).collect();
            held.pop();
            for asker in askers {
                let reply = asker.join().expect("no panic").expect("answered");
                assert!(matches!(reply, Reply::Done));
            }
        });
    }

    #[test]
    fn only_a_helper_that_has_gone_ends_the_worker() {
        use std::io::{Error, ErrorKind as Kind};
        let gone = [Kind::NotFound, Kind::ConnectionRefused, Kind::UnexpectedEof, Kind::BrokenPipe];
        assert!(gone.into_iter().all(|kind| is_gone(&Error::from(kind))));
        let there = [Kind::ResourceBusy, Kind::TimedOut, Kind::WouldBlock, Kind::Interrupted];
        assert!(!there.into_iter().any(|kind| is_gone(&Error::from(kind))));
    }
}
