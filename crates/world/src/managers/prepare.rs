//! What has to be there before an arm starts: its user, its folders, its secrets, and what its
//! program is like. It comes out as the arm's start.

use std::io;
use std::path::PathBuf;

use guanka_core::facts::declared::Declared;
use guanka_core::name::Arm;
use guanka_core::say::Said;

use super::credentials::{self, CredentialError};
use super::spec::ArmSpec;
use super::{program, users};
use crate::hostroot::HostRoot;

/// Why an arm cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Its user is not there and cannot be made.
    #[error("looking for the arm's user: {0}")]
    User(#[source] io::Error),
    /// A folder of its data cannot be made.
    #[error("making {}: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A secret cannot be handed over.
    #[error("{0}")]
    Credential(#[from] CredentialError),
    /// Its program cannot be read.
    #[error("reading {}: {source}", file.display())]
    Program {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl PrepareError {
    /// Returns the sentence for people.
    pub fn said(&self) -> Said {
        let zh = match self {
            Self::User(source) => format!("查找臂的运行用户失败:{source}"),
            Self::Folder { folder, source } => {
                format!("创建目录 {} 失败:{source}", folder.display())
            }
            Self::Credential(error) => return error.said(),
            Self::Program { file, source } => format!("读取 {} 失败:{source}", file.display()),
        };
        Said::new(zh, self.to_string())
    }
}

/// Puts in place what an arm needs and returns its start. The arm points to its release already.
pub fn prepare(
    host: &HostRoot,
    declared: &Declared,
    program: &str,
    (arm, port): (Arm, u16),
) -> Result<ArmSpec, PrepareError> {
    let (service, process) = (&declared.service, &declared.process);
    credentials::check(host, service, &process.limits.credentials)?;
    let file = host.arm(service, arm).join("bin").join(program);
    let traits = program::traits(&file)
        .map_err(|source| PrepareError::Program { file: file.clone(), source })?;
    let run_as =
        users::resolve(host, service, process.user.as_deref()).map_err(PrepareError::User)?;
    for folder in &declared.data_dirs {
        let folder = host.at(folder);
        users::give_folder(&folder, &run_as)
            .map_err(|source| PrepareError::Folder { folder, source })?;
    }
    Ok(ArmSpec::from_declared(host, declared, (program, traits), (arm, port), run_as))
}
