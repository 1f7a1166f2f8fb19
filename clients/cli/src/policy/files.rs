//! Files of policies. Either all of them are good, or none is taken.
//!
//! Bound: 8 MiB a file, 10,000 files.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use sextant_policy::{
    document::{self, Problems},
    policy::{Policy, PolicyId},
};

/// Bytes of a file; the documents' reader takes no more.
const MAX_BYTES: u64 = 8 << 20;
/// Files.
const MAX_FILES: usize = 10_000;

/// Which files.
#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// A file of policies (CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy, NetworkPolicy;
    /// YAML or JSON), a folder of them (*.yaml, *.yml, *.json), or `-` for standard input;
    /// repeatable.
    #[arg(
        short = 'f',
        long = "filename",
        value_name = "FILE",
        required = true,
        value_hint = clap::ValueHint::AnyPath
    )]
    files: Vec<PathBuf>,
}

/// Why policies are not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// It is not there, or not to be read.
    #[error("cannot read {}: {cause}; name a file or folder of policies, or -", file.display())]
    Read { file: PathBuf, cause: io::Error },
    /// Too large.
    #[error("{} has more than 8 MiB; divide it", file.display())]
    Large { file: PathBuf },
    /// Nothing in it.
    #[error("{} has no file that ends with .yaml, .yml or .json; name one that has", folder.display())]
    Empty { folder: PathBuf },
    /// Nothing in them.
    #[error("there is no policy in what is named; name a file that has one")]
    None,
    /// Too many.
    #[error("there are more than 10,000 files; name some of them")]
    Many,
    /// Mistakes.
    #[error("{}", of_file(file, problems))]
    Bad { file: PathBuf, problems: Problems },
    /// The same one twice.
    #[error("{}: {id} is in {} too; give each a name of its own", second.display(), first.display())]
    Twice {
        id: PolicyId,
        first: PathBuf,
        second: PathBuf,
    },
}

/// Each with its file in front.
fn of_file(file: &Path, problems: &Problems) -> String {
    let lines = problems
        .0
        .iter()
        .map(|problem| format!("{}: {problem}", file.display()));
    lines.collect::<Vec<_>>().join("\n")
}

/// A policy and the file that it is in.
pub(super) type Found = (Policy, PathBuf);

impl FileArgs {
    /// The policies of all files, or everything that is wrong with them.
    pub(super) fn read(&self) -> Result<Vec<Found>, Vec<FileError>> {
        let mut found: Vec<Found> = Vec::new();
        let mut errors = Vec::new();
        let files = self.paths(&mut errors);
        if files.len() > MAX_FILES {
            return Err(vec![FileError::Many]);
        }
        for file in files {
            match policies(&file) {
                Ok(policies) => {
                    for policy in policies {
                        let same = found.iter().find(|(other, _)| other.id == policy.id);
                        match same {
                            Some((_, first)) => errors.push(FileError::Twice {
                                id: policy.id,
                                first: first.clone(),
                                second: file.clone(),
                            }),
                            None => found.push((policy, file.clone())),
                        }
                    }
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() && found.is_empty() {
            return Err(vec![FileError::None]);
        }
        if errors.is_empty() {
            Ok(found)
        } else {
            Err(errors)
        }
    }

    /// The same, where one error stands for all.
    pub(super) fn policies(&self) -> anyhow::Result<Vec<Policy>> {
        match self.read() {
            Ok(found) => Ok(found.into_iter().map(|(policy, _)| policy).collect()),
            Err(errors) => {
                let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
                anyhow::bail!("{}", texts.join("\n"))
            }
        }
    }

    fn paths(&self, errors: &mut Vec<FileError>) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for file in &self.files {
            if file.as_os_str() != "-" && file.is_dir() {
                match of_folder(file) {
                    Ok(of_folder) => paths.extend(of_folder),
                    Err(error) => errors.push(error),
                }
            } else {
                paths.push(file.clone());
            }
        }
        paths
    }
}

fn of_folder(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let read = |cause| FileError::Read {
        file: folder.to_owned(),
        cause,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if matches!(ending, Some("yaml" | "yml" | "json")) {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        let folder = folder.to_owned();
        return Err(FileError::Empty { folder });
    }
    paths.sort();
    Ok(paths)
}

fn policies(file: &Path) -> Result<Vec<Policy>, FileError> {
    let file = file.to_owned();
    let text = match text(&file) {
        Ok(text) => text,
        Err(cause) => return Err(FileError::Read { file, cause }),
    };
    if text.len() as u64 > MAX_BYTES {
        return Err(FileError::Large { file });
    }
    document::parse(&text).map_err(|problems| FileError::Bad { file, problems })
}

fn text(file: &Path) -> io::Result<String> {
    let input: Box<dyn Read> = if file.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file)?)
    };
    let mut text = String::new();
    input.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    Ok(text)
}
