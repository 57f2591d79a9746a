//! Why a running program is not adopted, or not given back.

use std::io;
use std::path::PathBuf;

use guanka_core::name::Domain;
use guanka_core::quantity::Millis;
use guanka_core::say::Said;

use crate::managers::ManagerError;
use crate::releases::StageError;

/// Why a running program is not adopted, or not given back.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The site does not say where its program listens.
    #[error("the site of {0} passes nothing to a port of this machine; name it with --port")]
    NoBackend(Domain),
    /// Nobody listens there.
    #[error("nobody listens on port {0}")]
    Nobody(u16),
    /// It is guanka's already.
    #[error("the program on port {0} is kept by guanka already")]
    Ours(u16),
    /// Its keeper is none that can be taken over.
    #[error("the program on port {port} is kept by {keeper}, which guanka cannot take over")]
    Keeper {
        /// The port.
        port: u16,
        /// The keeper's name.
        keeper: String,
    },
    /// It does not answer where arms are asked.
    #[error("the program on port {0} does not listen on 127.0.0.1")]
    NotLoopback(u16),
    /// It may not be looked at.
    #[error("process {pid} may not be looked at: {source}")]
    Hidden {
        /// The process.
        pid: u32,
        /// Why not.
        source: io::Error,
    },
    /// It did not end, or did not come up.
    #[error("port {port} {what} after {limit}")]
    Late {
        /// The port.
        port: u16,
        /// In which way.
        what: &'static str,
        /// How long was waited.
        limit: Millis,
    },
    /// A file of the keeper's was changed meanwhile.
    #[error("{0} was changed since; put the program back there by hand")]
    Changed(PathBuf),
    /// Its copy could not be put in place.
    #[error("{0}")]
    Stage(#[from] StageError),
    /// The keeper did not do it.
    #[error("{0}")]
    Manager(#[from] ManagerError),
    /// The operating system refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why not.
        source: io::Error,
    },
}

impl AdoptError {
    /// Returns the sentence for people.
    pub fn said(&self) -> Said {
        let zh = match self {
            Self::NoBackend(domain) => {
                format!("{domain} 的站点没有转发到本机端口;请用 --port 指明")
            }
            Self::Nobody(port) => format!("端口 {port} 上没有进程监听"),
            Self::Ours(port) => format!("端口 {port} 上的程序已由 guanka 看管"),
            Self::Keeper { port, keeper } => {
                format!("端口 {port} 上的程序由 {keeper} 看管,guanka 无法接手")
            }
            Self::NotLoopback(port) => format!("端口 {port} 上的程序没有在 127.0.0.1 上监听"),
            Self::Hidden { pid, source } => format!("无权查看进程 {pid}:{source}"),
            Self::Late { port, what, limit } => {
                let what = if *what == ENDED_LATE { "仍被占用" } else { "仍无应答" };
                format!("{limit} 后端口 {port} {what}")
            }
            Self::Changed(path) => {
                format!("{} 已被改动,请在那里手工恢复该程序", path.display())
            }
            Self::Stage(error) => return error.said(),
            Self::Manager(error) => return error.said(),
            Self::Io { doing, source } => format!("{doing}:{source}"),
        };
        Said::new(zh, self.to_string())
    }
}

/// A program that was to end has its port still.
pub(super) const ENDED_LATE: &str = "is still taken";

/// Builds the error of a file operation.
pub(super) fn io_at(doing: impl Into<String>) -> impl FnOnce(io::Error) -> AdoptError {
    let doing = doing.into();
    move |source| AdoptError::Io { doing, source }
}
