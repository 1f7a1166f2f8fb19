//! Files of policies. Either all of them are good, or none is taken.
//!
//! Bound: 8 MiB a file, 10,000 files.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use sextant_policy::{
    document::{self, Problems, Written},
    policy::{Policy, PolicyId},
};
use sextant_proto::sextant::policy::v1::Document;

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

/// The same, where a server may have them instead.
#[derive(Debug, Args)]
pub(super) struct MaybeFileArgs {
    /// A file of policies (CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy, NetworkPolicy;
    /// YAML or JSON), a folder of them (*.yaml, *.yml, *.json), or `-` for standard input;
    /// repeatable [default: the policies of the server]
    #[arg(
        short = 'f',
        long = "filename",
        value_name = "FILE",
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
        let texts = texts(&self.files)?;
        let policies = |(file, written): (PathBuf, Written)| (written.policy, file);
        Ok(written(&texts)?.into_iter().map(policies).collect())
    }

    /// The same with their documents, where one error stands for all.
    pub(super) fn written(&self) -> anyhow::Result<Vec<Written>> {
        let read = || written(&texts(&self.files)?);
        let all = read().map_err(one)?.into_iter();
        Ok(all.map(|(_, written)| written).collect())
    }

    /// The files as the service takes them, after a look whether they are right.
    pub(super) fn documents(&self) -> anyhow::Result<Vec<Document>> {
        documents(&self.files)
    }

    /// A folder among these that has files of policies in folders of its own, which are
    /// not read.
    pub(super) fn passed_over(&self) -> Option<PathBuf> {
        let folders = self.files.iter().filter(|file| file.is_dir());
        let inner = folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten());
        let paths = inner.flatten().map(|entry| entry.path());
        let mut folders = paths.filter(|path| path.is_dir());
        folders.find(|folder| of_folder(folder).is_ok() || has_folder(folder))
    }
}

fn has_folder(folder: &Path) -> bool {
    let inner = fs::read_dir(folder).into_iter().flatten().flatten();
    inner.map(|entry| entry.path()).any(|path| path.is_dir())
}

impl MaybeFileArgs {
    /// The files as the service takes them, if any are named.
    pub(super) fn documents(&self) -> anyhow::Result<Vec<Document>> {
        match self.files.is_empty() {
            true => Ok(Vec::new()),
            false => documents(&self.files),
        }
    }

    /// The policies of all files, if any are named.
    pub(super) fn policies(&self) -> anyhow::Result<Option<Vec<Policy>>> {
        if self.files.is_empty() {
            return Ok(None);
        }
        let read = || written(&texts(&self.files)?);
        let all = read().map_err(one)?.into_iter();
        Ok(Some(all.map(|(_, written)| written.policy).collect()))
    }
}

fn documents(files: &[PathBuf]) -> anyhow::Result<Vec<Document>> {
    let texts = texts(files).map_err(one)?;
    written(&texts).map_err(one)?;
    let document = |(file, text): (PathBuf, String)| Document {
        name: file.display().to_string(),
        text,
    };
    Ok(texts.into_iter().map(document).collect())
}

fn one(errors: Vec<FileError>) -> anyhow::Error {
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("{}", texts.join("\n"))
}

/// What is in the files.
fn texts(files: &[PathBuf]) -> Result<Vec<(PathBuf, String)>, Vec<FileError>> {
    let mut errors = Vec::new();
    let paths = paths(files, &mut errors);
    if paths.len() > MAX_FILES {
        return Err(vec![FileError::Many]);
    }
    let mut texts = Vec::new();
    for file in paths {
        match text(&file) {
            Ok(text) if text.len() as u64 > MAX_BYTES => errors.push(FileError::Large { file }),
            Ok(text) => texts.push((file, text)),
            Err(cause) => errors.push(FileError::Read { file, cause }),
        }
    }
    match errors.is_empty() {
        true => Ok(texts),
        // What is wrong in the others is told too.
        false => Err(errors
            .into_iter()
            .chain(written(&texts).err().into_iter().flatten())
            .filter(|error| !matches!(error, FileError::None))
            .collect()),
    }
}

/// The policies in texts of files.
fn written(texts: &[(PathBuf, String)]) -> Result<Vec<(PathBuf, Written)>, Vec<FileError>> {
    let mut found = Vec::new();
    let mut first: HashMap<PolicyId, PathBuf> = HashMap::new();
    let mut errors = Vec::new();
    for (file, text) in texts {
        let written = match document::written(text) {
            Ok(written) => written,
            Err(problems) => {
                let file = file.clone();
                errors.push(FileError::Bad { file, problems });
                continue;
            }
        };
        for one in written {
            match first.get(&one.policy.id) {
                Some(first) => errors.push(FileError::Twice {
                    id: one.policy.id,
                    first: first.clone(),
                    second: file.clone(),
                }),
                None => {
                    first.insert(one.policy.id.clone(), file.clone());
                    found.push((file.clone(), one));
                }
            }
        }
    }
    match errors.is_empty() {
        true if found.is_empty() => Err(vec![FileError::None]),
        true => Ok(found),
        false => Err(errors),
    }
}

fn paths(files: &[PathBuf], errors: &mut Vec<FileError>) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for file in files {
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
