//! Reads a file: finds its objects, and counts what is none.
//!
//! Nearly all lines are an object, and are read as such at once; only where that
//! fails is the end of the object looked for, then text around it.

use std::{
    io::{self, BufRead},
    ops::ControlFlow,
    path::Path,
};

use sextant_proto::observer::ExportEvent;

use super::{
    Rejected, TYPES, Types, no_event,
    scan::{Scan, Scanned},
    source::{Line, MAX_BYTES, Source},
    texts::{self, RuntimeLine},
    to_event,
};
use crate::{
    event::Event,
    flow::Interners,
    replay::{Cause, Problem, ReplayError, Report},
};

/// Envelopes in envelopes that are opened.
const MAX_NESTED: u8 = 8;

/// Streams whose lines may come in parts: a container's two, and Docker's.
const STREAMS: usize = 3;
const DOCKER: usize = 2;

/// Reads all lines.
pub(in crate::replay) fn load(
    path: &Path,
    reader: impl BufRead,
    interners: &mut Interners,
    sink: &mut dyn FnMut(Event),
) -> Result<Report, ReplayError> {
    let mut take = |_, event| {
        sink(to_event(event, interners)?);
        Ok(ControlFlow::Continue(()))
    };
    read(path, reader, &mut take, &mut |_| {})
}

/// Hands on objects as they are, with the numbers of their lines, until the sink has
/// enough, and tells of a problem as it is met.
pub(in crate::replay) fn each(
    path: &Path,
    reader: impl BufRead,
    sink: &mut dyn FnMut(u64, ExportEvent) -> ControlFlow<()>,
    told: &mut dyn FnMut(&Problem),
) -> Result<Report, ReplayError> {
    let mut take = |number, event: ExportEvent| match event.response_types {
        Some(_) => Ok(sink(number, event)),
        None => Err(no_event()),
    };
    read(path, reader, &mut take, told)
}

fn read(
    path: &Path,
    reader: impl BufRead,
    take: &mut Take<'_>,
    told: &mut dyn FnMut(&Problem),
) -> Result<Report, ReplayError> {
    let mut loader = Loader {
        report: Report::new(path),
        take,
        told,
        has_enough: false,
        number: 0,
        parts: Default::default(),
    };
    let mut source = Source::new(reader);
    let mut read = || -> io::Result<()> {
        while !loader.has_enough
            && let Some(first) = source.skip_blank()?
        {
            match first {
                b'{' => loader.object(&mut source)?,
                _ => loader.text_line(&mut source)?,
            }
        }
        Ok(())
    };
    let ended = read();
    let number = source.line_number();
    if source.is_cut_off() {
        let text = "the compressed file ends here".to_owned();
        loader.reject(number, Rejected::new(Cause::FileTruncated, text));
    }
    if !loader.has_enough && loader.parts.iter().any(|part| !part.is_empty()) {
        let text = "a line in parts whose end is missing";
        loader.reject(number, Rejected::new(Cause::NotJson, text));
    }
    match ended {
        Ok(()) => Ok(loader.report),
        Err(source) => Err(ReplayError::Read {
            path: path.into(),
            unit: "line",
            number: number - 1,
            source,
        }),
    }
}

/// An object as an event, or why it is none.
type Parsed = Result<ExportEvent, Rejected>;

/// What becomes of an event on a line.
type Take<'a> = dyn FnMut(u64, ExportEvent) -> Result<ControlFlow<()>, Rejected> + 'a;

struct Loader<'a, 't> {
    report: Report,
    take: &'a mut Take<'t>,
    told: &'a mut dyn FnMut(&Problem),
    /// No more events are wanted.
    has_enough: bool,
    /// The line that is read.
    number: u64,
    /// Lines that came in part.
    parts: [Vec<u8>; STREAMS],
}

impl Loader<'_, '_> {
    /// Reads what begins with a bracket.
    fn object<R: BufRead>(&mut self, source: &mut Source<R>) -> io::Result<()> {
        let number = source.line_number();
        self.number = number;
        let line = source.line()?;
        let mut whole = None;
        if let Line::Length(length) = line {
            let text = trimmed(&source.rest()[..length]);
            let parsed = TYPES.parse(text);
            if parsed.as_ref().is_ok_and(Types::is_certain) {
                source.consume(length);
                self.deliver_or_reject(number, parsed);
                return Ok(());
            }
            whole = Some((text.len(), parsed));
        }
        let Some(length) = object_length(source)? else {
            return self.broken_object(source, number, line, whole.map(|(_, parsed)| parsed));
        };
        let object = source.rest()[..length].to_vec();
        source.consume(length);
        let parsed = match whole {
            Some((whole, parsed)) if whole == length => parsed,
            _ => TYPES.parse(&object),
        };
        if let Err(rejected) = self.event_or_content(&object, parsed, MAX_NESTED) {
            self.reject(number, rejected);
        }
        Ok(())
    }

    /// A line that begins with a bracket, but with no object.
    fn broken_object<R: BufRead>(
        &mut self,
        source: &mut Source<R>,
        number: u64,
        line: Line,
        parsed: Option<Parsed>,
    ) -> io::Result<()> {
        let is_label = match source.rest()[1..].trim_ascii_start().first() {
            Some(b'"' | b'}') | None => false,
            Some(_) => true,
        };
        if is_label && matches!(line, Line::Length(_)) {
            return self.text_line(source);
        }
        match parsed {
            Some(Err(rejected)) => self.reject(number, rejected),
            Some(Ok(_)) | None => self.reject(number, too_long()),
        }
        source.skip_line()
    }

    /// Reads a line that is no object, but may hold some.
    fn text_line<R: BufRead>(&mut self, source: &mut Source<R>) -> io::Result<()> {
        let number = source.line_number();
        self.number = number;
        let Line::Length(length) = source.line()? else {
            self.reject(number, too_long());
            return source.skip_line();
        };
        let line = source.rest()[..length].to_vec();
        source.consume(length);
        match RuntimeLine::parse(&line) {
            None => self.text(number, &line, MAX_NESTED),
            Some(line) => {
                let part = &mut self.parts[usize::from(line.is_error_stream)];
                part.extend_from_slice(line.text);
                if line.is_part && part.len() <= MAX_BYTES {
                    return Ok(());
                }
                let whole = std::mem::take(part);
                self.text(number, &whole, MAX_NESTED);
            }
        }
        Ok(())
    }

    /// Loads the objects in a text; a text without any is rejected.
    fn text(&mut self, number: u64, text: &[u8], nested: u8) {
        let rejected = match self.objects(text, nested) {
            Ok(()) => return,
            Err(rejected) => rejected,
        };
        let as_json = || TYPES.parse(trimmed(text)).err();
        let rejected = rejected.or_else(as_json);
        let nothing = || Rejected::new(Cause::NoEvent, "neither a flow nor any other event");
        self.reject(number, rejected.unwrap_or_else(nothing));
    }

    /// Loads the objects in a text; what is wrong with the last one, if none is loaded.
    fn objects(&mut self, text: &[u8], nested: u8) -> Result<(), Option<Rejected>> {
        let mut result = Err(None);
        for object in texts::objects(text).objects {
            let parsed = TYPES.parse(&object);
            match self.event_or_content(&object, parsed, nested) {
                Ok(()) => result = Ok(()),
                Err(rejected) => result = result.map_err(|_| Some(rejected)),
            }
        }
        result
    }

    /// Loads an object as an event, or what is in it as in an envelope.
    fn event_or_content(
        &mut self,
        object: &[u8],
        parsed: Parsed,
        nested: u8,
    ) -> Result<(), Rejected> {
        let is_certain = parsed.as_ref().is_ok_and(Types::is_certain);
        if !is_certain && nested > 0 && self.open(object, nested - 1) {
            return Ok(());
        }
        self.deliver(parsed)
    }

    /// Loads what an envelope holds; whether it held anything.
    fn open(&mut self, envelope: &[u8], nested: u8) -> bool {
        for (content, is_docker) in texts::contents(envelope) {
            let content = match is_docker {
                true => {
                    let mut whole = std::mem::take(&mut self.parts[DOCKER]);
                    whole.extend_from_slice(&content);
                    whole
                }
                false => content,
            };
            let found = texts::objects(&content);
            let goes_on = is_docker && found.is_open && !content.ends_with(b"\n");
            if goes_on && content.len() <= MAX_BYTES {
                self.parts[DOCKER] = content;
                return true;
            }
            let content = RuntimeLine::parse(&content).map_or(&content[..], |line| line.text);
            if self.objects(content, nested).is_ok() {
                return true;
            }
        }
        false
    }

    fn deliver(&mut self, parsed: Parsed) -> Result<(), Rejected> {
        let event = parsed?;
        if !self.has_enough {
            self.has_enough = (self.take)(self.number, event)?.is_break();
            self.report.loaded += 1;
        }
        Ok(())
    }

    fn deliver_or_reject(&mut self, number: u64, parsed: Parsed) {
        if let Err(rejected) = self.deliver(parsed) {
            self.reject(number, rejected);
        }
    }

    fn reject(&mut self, number: u64, rejected: Rejected) {
        let before = self.report.problems.len();
        self.report.note(number, rejected.cause, rejected.text);
        if let Some(problem) = self.report.problems.get(before) {
            (self.told)(problem);
        }
    }
}

/// The length of the object that comes next; `None` if it is none, or too long.
fn object_length<R: BufRead>(source: &mut Source<R>) -> io::Result<Option<usize>> {
    let mut scan = Scan::new();
    loop {
        match scan.scan(source.rest()) {
            Scanned::Complete(length) if length <= MAX_BYTES => return Ok(Some(length)),
            Scanned::Open if source.rest().len() <= MAX_BYTES && source.fill()? => {}
            _ => return Ok(None),
        }
    }
}

/// A line without what stands behind an element of a list.
fn trimmed(line: &[u8]) -> &[u8] {
    let is_behind = |byte: &u8| byte.is_ascii_whitespace() || b",]".contains(byte);
    let end = line.iter().rposition(|byte| !is_behind(byte));
    &line[..end.map_or(0, |end| end + 1)]
}

fn too_long() -> Rejected {
    Rejected::new(Cause::LineTooLong, format!("longer than {MAX_BYTES} bytes"))
}
