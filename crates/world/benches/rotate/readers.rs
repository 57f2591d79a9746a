//! Who reads: the agent's follower, and `guanka logs -f`. Each counts how often it got each number.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use guanka_core::quantity::Millis;
use guanka_world::clock;
use guanka_world::logs::{Unfinished, stream};
use guanka_world::signals::follow::{Follower, Start};
use guanka_world::signals::position::Position;

use crate::load::Numbers;
use crate::{Fallible, LIMIT, LINES_MAX};

/// How often an agent looks before it is thrown away and begun anew from what it has stored.
const LIVES: u64 = 97;
/// The most positions that are stored; the agent's store drops those of a month ago.
const STORED_MAX: usize = 1000;

/// Something that looks for new lines.
pub(crate) trait Looks: Send + 'static {
    /// Gives every new line.
    fn look(&mut self, line: &mut dyn FnMut(&[u8])) -> io::Result<()>;
}

/// The agent's follower.
pub(crate) struct Agent {
    path: PathBuf,
    follower: Follower,
    stored: Vec<Position>,
    looks: u64,
    /// Thrown away after so many looks.
    life: Option<u64>,
}

/// `guanka logs -f`.
pub(crate) struct Follow {
    path: PathBuf,
    place: u64,
}

/// How often a reader has looked since it was asked last.
#[derive(Default)]
pub(crate) struct Polls(AtomicU64);

/// A reader at work.
pub(crate) struct Reader {
    pub(crate) polls: Arc<Polls>,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Vec<u8>>>,
}

/// What a reader got.
pub(crate) struct Counted {
    lost: u64,
    doubled: u64,
    /// How often it got each number.
    pub(crate) seen: Vec<u8>,
}

impl Agent {
    /// An agent that is killed now and then.
    pub(crate) fn restarted(path: &Path) -> Fallible<Self> {
        Ok(Self { life: Some(LIVES), ..Self::lasting(path)? })
    }

    /// An agent that lives on.
    pub(crate) fn lasting(path: &Path) -> Fallible<Self> {
        let follower = Follower::new(path, &[], Start::AtBeginning)?;
        Ok(Self { path: path.to_owned(), follower, stored: Vec::new(), looks: 0, life: None })
    }
}

impl Looks for Agent {
    fn look(&mut self, line: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        self.looks += 1;
        if self.life.is_some_and(|life| self.looks.is_multiple_of(life)) {
            self.follower = Follower::new(&self.path, &self.stored, Start::AtBeginning)?;
        }
        loop {
            let batch = self.follower.poll()?;
            batch.lines.iter().for_each(|found| line(found));
            for position in &batch.positions {
                let key = (position.device, position.inode);
                self.stored.retain(|stored| (stored.device, stored.inode) != key);
                self.stored.push(position.clone());
            }
            self.stored.drain(..self.stored.len().saturating_sub(STORED_MAX));
            self.follower.commit(&batch);
            if !batch.is_full {
                return Ok(());
            }
        }
    }
}

impl Follow {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), place: 0 }
    }
}

impl Looks for Follow {
    fn look(&mut self, line: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        loop {
            let piece = stream::read(&self.path, self.place, Unfinished::Left)?;
            piece.lines.iter().for_each(|found| line(found.as_bytes()));
            self.place = piece.next;
            if !piece.is_more {
                return Ok(());
            }
        }
    }
}

impl Reader {
    /// Starts to look every millisecond or two.
    pub(crate) fn start(mut looks: impl Looks, _of: &Arc<Numbers>) -> Self {
        let (polls, is_over) = (Arc::new(Polls::default()), Arc::new(AtomicBool::new(false)));
        let (counted, over) = (Arc::clone(&polls), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            let mut seen = vec![0_u8; LINES_MAX as usize];
            loop {
                let is_last = over.load(Ordering::SeqCst);
                looks.look(&mut |line| {
                    if let Some(number) = number(line) {
                        seen[number as usize] = seen[number as usize].saturating_add(1);
                    }
                })?;
                counted.0.fetch_add(1, Ordering::SeqCst);
                if is_last {
                    return Ok(seen);
                }
                clock::pause(Millis(1));
            }
        });
        Self { polls, is_over, thread }
    }

    /// Lets it look once more, a while after the last line was written, and counts.
    pub(crate) fn stop(self, numbers: &Numbers) -> Fallible<Counted> {
        // nginx logs a request behind its answer: a few looks later all is there.
        for _ in 0..50 {
            wait_for_polls(&[&self.polls])?;
        }
        self.is_over.store(true, Ordering::SeqCst);
        let seen = self.thread.join().map_err(|_| "a reader panicked")??;
        let all = 0..numbers.given();
        let lost = all.clone().filter(|n| numbers.is_answered(*n) && seen[*n as usize] == 0);
        let doubled = all.filter(|n| seen[*n as usize] > 1);
        Ok(Counted { lost: lost.count() as u64, doubled: doubled.count() as u64, seen })
    }
}

impl Counted {
    /// Returns how many lines were lost or doubled.
    pub(crate) fn wrong(&self) -> u64 {
        self.lost + self.doubled
    }

    /// Returns how many lines were doubled.
    pub(crate) fn doubled(&self) -> u64 {
        self.doubled
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lost, {} doubled", self.lost, self.doubled)
    }
}

/// Waits until each reader has looked once more, from its beginning to its end.
pub(crate) fn wait_for_polls(polls: &[&Arc<Polls>]) -> Fallible<()> {
    let count = |polls: &Polls| polls.0.load(Ordering::SeqCst);
    let before: Vec<u64> = polls.iter().map(|polls| count(polls)).collect();
    let all = || {
        let looked = polls.iter().zip(&before).all(|(polls, before)| count(polls) >= before + 2);
        looked.then_some(())
    };
    clock::wait_for(LIMIT, Millis(1), all).ok_or_else(|| "a reader has ended".into())
}

/// Returns the number of a line.
pub(crate) fn number(line: &[u8]) -> Option<u32> {
    let rest = line.strip_prefix(b"{\"n\":")?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    let number: u32 = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    (number < LINES_MAX).then_some(number)
}
