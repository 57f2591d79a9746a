//! The worker's way to the helper: a connection for each question, so that a long one keeps no
//! other waiting.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::thread;

use guanka_core::name::{Arm, ServiceName};
use guanka_core::quantity::Millis;
use guanka_core::say::Said;
use guanka_world::clock;
use guanka_world::transport::client::Client;
use guanka_world::transport::files::Files;
use guanka_world::transport::wire::Answer;

use super::refusal::could_not;
use super::stores::Agent;
use super::verb::{Reply, Verb, View};

/// How long the helper may take: a stop waits for the program's own grace.
const LIMIT: Millis = Millis::from_secs(600);
/// How long a worker waits for its helper to come up.
const FIRST: Millis = Millis::from_secs(20);
/// How often what the helper did by itself is fetched.
const NOTES: Millis = Millis::from_secs(1);

/// The way to the helper.
#[derive(Clone)]
pub(super) struct Hands {
    socket: PathBuf,
}

impl Hands {
    /// Waits until the helper answers.
    pub(super) fn find(socket: PathBuf) -> io::Result<Self> {
        let hands = Self { socket };
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
        living(self.connect().and_then(|mut client| client.ask(verb)))
    }

    /// Asks for what only an answer to the driver can follow.
    pub(super) fn answer(&self, verb: &Verb) -> Answer {
        answer_of(self.ask(verb))
    }

    /// Asks and passes on the files that came with a driver's request.
    pub(super) fn forward(&self, verb: &Verb, files: &mut Files, count: usize) -> Answer {
        // Later the asker may be who broke off.
        let client = living(self.connect());
        answer_of(client.and_then(|mut client| client.ask_forwarding(verb, files, count)))
    }

    /// Returns how a service stands.
    pub(super) fn view(&self, service: &ServiceName) -> Result<View, String> {
        match self.ask(&Verb::View { service: service.clone() }) {
            Ok(Reply::View(view)) => Ok(*view),
            Ok(Reply::Answer(answer)) => Err(why(&answer)),
            Ok(_) => Err(UNFIT.to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Returns whether the listener on an arm's port is that arm's program.
    pub(super) fn owns_port(&self, service: &ServiceName, arm: Arm) -> bool {
        self.view(service).is_ok_and(|view| view.arms.get(&arm).is_some_and(|arm| arm.owns_port))
    }
}

/// What is said of a reply that is none to its verb.
pub(super) const UNFIT: &str = "the helper's reply does not fit: another version's helper runs";

fn answer_of(reply: io::Result<Reply>) -> Answer {
    match reply {
        Ok(Reply::Done) => Answer::Done,
        Ok(Reply::Answer(answer)) => *answer,
        Ok(_) => could_not(UNFIT),
        Err(error) => could_not(&format!("the agent's helper: {error}")),
    }
}

/// Returns the reason of a refusal.
pub(super) fn said(answer: Answer) -> Said {
    match answer {
        Answer::Failed { why, .. } => why,
        _ => Said::new(UNFIT, UNFIT),
    }
}

/// Returns the reason of a refusal as one text.
pub(super) fn why(answer: &Answer) -> String {
    match answer {
        Answer::Failed { why, .. } => why.en.clone(),
        _ => UNFIT.to_owned(),
    }
}

/// Ends the worker where the helper has gone.
fn living<T>(asked: io::Result<T>) -> io::Result<T> {
    if let Err(error) = &asked {
        use io::ErrorKind as Kind;
        let is_gone = matches!(
            error.kind(),
            Kind::ConnectionRefused
                | Kind::NotFound
                | Kind::UnexpectedEof
                | Kind::ConnectionReset
                | Kind::BrokenPipe
        );
        if is_gone {
            end();
        }
    }
    asked
}

/// Writes what the helper did by itself into the audit log. A note is forgotten by the helper once
/// it is there, so a kill in between writes it twice and never not at all.
pub(super) fn watch(agent: &Arc<Agent>) {
    let agent = Arc::clone(agent);
    thread::spawn(move || {
        let mut fetched = BTreeMap::new();
        let Ok(mut line) = agent.hands.connect() else { end() };
        loop {
            let asked = line.ask(&Verb::Notes { fetched: std::mem::take(&mut fetched) });
            if let Ok(Reply::Notes(notes)) = living(asked) {
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
