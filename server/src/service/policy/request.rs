//! What is asked for, checked; each mistake with its field.

use std::{collections::HashMap, time::Duration};

use sextant_policy::{
    document::{self, Problem, Room, Written},
    policy::{Kind, PolicyId},
};
use sextant_proto::sextant::policy::v1 as api;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

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
        let within = Duration::try_from(*within).ok();
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

/// The policies of all documents, or all that is wrong with them.
pub(super) fn documents(documents: &[api::Document]) -> Result<Vec<Written>, Status> {
    if documents.is_empty() {
        return Err(invalid("documents", "give at least one"));
    }
    if documents.len() > MAX_POLICIES {
        let text = format!("give at most {MAX_POLICIES}");
        return Err(invalid("documents", &text));
    }
    let mut all: Vec<Written> = Vec::new();
    let mut places = HashMap::new();
    let mut room = Room::default();
    let mut mistakes = Mistakes::default();
    for (number, document) in documents.iter().enumerate() {
        let file = file(number, document);
        match document::written_within(&document.text, &mut room) {
            Err(problems) => {
                for problem in &problems.0 {
                    mistakes.add(|| Mistake::of(number, &file, problem));
                }
            }
            Ok(written) => {
                for one in written {
                    match places.insert(one.policy.id.clone(), number) {
                        None => all.push(one),
                        Some(first) => mistakes.add(|| {
                            let first = self::file(first, &documents[first]);
                            Mistake::twice(number, &file, &one.policy.id, &first)
                        }),
                    }
                }
            }
        }
    }
    if mistakes.count > 0 {
        return Err(mistakes.refused());
    }
    if all.is_empty() {
        return Err(invalid("documents", "there is no policy in them"));
    }
    Ok(all)
}

/// What a document is called.
fn file(number: usize, document: &api::Document) -> String {
    match document.name.as_str() {
        "" => format!("documents[{number}]"),
        name => cut(name, MAX_FILE).to_owned(),
    }
}

/// Something that is wrong with a document.
struct Mistake {
    field: String,
    text: String,
}

impl Mistake {
    fn of(number: usize, file: &str, problem: &Problem) -> Self {
        let place = match problem.path.as_str() {
            "" => format!("documents[{number}]"),
            path => format!("documents[{number}]:{path}"),
        };
        Self {
            field: cut(&place, MAX_TEXT).to_owned(),
            text: cut(&format!("{file}: {problem}"), MAX_TEXT).to_owned(),
        }
    }

    fn twice(number: usize, file: &str, id: &PolicyId, first: &str) -> Self {
        Self {
            field: format!("documents[{number}]"),
            text: format!("{file}: {id} is in {first} too; give each a name of its own"),
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
