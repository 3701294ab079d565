//! The bridge's programs and the simulator, started with their default settings and the addresses of the stack.
//!
//! Settings that whoever runs the bench has in the environment (GCTB_API__…) reach the programs too, and stand in the table.

use std::ffi::OsStr;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::BenchError;
use crate::stack::Stack;

/// How long a program may take until it is ready, and until it has ended when asked to.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A program of the bridge, or the simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Simulator,
    Status,
    Mapper,
    BackendFile,
    BackendMpesa,
    BackendMojaloop,
    Api,
}

impl Service {
    /// Those that pay through a bank's files, consumers before the API that feeds them.
    pub(crate) const PAYING_BY_FILE: [Self; 5] =
        [Self::Simulator, Self::Status, Self::Mapper, Self::BackendFile, Self::Api];

    /// All that any measurement starts.
    const ALL: [Self; 7] = [
        Self::Simulator,
        Self::Status,
        Self::Mapper,
        Self::BackendFile,
        Self::BackendMpesa,
        Self::BackendMojaloop,
        Self::Api,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Simulator => "gctb-simulator",
            Self::Status => "gctb-status",
            Self::Mapper => "gctb-mapper",
            Self::BackendFile => "gctb-backend-file",
            Self::BackendMpesa => "gctb-backend-mpesa",
            Self::BackendMojaloop => "gctb-backend-mojaloop",
            Self::Api => "gctb-api",
        }
    }

    /// What its settings begin with in the environment.
    pub(crate) fn prefix(self) -> String {
        format!("{}__", self.name().to_uppercase().replace('-', "_"))
    }

    const fn ready_path(self) -> &'static str {
        match self {
            Self::Simulator => "/healthz",
            Self::Status
            | Self::Mapper
            | Self::BackendFile
            | Self::BackendMpesa
            | Self::BackendMojaloop
            | Self::Api => "/readyz",
        }
    }

    /// What it cannot know by itself: where everything is.
    fn addresses(self, world: &World<'_>, bind: &str) -> Vec<(&'static str, String)> {
        let bank = world.stack.work("bank").display().to_string();
        let mut settings = match self {
            Self::Simulator => {
                let book = world.stack.work("bank-book").display().to_string();
                return vec![("BIND", bind.to_owned()), ("BANK_ROOT", bank), ("BOOK", book)];
            }
            Self::Api => vec![("HTTP__BIND", bind.to_owned())],
            Self::Status | Self::Mapper | Self::BackendFile | Self::BackendMpesa | Self::BackendMojaloop => {
                vec![("ADMIN__BIND", bind.to_owned())]
            }
        };
        settings.push(("DATABASE__URL", world.database_url.to_owned()));
        settings.push(("KAFKA__BROKERS", world.stack.kafka.clone()));
        match self {
            Self::Mapper => settings.push(("MAPPER__URL", format!("{}/mapper/sync/resolve", world.simulator_url))),
            Self::BackendFile => settings.push(("STORE__ROOT", bank)),
            // A called rail has an address, and much that goes with it: its measurement gives that as further settings.
            Self::Simulator | Self::Status | Self::BackendMpesa | Self::BackendMojaloop | Self::Api => {}
        }
        settings
    }
}

/// Settings in our own environment that are meant for one of the programs.
pub(crate) fn settings_given() -> Vec<(String, String)> {
    let is_meant = |key: &str| Service::ALL.iter().any(|service| key.starts_with(&service.prefix()));
    let mut given: Vec<(String, String)> = std::env::vars().filter(|(key, _)| is_meant(key)).collect();
    given.sort();
    given
}

/// What one measurement adds to the settings of a program, and what it starts it with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Special {
    /// Settings without the program's prefix; they count more than the addresses that it is given.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// A file of settings, for the lists that only a file can hold.
    pub(crate) config: Option<PathBuf>,
}

/// What a program is started into.
struct World<'a> {
    stack: &'a Stack,
    database_url: &'a str,
    simulator_url: String,
}

/// Programs that run. They are killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    programs: Vec<Program>,
}

impl Running {
    /// Starts these on one database, each when the one before it is ready.
    pub(crate) fn start(stack: &Stack, database_url: &str, services: &[Service]) -> Result<Self, BenchError> {
        let mut running = Self::nothing();
        for service in services {
            running.add(stack, database_url, *service, &Special::default())?;
            running.wait_until_ready()?;
        }
        Ok(running)
    }

    /// Nothing yet.
    pub(crate) const fn nothing() -> Self {
        Self { programs: Vec::new() }
    }

    /// Starts one more, and does not wait for it.
    pub(crate) fn add(
        &mut self,
        stack: &Stack,
        database_url: &str,
        service: Service,
        special: &Special,
    ) -> Result<(), BenchError> {
        let world = World { stack, database_url, simulator_url: self.url(Service::Simulator) };
        self.programs.push(Program::start(service, &world, special)?);
        Ok(())
    }

    /// Returns when the one that was started last is ready.
    pub(crate) fn wait_until_ready(&mut self) -> Result<(), BenchError> {
        self.programs.last_mut().map_or(Ok(()), Program::wait_until_ready)
    }

    /// Where a program that was started listens.
    pub(crate) fn url(&self, service: Service) -> String {
        let program = self.programs.iter().find(|program| program.service == service);
        program.map(|program| format!("http://{}", program.address)).unwrap_or_default()
    }

    /// The process of a program that was started; None where it was not.
    pub(crate) fn pid(&self, service: Service) -> Option<u32> {
        self.programs.iter().find(|program| program.service == service).map(|program| program.child.id())
    }

    /// Name and id of each process.
    pub(crate) fn processes(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.programs.iter().map(|program| (program.service.name(), program.child.id()))
    }

    /// Fails when one of them has ended by itself.
    pub(crate) fn must_run(&mut self) -> Result<(), BenchError> {
        let ended = |program: &mut Program| !matches!(program.child.try_wait(), Ok(None));
        let found = self.programs.iter_mut().find_map(|program| ended(program).then_some(program));
        found.map_or(Ok(()), |program| {
            Err(BenchError::Ended { service: program.service.name(), log: program.log.clone() })
        })
    }

    /// Asks all of them to end, the last one first, and waits until they have.
    pub(crate) fn stop(mut self) -> Result<(), BenchError> {
        while let Some(program) = self.programs.pop() {
            program.stop()?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Program {
    service: Service,
    child: Child,
    address: String,
    log: PathBuf,
}

impl Program {
    fn start(service: Service, world: &World<'_>, special: &Special) -> Result<Self, BenchError> {
        let path = world.stack.program(service.name());
        let log = world.stack.work(&format!("{}.log", service.name()));
        let failed = |source| BenchError::Start { program: path.clone(), source };
        let address = free_address().map_err(failed)?;
        let output = File::options().create(true).append(true).open(&log).map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        let prefix = service.prefix();
        let config = special.config.iter().flat_map(|file| [OsStr::new("--config"), file.as_os_str()]);
        let settings = service.addresses(world, &address).into_iter().chain(special.settings.iter().cloned());
        let child = bound_to_us(&path)
            .args(config)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(settings_given())
            .envs(settings.map(|(key, value)| (format!("{prefix}{key}"), value)))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(failed)?;
        Ok(Self { service, child, address, log })
    }

    fn wait_until_ready(&mut self) -> Result<(), BenchError> {
        let url = format!("http://{}{}", self.address, self.service.ready_path());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            if reqwest::blocking::get(&url).is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            sleep(LOOK_INTERVAL);
        }
        Err(BenchError::NotReady { service: self.service.name(), within: PATIENCE, log: self.log.clone() })
    }

    fn stop(mut self) -> Result<(), BenchError> {
        // The shell's own: not every machine has the program.
        let program = PathBuf::from("sh");
        let asked = Command::new(&program).args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        asked.map_err(|source| BenchError::Start { program, source })?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            sleep(LOOK_INTERVAL);
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It fails only where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that the kernel kills when we end, in whatever way: an interrupted bench leaves no process behind.
///
/// The kernel means our thread, so commands are started by the main thread alone, which lives as long as we do.
pub(crate) fn bound_to_us(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> std::io::Result<String> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr().map(|address| address.to_string())
}
