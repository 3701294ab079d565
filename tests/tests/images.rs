//! Compares what runs the bridge from images, `deploy/Dockerfile` and `docker-compose.yml`, with what the code knows: its
//! binaries, settings, ports, topics and versions. It reads files and loads settings; it builds and starts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use clap::CommandFactory;
use gctb_backend_mpesa::Profile;
use gctb_domain::BackendName;
use gctb_events::Topic;
use gctb_runtime::ServiceIdentity;
use gctb_runtime::settings::load_from;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Services of the compose file that are not ours.
const SERVERS: [&str; 2] = ["kafka", "postgres"];

/// Programs that need no image, and why.
const WITHOUT_IMAGE: [(&str, &str); 1] =
    [("gctb-bench", "measures the programs of a developer's machine, and starts them itself")];

#[derive(Deserialize)]
struct Compose {
    services: BTreeMap<String, Composed>,
}

/// A service, as far as it is compared.
#[derive(Deserialize)]
struct Composed {
    image: String,
    build: Option<Build>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    profiles: BTreeSet<String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(default)]
    depends_on: BTreeMap<String, Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    condition: String,
}

#[derive(Deserialize)]
struct Build {
    dockerfile: String,
    target: String,
}

impl Composed {
    /// What its processes are given where no `.env` says otherwise.
    fn environment(&self) -> impl Iterator<Item = (String, String)> {
        self.environment.iter().map(|(name, value)| (name.clone(), with_defaults(value)))
    }

    /// Its arguments, a file in a mounted folder named by its place outside.
    fn arguments(&self) -> Vec<String> {
        let folders = self.volumes.iter().map(|volume| with_defaults(volume));
        let folders: Vec<_> = folders.filter(|volume| volume.starts_with("./")).collect();
        let outside = |argument: &String| {
            let mut parts = folders.iter().map(|volume| volume.split(':'));
            parts
                .find_map(|mut parts| {
                    let (outside, inside) = (parts.next()?, parts.next()?);
                    let file = argument.strip_prefix(inside)?;
                    Some(format!("{}/../{outside}{file}", env!("CARGO_MANIFEST_DIR")))
                })
                .unwrap_or_else(|| argument.clone())
        };
        self.command.iter().map(outside).collect()
    }
}

/// The payment backends that the compose file runs, each with the name of its service and its own name.
fn backends(compose: &Compose) -> BTreeMap<&'static str, BackendName> {
    let file: gctb_backend_file::settings::Settings = composed_settings(compose, &gctb_backend_file::IDENTITY);
    let mpesa: gctb_backend_mpesa::Settings = composed_settings(compose, &gctb_backend_mpesa::IDENTITY);
    let simple: gctb_backend_mpesa::Settings =
        settings_of(compose, "gctb-backend-simple", &gctb_backend_mpesa::IDENTITY);
    let mojaloop: gctb_backend_mojaloop::Settings = composed_settings(compose, &gctb_backend_mojaloop::IDENTITY);
    BTreeMap::from([
        ("gctb-backend-file", file.backend.name),
        ("gctb-backend-mpesa", mpesa.backend.name),
        ("gctb-backend-mojaloop", mojaloop.backend.name),
        ("gctb-backend-simple", simple.backend.name),
    ])
}

/// A final stage of the Dockerfile.
#[derive(Default)]
struct Stage {
    program: String,
    /// The first one, where health is asked.
    exposed: Option<u16>,
    health_port: Option<u16>,
}

fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn compose() -> Compose {
    serde_saphyr::from_str(&read("docker-compose.yml")).expect("docker-compose.yml is YAML of the expected shape")
}

fn service<'a>(compose: &'a Compose, name: &str) -> &'a Composed {
    compose.services.get(name).unwrap_or_else(|| panic!("docker-compose.yml has no service {name}"))
}

/// Puts in the defaults of `${NAME:-default}`, as `docker compose` does where NAME is not set.
fn with_defaults(value: &str) -> String {
    let Some((before, rest)) = value.split_once("${") else { return value.to_owned() };
    let (variable, after) = rest.split_once('}').expect("a closed ${…}");
    let (_, default) = variable.split_once(":-").unwrap_or_else(|| panic!("{variable} has no default"));
    format!("{before}{default}{}", with_defaults(after))
}

/// The stages that images are made of, by name.
fn stages() -> BTreeMap<String, Stage> {
    let mut stages: BTreeMap<String, Stage> = BTreeMap::new();
    let mut name = String::new();
    for line in read("deploy/Dockerfile").lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["FROM", "runtime", "AS", stage] => {
                name = (*stage).to_owned();
                stages.insert(name.clone(), Stage::default());
            }
            ["COPY", "--from=programs", program, "/usr/local/bin/"] => {
                stages.entry(name.clone()).or_default().program = (*program).to_owned();
            }
            ["EXPOSE", port, ..] => stages.entry(name.clone()).or_default().exposed = port.parse().ok(),
            ["HEALTHCHECK", .., "CMD", "[\"healthy\",", port, _] => {
                stages.entry(name.clone()).or_default().health_port = port.trim_matches(['"', ',']).parse().ok();
            }
            _ => {}
        }
    }
    stages
}

/// Every program that cargo builds from `crates/` and that is run from an image.
fn programs() -> BTreeSet<String> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let targets = packages
        .iter()
        .filter(|package| package["manifest_path"].as_str().is_some_and(|path| path.contains("/crates/")))
        .flat_map(|package| package["targets"].as_array().expect("targets"));
    let programs = targets.filter(|target| target["kind"][0] == "bin");
    let names = programs.map(|target| target["name"].as_str().expect("a name").to_owned());
    names.filter(|name| WITHOUT_IMAGE.iter().all(|(without, _)| without != name)).collect()
}

/// The settings that a service reads from what the compose file gives it. Fails where one is unknown, missing or meant for
/// another service.
fn composed_settings<S: DeserializeOwned>(compose: &Compose, identity: &ServiceIdentity) -> S {
    settings_of(compose, identity.name, identity)
}

/// The same of a program that runs under another name.
fn settings_of<S: DeserializeOwned>(compose: &Compose, name: &str, identity: &ServiceIdentity) -> S {
    let composed = service(compose, name);
    let prefix = format!("{}__", identity.env_prefix());
    for variable in composed.environment.keys() {
        assert!(variable.starts_with(&prefix), "{name} is given {variable}, which it does not read");
    }
    load_from(identity, composed.arguments().into_iter(), composed.environment())
        .unwrap_or_else(|error| panic!("docker-compose.yml, {name}: {error}"))
}

fn port_of(address: &str) -> u16 {
    let (_, port) = address.rsplit_once(':').unwrap_or_else(|| panic!("{address} names no port"));
    port.parse().unwrap_or_else(|error| panic!("{address}: {error}"))
}

/// The port that a service's own defaults name under `group.bind`.
fn default_port(identity: &ServiceIdentity, group: &str) -> u16 {
    let defaults = config::Config::builder()
        .add_source(config::File::from_str(identity.defaults, config::FileFormat::Toml))
        .build()
        .expect("the defaults are TOML");
    port_of(&defaults.get_string(&format!("{group}.bind")).expect("an address"))
}

/// The image, the compose file and the defaults name the same port.
fn assert_port(identity: &ServiceIdentity, group: &str, composed: &str) {
    let stages = stages();
    let stage = stages.get(identity.name).unwrap_or_else(|| panic!("no stage {}", identity.name));
    let expected = default_port(identity, group);
    assert_eq!(port_of(composed), expected, "docker-compose.yml, {}: its port is not the default", identity.name);
    assert_eq!(stage.exposed, Some(expected), "deploy/Dockerfile, {}: EXPOSE", identity.name);
    assert_eq!(stage.health_port, Some(expected), "deploy/Dockerfile, {}: HEALTHCHECK", identity.name);
}

#[test]
fn every_program_has_an_image_of_its_own_and_runs_in_the_compose_file() {
    let stages = stages();
    let programs = programs();
    assert_eq!(stages.keys().cloned().collect::<BTreeSet<_>>(), programs, "left: targets of deploy/Dockerfile");
    for (name, stage) in &stages {
        assert_eq!(&stage.program, name, "deploy/Dockerfile: the target and its program have different names");
    }
    let compose = compose();
    let mut built = BTreeSet::new();
    for (name, composed) in &compose.services {
        let Some(build) = &composed.build else {
            assert!(SERVERS.contains(&name.as_str()), "docker-compose.yml: {name} is not built");
            continue;
        };
        assert_eq!(build.dockerfile, "deploy/Dockerfile", "docker-compose.yml, {name}");
        assert_eq!(composed.image, format!("{}:local", build.target), "docker-compose.yml, {name}");
        built.insert(build.target.clone());
    }
    assert_eq!(built, programs, "left: what docker-compose.yml builds");
    for program in &programs {
        assert_eq!(service(&compose, program).image, format!("{program}:local"), "docker-compose.yml, {program}");
    }
}

#[test]
fn every_service_understands_all_that_the_compose_file_gives_it_and_lacks_nothing() {
    let compose = compose();
    let api: gctb_api::Settings = composed_settings(&compose, &gctb_api::IDENTITY);
    assert!(api.http.open, "nothing reaches the API in its container");
    assert_port(&gctb_api::IDENTITY, "http", &api.http.bind);
    let published = service(&compose, "gctb-api").ports.iter().map(|port| with_defaults(port)).collect::<Vec<_>>();
    let port = port_of(&api.http.bind);
    assert_eq!(published, [format!("127.0.0.1:{port}:{port}")], "senders are not authenticated: loopback alone");

    let mapper: gctb_mapper::Settings = composed_settings(&compose, &gctb_mapper::IDENTITY);
    assert_port(&gctb_mapper::IDENTITY, "admin", &mapper.admin.bind);
    let status: gctb_status::Settings = composed_settings(&compose, &gctb_status::IDENTITY);
    assert_port(&gctb_status::IDENTITY, "admin", &status.admin.bind);
    let file: gctb_backend_file::settings::Settings = composed_settings(&compose, &gctb_backend_file::IDENTITY);
    assert_port(&gctb_backend_file::IDENTITY, "admin", &file.admin.bind);
    let mojaloop: gctb_backend_mojaloop::Settings = composed_settings(&compose, &gctb_backend_mojaloop::IDENTITY);
    assert_port(&gctb_backend_mojaloop::IDENTITY, "admin", &mojaloop.admin.bind);
    let mpesa: gctb_backend_mpesa::Settings = composed_settings(&compose, &gctb_backend_mpesa::IDENTITY);
    assert_port(&gctb_backend_mpesa::IDENTITY, "admin", &mpesa.admin.bind);
    assert_eq!(mpesa.mpesa.profile, Profile::Daraja);
    let simple: gctb_backend_mpesa::Settings =
        settings_of(&compose, "gctb-backend-simple", &gctb_backend_mpesa::IDENTITY);
    assert_port(&gctb_backend_mpesa::IDENTITY, "admin", &simple.admin.bind);
    assert_eq!(simple.mpesa.profile, Profile::Simple);
}

#[test]
fn a_deployment_starts_the_rails_that_are_called_only_where_it_asks_for_them() {
    let compose = compose();
    let profiles = |name: &str| service(&compose, name).profiles.iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(profiles("gctb-backend-mpesa"), ["mpesa", "simulator"]);
    assert_eq!(profiles("gctb-backend-mojaloop"), ["mojaloop", "simulator"]);
    for name in ["gctb-backend-simple", "gctb-simulator"] {
        assert_eq!(profiles(name), ["simulator"], "{name} is for trying out alone");
    }
    for name in ["gctb-api", "gctb-mapper", "gctb-backend-file", "gctb-status"] {
        assert!(profiles(name).is_empty(), "{name} runs in every deployment");
    }
}

#[test]
fn services_wait_for_the_jobs_and_the_jobs_for_healthy_servers() {
    let compose = compose();
    let waits = |name: &str| -> BTreeMap<String, String> {
        let waits_for = &service(&compose, name).depends_on;
        waits_for.iter().map(|(name, dependency)| (name.clone(), dependency.condition.clone())).collect()
    };
    let when = |condition: &str, names: &[&str]| -> BTreeMap<String, String> {
        names.iter().map(|name| ((*name).to_owned(), condition.to_owned())).collect()
    };
    assert_eq!(waits("gctb-migrate"), when("service_healthy", &["postgres"]));
    assert_eq!(waits("gctb-topics"), when("service_healthy", &["kafka"]));
    for name in ["gctb-api", "gctb-mapper", "gctb-status"].into_iter().chain(backends(&compose).into_keys()) {
        assert_eq!(waits(name), when("service_completed_successfully", &["gctb-migrate", "gctb-topics"]), "{name}");
    }
}

#[test]
fn services_that_may_be_scaled_publish_no_port() {
    for (name, composed) in compose().services {
        assert!(name == "gctb-api" || composed.ports.is_empty(), "{name} publishes {:?}", composed.ports);
    }
}

#[test]
fn the_command_and_the_simulator_know_every_variable_that_they_are_given() {
    let compose = compose();
    let mut out = Vec::new();
    for name in ["gctb", "gctb-migrate", "gctb-topics"] {
        let composed = service(&compose, name);
        assert!(composed.environment.keys().all(|name| name.starts_with("GCTB_CLI__")), "{name}");
        let ended = gctb_cli::run(["gctb", "--version"].map(Into::into), composed.environment().collect(), &mut out);
        assert_eq!(
            format!("{ended:?}"),
            format!("{:?}", std::process::ExitCode::SUCCESS),
            "docker-compose.yml, {name}"
        );
    }
    let command = gctb_simulator::Settings::command();
    let known: BTreeSet<_> = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).collect();
    let composed = service(&compose, "gctb-simulator");
    for name in composed.environment.keys() {
        assert!(known.contains(name.as_str()), "docker-compose.yml, gctb-simulator: {name} is not known");
    }
    let port = port_of(&with_defaults(&composed.environment["GCTB_SIMULATOR__BIND"]));
    let stages = stages();
    let stage = &stages["gctb-simulator"];
    assert_eq!((stage.exposed, stage.health_port), (Some(port), Some(port)), "deploy/Dockerfile, gctb-simulator");
}

#[test]
fn the_job_makes_the_topics_of_the_backends_that_run() {
    let compose = compose();
    let mapper: gctb_mapper::Settings = composed_settings(&compose, &gctb_mapper::IDENTITY);
    let status: gctb_status::Settings = composed_settings(&compose, &gctb_status::IDENTITY);
    let mut running: Vec<BackendName> = backends(&compose).into_values().collect();
    running.sort();
    for (who, backends) in [("gctb-mapper", &mapper.backends), ("gctb-status", &status.backends)] {
        assert_eq!(sorted(backends), running, "left: the backends of {who}; right: those that run");
    }
    for job in ["gctb-topics", "gctb"] {
        let backends = with_defaults(&service(&compose, job).environment["GCTB_CLI__BACKENDS"]);
        let made: Vec<_> = backends.split(',').map(|name| BackendName::parse(name).expect("a name")).collect();
        let topics = |backends: &[BackendName]| Topic::all(&sorted(backends));
        assert_eq!(topics(&made), topics(&running), "docker-compose.yml, {job}");
    }
}

fn sorted(backends: &[BackendName]) -> Vec<BackendName> {
    let mut backends = backends.to_vec();
    backends.sort();
    backends
}

#[test]
fn the_demo_starts_the_same_backends_by_the_same_routes() {
    let script = read("deploy/local/services.sh");
    let line = script.lines().find_map(|line| line.strip_prefix("BACKENDS=")).expect("BACKENDS=…");
    let demo: Vec<_> = line.split(',').map(|name| BackendName::parse(name).expect("a name")).collect();
    let compose = compose();
    let mapper: gctb_mapper::Settings = composed_settings(&compose, &gctb_mapper::IDENTITY);
    assert_eq!(sorted(&demo), sorted(&mapper.backends));
    let arguments = |name: &str| service(&compose, name).arguments();
    for name in ["gctb-mapper", "gctb-status"] {
        let file = arguments(name).pop().unwrap_or_default();
        assert!(file.ends_with(&format!("deploy/local/demo/{name}.toml")), "{name} reads {file}");
    }
}

#[test]
fn the_versions_are_those_that_the_bridge_is_built_and_tested_with() {
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.split('"').nth(1).expect("a channel");
    let dockerfile = read("deploy/Dockerfile");
    assert!(dockerfile.contains(&format!("FROM rust:{channel}-bookworm AS build")), "the image of the build stage");
    assert!(dockerfile.contains(&format!("RUSTUP_TOOLCHAIN={channel}\n")), "the toolchain of the build stage");
    let pom = read("deploy/local/kafka/pom.xml");
    let kafka = service(&compose(), "kafka").image.replace("apache/kafka:", "");
    assert!(pom.contains(&format!("<version>{kafka}</version>")), "docker-compose.yml runs Kafka {kafka}");
}
