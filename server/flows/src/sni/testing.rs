//! ClientHellos by hand, for tests.

fn part<const BYTES: usize>(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len().to_be_bytes();
    [&length[length.len() - BYTES..], bytes].concat()
}

/// An extension.
pub(crate) fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &part::<2>(data)].concat()
}

/// The extension with a server's name.
pub(crate) fn server_name(name: &[u8]) -> Vec<u8> {
    let entry = [&[0][..], &part::<2>(name)].concat();
    extension(0, &part::<2>(&entry))
}

/// A handshake message with these extensions.
pub(crate) fn message(extensions: &[u8]) -> Vec<u8> {
    let body = [
        vec![3, 3],
        vec![7; 32],
        part::<1>(&[9; 32]),
        part::<2>(&[0x1a, 0x1a, 0x13, 0x01]),
        part::<1>(&[0]),
        part::<2>(extensions),
    ];
    [&[1][..], &part::<3>(&body.concat())].concat()
}

/// A message in records of so many bytes.
pub(crate) fn records(message: &[u8], each: usize) -> Vec<u8> {
    let record = |bytes| [&[22, 3, 1][..], &part::<2>(bytes)].concat();
    message.chunks(each).flat_map(record).collect()
}

/// A ClientHello that asks for a name, as it is sent.
pub(crate) fn hello(name: &str) -> Vec<u8> {
    records(&message(&server_name(name.as_bytes())), 16_384)
}
