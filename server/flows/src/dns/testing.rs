//! DNS messages by hand, for tests.

/// A name as labels, without compression.
pub(crate) fn name(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// A header: id, flags, numbers of questions and answers.
pub(crate) fn header(id: u16, flags: u16, questions: u16, answers: u16) -> Vec<u8> {
    [id, flags, questions, answers, 0, 0]
        .iter()
        .flat_map(|word| word.to_be_bytes())
        .collect()
}

/// A query for one type.
pub(crate) fn query(id: u16, text: &str, kind: u16) -> Vec<u8> {
    [
        header(id, 0x0100, 1, 0),
        name(text),
        kind.to_be_bytes().to_vec(),
        vec![0, 1],
    ]
    .concat()
}

/// A record of an answer.
pub(crate) fn record(owner: &str, kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    [
        name(owner),
        kind.to_be_bytes().to_vec(),
        vec![0, 1],
        ttl.to_be_bytes().to_vec(),
        (data.len() as u16).to_be_bytes().to_vec(),
        data.to_vec(),
    ]
    .concat()
}

/// An answer with these records.
pub(crate) fn answer(id: u16, rcode: u16, text: &str, kind: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = query(id, text, kind);
    let flags = 0x8180 | rcode;
    bytes[..12].copy_from_slice(&header(id, flags, 1, records.len() as u16));
    bytes.extend(records.concat());
    bytes
}
