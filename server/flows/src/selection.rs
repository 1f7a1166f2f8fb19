//! The flows that a request asks for, of those that its caller may see.
//!
//! What may be seen comes first: filters of a request judge what is shown, so they
//! tell nothing of what is hidden. Not who somebody is: that is for whoever
//! makes the `View`. Bound: that of filters, for each part of a view.

use std::{ops::Deref, sync::Arc};

use sextant_proto::flow as pb;

use crate::{
    filter::{FilterError, Filters, Overrun},
    flow::{Flow, redaction::Redaction, sketch::Sieve},
};

/// Flows that may be seen, and what of them is hidden.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Of which one has to match; all flows if there is none.
    pub filters: Vec<pb::FlowFilter>,
    /// What is hidden.
    pub redaction: Redaction,
}

impl Part {
    fn is_whole(&self) -> bool {
        self.filters.is_empty() && self.redaction.is_empty()
    }
}

/// What somebody may see: everything, or what is in one of some parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View(Option<Arc<[Part]>>);

impl View {
    /// Everything.
    pub const WHOLE: Self = Self(None);

    /// What is in one of the parts: nothing if there are none.
    #[must_use]
    pub fn of(parts: Vec<Part>) -> Self {
        match parts.iter().any(Part::is_whole) {
            true => Self::WHOLE,
            false => Self(Some(parts.into())),
        }
    }

    /// Whether that is everything.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.is_none()
    }

    fn compile(&self) -> Result<Option<Parts>, FilterError> {
        let compile = |part: &Part| {
            let filters = Filters::compile(&part.filters, &[])?;
            Ok((filters, part.redaction))
        };
        let compiled = self.0.as_ref().map(|parts| parts.iter().map(compile));
        compiled.map(Iterator::collect).transpose()
    }
}

/// The parts of a view, compiled.
type Parts = Vec<(Filters, Redaction)>;

/// What a request asks for of what may be seen.
#[derive(Debug)]
pub struct Selection {
    /// Of the view; none where it is whole.
    parts: Option<Parts>,
    filters: Filters,
    sieve: Sieve,
}

/// A flow as it is shown.
#[derive(Debug)]
pub enum Shown<'a> {
    /// The flow itself.
    Whole(&'a Flow),
    /// What is left of it.
    Redacted(Box<Flow>),
}

impl Deref for Shown<'_> {
    type Target = Flow;

    fn deref(&self) -> &Flow {
        match self {
            Self::Whole(flow) => flow,
            Self::Redacted(flow) => flow,
        }
    }
}

impl Selection {
    /// What passes the filters, of what is in view.
    ///
    /// # Errors
    /// A filter of the view that cannot be compiled.
    pub fn new(view: &View, filters: Filters) -> Result<Self, FilterError> {
        let parts = view.compile()?;
        // A flow that is redacted may match where the stored one does not.
        let mut all = parts.iter().flatten();
        let is_redacted = all.any(|(_, redaction)| !redaction.is_empty());
        Ok(Self {
            sieve: match is_redacted {
                true => Sieve::default(),
                false => filters.sieve().clone(),
            },
            parts,
            filters,
        })
    }

    /// About how many bytes it takes for as long as it is there.
    #[must_use]
    pub fn weight(&self) -> usize {
        let parts = self.parts.iter().flatten();
        parts.map(|(filters, _)| filters.weight()).sum::<usize>() + self.filters.weight()
    }

    /// The flow as it is shown, if it is wanted and may be seen.
    ///
    /// # Errors
    /// Judging takes too much, and the request has to end.
    #[inline]
    pub fn show<'a>(&mut self, flow: &'a Flow) -> Result<Option<Shown<'a>>, Overrun> {
        let shown = match &mut self.parts {
            None => Some(Shown::Whole(flow)),
            Some(parts) => in_view(parts, flow)?,
        };
        let Some(shown) = shown else {
            return Ok(None);
        };
        Ok(self.filters.matches(&shown)?.then_some(shown))
    }

    /// Holds back flows that are not wanted, and lets all pass that are.
    #[must_use]
    pub fn sieve(&self) -> &Sieve {
        &self.sieve
    }

    /// Whether one flow may take so long that a clock is worth a look after it.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        let mut parts = self.parts.iter().flatten();
        self.filters.are_slow() || parts.any(|(filters, _)| filters.are_slow())
    }

    /// Whether every flow is shown as it is.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.parts.is_none() && self.filters.is_empty()
    }
}

/// Hidden is what each part hides that the flow is in.
fn in_view<'a>(
    parts: &mut [(Filters, Redaction)],
    flow: &'a Flow,
) -> Result<Option<Shown<'a>>, Overrun> {
    let mut hidden: Option<Redaction> = None;
    for (filters, redaction) in parts {
        if filters.matches(flow)? {
            hidden = Some(hidden.map_or(*redaction, |hidden| hidden.both(*redaction)));
        }
    }
    Ok(hidden.map(|hidden| match hidden.of(flow) {
        Some(redacted) => Shown::Redacted(redacted),
        None => Shown::Whole(flow),
    }))
}

#[cfg(test)]
mod tests;
