//! What the driver does itself: the static checks, the build, sending the release, keeping what the
//! gates found for the report.

use std::path::{Path, PathBuf};

use guanka_core::checks::{CheckRun, Ending, run_all};
use guanka_core::facts::declared::Declared;
use guanka_core::facts::release::Manifest;
use guanka_core::finding::Finding;
use guanka_core::name::Digest;
use guanka_core::report::release::ReleaseReport;
use guanka_core::rollout::event::{CheckResult, Event};
use guanka_core::rollout::spec::{Past, ReleaseId};
use guanka_core::say::Said;
use guanka_world::transport::wire::{Answer, Request};
use guanka_world::{build, clock, files, hash};

use super::evidence::Judgement;
use super::ledger::Ledger;
use super::link::{Link, unexpected};
use super::progress::Progress;
use crate::commands::check::{Sources, collect};
use crate::failure::codes::{BUILD, FILE};
use crate::failure::{Failure, because};

/// The driver's own hands.
pub(crate) struct Central {
    pub(crate) declared: Declared,
    pub(crate) project: PathBuf,
    /// What was built, with its folder.
    built: Option<(PathBuf, Manifest)>,
    /// A release that lies on the host already and passed its gates in its own time: going back to
    /// it needs neither checks nor a build.
    kept: Option<ReleaseId>,
    /// Findings of the static gate that block.
    pub(crate) findings: Vec<Finding>,
    /// The last judgement of each gate, in the order in which they began.
    pub(crate) judged: Vec<Judgement>,
    /// What a failed build said.
    pub(crate) build_failed: Option<Failure>,
    pub(crate) reported: Option<ReleaseReport>,
}

impl Central {
    /// Begins with nothing done.
    pub(crate) fn new(declared: Declared, project: PathBuf) -> Self {
        Self {
            declared,
            project,
            built: None,
            kept: None,
            findings: Vec::new(),
            judged: Vec::new(),
            build_failed: None,
            reported: None,
        }
    }

    /// Begins with a release that lies on the host already.
    pub(crate) fn of_kept(declared: Declared, project: PathBuf, release: ReleaseId) -> Self {
        Self { kept: Some(release), ..Self::new(declared, project) }
    }

    /// Runs the static checks over source and host together.
    pub(crate) fn check(&mut self, link: &mut Link, progress: &Progress) -> Result<Event, Failure> {
        if self.kept.is_some() {
            return Ok(Event::ChecksDone { result: CheckResult::Passed, evidence: None });
        }
        let mut facts = collect(Sources {
            module: &self.project,
            root: None,
            binary: None,
            declared: Some(self.declared.clone()),
        })?;
        match link.ask(&Request::HostFacts)? {
            Answer::HostFacts { facts: host } => facts.take_host(*host),
            other => return Err(unexpected(&other)),
        }
        let today: String = clock::rfc3339(clock::now_ms()).chars().take(10).collect();
        let run = run_all(&facts, &self.declared.gates.allow, &today);
        let result = match run.ending() {
            Ending::Clean => CheckResult::Passed,
            Ending::Blocked => CheckResult::Blocked,
            Ending::NotProven => CheckResult::Unknown,
        };
        progress.checked(&run);
        self.findings = run.findings.iter().filter(|f| f.blocks()).cloned().collect();
        Ok(Event::ChecksDone { result, evidence: Some(digest_of(&run)) })
    }

    /// Builds the release. What was built before a crash is built again to the same digest.
    pub(crate) fn build(
        &mut self,
        ledger: &Ledger,
        arch: &str,
        progress: &Progress,
    ) -> Result<Event, Failure> {
        if let Some(release) = self.kept.clone() {
            return Ok(Event::BuildDone { release, past: Past::Clean });
        }
        progress.working(&Said::new("正在构建", "building"));
        let target = self.target(arch);
        match build::build(&self.project, &self.declared, &target, &self.work()) {
            Ok(built) => {
                let manifest = built.manifest;
                let release = ReleaseId {
                    release: built.release.clone(),
                    artifact: manifest.artifact.clone(),
                    config: manifest.config.clone(),
                    revision: super::submission::revision(&self.project),
                };
                let past =
                    if ledger.marked_bad(&built.release) { Past::MarkedBad } else { Past::Clean };
                progress.built(&built.release, &built.go, &manifest);
                self.built = Some((built.folder, manifest));
                Ok(Event::BuildDone { release, past })
            }
            Err(error) => {
                let failed = failed_build(&self.project, &error);
                let reason = failed.why.en.clone();
                self.build_failed = Some(failed);
                Ok(Event::BuildFailed { reason })
            }
        }
    }

    /// Sends the release to the host, building it again where this driver has not built it itself.
    /// A source that has moved on builds another release, which is not sent.
    pub(crate) fn send(
        &mut self,
        link: &mut Link,
        epoch: u64,
        release: &Digest,
    ) -> Result<(), Failure> {
        if self.kept.is_some() {
            return Ok(());
        }
        if self.built.is_none() {
            let target = self.target(&link.arch()?);
            let built = build::build(&self.project, &self.declared, &target, &self.work())
                .map_err(|error| failed_build(&self.project, &error))?;
            if built.release != *release {
                return Err(moved_on(&self.project, release, &built.release));
            }
            self.built = Some((built.folder, built.manifest));
        }
        let Some((folder, manifest)) = &self.built else { return Ok(()) };
        let paths: Vec<PathBuf> = manifest.files.iter().map(|f| folder.join(&f.path)).collect();
        let request = Request::Stage {
            service: self.declared.service.clone(),
            epoch,
            manifest: Box::new(manifest.clone()),
        };
        link.ask_with_files(&request, &paths).map(|_| ())
    }

    /// Returns whether there is a source to send the release from again.
    pub(crate) fn can_send(&self) -> bool {
        self.kept.is_none()
    }

    /// Keeps what a gate found; a newer judgement of the same gate takes the older one's place.
    pub(crate) fn keep(&mut self, judged: Judgement) {
        self.judged.retain(|known| known.judgement.gate != judged.judgement.gate);
        self.judged.push(judged);
    }

    /// Returns the declared target that the host's machine takes.
    fn target(&self, arch: &str) -> String {
        let own = format!("linux/{arch}");
        let targets = &self.declared.build.targets;
        targets.iter().find(|target| **target == own).or(targets.first()).cloned().unwrap_or(own)
    }

    /// Returns where builds are kept: beside the source, out of Go's sight and git's.
    fn work(&self) -> PathBuf {
        let work = self.project.join(".guanka");
        // Without the mark the folder shows up in `git status`; that is all.
        let _ = files::make_dir(&work, 0o755)
            .and_then(|()| files::replace(&work.join(".gitignore"), b"*\n", 0o644));
        work.join("build")
    }
}

/// Turns a failed build into a failure with the place in the source.
pub(crate) fn failed_build(project: &Path, error: &build::BuildError) -> Failure {
    let shown = project.display();
    let doing = Said::new(format!("正在构建 {shown}"), format!("building {shown}"));
    let failed = Failure::new(&BUILD, doing, error.why()).next(error.next());
    match error.span() {
        Some(span) => failed.at(span.clone()),
        None => failed,
    }
}

/// Builds the failure for a source that no longer gives the release under way.
fn moved_on(project: &Path, release: &Digest, built: &Digest) -> Failure {
    let (shown, was, now) = (project.display(), release.short(), built.short());
    Failure::new(
        &BUILD,
        Said::new(format!("正在重新构建 {was}"), format!("building {was} again")),
        Said::new(
            format!("{shown} 的源码已变,现在构建出的是 {now}"),
            format!("the source in {shown} has changed and now gives {now}"),
        ),
    )
    .next(Said::new(
        "恢复源码后 `guanka resume`,或 `guanka abort` 后重新发布",
        "put the source back and `guanka resume`, or `guanka abort` and ship again",
    ))
}

/// Returns the digest of what the checks found, for the journal.
fn digest_of(run: &CheckRun) -> Digest {
    let findings = serde_json::to_string(&run.findings).unwrap_or_default();
    let unknowns = serde_json::to_string(&run.unknowns).unwrap_or_default();
    hash::of_bytes(format!("{findings}\n{unknowns}").as_bytes())
}

/// Reads the routes of a module's source, as the agent counts by them.
pub(crate) fn routes(project: &Path) -> Vec<String> {
    let (source, _) = guanka_world::collect::gomodule::read(project);
    source
        .routes
        .iter()
        .map(|route| match &route.method {
            Some(method) => format!("{method} {}", route.pattern),
            None => route.pattern.clone(),
        })
        .collect()
}

/// Returns a failure for a project folder that is not there.
pub(crate) fn project_folder(project: &Path) -> Result<PathBuf, Failure> {
    files::absolute(project).map_err(|error| {
        let shown = project.display();
        let doing = Said::new(format!("正在打开项目 {shown}"), format!("opening {shown}"));
        Failure::new(&FILE, doing, because(&error))
    })
}
