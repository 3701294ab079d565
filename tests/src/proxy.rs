//! A TCP proxy that does what networks do: it cuts and mends the line to a server, delays it, lets it fall silent, ends every
//! connection after some bytes, or breaks it exactly around a COMMIT.
//!
//! Of what it carries it knows one word, Postgres' COMMIT. A test makes the line bad for some services alone by giving them
//! the proxy's address.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A COMMIT as a statement of its own ends in a message of Postgres' protocol.
const COMMIT: &[u8] = b"COMMIT\0";
/// Bytes that are carried at once.
const PIECE: usize = 64 * 1024;

/// A line to a server. It ends with the test's process.
#[derive(Clone)]
pub struct Proxy {
    address: SocketAddr,
    line: Arc<Mutex<Line>>,
    broken_commits: Arc<AtomicU64>,
}

/// When a connection breaks around a COMMIT. In both cases who sent it never hears what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The server never gets it.
    BeforeCommit,
    /// The server has done it, and its answer is lost.
    AfterCommit,
}

/// What the line does to what it carries.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    Cut,
    Silent,
    Delay(Duration),
    EndAfter(u64),
    Commits { which: Break, every: u64 },
}

struct Line {
    fault: Fault,
    /// The fault begins when this is so. None: at once.
    begins: Option<Condition>,
    open: Vec<TcpStream>,
    commits: u64,
}

type Condition = Box<dyn Fn() -> bool + Send>;

/// What both directions of a connection know of each other.
#[derive(Debug, Default)]
struct Connection {
    carried: AtomicU64,
    answer_is_lost: AtomicBool,
}

/// What becomes of a piece.
enum Way {
    On,
    Nowhere,
    End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

impl Proxy {
    /// A proxy to `server`, in order.
    ///
    /// # Panics
    /// Where no port is free.
    pub fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let line = Arc::new(Mutex::new(Line { fault: Fault::None, begins: None, open: Vec::new(), commits: 0 }));
        let proxy = Self { address, line, broken_commits: Arc::default() };
        let accepting = proxy.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A connection that breaks is the client's to notice.
                let _ = accepting.carry(client, &server);
            }
        });
        proxy
    }

    /// A proxy to the server of a database, and the database's URL through it.
    pub fn to_database(url: &str) -> (Self, String) {
        let host = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        let server = if host.contains(':') { host.to_owned() } else { format!("{host}:5432") };
        let line = Self::to(server);
        let through = url.replacen(host, &line.address.to_string(), 1);
        (line, through)
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection, and takes no new one.
    pub fn cut(&self) {
        self.set(Fault::Cut);
        self.break_all();
    }

    /// Takes connections and whatever they say, and answers nothing: a machine that hangs, a firewall that drops.
    pub fn fall_silent(&self) {
        self.set(Fault::Silent);
    }

    /// Holds everything back for so long, in both directions.
    pub fn delay(&self, by: Duration) {
        self.set(Fault::Delay(by));
    }

    /// Ends every connection when it has carried so many bytes.
    pub fn end_connections_after(&self, bytes: u64) {
        self.set(Fault::EndAfter(bytes));
    }

    /// Breaks the connection around each n-th COMMIT, and no other.
    pub fn break_commits(&self, which: Break, every: u64) {
        self.set(Fault::Commits { which, every });
    }

    /// Breaks the connection around each COMMIT from the moment on at which this is so.
    pub fn break_commits_once(&self, which: Break, begins: impl Fn() -> bool + Send + 'static) {
        self.break_commits(which, 1);
        self.lock().begins = Some(Box::new(begins));
    }

    /// How many COMMITs were broken so far.
    pub fn broken_commits(&self) -> u64 {
        self.broken_commits.load(Ordering::Relaxed)
    }

    /// Carries everything again. Connections of a silent line are broken: the network has forgotten them.
    pub fn mend(&self) {
        let was_silent = matches!(self.set(Fault::None), Fault::Silent);
        if was_silent {
            self.break_all();
        }
    }

    fn set(&self, fault: Fault) -> Fault {
        let mut line = self.lock();
        line.begins = None;
        std::mem::replace(&mut line.fault, fault)
    }

    fn break_all(&self) {
        for stream in self.lock().open.drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn carry(&self, client: TcpStream, server: &str) -> io::Result<()> {
        let mut line = self.lock();
        if matches!(line.fault, Fault::Cut) {
            return client.shutdown(Shutdown::Both);
        }
        let server = TcpStream::connect(server)?;
        line.open.extend([client.try_clone()?, server.try_clone()?]);
        drop(line);
        let connection = Arc::new(Connection::default());
        let ways =
            [(client.try_clone()?, server.try_clone()?, Direction::ToServer), (server, client, Direction::ToClient)];
        for (from, to, direction) in ways {
            let (proxy, connection) = (self.clone(), Arc::clone(&connection));
            thread::spawn(move || {
                // A broken line ends both directions.
                let _ = proxy.pump(&from, &to, direction, &connection);
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
        Ok(())
    }

    fn pump(
        &self,
        mut from: &TcpStream,
        mut to: &TcpStream,
        direction: Direction,
        connection: &Connection,
    ) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        loop {
            let length = from.read(&mut piece)?;
            if length == 0 {
                return Ok(());
            }
            match self.way_of(&piece[..length], direction, connection) {
                Way::On => to.write_all(&piece[..length])?,
                Way::Nowhere => {}
                Way::End => return Ok(()),
            }
        }
    }

    fn way_of(&self, piece: &[u8], direction: Direction, connection: &Connection) -> Way {
        let mut line = self.lock();
        let carried = connection.carried.fetch_add(piece.len() as u64, Ordering::Relaxed) + piece.len() as u64;
        if direction == Direction::ToClient && connection.answer_is_lost.load(Ordering::Relaxed) {
            return Way::End;
        }
        match line.fault {
            Fault::None => Way::On,
            Fault::Cut => Way::End,
            Fault::Silent => Way::Nowhere,
            Fault::Delay(by) => {
                drop(line);
                // The latency itself, not a wait for something.
                thread::park_timeout(by);
                Way::On
            }
            Fault::EndAfter(bytes) => {
                if carried > bytes {
                    Way::End
                } else {
                    Way::On
                }
            }
            Fault::Commits { which, every } => {
                if direction == Direction::ToClient || !piece.windows(COMMIT.len()).any(|bytes| bytes == COMMIT) {
                    return Way::On;
                }
                if line.begins.as_ref().is_some_and(|begins| !begins()) {
                    return Way::On;
                }
                line.commits += 1;
                if !line.commits.is_multiple_of(every) {
                    return Way::On;
                }
                self.broken_commits.fetch_add(1, Ordering::Relaxed);
                match which {
                    Break::BeforeCommit => Way::End,
                    Break::AfterCommit => {
                        connection.answer_is_lost.store(true, Ordering::Relaxed);
                        Way::On
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}
