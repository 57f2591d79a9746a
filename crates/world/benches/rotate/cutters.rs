//! The panel's two cutters, step by step as they work: the site cutter renames, packs at once and
//! reloads nginx in the end; the project cutter copies and truncates. Each loses lines on disk by
//! itself; a reader may lose none of those that are there.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use guanka_world::files;

use crate::host::Host;
use crate::load::{Load, Numbers};
use crate::readers::{Agent, Counted, Reader, number};
use crate::{Fallible, LINES_MAX, Shown, due};

/// What the project cutter reads at once.
const CHUNK: usize = 100 << 10;
/// How large a log it cuts here: large enough that copying it takes a while.
const COPIED: u64 = 64 << 10;
/// How many of its copies stay; the panel keeps 180.
const COPIES: u32 = 20;

/// Which numbers reached an archive or the log itself.
struct OnDisk(Vec<bool>);

impl OnDisk {
    fn new() -> Self {
        Self(vec![false; LINES_MAX as usize])
    }

    fn add(&mut self, text: &[u8]) {
        for number in text.split(|byte| *byte == b'\n').filter_map(number) {
            self.0[number as usize] = true;
        }
    }

    /// Ends writer and reader and weighs what each of them has.
    fn end(&mut self, host: &Host, load: Load, agent: Reader) -> Fallible<Weighed> {
        let numbers = load.stop()?;
        let read = agent.stop(&numbers)?;
        self.add(&fs::read(&host.log)?);
        let (gap, saved, lost) = self.weigh(&numbers, &read);
        Ok(Weighed { answered: numbers.answered(), read, gap, saved, lost })
    }

    /// Tells what the cutter lost, and what the reader lost of what was left to it.
    fn weigh(&self, numbers: &Numbers, read: &Counted) -> (u64, u64, u64) {
        let (mut gap, mut saved, mut lost) = (0, 0, 0);
        for n in (0..numbers.given()).filter(|n| numbers.is_answered(*n)) {
            let (is_there, is_seen) = (self.0[n as usize], read.seen[n as usize] > 0);
            gap += u64::from(!is_there);
            saved += u64::from(!is_there && is_seen);
            lost += u64::from(is_there && !is_seen);
        }
        (gap, saved, lost)
    }
}

/// What came of a run.
struct Weighed {
    read: Counted,
    answered: usize,
    /// Requests whose lines no file has: the cutter's own gap.
    gap: u64,
    /// Those of them that the agent has read all the same.
    saved: u64,
    /// Lines that a file has and the agent has not.
    lost: u64,
}

/// Cuts as the panel's site cutter does.
pub(crate) fn late_reload(count: u32) -> Fallible<Shown> {
    let host = Host::start()?;
    let load = Load::start(host.address, 2)?;
    let agent = Reader::start(Agent::lasting(&host.log)?, &load.numbers);
    let folder = host.log.with_file_name("history_backups").join("site");
    fs::create_dir_all(&folder)?;
    let mut disk = OnDisk::new();
    let since = Instant::now();
    for cut in 0..count {
        due(&host, 1, &[&agent.polls])?;
        let moved = folder.join(format!("site_access_{cut}.log"));
        fs::rename(&host.log, &moved)?;
        disk.add(&pack(&moved)?);
        // The panel keeps them; here a thousand would only fill the disk.
        files::remove(&packed(&moved))?;
        host.reload()?;
    }
    let secs = since.elapsed().as_secs_f64();
    let Weighed { read, answered, gap, saved, lost } = disk.end(&host, load, agent)?;
    Ok(Shown {
        sentence: format!(
            "panel's site cutter (rename, gzip at once, reload last): {count} cuts in {secs:.0} s, \
             {answered} requests answered; agent: {lost} lost of what was on disk, {} doubled; by \
             the cutter's own gap {gap} never reached an archive, {saved} of them the agent has \
             read all the same",
            read.doubled(),
        ),
        // Here the reader holds the moved file: it has no excuse for the gap either.
        wrong: read.wrong(),
    })
}

/// Packs a file as gzip does, from what is in it now, and removes it; returns what was packed.
fn pack(path: &Path) -> Fallible<Vec<u8>> {
    let text = fs::read(path)?;
    let mut encoder = GzEncoder::new(File::create(packed(path))?, Compression::fast());
    encoder.write_all(&text)?;
    encoder.finish()?;
    fs::remove_file(path)?;
    Ok(text)
}

fn packed(path: &Path) -> PathBuf {
    path.with_extension("log.gz")
}

/// Cuts as the panel's project cutter does.
pub(crate) fn copy_and_truncate(count: u32) -> Fallible<Shown> {
    let host = Host::start()?;
    let load = Load::start(host.address, 2)?;
    let agent = Reader::start(Agent::restarted(&host.log)?, &load.numbers);
    let folder = host.log.with_file_name("site-history_logs");
    fs::create_dir_all(&folder)?;
    let mut disk = OnDisk::new();
    let since = Instant::now();
    for cut in 0..count {
        due(&host, COPIED, &[&agent.polls])?;
        let target = folder.join(format!("{cut}.log"));
        let text = copy(&host.log, &target)?;
        OpenOptions::new().write(true).open(&host.log)?.set_len(0)?;
        disk.add(&text);
        // The panel packs its copies where it is told to.
        if cut % 2 == 1 {
            pack(&target)?;
        }
        if let Some(old) = cut.checked_sub(COPIES) {
            for ending in ["log", "log.gz"] {
                files::remove(&folder.join(format!("{old}.{ending}")))?;
            }
        }
    }
    let secs = since.elapsed().as_secs_f64();
    let Weighed { read, answered, gap, saved, lost } = disk.end(&host, load, agent)?;
    Ok(Shown {
        sentence: format!(
            "panel's project cutter (copy and truncate, every other copy packed): {count} cuts in \
             {secs:.0} s, {answered} requests answered; agent: {lost} lost of what was on disk, \
             {} doubled; by the cutter's own gap {gap} never reached a copy, {saved} of them the \
             agent has read all the same",
            read.doubled(),
        ),
        wrong: lost + read.doubled(),
    })
}

/// Copies what is there, a chunk at a time, and returns it.
fn copy(from: &Path, to: &Path) -> Fallible<Vec<u8>> {
    let (mut source, mut target) = (File::open(from)?, File::create(to)?);
    let mut text = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = source.read(&mut chunk)?;
        if read == 0 {
            return Ok(text);
        }
        target.write_all(&chunk[..read])?;
        text.extend_from_slice(&chunk[..read]);
    }
}
