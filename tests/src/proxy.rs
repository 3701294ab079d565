//! A TCP proxy whose line can be cut and mended: a server that goes away for one service alone.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A line to a server. It ends with the test's process.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    line: Arc<Mutex<Line>>,
}

#[derive(Debug, Default)]
struct Line {
    is_cut: bool,
    open: Vec<TcpStream>,
}

impl Proxy {
    /// A proxy to `server`, in order.
    ///
    /// # Panics
    /// Where no port is free.
    pub fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let line = Arc::new(Mutex::new(Line::default()));
        let accepting = Arc::clone(&line);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A connection that breaks is the client's to notice.
                let _ = carry(client, &server, &accepting);
            }
        });
        Self { address, line }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection, and takes no new one.
    pub fn cut(&self) {
        let mut line = lock(&self.line);
        line.is_cut = true;
        for stream in line.open.drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Takes connections again.
    pub fn mend(&self) {
        lock(&self.line).is_cut = false;
    }
}

fn carry(client: TcpStream, server: &str, line: &Arc<Mutex<Line>>) -> io::Result<()> {
    let mut locked = lock(line);
    if locked.is_cut {
        return client.shutdown(Shutdown::Both);
    }
    let server = TcpStream::connect(server)?;
    locked.open.extend([client.try_clone()?, server.try_clone()?]);
    for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        thread::spawn(move || pump(from, to));
    }
    Ok(())
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    // A broken line ends both directions.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}
