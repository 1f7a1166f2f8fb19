//! What is asked for, checked; each mistake with its field.

use std::{collections::HashMap, time::Duration};

use sextant_policy::{
    document::{self, Problem, Room, Written},
    policy::{Kind, PolicyId},
};
use sextant_proto::sextant::policy::v1 as api;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::typed;
use crate::{
    policy::{
        change::{MAX_POLICIES, Options, Reference},
        database::MAX_REVISIONS,
        enforce::Mode,
    },
    service::error::invalid,
};

/// Time to confirm a change.
const CONFIRM: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
const DEFAULT_REVISIONS: usize = 20;
/// Mistakes that a status tells, and bytes of them: transports bound their headers.
const MAX_PROBLEMS: usize = 16;
const MAX_TEXT: usize = 3 << 10;
/// Bytes of a file's name.
const MAX_FILE: usize = 1 << 10;

/// What all requests for changes have.
pub(super) trait Change {
    fn parts(&self) -> (bool, Option<u64>, Option<&prost_types::Duration>, bool);
}

macro_rules! change {
    ($($request:ty),*) => {$(
        impl Change for $request {
            fn parts(&self) -> (bool, Option<u64>, Option<&prost_types::Duration>, bool) {
                (self.validate_only, self.expected_revision, self.confirm_within.as_ref(), self.force)
            }
        }
    )*};
}

change!(
    api::ApplyRequest,
    api::DeleteRequest,
    api::SetModeRequest,
    api::RollbackRequest
);

/// How a change is asked for.
pub(super) fn options(request: &impl Change) -> Result<Options, Status> {
    let (validate_only, expected, within, force) = request.parts();
    let within = within.map(|within| {
        let within = crate::duration::of_message(within);
        let within = within.filter(|within| CONFIRM.contains(within));
        within.ok_or_else(|| invalid("confirm_within", "give 1 s to 24 h"))
    });
    Ok(Options {
        validate_only,
        expected,
        confirm_within: within.transpose()?,
        force,
        ..Options::default()
    })
}

/// Policies as they were given, by documents and by messages.
#[derive(Default)]
pub(super) struct Given {
    pub(super) documents: Vec<api::Document>,
    pub(super) policies: Vec<api::TypedPolicy>,
}

impl Given {
    pub(super) fn is_empty(&self) -> bool {
        self.documents.is_empty() && self.policies.is_empty()
    }

    /// Bytes, as far as they become more.
    pub(super) fn bytes(&self) -> usize {
        let texts = self.documents.iter().map(|one| one.text.len());
        let messages = self.policies.iter().map(prost::Message::encoded_len);
        texts.chain(messages).sum()
    }

    /// All policies, or all that is wrong with them.
    pub(super) fn written(&self) -> Result<Vec<Written>, Status> {
        if self.is_empty() {
            return Err(invalid("documents", "give at least one, or policies"));
        }
        for (field, count) in [
            ("documents", self.documents.len()),
            ("policies", self.policies.len()),
        ] {
            if count > MAX_POLICIES {
                return Err(invalid(field, &format!("give at most {MAX_POLICIES}")));
            }
        }
        let mut reading = Reading::default();
        for (number, document) in self.documents.iter().enumerate() {
            let source = Source::of(number, document);
            reading.read(source, &document.text);
        }
        for (number, policy) in self.policies.iter().enumerate() {
            let field = format!("policies[{number}]");
            let text = typed::document(policy, &field)?;
            let name = field.clone();
            reading.read(Source { field, name }, &text);
        }
        reading.end()
    }
}

/// Where a text comes from.
struct Source {
    /// Its field in the request.
    field: String,
    /// What it is called.
    name: String,
}

impl Source {
    fn of(number: usize, document: &api::Document) -> Self {
        let field = format!("documents[{number}]");
        let name = match document.name.as_str() {
            "" => field.clone(),
            name => cut(name, MAX_FILE).to_owned(),
        };
        Self { field, name }
    }
}

/// Texts, one after the other.
#[derive(Default)]
struct Reading {
    all: Vec<Written>,
    /// The sources, and which of them a policy is of.
    names: Vec<String>,
    places: HashMap<PolicyId, usize>,
    room: Room,
    mistakes: Mistakes,
}

impl Reading {
    fn read(&mut self, source: Source, text: &str) {
        let number = self.names.len();
        match document::written_within(text, &mut self.room) {
            Err(problems) => {
                for problem in &problems.0 {
                    self.mistakes.add(|| Mistake::of(&source, problem));
                }
            }
            Ok(written) => {
                for one in written {
                    match self.places.insert(one.policy.id.clone(), number) {
                        None => self.all.push(one),
                        Some(first) => self.mistakes.add(|| {
                            let first = self.names.get(first);
                            let first = first.unwrap_or(&source.name);
                            Mistake::twice(&source, &one.policy.id, first)
                        }),
                    }
                }
            }
        }
        self.names.push(source.name);
    }

    fn end(self) -> Result<Vec<Written>, Status> {
        if self.mistakes.count > 0 {
            return Err(self.mistakes.refused());
        }
        if self.all.is_empty() {
            return Err(invalid("documents", "there is no policy in them"));
        }
        Ok(self.all)
    }
}

/// Something that is wrong with a policy.
struct Mistake {
    field: String,
    text: String,
}

impl Mistake {
    fn of(source: &Source, problem: &Problem) -> Self {
        let place = match problem.path.as_str() {
            "" => source.field.clone(),
            path => format!("{}:{path}", source.field),
        };
        Self {
            field: cut(&place, MAX_TEXT).to_owned(),
            text: cut(&format!("{}: {problem}", source.name), MAX_TEXT).to_owned(),
        }
    }

    fn twice(source: &Source, id: &PolicyId, first: &str) -> Self {
        let name = &source.name;
        Self {
            field: source.field.clone(),
            text: format!("{name}: {id} is in {first} too; give each a name of its own"),
        }
    }
}

/// Those that are told, and how many there are.
#[derive(Default)]
struct Mistakes {
    told: Vec<Mistake>,
    count: usize,
}

impl Mistakes {
    fn add(&mut self, mistake: impl FnOnce() -> Mistake) {
        self.count += 1;
        if self.told.len() < MAX_PROBLEMS {
            self.told.push(mistake());
        }
    }

    /// `INVALID_ARGUMENT` with as many as there is room for.
    fn refused(&self) -> Status {
        let (mut message, mut details) = (String::new(), ErrorDetails::new());
        let mut told = 0;
        for mistake in &self.told {
            if told > 0 && message.len() + mistake.text.len() > MAX_TEXT {
                break;
            }
            if told > 0 {
                message.push('\n');
            }
            message.push_str(&mistake.text);
            details.add_bad_request_violation(&mistake.field, &mistake.text);
            told += 1;
        }
        if told < self.count {
            message += &format!("\nand {} mistakes more", self.count - told);
        }
        Status::with_error_details(Code::InvalidArgument, message, details)
    }
}

fn cut(text: &str, most: usize) -> &str {
    let mut ends = (0..=most.min(text.len())).rev();
    let end = ends.find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// A policy that is named.
pub(super) fn reference(given: &api::PolicyReference, field: &str) -> Result<Reference, Status> {
    if given.name.is_empty() {
        return Err(invalid(&format!("{field}.name"), "name a policy"));
    }
    let kind = kind(given.kind, &format!("{field}.kind"))?;
    if kind == Some(Kind::CiliumClusterwide) && !given.namespace.is_empty() {
        let text = "a clusterwide policy has no namespace; leave it out";
        return Err(invalid(&format!("{field}.namespace"), text));
    }
    Ok(Reference {
        kind,
        namespace: given.namespace.clone(),
        name: given.name.clone(),
    })
}

/// Policies that are named.
pub(super) fn references(
    given: &[api::PolicyReference],
    field: &str,
) -> Result<Vec<Reference>, Status> {
    if given.is_empty() || given.len() > MAX_POLICIES {
        let text = format!("name 1 to {MAX_POLICIES} policies");
        return Err(invalid(field, &text));
    }
    let given = given.iter().enumerate();
    given
        .map(|(number, one)| reference(one, &format!("{field}[{number}]")))
        .collect()
}

/// A kind; none for whichever.
pub(super) fn kind(number: i32, field: &str) -> Result<Option<Kind>, Status> {
    match api::PolicyKind::try_from(number) {
        Ok(api::PolicyKind::Unspecified) => Ok(None),
        Ok(api::PolicyKind::CiliumNetworkPolicy) => Ok(Some(Kind::Cilium)),
        Ok(api::PolicyKind::CiliumClusterwideNetworkPolicy) => Ok(Some(Kind::CiliumClusterwide)),
        Ok(api::PolicyKind::NetworkPolicy) => Ok(Some(Kind::Kubernetes)),
        Err(_) => Err(invalid(field, &format!("there is no kind {number}"))),
    }
}

/// A mode; none where it is not said.
pub(super) fn mode(number: i32, field: &str) -> Result<Option<Mode>, Status> {
    match api::PolicyMode::try_from(number) {
        Ok(api::PolicyMode::Unspecified) => Ok(None),
        Ok(api::PolicyMode::Enforce) => Ok(Some(Mode::Enforce)),
        Ok(api::PolicyMode::Audit) => Ok(Some(Mode::Audit)),
        Ok(api::PolicyMode::Disabled) => Ok(Some(Mode::Disabled)),
        Err(_) => Err(invalid(field, &format!("there is no mode {number}"))),
    }
}

/// Before which change, and how many.
pub(super) fn revisions(request: &api::ListRevisionsRequest) -> Result<(u64, usize), Status> {
    let limit = match request.limit as usize {
        0 => DEFAULT_REVISIONS,
        limit if limit as u64 <= MAX_REVISIONS => limit,
        _ => return Err(invalid("limit", &format!("give at most {MAX_REVISIONS}"))),
    };
    let before = match request.before {
        0 => u64::MAX,
        before => before,
    };
    Ok((before, limit))
}
