//! Go's parser of regular expressions (`regexp/syntax`, Perl flags).

use super::{
    class::{self, Flags, next_rune},
    error::{ErrorCode, RegexpError},
    node::{Node, Repeat},
};

const MAX_HEIGHT: usize = 1000;
const MAX_COUNT: u32 = 1000;

/// At least and at most so often.
type Counts = (u32, Option<u32>);

/// What lies on the parser's stack.
enum Item {
    /// A part with its height.
    Node(Node, usize),
    /// `(`, with the flags to restore, and whether it captures.
    Open { flags: Flags, captures: bool },
    /// `|`.
    Bar,
}

/// Parses a pattern.
pub(super) fn parse(pattern: &str) -> Result<Node, RegexpError> {
    let parser = Parser {
        pattern,
        flags: Flags::default(),
        stack: Vec::new(),
    };
    parser.run()
}

struct Parser<'a> {
    pattern: &'a str,
    flags: Flags,
    stack: Vec<Item>,
}

impl<'a> Parser<'a> {
    fn run(mut self) -> Result<Node, RegexpError> {
        let mut rest = self.pattern;
        let mut last_repeat = "";
        while let Some(c) = rest.chars().next() {
            let before = rest;
            let mut repeated = "";
            match c {
                '*' | '+' | '?' => {
                    rest = self.operator(c, before, last_repeat)?;
                    repeated = before;
                }
                '{' => match parse_count(before) {
                    Some((counts, after)) => {
                        rest = self.count(counts, before, after, last_repeat)?;
                        repeated = before;
                    }
                    None => {
                        self.literal('{')?;
                        rest = &rest[1..];
                    }
                },
                _ => rest = self.step(c, rest)?,
            }
            last_repeat = repeated;
        }
        self.close_alternatives()?;
        match (self.stack.pop(), self.stack.is_empty()) {
            (Some(Item::Node(node, _)), true) => Ok(node),
            _ => Err(RegexpError::new(ErrorCode::MissingParen, self.pattern)),
        }
    }

    /// Anything but a repetition; gives what follows.
    fn step(&mut self, c: char, text: &'a str) -> Result<&'a str, RegexpError> {
        let after = &text[c.len_utf8()..];
        match c {
            '(' if after.starts_with('?') => return self.perl_flags(text),
            '(' => self.open(true),
            ')' => self.close()?,
            '|' => {
                self.concat()?;
                self.stack.push(Item::Bar);
            }
            '^' if self.flags.multi_line => self.atom("(?m:^)")?,
            '^' => self.atom(r"\A")?,
            '$' if self.flags.multi_line => self.atom("(?m:$)")?,
            '$' => self.atom(r"\z")?,
            '.' if self.flags.dot_newline => self.atom("(?s:.)")?,
            '.' => self.atom(r"[^\n]")?,
            '[' => {
                let (class, rest) = class::parse(text, self.flags)?;
                self.atom(&class)?;
                return Ok(rest);
            }
            '\\' => return self.backslash(text),
            c => self.literal(c)?,
        }
        Ok(after)
    }

    fn backslash(&mut self, text: &'a str) -> Result<&'a str, RegexpError> {
        let assertion = match text.as_bytes().get(1) {
            Some(b'A') => r"\A",
            Some(b'b') => r"(?-u:\b)",
            Some(b'B') => r"(?-u:\B)",
            Some(b'z') => r"\z",
            Some(b'C') => return Err(RegexpError::new(ErrorCode::InvalidEscape, &text[..2])),
            Some(b'Q') => {
                let (literal, rest) = text[2..].split_once("\\E").unwrap_or((&text[2..], ""));
                literal.chars().try_for_each(|c| self.literal(c))?;
                return Ok(rest);
            }
            _ => "",
        };
        if !assertion.is_empty() {
            self.atom(assertion)?;
            return Ok(&text[2..]);
        }
        let class = match class::unicode(text)? {
            Some(class) => Some(class),
            None => class::perl(text),
        };
        if let Some((class, rest)) = class {
            self.atom(&class::finish(&class, self.flags))?;
            return Ok(rest);
        }
        let (rune, rest) = class::escape(text)?;
        self.rune(rune)?;
        Ok(rest)
    }

    /// `(?...`: flags, a group that does not capture, or a named one.
    fn perl_flags(&mut self, text: &'a str) -> Result<&'a str, RegexpError> {
        let name_at = if text.len() > 4 && text.starts_with("(?P<") {
            4
        } else if text.len() > 3 && text.starts_with("(?<") {
            3
        } else {
            return self.set_flags(text);
        };
        let invalid = |part: &str| RegexpError::new(ErrorCode::InvalidNamedCapture, part);
        let end = text.find('>').ok_or_else(|| invalid(text))?;
        let name = text.get(name_at..end).unwrap_or_default();
        let valid = |c: char| c == '_' || c.is_ascii_alphanumeric();
        if name.is_empty() || !name.chars().all(valid) {
            return Err(invalid(&text[..=end]));
        }
        self.open(true);
        Ok(&text[end + 1..])
    }

    fn set_flags(&mut self, text: &'a str) -> Result<&'a str, RegexpError> {
        let mut flags = self.flags;
        let (mut value, mut seen) = (true, false);
        let mut rest = &text[2..];
        while let (Some(c), after) = next_rune(rest) {
            rest = after;
            match c {
                'i' => flags.fold = value,
                'm' => flags.multi_line = value,
                's' => flags.dot_newline = value,
                // Greediness does not change whether a text matches.
                'U' => {}
                '-' if value => {
                    (value, seen) = (false, false);
                    continue;
                }
                ':' | ')' if value || seen => {
                    if c == ':' {
                        self.open(false);
                    }
                    self.flags = flags;
                    return Ok(rest);
                }
                _ => break,
            }
            seen = true;
        }
        let read = &text[..text.len() - rest.len()];
        Err(RegexpError::new(ErrorCode::InvalidPerlOp, read))
    }

    /// `*`, `+` or `?` at the beginning of `before`; gives what follows.
    fn operator(
        &mut self,
        c: char,
        before: &'a str,
        last_repeat: &str,
    ) -> Result<&'a str, RegexpError> {
        let (min, max) = match c {
            '*' => (0, None),
            '+' => (1, None),
            _ => (0, Some(1)),
        };
        self.repeat((min, max), false, before, &before[1..], last_repeat)
    }

    /// `{min,max}` between `before` and `after`; gives what follows.
    fn count(
        &mut self,
        counts: Option<Counts>,
        before: &'a str,
        after: &'a str,
        last_repeat: &str,
    ) -> Result<&'a str, RegexpError> {
        let in_order = |(min, max): &Counts| {
            *min <= MAX_COUNT && max.is_none_or(|max| max <= MAX_COUNT && *min <= max)
        };
        match counts.filter(in_order) {
            Some(counts) => self.repeat(counts, true, before, after, last_repeat),
            None => {
                let part = &before[..before.len() - after.len()];
                Err(RegexpError::new(ErrorCode::InvalidRepeatSize, part))
            }
        }
    }

    fn repeat(
        &mut self,
        (min, max): Counts,
        counted: bool,
        before: &'a str,
        after: &'a str,
        last_repeat: &str,
    ) -> Result<&'a str, RegexpError> {
        let after = after.strip_prefix('?').unwrap_or(after);
        let fail = |code, from: &str| {
            let part = &from[..from.len() - after.len()];
            Err(RegexpError::new(code, part))
        };
        if !last_repeat.is_empty() {
            return fail(ErrorCode::InvalidRepeatOp, last_repeat);
        }
        let (node, height) = match self.stack.pop() {
            Some(Item::Node(node, height)) => (node, height),
            _ => return fail(ErrorCode::MissingRepeatArgument, before),
        };
        let repeat = Node::Repeat(Box::new(Repeat {
            node,
            min,
            max,
            counted,
        }));
        self.check_height(height + 1)?;
        let large = counted && (min >= 2 || max.is_some_and(|max| max >= 2));
        if large && !repeat.counts_within(MAX_COUNT) {
            return fail(ErrorCode::InvalidRepeatSize, before);
        }
        self.stack.push(Item::Node(repeat, height + 1));
        Ok(after)
    }

    fn check_height(&self, height: usize) -> Result<(), RegexpError> {
        if height > MAX_HEIGHT {
            return Err(RegexpError::new(ErrorCode::NestingDepth, self.pattern));
        }
        Ok(())
    }

    fn literal(&mut self, c: char) -> Result<(), RegexpError> {
        self.rune(u32::from(c))
    }

    fn rune(&mut self, rune: u32) -> Result<(), RegexpError> {
        let fold = self.flags.fold;
        self.push(Node::Literal {
            runes: vec![rune],
            fold,
        })
    }

    fn atom(&mut self, text: &str) -> Result<(), RegexpError> {
        self.push(Node::Atom(text.into()))
    }

    fn push(&mut self, node: Node) -> Result<(), RegexpError> {
        let height = node.height();
        self.push_item(node, height)
    }

    fn push_item(&mut self, node: Node, height: usize) -> Result<(), RegexpError> {
        self.check_height(height)?;
        self.join_literals();
        self.stack.push(Item::Node(node, height));
        Ok(())
    }

    /// Joins the two topmost literals: no repetition can reach them any more.
    fn join_literals(&mut self) {
        let [.., below, Item::Node(Node::Literal { runes, fold }, _)] = self.stack.as_mut_slice()
        else {
            return;
        };
        if let Item::Node(
            Node::Literal {
                runes: first,
                fold: first_fold,
            },
            _,
        ) = below
            && first_fold == fold
        {
            first.append(runes);
            self.stack.pop();
        }
    }

    fn open(&mut self, captures: bool) {
        self.join_literals();
        let flags = self.flags;
        self.stack.push(Item::Open { flags, captures });
    }

    fn close(&mut self) -> Result<(), RegexpError> {
        self.close_alternatives()?;
        let unexpected = RegexpError::new(ErrorCode::UnexpectedParen, self.pattern);
        let Some(Item::Node(node, height)) = self.stack.pop() else {
            return Err(unexpected);
        };
        let Some(Item::Open { flags, captures }) = self.stack.pop() else {
            return Err(unexpected);
        };
        self.flags = flags;
        if captures {
            self.push_item(Node::Group(Box::new(node)), height + 1)
        } else {
            self.push_item(node, height)
        }
    }

    /// Makes one part of all above the topmost `(` or `|`.
    fn concat(&mut self) -> Result<(), RegexpError> {
        self.join_literals();
        let at = self
            .stack
            .iter()
            .rposition(|item| !matches!(item, Item::Node(..)));
        let parts = self.stack.split_off(at.map_or(0, |at| at + 1));
        let (node, height) = collapse(parts, false);
        self.push_item(node, height)
    }

    /// Makes one part of all above the topmost `(`.
    fn close_alternatives(&mut self) -> Result<(), RegexpError> {
        self.concat()?;
        let at = self
            .stack
            .iter()
            .rposition(|item| matches!(item, Item::Open { .. }));
        let mut parts = self.stack.split_off(at.map_or(0, |at| at + 1));
        parts.retain(|item| matches!(item, Item::Node(..)));
        let (node, height) = collapse(parts, true);
        self.push_item(node, height)
    }
}

/// One part of many; parts of the same kind are taken apart first.
fn collapse(parts: Vec<Item>, alternate: bool) -> (Node, usize) {
    let mut nodes = Vec::with_capacity(parts.len());
    let mut height = 0;
    let single = parts.len() == 1;
    for part in parts {
        let Item::Node(node, part_height) = part else {
            continue;
        };
        if single {
            return (node, part_height);
        }
        match node {
            Node::Concat(inner) if !alternate => {
                height = height.max(part_height - 1);
                nodes.extend(inner);
            }
            Node::Alternate(inner) if alternate => {
                height = height.max(part_height - 1);
                nodes.extend(inner);
            }
            node => {
                height = height.max(part_height);
                nodes.push(node);
            }
        }
    }
    match (nodes.is_empty(), alternate) {
        (true, _) => (Node::Empty, 1),
        (false, true) => (Node::Alternate(nodes), height + 1),
        (false, false) => (Node::Concat(nodes), height + 1),
    }
}

/// `{min}`, `{min,}` or `{min,max}` at the beginning of `text`, and what
/// follows; the counts are missing where a number is too big to be read.
fn parse_count(text: &str) -> Option<(Option<Counts>, &str)> {
    let (min, rest) = parse_int(text.strip_prefix('{')?)?;
    let Some(rest) = rest.strip_prefix(',') else {
        let rest = rest.strip_prefix('}')?;
        return Some((min.map(|min| (min, Some(min))), rest));
    };
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((min.map(|min| (min, None)), rest));
    }
    let (max, rest) = parse_int(rest)?;
    let rest = rest.strip_prefix('}')?;
    let counts = min.zip(max).map(|(min, max)| (min, Some(max)));
    Some((counts, rest))
}

/// Digits without leading zeros; the number is missing if it is too big.
fn parse_int(text: &str) -> Option<(Option<u32>, &str)> {
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(len);
    if len == 0 || (len > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().ok(), rest))
}
