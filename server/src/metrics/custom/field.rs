//! What labels tell: fields of a flow, by their paths in a field mask, and some beside.
//!
//! A field that is not there is told as an empty text, which to Prometheus is no label.

mod extensions;
mod side;
mod whole;

use crate::{flow::Flow, metrics::labels::Labels};
use extensions::{OF_EXTENSIONS, OfExtensions};
use side::{OF_ENDPOINT, OfEndpoint, Side, label};
use whole::{OF_FLOW, OfFlow};

/// From this likeness on, a known path is offered for an unknown one.
const ALIKE: f64 = 0.85;

/// What of a flow a label tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field(Of);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Of {
    Flow(OfFlow),
    Endpoint(Side, OfEndpoint),
    /// The value of a label, by its key.
    Label(Side, String),
    Extensions(&'static str, OfExtensions),
}

/// No label can tell this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is no field that a label can tell; {remedy}")]
pub struct FieldError {
    path: String,
    remedy: String,
}

impl Field {
    /// By its path.
    ///
    /// # Errors
    ///
    /// There is no such field, or no label can tell it.
    pub fn parse(path: &str) -> Result<Self, FieldError> {
        let found = known(&OF_FLOW, path).map(|(_, of)| Of::Flow(of));
        let found = found.or_else(|| {
            let (side, rest) = side(path)?;
            match known(&OF_ENDPOINT, rest) {
                Some((_, of)) => Some(Of::Endpoint(side, of)),
                None => Some(Of::Label(side, label_key(rest)?.to_owned())),
            }
        });
        let found = found.or_else(|| {
            let (path, of) = known(&OF_EXTENSIONS, path.strip_prefix("extensions.")?)?;
            Some(Of::Extensions(path, of))
        });
        found.map(Self).ok_or_else(|| FieldError {
            path: path.to_owned(),
            remedy: remedy(path),
        })
    }

    /// All paths, but for the keys of labels.
    pub(super) fn paths() -> impl Iterator<Item = String> {
        let of_flow = OF_FLOW.iter().map(|(path, _)| (*path).to_owned());
        let of_sides = ["source", "destination"].into_iter().flat_map(|side| {
            let each = OF_ENDPOINT.iter();
            each.map(move |(path, _)| format!("{side}.{path}"))
        });
        let of_extensions = OF_EXTENSIONS.iter();
        let of_extensions = of_extensions.map(|(path, _)| format!("extensions.{path}"));
        of_flow.chain(of_sides).chain(of_extensions)
    }

    /// Puts its value.
    pub(super) fn put(&self, flow: &Flow, labels: &mut Labels) {
        match &self.0 {
            Of::Flow(of) => of.put(flow, labels),
            Of::Endpoint(side, of) => match side.endpoint(flow) {
                Some(endpoint) => of.put(endpoint, labels),
                None => labels.end(),
            },
            Of::Label(side, key) => {
                let endpoint = side.endpoint(flow);
                labels.value(endpoint.and_then(|of| label(of, key)).unwrap_or_default());
            }
            Of::Extensions(path, of) => extensions::put(path, *of, flow, labels),
        }
    }
}

fn known<T: Copy>(all: &[(&'static str, T)], path: &str) -> Option<(&'static str, T)> {
    all.iter().find(|(known, _)| *known == path).copied()
}

fn side(path: &str) -> Option<(Side, &str)> {
    let (side, rest) = path.split_once('.')?;
    match side {
        "source" => Some((Side::Source, rest)),
        "destination" => Some((Side::Destination, rest)),
        _ => None,
    }
}

/// The key in `labels[key]`.
fn label_key(text: &str) -> Option<&str> {
    let key = text.strip_prefix("labels[")?.strip_suffix(']')?;
    (!key.is_empty() && !key.contains(['[', ']', '='])).then_some(key)
}

fn remedy(path: &str) -> String {
    let likeness = |known: &String| strsim::jaro_winkler(path, known);
    let alike = Field::paths().filter(|known| likeness(known) >= ALIKE);
    match alike.max_by(|one, other| likeness(one).total_cmp(&likeness(other))) {
        Some(known) => format!("did you mean `{known}`?"),
        None => {
            "write for example `verdict`, `source.namespace`, `destination.labels[app]` or `destination_port`; docs/metrics.md has all"
                .into()
        }
    }
}
