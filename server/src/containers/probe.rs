//! Which engines could be asked, for people.

use std::fmt::Write as _;

use socket2::{Domain, SockAddr, Socket, Type};

use super::follow::places;
use crate::config::EngineSocket;

/// A line for each that is there, or one that says that none is.
#[must_use]
pub fn probe(sockets: &[EngineSocket]) -> String {
    let mut page = String::new();
    let mut line = |found: &str, text: &str| {
        let _ = writeln!(page, "{:<10} {found} {text}", "engine");
    };
    let mut is_any = false;
    for socket in sockets.iter().flat_map(places) {
        match connect(&socket) {
            Ok(()) => line("yes", &format!("containers have their names by {socket}")),
            Err(error) if is_absent(&error) => continue,
            Err(error) => line("no ", &format!("{socket} cannot be asked: {error}")),
        }
        is_any = true;
    }
    if !is_any {
        let text = match sockets {
            [] => {
                "none is to be asked ([containers] sockets): containers have the first digits of their id"
            }
            _ => "none is there: containers have the first digits of their id",
        };
        line("no ", text);
    }
    page.push_str("               needs the right to connect to its socket (root, or its group)\n");
    page
}

fn is_absent(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused
    )
}

/// One that accepts nobody is not waited for.
fn connect(at: &EngineSocket) -> std::io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(&at.path)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::config::Engine;

    #[test]
    fn engines_that_are_there_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let engine = Engine::Podman;
        let sockets = [EngineSocket { engine, path }];
        assert!(probe(&sockets).starts_with("engine     no  none is there"));
        let _listener = UnixListener::bind(&sockets[0].path).unwrap();
        let told = format!(
            "engine     yes containers have their names by {}\n",
            sockets[0]
        );
        assert!(probe(&sockets).starts_with(&told));
        assert!(probe(&[]).contains("none is to be asked"));
    }
}
